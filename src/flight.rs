//! Single-flight: for each key one leader does the work, and the waiters share its outcome.
//!
//! A flight does not know what its outcome means. The leader completes it, which releases the
//! waiters. If the leader is dropped before that (its task panicked or was dropped), the flight
//! ends as abandoned, so that no waiter waits for ever.
//!
//! After a failure the waiters may retry once: the first one to ask becomes the leader of the
//! second attempt, and the others wait for that. There is no third attempt, so a group of any size
//! makes at most two. A leader that is dropped before it started made no attempt: its waiters start
//! over.
//!
//! A leader may say that it leads [for itself](Leader::for_itself): if its work fails, or takes long, the
//! same work for a waiter may not. The waiters decide whether they go on waiting.
//!
//! A completed flight can be joined until its leader is dropped. So late requests share a response
//! that is still arriving.
//!
//! A leader needs a permit, a waiter needs none. A request that finds no flight and gets no permit
//! is refused before a flight exists that others could wait for.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

const SHARDS: usize = 64;

/// The flights in progress, by key.
#[derive(Debug)]
pub(crate) struct Flights<K, T> {
    shards: Box<[Shard<K, T>]>,
    hasher: RandomState,
    max_waiters: usize,
    /// Each leader holds one.
    permits: Arc<Semaphore>,
}

type Shard<K, T> = Mutex<HashMap<K, Arc<Flight<T>>>>;

#[derive(Debug)]
struct Flight<T> {
    end: watch::Sender<Option<FlightEnd<T>>>,
    /// Wakes the leader when the last waiter is dropped.
    drained: Notify,
    /// Wakes the leader when there is a waiter again.
    joined: Notify,
    attempt: Attempt,
    second_attempt: OnceLock<Arc<Flight<T>>>,
    for_itself: AtomicBool,
    waiters: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Attempt {
    First,
    Second,
}

/// How a flight ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum FlightEnd<T> {
    /// The leader was dropped after it started.
    Abandoned,
    Completed(T),
    /// The leader was dropped before it started.
    NotStarted,
}

/// What a request becomes in a flight.
#[derive(Debug)]
pub(crate) enum Joined<K: Eq + Hash, T> {
    Leader(Leader<K, T>),
    Waiter(Waiter<T>),
    /// The flight already has the maximum of waiters.
    Full,
    /// There is no flight for the key, and no permit to begin one.
    NoPermit,
}

/// What a waiter becomes in the second attempt.
#[derive(Debug)]
pub(crate) enum Retry<K: Eq + Hash, T> {
    Leader(Leader<K, T>),
    Waiter(Waiter<T>),
    /// There were two attempts already, the second one has the maximum of waiters, or there is no
    /// permit for it.
    Denied,
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

    /// Joins the flight of `key`, or begins one.
    pub(crate) fn join(self: &Arc<Self>, key: K) -> Joined<K, T> {
        let mut flights = self.shard(&key);
        if let Some(flight) = flights.get(&key) {
            return match Waiter::join(flight, self.max_waiters) {
                Some(waiter) => Joined::Waiter(waiter),
                None => Joined::Full,
            };
        }
        let Some(permit) = self.permit() else {
            return Joined::NoPermit;
        };
        let flight = Flight::new(Attempt::First);
        flights.insert(key.clone(), Arc::clone(&flight));
        drop(flights);
        Joined::Leader(self.leader(key, flight, permit))
    }

    /// Begins another flight for `key` in place of the waiter's, which new requests do not join any
    /// more. If that has happened already, joins what took its place.
    pub(crate) fn replace(self: &Arc<Self>, waiter: &Waiter<T>, key: K) -> Joined<K, T> {
        let mut flights = self.shard(&key);
        let is_current = |it: &Arc<Flight<T>>| Arc::ptr_eq(it, &waiter.flight);
        if !flights.get(&key).is_some_and(is_current) {
            drop(flights);
            return self.join(key);
        }
        let Some(permit) = self.permit() else {
            return Joined::NoPermit;
        };
        let flight = Flight::new(Attempt::First);
        // The leader of the flight that was in the table will only remove its own.
        flights.insert(key.clone(), Arc::clone(&flight));
        drop(flights);
        Joined::Leader(self.leader(key, flight, permit))
    }

    /// Begins a flight for `key`. `None` if there is one, or no permit.
    pub(crate) fn lead(self: &Arc<Self>, key: K) -> Option<Leader<K, T>> {
        let mut flights = self.shard(&key);
        if flights.contains_key(&key) {
            return None;
        }
        let permit = self.permit()?;
        let flight = Flight::new(Attempt::First);
        flights.insert(key.clone(), Arc::clone(&flight));
        drop(flights);
        Some(self.leader(key, flight, permit))
    }

    /// The outcome of the flight of `key`, if the flight is completed and can still be joined.
    pub(crate) fn completed(&self, key: &K) -> Option<T> {
        let flight = self.shard(key).get(key).map(Arc::clone)?;
        match &*flight.end.borrow() {
            Some(FlightEnd::Completed(outcome)) => Some(outcome.clone()),
            Some(FlightEnd::Abandoned | FlightEnd::NotStarted) | None => None,
        }
    }

