//! The layer: one cache, any number of services over it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tower_layer::Layer;

use crate::{
    breaker::{BreakerHandle, OriginBreaker},
    config::Config,
    handle::CacheHandle,
    service::CacheService,
    state::cache::{Cache, Shared},
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
    pub(crate) cache: Cache,
}

impl CacheLayer {
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

    /// A handle on the circuit breaker, if [there is one](crate::CacheBuilder::breaker). The key of its
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

#[cfg(test)]
mod tests;
