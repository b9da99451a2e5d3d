//! Who waits for what another node is fetching.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

use super::names::Name;

/// Those who wait, by name. Each flight waits for one name at most, so flights bound it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    rooms: Mutex<HashMap<Name, Arc<Notify>>>,
}

impl Waiting {
    /// Begins to listen for changes under a name.
    pub(super) fn listen(self: &Arc<Self>, name: Name) -> Listener {
        let notify = Arc::clone(self.rooms().entry(name).or_default());
        Listener {
            name,
            notify,
            waiting: Arc::clone(self),
        }
    }

    /// Something changed under a name.
    pub(super) fn wake(&self, name: Name) {
        if let Some(notify) = self.rooms().get(&name) {
            notify.notify_waiters();
        }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Name, Arc<Notify>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who listens, until dropped.
#[derive(Debug)]
pub(super) struct Listener {
    name: Name,
    notify: Arc<Notify>,
    waiting: Arc<Waiting>,
}

impl Listener {
    /// Ends with the next change from here on.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut rooms = self.waiting.rooms();
        // The map's own and this one's: nobody else listens, and nobody can begin meanwhile.
        if Arc::strong_count(&self.notify) <= 2 {
            rooms.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_listen_hear_and_leave_nothing_behind() {
        let waiting = Arc::new(Waiting::default());
        let (name, other) = (Name::of(b"a"), Name::of(b"b"));
        let (first, second) = (waiting.listen(name), waiting.listen(name));
        let mut heard = tokio_test::task::spawn(first.changed());
        tokio_test::assert_pending!(heard.poll());
        waiting.wake(other);
        tokio_test::assert_pending!(heard.poll());
        waiting.wake(name);
        tokio_test::assert_ready!(heard.poll());
        drop(heard);
        drop(first);
        assert_eq!(waiting.rooms().len(), 1);
        drop(second);
        assert_eq!(waiting.rooms().len(), 0);
    }
}
