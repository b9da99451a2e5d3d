//! Single-flight: one leader per key does the work, waiters share how it ended.
//!
//! A flight knows nothing of what it carries. It has one leader, who lands it with an outcome, and
//! waiters, who are released the moment it lands. A leader that goes away without landing (its
//! task panicked or was dropped) lands the flight as abandoned: nobody waits for nobody.
//!
//! After a failure a group may try once more: the first waiter to ask becomes the leader of the
//! one successor, and all others wait for that. A flight that is itself a successor has none, so a
//! group of any size makes at most two attempts. A leader that goes away before it set out has made
//! none: the flight is vacated, and those who waited begin anew.
//!
//! A landed flight stays joinable until its leader lets go of it, so that a response that is still
//! arriving is shared with those who come late.
//!
//! To lead takes a permit, to wait takes none: who finds no flight and gets no permit is told so
//! before anybody can wait for it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

const SHARDS: usize = 64;

/// The flights in progress.
#[derive(Debug)]
pub(crate) struct Flights<K, T> {
    shards: Box<[Shard<K, T>]>,
    hasher: RandomState,
    max_waiters: usize,
    /// Every leader holds one.
    permits: Arc<Semaphore>,
}

type Shard<K, T> = Mutex<HashMap<K, Arc<Flight<T>>>>;

#[derive(Debug)]
struct Flight<T> {
    landing: watch::Sender<Option<Landing<T>>>,
    /// Wakes the leader when the last waiter got off.
    emptied: Notify,
    round: Round,
    successor: OnceLock<Arc<Flight<T>>>,
    waiters: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Round {
    First,
    Second,
}

/// How a flight ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Landing<T> {
    /// Its leader went away.
    Abandoned,
    Landed(T),
    /// Its leader went away before it set out.
    Vacated,
}

/// The place that a request gets in a flight.
#[derive(Debug)]
pub(crate) enum Joined<K: Eq + Hash, T> {
    Leader(Leader<K, T>),
    Waiter(Waiter<T>),
    /// The flight has all the waiters it may have.
    Crowded,
    /// There is no such flight, and no permit to begin it.
    NoPermit,
}

/// What a waiter gets that asks for another attempt.
#[derive(Debug)]
pub(crate) enum Succession<K: Eq + Hash, T> {
    Leader(Leader<K, T>),
    Waiter(Waiter<T>),
    /// The group has used its two attempts, the successor is crowded, or there is no permit for it.
    Over,
}

impl<K: Clone + Eq + Hash, T: Clone> Flights<K, T> {
    pub(crate) fn new(max_waiters: usize, permits: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            max_waiters,
            permits,
        })
    }

    /// Joins the flight of `key`, or begins it.
    pub(crate) fn join(self: &Arc<Self>, key: K) -> Joined<K, T> {
        let mut flights = self.shard(&key);
        if let Some(flight) = flights.get(&key) {
            return match Waiter::board(flight, self.max_waiters) {
                Some(waiter) => Joined::Waiter(waiter),
                None => Joined::Crowded,
            };
        }
        let Some(permit) = self.permit() else {
            return Joined::NoPermit;
        };
        let flight = Flight::new(Round::First);
        flights.insert(key.clone(), Arc::clone(&flight));
        drop(flights);
        Joined::Leader(self.leader(key, flight, permit))
    }

    /// Begins the flight of `key` unless there is one, or no permit.
    pub(crate) fn lead(self: &Arc<Self>, key: K) -> Option<Leader<K, T>> {
        let mut flights = self.shard(&key);
        if flights.contains_key(&key) {
            return None;
        }
        let permit = self.permit()?;
        let flight = Flight::new(Round::First);
        flights.insert(key.clone(), Arc::clone(&flight));
        drop(flights);
        Some(self.leader(key, flight, permit))
    }

    /// How the flight of `key` landed, if it has and can still be joined.
    pub(crate) fn landed(&self, key: &K) -> Option<T> {
        let flight = self.shard(key).get(key).map(Arc::clone)?;
        match &*flight.landing.borrow() {
            Some(Landing::Landed(outcome)) => Some(outcome.clone()),
            Some(Landing::Abandoned | Landing::Vacated) | None => None,
        }
    }

    /// Boards the one successor of the waiter's flight, as its leader if nobody else is.
    pub(crate) fn succeed(self: &Arc<Self>, waiter: &Waiter<T>, key: K) -> Succession<K, T> {
        if waiter.flight.round == Round::Second {
            return Succession::Over;
        }
        let mut flights = self.shard(&key);
        if let Some(successor) = waiter.flight.successor.get() {
            return match Waiter::board(successor, self.max_waiters) {
                Some(waiter) => Succession::Waiter(waiter),
                None => Succession::Over,
            };
        }
        let Some(permit) = self.permit() else {
            return Succession::Over;
        };
        let flight = Flight::new(Round::Second);
        // Set under the lock of the shard only.
        let _ = waiter.flight.successor.set(Arc::clone(&flight));
        // Those who come new join the successor. The flight it succeeds may still be in the table;
        // its leader removes only itself.
        flights.insert(key.clone(), Arc::clone(&flight));
        drop(flights);
        Succession::Leader(self.leader(key, flight, permit))
    }

    fn leader(
        self: &Arc<Self>,
        key: K,
        flight: Arc<Flight<T>>,
        permit: OwnedSemaphorePermit,
    ) -> Leader<K, T> {
        Leader {
            flights: Arc::clone(self),
            key,
            flight,
            progress: Progress::Aboard,
            _permit: permit,
        }
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    /// The number of flights in the table.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, Arc<Flight<T>>>> {
        // The remainder is below the number of shards.
        let index = (self.hasher.hash_one(key) % SHARDS as u64) as usize;
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, key: &K, flight: &Arc<Flight<T>>) {
        let mut flights = self.shard(key);
        if flights.get(key).is_some_and(|it| Arc::ptr_eq(it, flight)) {
            flights.remove(key);
        }
    }
}

