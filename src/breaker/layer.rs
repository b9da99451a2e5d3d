//! The layer: the circuits of one breaker, and the services that share them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use tower_layer::Layer;

use crate::clock::{Clock, ElapsedClock, SystemClock};

use super::{
    classify::Policies,
    environment::{BreakerEnvironment, EventListener},
    event::Event,
    handle::BreakerHandle,
    http::{HttpAll, HttpClassify, HttpOnOpen, PerHost},
    keys::Keys,
    service::BreakerService,
    settings::BreakerConfig,
    target::OneForAll,
    waiters::Waiters,
};

/// A circuit breaker for any [`tower`] service. See the [module docs](crate::breaker).
///
/// All services made from one layer and from its clones share its circuits. A method that changes
/// the layer makes new circuits, so call [`handle`](Self::handle) last.
pub struct BreakerLayer<C, O, T = OneForAll> {
    parts: Parts,
    policies: Arc<Policies<C, O>>,
    target: Arc<T>,
    keys: Arc<Keys<BreakerEnvironment>>,
}

/// The settings from which the circuits are made.
#[derive(Clone)]
struct Parts {
    breaker: BreakerConfig,
    clock: Arc<dyn Clock>,
    listener: Option<EventListener>,
}

impl Parts {
    fn keys(&self) -> Arc<Keys<BreakerEnvironment>> {
        let environment = BreakerEnvironment {
            rules: self.breaker.rules.clone(),
            clock: Arc::clone(&self.clock),
            listener: self.listener.clone(),
            metrics: OnceLock::new(),
            waiters: Waiters::default(),
        };
        Arc::new(Keys::new(Arc::new(environment)))
    }
}

impl<C, O> BreakerLayer<C, O> {
    /// One circuit with the default settings. `classify`, a [`Classify`](super::Classify), judges
    /// the outcomes of calls. `on_open`, an [`OnOpen`](super::OnOpen), answers refused calls. Both
    /// may be closures.
    pub fn new(classify: C, on_open: O) -> Self {
        Self::from_parts(classify, on_open, OneForAll)
    }
}

impl BreakerLayer<HttpClassify, HttpOnOpen, HttpAll> {
    /// One circuit for a service of `http` requests. Errors are failures, and 502, 503 and 504 at
    /// most once in ten seconds for each path: see [what counts](crate::breaker#what-counts). A refused request gets a 503 with `Retry-After` and the extension
    /// [`BreakerOpen`](super::BreakerOpen). The response body must implement [`Default`]: its
    /// default is the empty body.
    #[must_use]
    pub fn http() -> Self {
        Self::from_parts(HttpClassify, HttpOnOpen, HttpAll)
    }
}

impl<C, O, T> BreakerLayer<C, O, T> {
    fn from_parts(classify: C, on_open: O, target: T) -> Self {
        let parts = Parts {
            breaker: BreakerConfig::default(),
            clock: Arc::new(ElapsedClock::new(SystemClock::new())),
            listener: None,
        };
        Self {
            keys: parts.keys(),
            parts,
            policies: Arc::new(Policies { classify, on_open }),
            target: Arc::new(target),
        }
    }

    /// The settings. Defaults to [`BreakerConfig::default`].
    #[must_use]
    pub fn breaker(mut self, breaker: BreakerConfig) -> Self {
        self.parts.breaker = breaker;
        self.renewed()
    }

    /// A circuit for each host of `http` requests.
    #[must_use]
    pub fn per_host(self) -> BreakerLayer<C, O, PerHost> {
        self.key(PerHost)
    }

    /// A circuit for each key that `target` finds in a request. A [`Target`](super::Target) may be
    /// a closure from a request to a `String`. Over HTTP, wrap the closure in
    /// [`HttpKey`](super::HttpKey) so that the request's priority is read too. Defaults to one
    /// circuit for all requests.
    #[must_use]
    pub fn key<U>(self, target: U) -> BreakerLayer<C, O, U> {
        BreakerLayer {
            keys: self.parts.keys(),
            parts: self.parts,
            policies: self.policies,
            target: Arc::new(target),
        }
    }

    /// Called at every change of state of every circuit, in the thread that caused it. No lock is
    /// held, so the listener may use a [`handle`](Self::handle). The call waits until the listener
    /// returns. A panic in it is logged and goes no further. Defaults to no listener.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.parts.listener = Some(Arc::new(listener));
        self.renewed()
    }

    /// The source of time. Defaults to [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.parts.clock = Arc::new(ElapsedClock::new(clock));
        self.renewed()
    }

    /// A handle on the circuits.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(Arc::clone(&self.keys))
    }

    /// Makes new circuits from the changed settings.
    fn renewed(mut self) -> Self {
        self.keys = self.parts.keys();
        self
    }
}

impl<C, O, T> Clone for BreakerLayer<C, O, T> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            policies: Arc::clone(&self.policies),
            target: Arc::clone(&self.target),
            keys: Arc::clone(&self.keys),
        }
    }
}

impl<C, O, T> fmt::Debug for BreakerLayer<C, O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("breaker", &self.parts.breaker)
            .finish_non_exhaustive()
    }
}

impl<S, C, O, T> Layer<S> for BreakerLayer<C, O, T> {
    type Service = BreakerService<S, C, O, T>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService::new(
            inner,
            Arc::clone(&self.keys),
            Arc::clone(&self.policies),
            Arc::clone(&self.target),
        )
    }
}
