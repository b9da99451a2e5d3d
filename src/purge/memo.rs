//! What a stored response remembers of purges: until when it has been compared with the table, and
//! which purges that leave it stored have been found.

use std::time::Duration;

use super::sync::{AtomicU32, AtomicU64, Ordering};

/// A reading of the purge clock: milliseconds since the cache began, and at least one more for every
/// purge. Two purges never have the same time.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct PurgeTime(pub(super) u64);

impl PurgeTime {
    /// A time before it, and not before any other purge's.
    pub(crate) fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    pub(crate) fn millis(self) -> u64 {
        self.0
    }
}

/// The upper bit says that a purge demands validation. The others hold the second of the earliest
/// soft purge, plus one.
const VALIDATE: u32 = 1 << 31;

/// The memory of one stored response.
///
/// It begins with the time at which the fetch of the response began. A response that was confirmed by
/// a 304 gets a new one; nothing else forgets what was found.
#[derive(Debug)]
pub(crate) struct Memo {
    seen: AtomicU64,
    found: AtomicU32,
}

impl Memo {
    /// The memo of a response whose fetch began at this time.
    pub(crate) fn born(at: PurgeTime) -> Self {
        Self {
            seen: AtomicU64::new(at.0),
            found: AtomicU32::new(0),
        }
    }

    /// The same for another entry with the same body.
    pub(crate) fn copied(&self) -> Self {
        // In this order: what was found belongs to this time or an earlier one.
        let seen = self.seen.load(Ordering::Acquire);
        Self {
            seen: AtomicU64::new(seen),
            found: AtomicU32::new(self.found.load(Ordering::Acquire)),
        }
    }

    /// Until when the response has been compared with the table. At first that is the time at which its
    /// fetch began.
    #[inline]
    pub(crate) fn seen(&self) -> PurgeTime {
        PurgeTime(self.seen.load(Ordering::Acquire))
    }

    /// Whether a purge demands that the response be validated before any use.
    #[inline]
    pub(crate) fn must_validate(&self) -> bool {
        self.found.load(Ordering::Acquire) & VALIDATE != 0
    }

    /// How long ago the response was made stale by a purge, if it was.
    #[inline]
    pub(crate) fn stale_for(&self, now: Duration) -> Option<u32> {
        match self.found.load(Ordering::Acquire) & !VALIDATE {
            0 => None,
            second => {
                let now = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
                Some(now.saturating_sub(second - 1))
            }
        }
    }

    /// Whether a purge was found that leaves the response stored.
    pub(crate) fn has_found(&self) -> bool {
        self.found.load(Ordering::Acquire) != 0
    }

    /// A purge demands validation.
    pub(super) fn demand_validation(&self) {
        self.found.fetch_or(VALIDATE, Ordering::AcqRel);
    }

    /// A purge made the response stale at this time. The earliest counts: a stale window is not
    /// prolonged by another purge.
    pub(super) fn make_stale(&self, at: PurgeTime) {
        let second = u32::try_from(at.0 / 1000).unwrap_or(u32::MAX);
        let second = second.saturating_add(1).min(VALIDATE - 1);
        let earliest = |found: u32| {
            let before = found & !VALIDATE;
            let is_first = before == 0 || second < before;
            is_first.then_some(found & VALIDATE | second)
        };
        // An error means that there is an earlier one.
        let _ = self
            .found
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, earliest);
    }

    /// The response has been compared with every purge until this time. Comes after what was found.
    pub(super) fn compared_until(&self, at: PurgeTime) {
        self.seen.fetch_max(at.0, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_soft_purge_begins_the_windows() {
        let memo = Memo::born(PurgeTime(0));
        assert_eq!(memo.stale_for(Duration::from_secs(9)), None);
        memo.make_stale(PurgeTime(5_000));
        memo.make_stale(PurgeTime(7_000));
        assert_eq!(memo.stale_for(Duration::from_secs(9)), Some(4));
        memo.make_stale(PurgeTime(999));
        assert_eq!(memo.stale_for(Duration::from_secs(9)), Some(9));
        assert!(!memo.must_validate());
        memo.demand_validation();
        assert!(memo.must_validate());
        assert_eq!(memo.stale_for(Duration::from_secs(9)), Some(9));
    }

    #[test]
    fn a_copy_remembers_the_same() {
        let memo = Memo::born(PurgeTime(3));
        memo.demand_validation();
        memo.compared_until(PurgeTime(8));
        memo.compared_until(PurgeTime(5));
        let copy = memo.copied();
        assert!(copy.must_validate());
        assert_eq!(copy.seen(), PurgeTime(8));
    }
}
