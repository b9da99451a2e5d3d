//! [`CacheLayer`]: one cache, and any number of services in front of it.

use std::{
    any::type_name,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderName, header::AUTHORIZATION};
use tower_layer::Layer;

use crate::{
    breaker::{BreakerHandle, OriginBreaker},
    config::Config,
    handle::CacheHandle,
    inner::{BlindTo, blind_to},
    service::CacheService,
    state::cache::{Cache, Shared},
};

/// A [`tower_layer::Layer`] that puts a shared HTTP cache (RFC 9111) in front of a service of
/// `http` requests.
///
/// All services made from one layer and its clones share one cache. A router may therefore apply
/// the layer once or for each route. See the [crate docs](crate) for examples.
///
/// # Layers inside one another
///
/// A request may pass several layers of one cache: one around a router, and one
/// [with](Self::with) other settings around a route of it. Exactly one of them stores the response,
/// labels it, and counts it:
///
/// - If both would answer a request with the same stored response, the outer one stores. What the
///   innermost one says about responses applies: lifetimes, stale windows, and what may be stored. So
///   a route has the lifetimes of its own layer. A circuit breaker and an `origin_timeout` of the
///   inner layer stay in force. Everything else is up to the outer one.
/// - If they differ in the scope, the key, the host or scheme that requests imply, the cookies, the
///   credentials, or the request directives that they ignore, or if the URI was rewritten in between,
///   the inner one answers, and the outer one stores nothing of that exchange. What the outer one's key
///   keeps apart, such as tenants, stays apart.
///
/// What lies between the layers has to keep the extensions of requests and responses. Layers of
/// different caches each work for themselves. If a layer of one cache is both outside and inside of
/// another cache, a hit of that other cache does not reach the innermost layer, so what this one says
/// about responses does not apply to it.
///
/// # Bounds
///
/// The wrapped service must be `Clone + Send + 'static`. Its future, its error and the bodies of
/// its responses must be `Send + 'static`. Request bodies must be `Default` (an empty body),
/// because the cache makes requests itself. Responses, errors and bodies need not be `Clone`.
///
/// Give response bodies a named error type. If the error is a `Box<dyn Error + Send + Sync>`, an
/// `async` block that calls the service cannot be spawned: the compiler loses track of the box
/// being `'static` and says "implementation of `From` is not general enough". In that case change
/// the error type within the service, with `body.map_err(MyError)` boxed again or with
/// `axum::body::Body::new(body)`. An adapter around the service does not help, as it gets the same
/// compile error.
///
/// # Errors
///
/// The error type of the service does not change, and the cache adds no errors. When it has
/// no response that it may send, it generates one with
/// [`CacheOutcome::Generated`](crate::CacheOutcome::Generated) in its extensions.
#[derive(Clone)]
pub struct CacheLayer {
    pub(crate) cache: Cache,
}

impl CacheLayer {
    /// A layer over the same cache, with the same settings but the namespace `namespace`. Responses
    /// stored in one namespace are never served from another.
    #[must_use]
    pub fn scope(&self, namespace: &str) -> Self {
        let mut config = (*self.cache.config).clone();
        config.namespace = namespace.into();
        Self::from_parts(Arc::clone(&self.cache.shared), config)
    }

    /// A handle on the cache, which reads its statistics, drains and warms it. It has the settings of
    /// this layer, such as its [scope](Self::scope).
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        CacheHandle::new(self.cache.clone())
    }

    /// A handle on the circuit breaker. `None` if [`breaker`](crate::CacheBuilder::breaker) is not
    /// set. The breaker has one circuit, whose key is empty.
    #[must_use]
    pub fn breaker_handle(&self) -> Option<BreakerHandle> {
        self.cache
            .config
            .breaker
            .as_ref()
            .map(OriginBreaker::handle)
    }

    /// Whether a request field counts as a credential for this layer: `Authorization`, and those of
    /// [`credential_headers`](crate::CacheBuilder::credential_headers) and
    /// [`policy_credentials`](crate::CacheBuilder::policy_credentials). For what stands in front of the
    /// cache and has to know: a server may take `X_Api_Key` for `X-Api-Key`, and this cache does not.
    #[must_use]
    pub fn is_credential(&self, name: &HeaderName) -> bool {
        let rules = &self.cache.config.rules;
        *name == AUTHORIZATION
            || rules.credential_headers.contains(name)
            || rules.policy_credentials.contains(name)
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

impl<S: 'static> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    /// Puts the cache in front of `inner`.
    ///
    /// # Panics
    ///
    /// If `inner` is a service of axum's, and the feature `axum` is off, or is for another version of
    /// axum. A router that is nested in another one does not tell its layers the prefix that it
    /// removed from the URI, so one cache in two such routers would answer `/b/x` with what it stored
    /// for `/a/x`.
    ///
    /// Not every service shows that it is in such a router: it may be behind other layers, or nested
    /// with `nest_service`. Then the cache is off, and logs an error with the first request.
    fn layer(&self, inner: S) -> Self::Service {
        let service = type_name::<S>();
        match blind_to::<S>() {
            None => {}
            Some(BlindTo::AnyAxum) => panic!(
                "cachewarp: turn on the feature `axum` to put a `CacheLayer` around a service of \
                 axum's, here {service}. Without it, the cache sees only what nested routers leave of \
                 a URI, and answers `/b/x` with what it stored for `/a/x`. In Cargo.toml: \
                 cachewarp = {{ version = \"{}\", features = [\"axum\"] }}",
                env!("CARGO_PKG_VERSION"),
            ),
            Some(BlindTo::OtherAxum) => panic!(
                "cachewarp: {service} is not of axum 0.8, for which the feature `axum` is. Of other \
                 versions, the cache sees only what nested routers leave of a URI, and answers `/b/x` \
                 with what it stored for `/a/x`. Use axum 0.8, or a version of cachewarp for your axum"
            ),
        }
        CacheService::new(inner, self.cache.clone())
    }
}

#[cfg(test)]
mod tests;
