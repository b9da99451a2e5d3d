//! The connections of one worker that are open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::client::{Client, Order};

#[derive(Clone, Debug, Default)]
pub(crate) struct Clients(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Open>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    clients: HashMap<u64, Arc<Client>>,
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
    clients: Clients,
}

impl Clients {
    pub(crate) fn add(&self, client: Arc<Client>) -> Entry {
        let mut open = self.open();
        let id = open.next;
        open.next += 1;
        open.clients.insert(id, client);
        drop(open);
        Entry {
            id,
            clients: self.clone(),
        }
    }

    /// Tells all of them to end, and waits until the last one has.
    pub(crate) async fn finish(&self) {
        for client in self.open().clients.values() {
            client.order(Order::Finish);
        }
        while !self.open().clients.is_empty() {
            self.0.emptied.notified().await;
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.clients.open();
        open.clients.remove(&self.id);
        if open.clients.is_empty() {
            self.clients.0.emptied.notify_one();
        }
    }
}
