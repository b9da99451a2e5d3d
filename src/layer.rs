//! The layer: one cache, any number of services over it.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Semaphore;
use tower_layer::Layer;

use crate::{
    breaker::{BreakerHandle, OriginBreaker},
    builder::CacheBuilder,
    chance::Chance,
    clock::Clock,
    config::{Bounds, Config},
    entry::{HotHeads, Shapes},
    error::ConfigError,
    fill::Budget,
    flight::Flights,
    flown::{FlightKey, Flown},
    generation::Generations,
    handle::CacheHandle,
    marks::Marks,
    metrics::Metrics,
    remote::Remote,
    semantics::vary::Seed,
    service::CacheService,
    store::{Memory, Store},
    tasks::Tasks,
};

/// A shared HTTP cache (RFC 9111) for any service of `http` requests.
///
/// All services made from one layer, and from its clones, share one cache, so it makes no
/// difference how often a router applies it. See the [crate docs](crate) for examples.
///
/// # Bounds
///
/// The inner service must be `Clone + Send + 'static`, as must its parts: its future and error
/// `Send + 'static`, and the bodies of its responses too. Request bodies need `Default` (an empty
/// body), for the requests that the cache makes itself. Neither responses, errors nor bodies need
/// be `Clone`.
///
/// The errors of response bodies had better have a name. Over bodies whose error is a
/// `Box<dyn Error + Send + Sync>`, an `async` block that calls the service may not be spawned:
/// "implementation of `From` is not general enough", says the compiler, which forgets there that
/// the box is `'static`. Then let the service itself give its errors a type, with
/// `body.map_err(MyError)` boxed again, or with `axum::body::Body::new(body)`: an adapter around
/// the service meets the same error.
///
/// # Errors
///
/// The service's error type stays as it is. The cache adds no error: what it has to answer itself
/// is a response, which carries [`CacheOutcome::Generated`](crate::CacheOutcome::Generated).
#[derive(Clone)]
pub struct CacheLayer {
    cache: Cache,
}

/// A cache and the settings of one layer over it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
}

impl CacheLayer {
    /// A cache in `memory` that obeys what responses say of themselves.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        CacheBuilder::build_default(memory)
    }

    /// Starts from the defaults.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::new()
    }

    /// A layer with other settings over the same cache, as for one route among many.
    ///
    /// ```
    /// use cachewarp::{CacheLayer, FixedTtl, Memory};
    /// use std::time::Duration;
    ///
    /// let cache = CacheLayer::new(Memory::with_capacity(64 << 20));
    /// let slow = cache.with(|c| c.ttl(FixedTtl::new(Duration::from_secs(3600))))?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`CacheBuilder::build`], and if a setting of the cache itself is changed: its memory,
    /// clock, or bounds on fills, refreshes and waiters.
    pub fn with(
        &self,
        change: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Result<Self, ConfigError> {
        change(CacheBuilder::from_layer(
            Arc::clone(&self.cache.shared),
            &self.cache.config,
        ))
        .build()
    }

    /// The same cache and settings under a namespace of its own: what is stored through this
    /// layer is never served through another.
    #[must_use]
    pub fn scope(&self, namespace: &str) -> Self {
        let mut config = (*self.cache.config).clone();
        config.namespace = namespace.into();
        Self::from_parts(Arc::clone(&self.cache.shared), config)
    }

    /// A handle on the cache itself.
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        CacheHandle::new(Arc::clone(&self.cache.shared))
    }

    /// A handle on the circuit breaker, if [there is one](CacheBuilder::breaker). The key of its
    /// circuit is empty.
    #[must_use]
    pub fn breaker_handle(&self) -> Option<BreakerHandle> {
        self.cache
            .config
            .breaker
            .as_ref()
            .map(OriginBreaker::handle)
    }

    pub(crate) fn from_parts(shared: Arc<Shared>, mut config: Config) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        config.id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let config = Arc::new(config);
        Self {
            cache: Cache { shared, config },
        }
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("config", &self.cache.config)
            .field("memory", &self.cache.shared.memory)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheService::new(inner, self.cache.clone())
    }
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

#[cfg(test)]
mod tests;
