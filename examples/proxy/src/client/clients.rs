//! The connections of one worker that are open, and the places for them.
//!
//! Where all places are taken, a new client gets that of the connection that has had nothing to do
//! for longest. Where all of them have something to do, it waits, and further ones wait in the kernel's
//! queue: that costs the program nothing, and a peak that passes costs nobody an error.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::client::{Client, Order};

/// How many that may go are found in one search, as it goes over all of them.
const FOUND: usize = 64;

/// Kept by the socket, so that a tunnel keeps it as well.
pub(crate) type Place = OwnedSemaphorePermit;

#[derive(Clone, Debug)]
pub(crate) struct Clients(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    places: Arc<Semaphore>,
    open: Mutex<Open>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    clients: HashMap<u64, Arc<Client>>,
    /// Those that may go for others, with what they had done by then; the last one first.
    idle: Vec<(u64, u64)>,
    /// The one that was last told to leave. Its place becomes free, unless it has work again.
    leaving: Option<u64>,
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
    clients: Clients,
}

impl Clients {
    pub(crate) fn with_places(places: usize) -> Self {
        Self(Arc::new(Shared {
            places: Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS))),
            open: Mutex::default(),
            emptied: Notify::new(),
        }))
    }

    /// A place, if there is one.
    pub(crate) fn try_place(&self) -> Option<Place> {
        Arc::clone(&self.0.places).try_acquire_owned().ok()
    }

    /// The next place that is free.
    pub(crate) async fn place(&self) -> Place {
        let place = Arc::clone(&self.0.places).acquire_owned().await;
        place.expect("the semaphore is never closed")
    }

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

    /// Tells the one that has been idle for longest to leave, if any is idle and none is leaving.
    pub(crate) fn make_room(&self) {
        let mut open = self.open();
        if open.is_one_leaving() {
            return;
        }
        if let Some((id, client)) = open.longest_idle() {
            open.leaving = Some(id);
            client.order(Order::Leave);
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

impl Open {
    fn is_one_leaving(&self) -> bool {
        let leaving = self.leaving.and_then(|id| self.clients.get(&id));
        leaving.is_some_and(|client| !client.is_busy())
    }

    fn longest_idle(&mut self) -> Option<(u64, Arc<Client>)> {
        if let Some(found) = self.still_idle() {
            return Some(found);
        }
        let mut found: Vec<_> = self
            .clients
            .iter()
            .filter_map(|(&id, client)| Some((client.idle()?, id)))
            .collect();
        if found.len() > FOUND {
            found.select_nth_unstable(FOUND);
            found.truncate(FOUND);
        }
        found.sort_unstable();
        let found = found.into_iter().rev();
        self.idle = found.map(|(idle, id)| (id, idle.moves)).collect();
        self.still_idle()
    }

    fn still_idle(&mut self) -> Option<(u64, Arc<Client>)> {
        while let Some((id, moves)) = self.idle.pop() {
            let client = self.clients.get(&id);
            let client = client.filter(|client| client.idle().is_some_and(|i| i.moves == moves));
            if let Some(client) = client {
                return Some((id, Arc::clone(client)));
            }
        }
        None
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

#[cfg(test)]
mod tests {
    use http::Version;
    use tokio::time::Instant;

    use super::*;
    use crate::client::ARRIVAL;

    fn add(clients: &Clients) -> (Arc<Client>, Entry) {
        // It has had its time to ask.
        let client = Arc::new(Client::opened_at(Instant::now() - ARRIVAL));
        let entry = clients.add(Arc::clone(&client));
        (client, entry)
    }

    fn is_to_leave(client: &Client) -> bool {
        client.idle().is_none() && client.seen().under_way == 0
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_idle_for_longest_leaves() {
        let clients = Clients::with_places(9);
        let [busy, lately, first, second] = std::array::from_fn(|_| add(&clients));
        let pause = || tokio::time::advance(std::time::Duration::from_millis(3));
        busy.0.request_begins(Version::HTTP_11);
        first.0.looked_at();
        pause().await;
        second.0.looked_at();
        pause().await;
        // A request since it was last looked at.
        lately.0.request_begins(Version::HTTP_11);
        lately.0.request_ends();
        for (next, entry) in [first, second, lately] {
            assert!(!is_to_leave(&next));
            clients.make_room();
            assert!(is_to_leave(&next));
            drop(entry);
        }
        clients.make_room();
        busy.0.request_ends();
        assert!(!is_to_leave(&busy.0));
    }

    #[test]
    fn one_that_has_only_just_come_stays() {
        let clients = Clients::with_places(9);
        let client = Arc::new(Client::new());
        let _entry = clients.add(Arc::clone(&client));
        clients.make_room();
        client.request_begins(Version::HTTP_11);
        client.request_ends();
        assert!(!is_to_leave(&client));
        clients.make_room();
        assert!(is_to_leave(&client));
    }

    #[test]
    fn one_goes_at_a_time_and_the_end_of_a_response_goes_last() {
        let clients = Clients::with_places(9);
        let [ending, idle, other] = std::array::from_fn(|_| add(&clients));
        ending.0.piece_begins();
        clients.make_room();
        assert!(is_to_leave(&idle.0) && !is_to_leave(&ending.0));
        clients.make_room();
        assert!(!is_to_leave(&other.0));
        // A request came before it had heard, so its place does not become free.
        idle.0.request_begins(Version::HTTP_2);
        clients.make_room();
        assert!(is_to_leave(&other.0) && !is_to_leave(&ending.0));
        drop(other);
        clients.make_room();
        assert!(is_to_leave(&ending.0));
    }

    #[test]
    fn one_that_has_work_again_stays() {
        let clients = Clients::with_places(9);
        let [first, second, third] = std::array::from_fn(|_| add(&clients));
        clients.make_room();
        let (left, others): (Vec<_>, Vec<_>) = [first, second, third]
            .into_iter()
            .partition(|(client, _)| is_to_leave(client));
        assert_eq!(left.len(), 1);
        for (client, _) in &others {
            client.request_begins(Version::HTTP_11);
        }
        drop(left);
        clients.make_room();
        for (client, _) in &others {
            client.request_ends();
            assert!(!is_to_leave(client));
        }
    }
}
