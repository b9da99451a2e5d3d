//! Ready heads: the finished head of one second, kept by those entries that are asked for a lot, all
//! of them within one allowance.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::response;

/// Holders of ready heads that are looked at before another entry becomes one: more than one, so
/// that those who gave theirs up are not remembered for long.
const LOOKED_AT: usize = 4;

/// Who may keep a ready head.
pub(super) trait Holder: Send + Sync {
    /// Whether it has a ready head, and was asked for within the last two seconds. If it was not,
    /// it has none any more.
    fn keeps_ready(&self, now: Duration) -> bool;
}

/// The head of every hit within one second.
pub(super) struct RenderedHead {
    pub(super) age: u32,
    pub(super) maker: u64,
    pub(super) head: response::Parts,
    pub(super) lease: Arc<Lease>,
}

/// How often an entry was hit within the last second that it was hit in.
///
/// The age of that second, in the upper bits, and the count in the lower eight.
#[derive(Debug, Default)]
pub(super) struct Recent(AtomicU32);

impl Recent {
    /// Counts a hit; returns how many came before it in the same second.
    pub(super) fn hit(&self, age: u32) -> u32 {
        let before = self.0.load(Ordering::Relaxed);
        let count = if before >> 8 == age & 0x00ff_ffff {
            before & 0xff
        } else {
            0
        };
        // Two hits at once may count as one.
        self.0
            .store(age << 8 | (count + 1).min(0xff), Ordering::Relaxed);
        count
    }
}

/// About what a ready head of that many fields holds on the heap.
pub(super) fn head_bytes(fields: usize) -> usize {
    /// A bucket holds a name, a value, a hash and its links; an index entry is four bytes.
    const BUCKET: usize = 104;
    /// A map with room for four extensions, and one extension; the values of the added fields; and
    /// what the allocator adds to all of these.
    const BESIDE: usize = 448;
    let indices = (fields * 4 / 3).next_power_of_two().max(8) * 4;
    size_of::<RenderedHead>() + fields * BUCKET + indices + BESIDE
}

/// The allowance that ready heads share.
#[derive(Debug)]
pub(crate) struct RenderedHeads {
    allowance: usize,
    used: AtomicUsize,
    /// Who may have a lease, of which those that are no longer asked for give theirs up.
    holders: Mutex<VecDeque<Weak<dyn Holder>>>,
}

impl RenderedHeads {
    pub(crate) fn new(allowance: usize) -> Arc<Self> {
        Arc::new(Self {
            allowance,
            used: AtomicUsize::new(0),
            holders: Mutex::default(),
        })
    }

    pub(super) fn lease(
        self: &Arc<Self>,
        holder: Weak<dyn Holder>,
        bytes: usize,
        now: Duration,
    ) -> Option<Arc<Lease>> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..LOOKED_AT {
            let Some(known) = holders.pop_front() else {
                break;
            };
            if known.upgrade().is_some_and(|it| it.keeps_ready(now)) {
                holders.push_back(known);
            }
        }
        let lease = self.take(bytes)?;
        holders.push_back(holder);
        Some(lease)
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Arc<Lease>> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let lease = Lease {
            hot: Arc::clone(self),
            bytes,
        };
        // Dropping the lease gives back what was taken.
        (before + bytes <= self.allowance).then(|| Arc::new(lease))
    }
}

/// A share of the allowance, given back when the last ready head that holds it goes.
pub(super) struct Lease {
    hot: Arc<RenderedHeads>,
    bytes: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.hot.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for dyn Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Holder")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// One that is asked for, or not any more.
    #[derive(Default)]
    struct CacheRequest {
        lease: Mutex<Option<Arc<Lease>>>,
        no_more: AtomicBool,
    }

    impl Holder for CacheRequest {
        fn keeps_ready(&self, _: Duration) -> bool {
            let mut lease = self.lease.lock().unwrap();
            if self.no_more.load(Ordering::Relaxed) {
                *lease = None;
            }
            lease.is_some()
        }
    }

    fn ask(hot: &Arc<RenderedHeads>, holder: &Arc<CacheRequest>) -> bool {
        let weak = Arc::downgrade(holder);
        let lease = hot.lease(weak, 100, Duration::ZERO);
        let given = lease.is_some();
        *holder.lease.lock().unwrap() = lease;
        given
    }

    #[test]
    fn those_who_are_no_longer_asked_for_make_room_for_others() {
        let hot = RenderedHeads::new(1000);
        let early: Vec<Arc<CacheRequest>> = (0..10).map(|_| Arc::default()).collect();
        assert!(early.iter().all(|holder| ask(&hot, holder)));
        let late: Vec<Arc<CacheRequest>> = (0..10).map(|_| Arc::default()).collect();
        assert!(!ask(&hot, &late[0]), "the allowance is used up");
        for holder in &early {
            holder.no_more.store(true, Ordering::Relaxed);
        }
        assert!(late.iter().all(|holder| ask(&hot, holder)));
    }

    #[test]
    fn those_who_are_gone_are_not_remembered() {
        let hot = RenderedHeads::new(1000);
        let stays = Arc::default();
        assert!(ask(&hot, &stays));
        for _ in 0..1000 {
            assert!(ask(&hot, &Arc::default()));
        }
        assert!(hot.holders.lock().unwrap().len() <= LOOKED_AT);
    }
}
