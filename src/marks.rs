//! What is remembered of a key for a short while: one bit that expires by itself.
//!
//! A fixed table of 16,384 slots, each with most of a key's hash and an expiry. Two keys that
//! share a slot displace each other; a mark that is lost costs a little work, and one that is
//! taken for another's (one chance in 2^32) costs as little.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const SLOTS: usize = 1 << 14;

/// The low bits hold the expiry, in seconds of monotonic time, which 136 years do not wrap; the rest
/// is the key's hash.
const SECONDS: u64 = u32::MAX as u64;

/// A set of keys, each of which leaves by itself.
#[derive(Debug)]
pub(crate) struct Marks {
    slots: Box<[AtomicU64]>,
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Marks the key with this hash for the time given, in whole seconds, if it is not zero.
    pub(crate) fn set(&self, hash: u64, now: Duration, lasting: Duration) {
        if lasting.is_zero() {
            return;
        }
        let until = now.saturating_add(lasting).as_secs().saturating_add(1);
        self.slot(hash)
            .store(hash & !SECONDS | until.min(SECONDS), Ordering::Relaxed);
    }

    pub(crate) fn clear(&self, hash: u64) {
        let slot = self.slot(hash);
        if slot.load(Ordering::Relaxed) & !SECONDS == hash & !SECONDS {
            slot.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn contains(&self, hash: u64, now: Duration) -> bool {
        let mark = self.slot(hash).load(Ordering::Relaxed);
        mark & !SECONDS == hash & !SECONDS && mark & SECONDS > now.as_secs()
    }

    fn slot(&self, hash: u64) -> &AtomicU64 {
        // The low bits of the hash, which a mark does not hold; the remainder is in range.
        &self.slots[(hash % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_lasts_as_long_as_asked() {
        let (marks, hash) = (Marks::new(), 0xdead_beef_1234_5678);
        let at = Duration::from_secs;
        marks.set(hash, at(100), at(10));
        assert!(marks.contains(hash, at(100)));
        assert!(marks.contains(hash, at(110)));
        assert!(!marks.contains(hash, at(111)));
        assert!(!marks.contains(hash ^ (1 << 60), at(100)));
    }

    #[test]
    fn a_mark_that_left_does_not_come_back() {
        let (marks, hash) = (Marks::new(), 0xdead_beef_1234_5678);
        marks.set(hash, Duration::from_secs(1000), Duration::from_secs(10));
        for later in [1 << 23, 1 << 24, (1 << 24) + 500, 1 << 32, (1 << 32) + 500] {
            assert!(!marks.contains(hash, Duration::from_secs(later)), "{later}");
        }
    }

    #[test]
    fn a_mark_may_last_as_long_as_a_setting_may_say() {
        let (marks, hash) = (Marks::new(), 0xdead_beef_1234_5678);
        let longest = Duration::from_secs(1 << 31);
        marks.set(hash, Duration::from_secs(1000), longest);
        assert!(marks.contains(hash, longest));
        assert!(!marks.contains(hash, longest + Duration::from_secs(1001)));
        marks.set(hash, Duration::MAX, longest);
        assert!(!marks.contains(hash, Duration::MAX));
    }

    #[test]
    fn no_time_at_all_marks_nothing() {
        let (marks, hash) = (Marks::new(), 0xdead_beef_1234_5678);
        marks.set(hash, Duration::ZERO, Duration::ZERO);
        assert!(!marks.contains(hash, Duration::ZERO));
    }

    #[test]
    fn a_mark_can_be_taken_back() {
        let (marks, hash) = (Marks::new(), 0xdead_beef_1234_5678);
        marks.set(hash, Duration::ZERO, Duration::from_secs(10));
        marks.clear(hash);
        assert!(!marks.contains(hash, Duration::ZERO));
    }
}