impl<T> Flight<T> {
    fn new(round: Round) -> Arc<Self> {
        Arc::new(Self {
            landing: watch::Sender::new(None),
            emptied: Notify::new(),
            round,
            successor: OnceLock::new(),
            waiters: AtomicUsize::new(0),
        })
    }
}

// === impl Leader ===

/// The one that does a flight's work. Dropping it ends the flight.
#[derive(Debug)]
pub(crate) struct Leader<K: Eq + Hash, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    flight: Arc<Flight<T>>,
    progress: Progress,
    _permit: OwnedSemaphorePermit,
}

/// How far a leader has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    /// It has yet to begin what may be tried twice only.
    Aboard,
    Out,
}

impl<K: Eq + Hash, T> Leader<K, T> {
    /// Counts as an attempt from here on.
    pub(crate) fn set_out(&mut self) {
        self.progress = Progress::Out;
    }

    /// Releases the waiters with `outcome`. The flight can be joined until the leader is dropped.
    pub(crate) fn land(&self, outcome: T) {
        self.flight
            .landing
            .send_replace(Some(Landing::Landed(outcome)));
    }

    /// Resolves once those who waited have taken the outcome, and dropped their [`Waiter`].
    pub(crate) async fn emptied(&self) {
        while self.flight.waiters.load(Ordering::Acquire) > 0 {
            self.flight.emptied.notified().await;
        }
    }
}

impl<K: Eq + Hash, T> Drop for Leader<K, T> {
    fn drop(&mut self) {
        self.flights.remove(&self.key, &self.flight);
        let left = match self.progress {
            Progress::Aboard => Landing::Vacated,
            Progress::Out => Landing::Abandoned,
        };
        self.flight.landing.send_if_modified(|landing| {
            let unlanded = landing.is_none();
            if unlanded {
                *landing = Some(left);
            }
            unlanded
        });
    }
}

// === impl Waiter ===

/// One that shares how a flight ends.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    flight: Arc<Flight<T>>,
    landing: watch::Receiver<Option<Landing<T>>>,
}

impl<T: Clone> Waiter<T> {
    fn board(flight: &Arc<Flight<T>>, max_waiters: usize) -> Option<Self> {
        let waiter = Self {
            flight: Arc::clone(flight),
            landing: flight.landing.subscribe(),
        };
        let before = flight.waiters.fetch_add(1, Ordering::Relaxed);
        // Dropping the waiter gives its place back.
        (before < max_waiters).then_some(waiter)
    }

