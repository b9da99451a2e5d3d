//! Invalidations that the shared tier does not have yet.
//!
//! Until the tier has an invalidation, this node uses nothing from the tier that it concerns. One
//! that cannot be sent at once is sent again and again, until it succeeds.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::names::Name;

/// How many invalidations may be pending at once. The other nodes do not learn of more.
pub(super) const MAX_PENDING: usize = 65_536;

/// How long a tombstone is kept: longer than any response in the shared tier.
pub(super) const KEEP_TOMBSTONE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One invalidation of a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PendingInvalidation {
    pub(super) name: Name,
    /// The epoch that begins with it. No other invalidation has the same.
    pub(super) epoch: u64,
}

/// What to do about an invalidation that was added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Added {
    /// Start a task that sends the pending invalidations.
    StartSending,
    /// Nothing: a task is sending the pending invalidations, this one included.
    AlreadySending,
    /// Report that it is lost: too many are pending.
    QueueFull,
}

/// The pending invalidations.
#[derive(Debug, Default)]
pub(super) struct PendingInvalidations {
    /// How many there are: every lookup asks, and usually there are none.
    count: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    epochs: HashMap<Name, u64>,
    /// In which order they are sent. Round-robin, so that one that fails does not block the others.
    order: VecDeque<Name>,
    /// Whether a task is sending.
    sending: bool,
}

impl PendingInvalidations {
    /// The epoch that a pending invalidation of this name begins.
    pub(super) fn epoch_of(&self, name: Name) -> Option<u64> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.queue().epochs.get(&name).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The task that was sending has ended, for whatever reason.
    pub(super) fn sending_ended(&self) {
        self.queue().sending = false;
    }

    /// Adds an invalidation. It replaces an older one of the same name.
    pub(super) fn add(&self, invalidation: PendingInvalidation) -> Added {
        let PendingInvalidation { name, epoch } = invalidation;
        let mut queue = self.queue();
        if queue.epochs.len() >= MAX_PENDING && !queue.epochs.contains_key(&name) {
            return Added::QueueFull;
        }
        if queue.epochs.insert(name, epoch).is_none() {
            queue.order.push_back(name);
        }
        self.count.store(queue.epochs.len(), Ordering::SeqCst);
        if std::mem::replace(&mut queue.sending, true) {
            Added::AlreadySending
        } else {
            Added::StartSending
        }
    }

    /// The invalidation to send next. If there is none, the sending task ends.
    pub(super) fn next(&self) -> Option<PendingInvalidation> {
        let mut queue = self.queue();
        let mut next = None;
        while let Some(name) = queue.order.pop_front() {
            if let Some(&epoch) = queue.epochs.get(&name) {
                queue.order.push_back(name);
                next = Some(PendingInvalidation { name, epoch });
                break;
            }
        }
        queue.sending = next.is_some();
        next
    }

    /// The tier has this invalidation now.
    pub(super) fn sent(&self, invalidation: PendingInvalidation) {
        let mut queue = self.queue();
        if queue.epochs.get(&invalidation.name) == Some(&invalidation.epoch) {
            queue.epochs.remove(&invalidation.name);
        }
        self.count.store(queue.epochs.len(), Ordering::SeqCst);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_is_pending_until_it_is_sent() {
        let pending = PendingInvalidations::default();
        let name = Name::of(b"a");
        let [first, second] = [1, 2].map(|epoch| PendingInvalidation { name, epoch });
        assert_eq!(pending.add(first), Added::StartSending);
        assert_eq!(pending.next(), Some(first));
        // Another invalidation while the first is being sent.
        assert_eq!(pending.add(second), Added::AlreadySending);
        pending.sent(first);
        assert_eq!(pending.epoch_of(name), Some(2));
        assert_eq!(pending.epoch_of(Name::of(b"b")), None);
        assert_eq!(pending.next(), Some(second));
        pending.sent(second);
        assert_eq!(pending.epoch_of(name), None);
        assert_eq!(pending.next(), None);
        assert_eq!(pending.add(first), Added::StartSending);
    }

    #[test]
    fn the_number_of_pending_invalidations_is_bounded() {
        let pending = PendingInvalidations::default();
        let invalidation = |name: &[u8], epoch| PendingInvalidation {
            name: Name::of(name),
            epoch,
        };
        for index in 0..MAX_PENDING as u64 {
            let added = pending.add(invalidation(&index.to_be_bytes(), 1));
            assert_ne!(added, Added::QueueFull);
        }
        assert_eq!(pending.add(invalidation(b"one more", 1)), Added::QueueFull);
        let known = invalidation(&0_u64.to_be_bytes(), 2);
        assert_eq!(pending.add(known), Added::AlreadySending);
    }
}
