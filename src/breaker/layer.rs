//! The layer: the circuits of one breaker, and any number of services behind them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use tower_layer::Layer;

use crate::clock::{Clock, SystemClock};

use super::{
    event::Event,
    handle::BreakerHandle,
    http::{HttpAll, HttpClassify, HttpOnOpen, PerHost},
    keys::Keys,
    service::BreakerService,
    settings::BreakerConfig,
    target::OneForAll,
    waiting::Waiting,
    world::{Listener, Surroundings},
};

/// A circuit breaker for any [`tower`] service. See the [module docs](crate::breaker).
///
/// All services made from one layer, and from its clones, share its circuits. A method that changes
/// the layer makes new ones, so take the [`handle`](Self::handle) last.
pub struct BreakerLayer<C, O, T = OneForAll> {
    parts: Parts,
    policies: Arc<Policies<C, O>>,
    target: Arc<T>,
    keys: Arc<Keys<Surroundings>>,
}

/// How the calls of a service are judged, and what is said instead.
#[derive(Debug)]
pub(super) struct Policies<C, O> {
    pub(super) classify: C,
    pub(super) on_open: O,
}

/// What circuits are made of.
#[derive(Clone)]
struct Parts {
    breaker: BreakerConfig,
    clock: Arc<dyn Clock>,
    listener: Option<Listener>,
}

impl Parts {
    fn keys(&self) -> Arc<Keys<Surroundings>> {
        let world = Surroundings {
            rules: self.breaker.rules.clone(),
            clock: Arc::clone(&self.clock),
            listener: self.listener.clone(),
            metrics: OnceLock::new(),
            waiting: Waiting::default(),
        };
        Arc::new(Keys::new(Arc::new(world)))
    }
}

impl<C, O> BreakerLayer<C, O> {
    /// One circuit with the default settings. `classify` is a [`Classify`](super::Classify) and
    /// judges how calls end; `on_open` is an [`OnOpen`](super::OnOpen) and answers those that are
    /// refused. Both may be closures.
    pub fn new(classify: C, on_open: O) -> Self {
        Self::from_parts(classify, on_open, OneForAll)
    }
}

impl BreakerLayer<HttpClassify, HttpOnOpen, HttpAll> {
    /// One circuit for a service of `http` requests: errors, 500, 502, 503 and 504 are failures,
    /// and what is refused gets a 503 with `Retry-After` and a [`BreakerOpen`](super::BreakerOpen)
    /// extension. The body of its responses must have a [`Default`], which is an empty one.
    #[must_use]
    pub fn http() -> Self {
        Self::from_parts(HttpClassify, HttpOnOpen, HttpAll)
    }
}

impl<C, O, T> BreakerLayer<C, O, T> {
    fn from_parts(classify: C, on_open: O, target: T) -> Self {
        let parts = Parts {
            breaker: BreakerConfig::default(),
            clock: Arc::new(SystemClock::new()),
            listener: None,
        };
        Self {
            keys: parts.keys(),
            parts,
            policies: Arc::new(Policies { classify, on_open }),
            target: Arc::new(target),
        }
    }

    /// Other settings. Defaults to those of [`BreakerConfig::default`].
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

    /// A circuit for each key that `target` makes of a request. It is a
    /// [`Target`](super::Target), such as a closure from a request to a `String`; over
    /// HTTP, [`HttpKey`](super::HttpKey) of such a closure reads the request's priority too.
    /// Defaults to one circuit for all requests.
    #[must_use]
    pub fn key<U>(self, target: U) -> BreakerLayer<C, O, U> {
        BreakerLayer {
            keys: self.parts.keys(),
            parts: self.parts,
            policies: self.policies,
            target: Arc::new(target),
        }
    }

    /// Is told of every change of every circuit, in the thread that made it and outside of any
    /// lock, so it may use a [`handle`](Self::handle). Calls wait for it; a panic in it is logged
    /// and goes no further. Defaults to nobody.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.parts.listener = Some(Arc::new(listener));
        self.renewed()
    }

    /// Where time comes from. Defaults to [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.parts.clock = Arc::new(clock);
        self.renewed()
    }

    /// A handle on the circuits.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(Arc::clone(&self.keys))
    }

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
