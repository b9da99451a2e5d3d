//! A set of key hashes in which each member has its own expiry.
//!
//! The set has a fixed size: 2,048 buckets of eight slots, each bucket one cache line. A slot holds
//! most of the hash, and the expiry. In a full bucket a new member takes the slot of the one that
//! would expire first. So a member may be lost early, and a hash may be taken for another that
//! differs only in the bits that are not kept (one chance in 2^29). Use the set only where both are
//! harmless: for a hit-for-miss mark, either means that one request more, or less, is collapsed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const BUCKETS: usize = 1 << 11;

/// How many members a bucket holds.
const SLOTS: usize = 8;

/// The low bits of a slot hold the expiry, in whole seconds of monotonic time: enough for 136
/// years. The other bits are those of the hash. A slot of zero is free.
const EXPIRY: u64 = u32::MAX as u64;

/// A set of key hashes that expire.
#[derive(Debug)]
pub(crate) struct ExpiringSet {
    buckets: Box<[Bucket]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; SLOTS]);

impl ExpiringSet {
    pub(crate) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
        }
    }

    /// Adds a hash until `lasting` from `now`, rounded up to whole seconds. A `lasting` of zero
    /// adds nothing.
    pub(crate) fn insert(&self, hash: u64, now: Duration, lasting: Duration) {
        if lasting.is_zero() {
            return;
        }
        let expiry = now.saturating_add(lasting).as_secs().saturating_add(1);
        let member = hash & !EXPIRY | expiry.min(EXPIRY);
        let rank = |slot: &&AtomicU64| {
            let held = slot.load(Ordering::Relaxed);
            // The slot of the same hash if there is one, else the one that expires first. A free
            // slot has an expiry of zero.
            (!is_of(held, hash), held & EXPIRY)
        };
        if let Some(slot) = self.bucket(hash).iter().min_by_key(rank) {
            // Two threads may choose the same slot. Then one of their members is lost.
            slot.store(member, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove(&self, hash: u64) {
        for slot in self.bucket(hash) {
            if is_of(slot.load(Ordering::Relaxed), hash) {
                slot.store(0, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn contains(&self, hash: u64, now: Duration) -> bool {
        self.bucket(hash).iter().any(|slot| {
            let member = slot.load(Ordering::Relaxed);
            is_of(member, hash) && member & EXPIRY > now.as_secs()
        })
    }

    fn bucket(&self, hash: u64) -> &[AtomicU64; SLOTS] {
        // The low bits of the hash, which a slot does not hold. The remainder is in range.
        &self.buckets[(hash % BUCKETS as u64) as usize].0
    }
}

/// Whether a slot holds this hash.
fn is_of(slot: u64, hash: u64) -> bool {
    slot & !EXPIRY == hash & !EXPIRY
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: u64 = 0xdead_beef_1234_5678;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_member_lasts_as_long_as_asked() {
        let set = ExpiringSet::new();
        set.insert(HASH, at(100), at(10));
        assert!(set.contains(HASH, at(100)));
        assert!(set.contains(HASH, at(110)));
        assert!(!set.contains(HASH, at(111)));
        assert!(!set.contains(HASH ^ (1 << 60), at(100)));
    }

    #[test]
    fn a_member_that_expired_does_not_come_back() {
        let set = ExpiringSet::new();
        set.insert(HASH, at(1000), at(10));
        for later in [1 << 23, 1 << 24, (1 << 24) + 500, 1 << 32, (1 << 32) + 500] {
            assert!(!set.contains(HASH, at(later)), "{later}");
        }
    }

    #[test]
    fn a_member_may_last_as_long_as_the_longest_setting() {
        let set = ExpiringSet::new();
        let longest = at(1 << 31);
        set.insert(HASH, at(1000), longest);
        assert!(set.contains(HASH, longest));
        assert!(!set.contains(HASH, longest + at(1001)));
        set.insert(HASH, Duration::MAX, longest);
        assert!(!set.contains(HASH, Duration::MAX));
    }

    #[test]
    fn a_time_of_zero_adds_nothing() {
        let set = ExpiringSet::new();
        set.insert(HASH, Duration::ZERO, Duration::ZERO);
        assert!(!set.contains(HASH, Duration::ZERO));
    }

    #[test]
    fn hashes_that_share_a_bucket_each_have_a_slot() {
        let set = ExpiringSet::new();
        let other = |key: u64| HASH ^ (key << 40);
        for key in 0..8 {
            set.insert(other(key), at(100), at(10 + key));
        }
        assert!((0..8).all(|key| set.contains(other(key), at(100))));
        // The ninth takes the slot of the one that would expire first.
        set.insert(other(8), at(100), at(20));
        assert!((1..9).all(|key| set.contains(other(key), at(100))));
        assert!(!set.contains(other(0), at(100)));
    }

    #[test]
    fn a_member_can_be_removed() {
        let set = ExpiringSet::new();
        set.insert(HASH, Duration::ZERO, at(10));
        set.remove(HASH);
        assert!(!set.contains(HASH, Duration::ZERO));
    }
}