    /// Joins the second attempt of the waiter's flight, as its leader if there is none yet.
    pub(crate) fn retry(self: &Arc<Self>, waiter: &Waiter<T>, key: K) -> Retry<K, T> {
        if waiter.flight.attempt == Attempt::Second {
            return Retry::Denied;
        }
        let mut flights = self.shard(&key);
        if let Some(second_attempt) = waiter.flight.second_attempt.get() {
            return match Waiter::join(second_attempt, self.max_waiters) {
                Some(waiter) => Retry::Waiter(waiter),
                None => Retry::Denied,
            };
        }
        let Some(permit) = self.permit() else {
            return Retry::Denied;
        };
        let flight = Flight::new(Attempt::Second);
        // Only set while the shard is locked, so it cannot be set already.
        let _ = waiter.flight.second_attempt.set(Arc::clone(&flight));
        // New requests join the second attempt. The first one may still be in the table: its leader
        // will only remove its own flight.
        flights.insert(key.clone(), Arc::clone(&flight));
        drop(flights);
        Retry::Leader(self.leader(key, flight, permit))
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
            stage: Stage::NotStarted,
            permit: Some(permit),
        }
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    /// How many flights can be joined.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// How many requests wait for a flight.
    pub(crate) fn waiting(&self) -> usize {
        let of_shard = |shard: &Shard<K, T>| {
            let flights = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let waiters = flights
                .values()
                .map(|it| it.waiters.load(Ordering::Acquire));
            waiters.sum::<usize>()
        };
        self.shards.iter().map(of_shard).sum()
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
    fn new(attempt: Attempt) -> Arc<Self> {
        Arc::new(Self {
            end: watch::Sender::new(None),
            drained: Notify::new(),
            joined: Notify::new(),
            attempt,
            second_attempt: OnceLock::new(),
            for_itself: AtomicBool::new(false),
            waiters: AtomicUsize::new(0),
        })
    }
}

// === impl Leader ===

/// The leader of a flight. Its holder does the work. Dropping it ends the flight.
#[derive(Debug)]
pub(crate) struct Leader<K: Eq + Hash, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    flight: Arc<Flight<T>>,
    stage: Stage,
    permit: Option<OwnedSemaphorePermit>,
}

/// Whether the leader has begun its attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    NotStarted,
    Started,
}

impl<K: Eq + Hash, T> Leader<K, T> {
    /// Begins the attempt. From here on it counts, even if the leader is dropped.
    pub(crate) fn start(&mut self) {
        self.stage = Stage::Started;
    }

    /// What becomes of the attempt may be so for this leader alone. Said before it starts.
    pub(crate) fn for_itself(&self) {
        self.flight.for_itself.store(true, Ordering::Release);
    }

    /// The permit, for work that may need it for longer or shorter than the flight.
    pub(crate) fn give_permit(&mut self) -> Option<OwnedSemaphorePermit> {
        self.permit.take()
    }

    /// Releases the waiters with `outcome`. The flight can still be joined until the leader is
    /// dropped.
    pub(crate) fn complete(&self, outcome: T) {
        self.flight
            .end
            .send_replace(Some(FlightEnd::Completed(outcome)));
    }

    /// Resolves once all waiters have taken the outcome and dropped their [`Waiter`].
    pub(crate) async fn drained(&self) {
        while self.flight.waiters.load(Ordering::Acquire) > 0 {
            self.flight.drained.notified().await;
        }
    }

    /// Resolves once there is a waiter.
    pub(crate) async fn joined(&self) {
        while self.flight.waiters.load(Ordering::Acquire) == 0 {
            self.flight.joined.notified().await;
        }
    }
}

impl<K: Eq + Hash, T> Drop for Leader<K, T> {
    fn drop(&mut self) {
        self.flights.remove(&self.key, &self.flight);
        let left = match self.stage {
            Stage::NotStarted => FlightEnd::NotStarted,
            Stage::Started => FlightEnd::Abandoned,
        };
        self.flight.end.send_if_modified(|end| {
            let unfinished = end.is_none();
            if unfinished {
                *end = Some(left);
            }
            unfinished
        });
    }
}

// === impl Waiter ===

/// Shares the outcome of a flight.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    flight: Arc<Flight<T>>,
    end: watch::Receiver<Option<FlightEnd<T>>>,
}

impl<T: Clone> Waiter<T> {
    fn join(flight: &Arc<Flight<T>>, max_waiters: usize) -> Option<Self> {
        let waiter = Self {
            flight: Arc::clone(flight),
            end: flight.end.subscribe(),
        };
        let before = flight.waiters.fetch_add(1, Ordering::AcqRel);
        if before == 0 {
            flight.joined.notify_one();
        }
        // If there are too many, dropping the new waiter reduces the count again.
        (before < max_waiters).then_some(waiter)
    }

    /// Whether the leader said that it leads for itself.
    pub(crate) fn is_led_for_itself(&self) -> bool {
        self.flight.for_itself.load(Ordering::Acquire)
    }

    /// Waits until the flight ends.
    pub(crate) async fn end(&mut self) -> FlightEnd<T> {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(FlightEnd::Abandoned),
            // The sender lives in the flight, which this waiter holds.
            Err(_) => FlightEnd::Abandoned,
        }
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        if self.flight.waiters.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.flight.drained.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
