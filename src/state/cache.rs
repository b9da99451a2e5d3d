//! What all requests of one cache share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, OnceLock},
};

use tokio::sync::Semaphore;

use super::flights::{FlightKey, Flown};
use crate::{
    chance::Chance,
    clock::Clock,
    config::{Bounds, Config},
    entry::{HotHeads, Shapes},
    fill::Budget,
    flight::Flights,
    generation::Generations,
    marks::Marks,
    metrics::Metrics,
    remote::Remote,
    semantics::vary::Seed,
    store::{Memory, Store},
    tasks::Tasks,
};

/// A cache and the settings of one layer over it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
}

/// What all layers and services of one cache share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) budget: Arc<Budget>,
    pub(crate) chance: Chance,
    pub(crate) clock: Arc<dyn Clock>,
    /// What may outlive the request that caused it: a permit for each flight, and for each fill
    /// without a flight.
    pub(crate) fills: Arc<Semaphore>,
    pub(crate) flights: Arc<Flights<FlightKey, Flown>>,
    pub(crate) generations: Generations,
    pub(crate) hot: Arc<HotHeads>,
    pub(crate) memory: Memory,
    metrics: OnceLock<Metrics>,
    /// Keys whose refresh in the background is another node's, or would be refused.
    pub(crate) held_back: Marks,
    /// Responses that could not be refreshed a moment ago.
    pub(crate) paused: Marks,
    pub(crate) refreshes: Arc<Semaphore>,
    /// The tier shared with other nodes, if there is one.
    pub(crate) remote: Option<Arc<Remote>>,
    /// Keys everything about the store and the flights with a secret of this process.
    pub(crate) seed: u64,
    pub(crate) shapes: Shapes,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tasks: Tasks,
    /// Keys whose response could not be shared a moment ago.
    pub(crate) uncacheable: Marks,
}

impl Shared {
    pub(crate) fn new(
        memory: Memory,
        remote: Option<Arc<Remote>>,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
    ) -> Self {
        let permits = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let fills = permits(bounds.fills);
        Self {
            budget: Budget::new(memory.capacity()),
            chance: Chance::new(),
            clock,
            flights: Flights::new(bounds.waiters, Arc::clone(&fills)),
            fills,
            generations: Generations::new(),
            hot: memory.hot_heads(),
            metrics: OnceLock::new(),
            held_back: Marks::new(),
            paused: Marks::new(),
            refreshes: permits(bounds.refreshes),
            remote,
            seed: RandomState::new().hash_one("cachewarp"),
            shapes: Shapes::default(),
            store: Arc::new(memory.clone()),
            memory,
            tasks: Tasks::new(),
            uncacheable: Marks::new(),
        }
    }

    pub(crate) fn seed(&self) -> Seed {
        Seed(self.seed)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(Metrics::register)
    }
}