    /// Waits for the flight to land.
    pub(crate) async fn landed(&mut self) -> Landing<T> {
        match self.landing.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Landing::Abandoned),
            // The sender lives in the flight, which this waiter holds.
            Err(_) => Landing::Abandoned,
        }
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        if self.flight.waiters.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.flight.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = Flights<&'static str, u32>;

    fn table(max_waiters: usize) -> Arc<Table> {
        Table::new(max_waiters, Arc::new(Semaphore::new(8)))
    }

    fn board(flights: &Arc<Table>) -> Leader<&'static str, u32> {
        match flights.join("key") {
            Joined::Leader(leader) => leader,
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    fn lead(flights: &Arc<Table>) -> Leader<&'static str, u32> {
        let mut leader = board(flights);
        leader.set_out();
        leader
    }

    fn take_over(flights: &Arc<Table>, waiter: &Waiter<u32>) -> Leader<&'static str, u32> {
        match flights.succeed(waiter, "key") {
            Succession::Leader(leader) => leader,
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    fn wait(flights: &Arc<Table>) -> Waiter<u32> {
        match flights.join("key") {
            Joined::Waiter(waiter) => waiter,
            other => panic!("expected to wait, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn waiters_share_what_the_leader_lands() {
        let flights = table(8);
        let leader = lead(&flights);
        let (mut one, mut other) = (wait(&flights), wait(&flights));
        leader.land(7);
        assert_eq!(one.landed().await, Landing::Landed(7));
        assert_eq!(other.landed().await, Landing::Landed(7));
    }

    #[tokio::test]
    async fn a_landed_flight_can_be_joined_until_its_leader_lets_go() {
        let flights = table(8);
        let leader = lead(&flights);
        assert_eq!(flights.landed(&"key"), None);
        leader.land(7);
        assert_eq!(wait(&flights).landed().await, Landing::Landed(7));
        assert_eq!(flights.landed(&"key"), Some(7));
        drop(leader);
        assert_eq!(flights.landed(&"key"), None);
        assert_eq!(flights.len(), 0);
        lead(&flights);
    }

    #[tokio::test]
    async fn a_leader_that_goes_away_releases_its_waiters() {
        let flights = table(8);
        let leader = lead(&flights);
        let mut waiter = wait(&flights);
        drop(leader);
        assert_eq!(waiter.landed().await, Landing::Abandoned);
    }

    #[tokio::test]
    async fn a_leader_that_goes_away_before_it_set_out_has_made_no_attempt() {
        let flights = table(8);
        let leader = board(&flights);
        let mut waiter = wait(&flights);
        drop(leader);
        assert_eq!(waiter.landed().await, Landing::Vacated);
        lead(&flights);
    }

    #[tokio::test]
    async fn a_group_makes_one_more_attempt_and_no_third() {
        let flights = table(8);
        let leader = lead(&flights);
        let (one, other) = (wait(&flights), wait(&flights));
        drop(leader);
        let mut second = take_over(&flights, &one);
        second.set_out();
        let Succession::Waiter(mut waiter) = flights.succeed(&other, "key") else {
            panic!("the next one waits");
        };
        drop(second);
        assert_eq!(waiter.landed().await, Landing::Abandoned);
        assert!(matches!(flights.succeed(&waiter, "key"), Succession::Over));
        // One that asks late is shown the same attempt, not a new one.
        assert!(matches!(
            flights.succeed(&one, "key"),
            Succession::Waiter(_)
        ));
    }

    #[tokio::test]
    async fn a_leader_removes_its_own_flight_only() {
        let flights = table(8);
        let leader = lead(&flights);
        let waiter = wait(&flights);
        let second = take_over(&flights, &waiter);
        drop(leader);
        assert_eq!(flights.len(), 1);
        second.land(9);
        assert_eq!(wait(&flights).landed().await, Landing::Landed(9));
    }

    #[test]
    fn a_flight_takes_so_many_waiters_and_their_places_come_back() {
        let flights = table(2);
        let _leader = lead(&flights);
        let (one, _other) = (wait(&flights), wait(&flights));
        assert!(matches!(flights.join("key"), Joined::Crowded));
        drop(one);
        wait(&flights);
    }

    #[tokio::test]
    async fn a_leader_sees_its_last_waiter_get_off() {
        let flights = table(8);
        let leader = lead(&flights);
        leader.emptied().await;
        let (one, other) = (wait(&flights), wait(&flights));
        let mut emptied = tokio_test::task::spawn(leader.emptied());
        tokio_test::assert_pending!(emptied.poll());
        drop(one);
        tokio_test::assert_pending!(emptied.poll());
        drop(other);
        assert!(emptied.is_woken());
        tokio_test::assert_ready!(emptied.poll());
    }

    #[test]
    fn a_background_refresh_leads_or_stays_away() {
        let flights = table(2);
        let leader = flights.lead("key");
        assert!(leader.is_some());
        assert!(flights.lead("key").is_none());
    }

    #[tokio::test]
    async fn every_flight_under_way_has_a_permit() {
        let permits = Arc::new(Semaphore::new(1));
        let flights = Table::new(8, Arc::clone(&permits));
        let leader = lead(&flights);
        assert!(matches!(flights.join("other"), Joined::NoPermit));
        assert!(flights.lead("other").is_none());
        assert_eq!(flights.len(), 1);
        // To wait takes none.
        let waiter = wait(&flights);
        assert!(matches!(flights.succeed(&waiter, "key"), Succession::Over));
        drop(leader);
        let second = take_over(&flights, &waiter);
        drop(second);
        assert_eq!(permits.available_permits(), 1);
    }
}
