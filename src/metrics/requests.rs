//! Requests by outcome, counted so that they can be read back.
//!
//! Every hit counts, so each thread counts for itself, in a line of memory that hardly any other thread
//! writes to. Who reads adds them up.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    outcome::{CacheOutcome, Storing, Tier},
    util::shard::{SHARDS, own},
};

/// How a request was answered, as far as it is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AnswerKind {
    Bypassed,
    Collapsed,
    Generated,
    HitMemory,
    HitRemote,
    /// From the origin, and being stored.
    Stored,
    /// From the origin, and not stored.
    NotStored,
    Revalidated,
    Stale,
}

const KINDS: usize = AnswerKind::Stale as usize + 1;

impl AnswerKind {
    pub(super) fn of(outcome: &CacheOutcome) -> Self {
        match outcome {
            CacheOutcome::Bypassed(_)
            | CacheOutcome::Disabled
            | CacheOutcome::Forwarded
            | CacheOutcome::Tunnelled => Self::Bypassed,
            CacheOutcome::Collapsed { .. } => Self::Collapsed,
            CacheOutcome::Fetched {
                storing: Storing::Begun { .. },
                ..
            } => Self::Stored,
            CacheOutcome::Fetched { .. } => Self::NotStored,
            CacheOutcome::Generated(_) => Self::Generated,
            CacheOutcome::Hit { tier, .. } => match tier {
                Tier::Memory => Self::HitMemory,
                Tier::Remote => Self::HitRemote,
            },
            CacheOutcome::Revalidated { .. } => Self::Revalidated,
            CacheOutcome::Stale { .. } => Self::Stale,
        }
    }
}

/// How many requests were answered, and how.
pub(crate) struct RequestCounts {
    shards: Box<[RequestShard]>,
}

/// The counts of some threads. As large as the two lines of memory that a processor fetches together.
#[derive(Default)]
#[repr(align(128))]
struct RequestShard([AtomicU64; KINDS]);

impl Default for RequestCounts {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RequestShard::default()).collect(),
        }
    }
}

impl RequestCounts {
    #[inline]
    pub(super) fn count(&self, kind: AnswerKind) {
        if let Some(shard) = self.shards.get(own()) {
            shard.0[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many requests were answered like this so far.
    pub(crate) fn get(&self, kind: AnswerKind) -> u64 {
        let counts = self.shards.iter().map(|shard| &shard.0[kind as usize]);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl fmt::Debug for RequestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestCounts")
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_many_threads_count_is_counted_exactly() {
        let counts = RequestCounts::default();
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counts.count(AnswerKind::HitMemory);
                    }
                    counts.count(AnswerKind::Stale);
                });
            }
        });
        assert_eq!(counts.get(AnswerKind::HitMemory), 40_000);
        assert_eq!(counts.get(AnswerKind::Stale), 40);
        assert_eq!(counts.get(AnswerKind::Bypassed), 0);
    }
}
