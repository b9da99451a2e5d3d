//! Rendered heads: the complete head of one second's answers, `Age` included. Only entries that are
//! hit often keep one, and all rendered heads together stay within one allowance of bytes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::response;

/// How many owners are checked before another entry becomes one. More than one, so that the list of
/// owners shrinks when owners have dropped their heads.
const CHECKED_OWNERS: usize = 4;

/// An entry that may keep a rendered head.
pub(super) trait HeadOwner: Send + Sync {
    /// Whether the owner has a rendered head and was hit within the last two seconds. An owner that
    /// was not hit drops its head.
    fn keeps_head(&self, now: Duration) -> bool;
}

/// The head of every hit within one second.
pub(super) struct RenderedHead {
    pub(super) age: u32,
    /// The layer that rendered the head: layers with other settings render other heads.
    pub(super) layer_id: u64,
    pub(super) head: response::Parts,
    pub(super) share: Arc<AllowanceShare>,
}

/// How often an entry was hit within the last second in which it was hit.
///
/// The upper bits hold the age of the entry in that second, the lower eight bits the count.
#[derive(Debug, Default)]
pub(super) struct RecentHits(AtomicU32);

impl RecentHits {
    /// Counts a hit. Returns how many hits of the same second came before it.
    pub(super) fn record(&self, age: u32) -> u32 {
        let before = self.0.load(Ordering::Relaxed);
        let count = if before >> 8 == age & 0x00ff_ffff {
            before & 0xff
        } else {
            0
        };
        // Two concurrent hits may count as one, which only delays rendering.
        self.0
            .store(age << 8 | (count + 1).min(0xff), Ordering::Relaxed);
        count
    }
}

/// An estimate of the bytes that a rendered head with this many fields holds on the heap.
pub(super) fn head_bytes(fields: usize) -> usize {
    /// A bucket holds a name, a value, a hash and its links. An entry of the index is four bytes.
    const BUCKET: usize = 104;
    /// A map with room for four extensions, one extension, the values of the added fields, and the
    /// overhead of the allocator for all of these.
    const BESIDE: usize = 448;
    let indices = (fields * 4 / 3).next_power_of_two().max(8) * 4;
    size_of::<RenderedHead>() + fields * BUCKET + indices + BESIDE
}

/// The allowance of bytes that all rendered heads share.
#[derive(Debug)]
pub(crate) struct RenderedHeads {
    allowance: usize,
    used: AtomicUsize,
    /// The entries that were given a share. Those that are no longer hit give it back.
    owners: Mutex<VecDeque<Weak<dyn HeadOwner>>>,
}

impl RenderedHeads {
    pub(crate) fn new(allowance: usize) -> Arc<Self> {
        Arc::new(Self {
            allowance,
            used: AtomicUsize::new(0),
            owners: Mutex::default(),
        })
    }

    /// Gives `owner` a share of `bytes`. `None` if the allowance is used up, even after some owners
    /// that are no longer hit have given theirs back.
    pub(super) fn acquire(
        self: &Arc<Self>,
        owner: Weak<dyn HeadOwner>,
        bytes: usize,
        now: Duration,
    ) -> Option<Arc<AllowanceShare>> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..CHECKED_OWNERS {
            let Some(oldest) = owners.pop_front() else {
                break;
            };
            if oldest.upgrade().is_some_and(|it| it.keeps_head(now)) {
                owners.push_back(oldest);
            }
        }
        let share = self.take(bytes)?;
        owners.push_back(owner);
        Some(share)
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Arc<AllowanceShare>> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let share = AllowanceShare {
            heads: Arc::clone(self),
            bytes,
        };
        // If the share is dropped here, the drop gives the bytes back.
        (before + bytes <= self.allowance).then(|| Arc::new(share))
    }
}

/// A share of the allowance. It is given back when the last rendered head that holds it is dropped.
pub(super) struct AllowanceShare {
    heads: Arc<RenderedHeads>,
    bytes: usize,
}

impl Drop for AllowanceShare {
    fn drop(&mut self) {
        self.heads.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for dyn HeadOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeadOwner")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// An owner that counts as hit until the test says that it no longer is.
    #[derive(Default)]
    struct TestOwner {
        share: Mutex<Option<Arc<AllowanceShare>>>,
        is_idle: AtomicBool,
    }

    impl HeadOwner for TestOwner {
        fn keeps_head(&self, _: Duration) -> bool {
            let mut share = self.share.lock().unwrap();
            if self.is_idle.load(Ordering::Relaxed) {
                *share = None;
            }
            share.is_some()
        }
    }

    fn acquire(heads: &Arc<RenderedHeads>, owner: &Arc<TestOwner>) -> bool {
        let weak = Arc::downgrade(owner);
        let share = heads.acquire(weak, 100, Duration::ZERO);
        let acquired = share.is_some();
        *owner.share.lock().unwrap() = share;
        acquired
    }

    #[test]
    fn owners_that_are_no_longer_hit_make_room_for_others() {
        let heads = RenderedHeads::new(1000);
        let early: Vec<Arc<TestOwner>> = (0..10).map(|_| Arc::default()).collect();
        assert!(early.iter().all(|owner| acquire(&heads, owner)));
        let late: Vec<Arc<TestOwner>> = (0..10).map(|_| Arc::default()).collect();
        assert!(!acquire(&heads, &late[0]), "the allowance is used up");
        for owner in &early {
            owner.is_idle.store(true, Ordering::Relaxed);
        }
        assert!(late.iter().all(|owner| acquire(&heads, owner)));
    }

    #[test]
    fn dropped_owners_leave_the_list() {
        let heads = RenderedHeads::new(1000);
        let stays = Arc::default();
        assert!(acquire(&heads, &stays));
        for _ in 0..1000 {
            assert!(acquire(&heads, &Arc::default()));
        }
        assert!(heads.owners.lock().unwrap().len() <= CHECKED_OWNERS);
    }
}
