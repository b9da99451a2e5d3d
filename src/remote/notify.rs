//! Wakes the requests that wait for a change in the shared tier, which another node makes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

use super::names::Name;

/// The requests that wait, by the name they wait for. One fetch waits for one name at most, so the
/// bound on fetches bounds this too.
#[derive(Debug, Default)]
pub(super) struct ChangeNotifier {
    waiting: Mutex<HashMap<Name, Arc<Notify>>>,
}

impl ChangeNotifier {
    /// Subscribes to the changes of a name.
    pub(super) fn subscribe(self: &Arc<Self>, name: Name) -> Subscription {
        let notify = Arc::clone(self.waiting().entry(name).or_default());
        Subscription {
            name,
            notify,
            notifier: Arc::clone(self),
        }
    }

    /// Wakes all subscribers of a name that changed.
    pub(super) fn notify(&self, name: Name) {
        if let Some(notify) = self.waiting().get(&name) {
            notify.notify_waiters();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Name, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription to the changes of one name. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    name: Name,
    notify: Arc<Notify>,
    notifier: Arc<ChangeNotifier>,
}

impl Subscription {
    /// Completes with the next change after it was first polled or enabled.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut waiting = self.notifier.waiting();
        // Two references, the map's and this one: there is no other subscriber, and while the lock
        // is held none can be added.
        if Arc::strong_count(&self.notify) <= 2 {
            waiting.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn subscribers_are_woken_and_leave_nothing_behind() {
        let notifier = Arc::new(ChangeNotifier::default());
        let (name, other) = (Name::of(b"a"), Name::of(b"b"));
        let (first, second) = (notifier.subscribe(name), notifier.subscribe(name));
        let mut changed = tokio_test::task::spawn(first.changed());
        tokio_test::assert_pending!(changed.poll());
        notifier.notify(other);
        tokio_test::assert_pending!(changed.poll());
        notifier.notify(name);
        tokio_test::assert_ready!(changed.poll());
        drop(changed);
        drop(first);
        assert_eq!(notifier.waiting().len(), 1);
        drop(second);
        assert_eq!(notifier.waiting().len(), 0);
    }
}
