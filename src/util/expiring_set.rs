//! What is remembered of a key for a short while: one bit that expires by itself.
//!
//! A fixed table of 2,048 buckets with eight places each, one line of the processor's cache. A mark
//! is most of a key's hash and an expiry. A ninth key in a bucket takes the place of the mark that
//! would expire first; a mark that is lost costs a little work, and one that is taken for another's
//! (one chance in 2^29) costs as little.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const BUCKETS: usize = 1 << 11;

/// Keys whose marks are looked at together.
const PLACES: usize = 8;

/// The low bits hold the expiry, in seconds of monotonic time, which 136 years do not wrap; the rest
/// is the key's hash.
const SECONDS: u64 = u32::MAX as u64;

/// A set of keys, each of which leaves by itself.
#[derive(Debug)]
pub(crate) struct Marks {
    buckets: Box<[Bucket]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; PLACES]);

impl Marks {
    pub(crate) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
        }
    }

    /// Marks the key with this hash for the time given, in whole seconds, if it is not zero.
    pub(crate) fn set(&self, hash: u64, now: Duration, lasting: Duration) {
        if lasting.is_zero() {
            return;
        }
        let until = now.saturating_add(lasting).as_secs().saturating_add(1);
        let mark = hash & !SECONDS | until.min(SECONDS);
        let rank = |place: &&AtomicU64| {
            let held = place.load(Ordering::Relaxed);
            // The key's own, or else the one that expires first; none has expired longest.
            (!is_of(held, hash), held & SECONDS)
        };
        if let Some(place) = self.bucket(hash).iter().min_by_key(rank) {
            // Two at once may take the same place: one of them is lost.
            place.store(mark, Ordering::Relaxed);
        }
    }

    pub(crate) fn clear(&self, hash: u64) {
        for place in self.bucket(hash) {
            if is_of(place.load(Ordering::Relaxed), hash) {
                place.store(0, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn contains(&self, hash: u64, now: Duration) -> bool {
        self.bucket(hash).iter().any(|place| {
            let mark = place.load(Ordering::Relaxed);
            is_of(mark, hash) && mark & SECONDS > now.as_secs()
        })
    }

    fn bucket(&self, hash: u64) -> &[AtomicU64; PLACES] {
        // The low bits of the hash, which a mark does not hold; the remainder is in range.
        &self.buckets[(hash % BUCKETS as u64) as usize].0
    }
}

/// Whether a mark is that of the key with this hash.
fn is_of(mark: u64, hash: u64) -> bool {
    mark & !SECONDS == hash & !SECONDS
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
    fn keys_that_share_a_bucket_do_without_each_others_places() {
        let (marks, hash) = (Marks::new(), 0xdead_beef_1234_5678);
        let at = Duration::from_secs;
        let other = |key: u64| hash ^ (key << 40);
        for key in 0..8 {
            marks.set(other(key), at(100), at(10 + key));
        }
        assert!((0..8).all(|key| marks.contains(other(key), at(100))));
        // The ninth takes the place of the one that would have left first.
        marks.set(other(8), at(100), at(20));
        assert!((1..9).all(|key| marks.contains(other(key), at(100))));
        assert!(!marks.contains(other(0), at(100)));
    }

    #[test]
    fn a_mark_can_be_taken_back() {
        let (marks, hash) = (Marks::new(), 0xdead_beef_1234_5678);
        marks.set(hash, Duration::ZERO, Duration::from_secs(10));
        marks.clear(hash);
        assert!(!marks.contains(hash, Duration::ZERO));
    }
}
