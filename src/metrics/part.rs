//! A gauge that all caches of the process share.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use metrics::Gauge;

/// What one cache adds to a gauge: the gauge shows the sum of all parts. A part that is dropped is
/// taken off.
pub(crate) struct GaugePart {
    gauge: Gauge,
    value: AtomicU64,
}

impl GaugePart {
    pub(crate) fn new(gauge: Gauge) -> Self {
        Self {
            gauge,
            value: AtomicU64::new(0),
        }
    }

    pub(crate) fn set(&self, value: u64) {
        let before = self.value.swap(value, Ordering::Relaxed);
        if value >= before {
            self.gauge.increment((value - before) as f64);
        } else {
            self.gauge.decrement((before - value) as f64);
        }
    }
}

impl Drop for GaugePart {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl fmt::Debug for GaugePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GaugePart({})", self.value.load(Ordering::Relaxed))
    }
}
