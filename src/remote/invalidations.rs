//! Invalidations on their way to the shared tier.
//!
//! Until the tier has an invalidation, this node answers nothing from the tier that it concerns.
//! One that cannot be told at once is told again and again, for as long as it matters.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::names::Name;

/// Invalidations that may be on their way at once; past it the other nodes do not learn of more.
const MOST: usize = 65_536;

/// For how long an invalidation is told, and kept there: longer than any response is.
pub(super) const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One invalidation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fence {
    pub(super) name: Name,
    /// Begins with it, and is no other's.
    pub(super) epoch: u64,
}

/// What is to be done about a fence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Telling {
    /// Tell it.
    Begin,
    /// Somebody is telling what is on its way, this one included.
    UnderWay,
    /// It is lost: too many are on their way.
    Full,
}

/// Those on their way.
#[derive(Debug, Default)]
pub(super) struct Fences {
    count: AtomicUsize,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    epochs: HashMap<Name, u64>,
    /// Whose turn it is: all of them get theirs, whatever becomes of one.
    order: VecDeque<Name>,
    told_by_someone: bool,
}

impl Fences {
    /// The epoch that an invalidation of this name on its way begins.
    pub(super) fn concern(&self, name: Name) -> Option<u64> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.pending().epochs.get(&name).copied()
    }

    /// How many are on their way.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Nobody tells them any more, whoever began to.
    pub(super) fn pause(&self) {
        self.pending().told_by_someone = false;
    }

    /// A newer fence takes the place of an older one.
    pub(super) fn add(&self, fence: Fence) -> Telling {
        let mut pending = self.pending();
        if pending.epochs.len() >= MOST && !pending.epochs.contains_key(&fence.name) {
            return Telling::Full;
        }
        if pending.epochs.insert(fence.name, fence.epoch).is_none() {
            pending.order.push_back(fence.name);
        }
        self.count.store(pending.epochs.len(), Ordering::SeqCst);
        if std::mem::replace(&mut pending.told_by_someone, true) {
            Telling::UnderWay
        } else {
            Telling::Begin
        }
    }

    /// One that is yet to be told. Without any, nobody tells them any more.
    pub(super) fn next(&self) -> Option<Fence> {
        let mut pending = self.pending();
        let mut next = None;
        while let Some(name) = pending.order.pop_front() {
            if let Some(&epoch) = pending.epochs.get(&name) {
                pending.order.push_back(name);
                next = Some(Fence { name, epoch });
                break;
            }
        }
        pending.told_by_someone = next.is_some();
        next
    }

    /// The tier has it.
    pub(super) fn told(&self, fence: Fence) {
        let mut pending = self.pending();
        if pending.epochs.get(&fence.name) == Some(&fence.epoch) {
            pending.epochs.remove(&fence.name);
        }
        self.count.store(pending.epochs.len(), Ordering::SeqCst);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_concerns_its_name_until_it_is_told() {
        let fences = Fences::default();
        let name = Name::of(b"a");
        let (first, second) = (Fence { name, epoch: 1 }, Fence { name, epoch: 2 });
        assert_eq!(fences.add(first), Telling::Begin);
        assert_eq!(fences.next(), Some(first));
        // Another invalidation while the first is told.
        assert_eq!(fences.add(second), Telling::UnderWay);
        fences.told(first);
        assert_eq!(fences.concern(name), Some(2));
        assert_eq!(fences.concern(Name::of(b"b")), None);
        assert_eq!(fences.next(), Some(second));
        fences.told(second);
        assert_eq!(fences.concern(name), None);
        assert_eq!(fences.next(), None);
        assert_eq!(fences.add(first), Telling::Begin);
    }

    #[test]
    fn no_more_than_so_many_are_on_their_way() {
        let fences = Fences::default();
        for index in 0..MOST as u64 {
            let name = Name::of(&index.to_be_bytes());
            assert_ne!(fences.add(Fence { name, epoch: 1 }), Telling::Full);
        }
        let name = Name::of(b"one more");
        assert_eq!(fences.add(Fence { name, epoch: 1 }), Telling::Full);
        let known = Name::of(&0_u64.to_be_bytes());
        assert_eq!(
            fences.add(Fence {
                name: known,
                epoch: 2
            }),
            Telling::UnderWay
        );
    }
}
