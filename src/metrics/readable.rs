//! A counter of the facade that can be read back.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;

/// Counts for the metrics and for [`CacheStats`](crate::CacheStats): a recorder gives back nothing. Not
/// for what every hit counts, as all threads write to the same memory.
#[derive(Debug)]
pub(crate) struct ReadableCounter {
    metric: Counter,
    count: AtomicU64,
}

impl ReadableCounter {
    pub(super) fn new(metric: Counter) -> Self {
        Self {
            metric,
            count: AtomicU64::new(0),
        }
    }

    pub(crate) fn increment(&self, by: u64) {
        self.count.fetch_add(by, Ordering::Relaxed);
        self.metric.increment(by);
    }

    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
