//! The service: always ready, answers hits at once, and hands everything else to the road.

use std::{
    fmt,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::{
    body::CacheBody,
    engine::{
        context::{Road, Timing},
        handle,
        lookup::{InMemory, from_memory},
        request::{Asked, Destination},
        write::forward::Forwarding,
    },
    future::ResponseFuture,
    inner::CacheableService,
    state::cache::Cache,
};

/// A service behind a cache, made by [`CacheLayer`](crate::CacheLayer).
///
/// It is always ready: a hit holds no permit of the inner service, and a fetch waits for the
/// readiness of a clone of its own, which is the very one it then calls.
#[derive(Clone)]
pub struct CacheService<S> {
    cache: Cache,
    inner: S,
}

impl<S> CacheService<S> {
    pub(crate) fn new(inner: S, cache: Cache) -> Self {
        Self { cache, inner }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives up the cache for the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for CacheService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, Q> Service<Request<Q>> for CacheService<S>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    type Response = Response<CacheBody<S::Body>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Q>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let mut asked = Asked::new(parts);
        let destination = asked.destination(&self.cache, &body);
        let mut timing = Timing::OnDemand;
        if destination == Destination::Lookup {
            match from_memory(&self.cache, &asked) {
                InMemory::Answer(response) => return ResponseFuture::ready(response),
                InMemory::Expiring => timing = Timing::Early,
                InMemory::Else => {}
            }
        }
        self.send(asked, body, destination, timing)
    }
}

impl<S> CacheService<S> {
    /// Sends on a request that memory does not answer. Apart from `call`, so that the code of a
    /// hit is compact.
    #[cold]
    #[inline(never)]
    fn send<Q>(
        &self,
        asked: Asked,
        body: Q,
        destination: Destination,
        timing: Timing,
    ) -> ResponseFuture<S, Q>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        let cache = &self.cache;
        let forwarding = match destination {
            Destination::Lookup => {
                let road = Road::new(cache.clone(), self.inner.clone());
                return ResponseFuture::travel(Box::pin(handle::travel(road, asked, body, timing)));
            }
            Destination::Bypass(reason) => Forwarding::bypass(cache, &asked.parts, reason),
            Destination::Forward(safety) => Forwarding::method(cache, &asked.parts, safety),
            Destination::Tunnel => Forwarding::tunnel(cache, &asked.parts),
        };
        let request = Request::from_parts(asked.parts, body);
        ResponseFuture::forward(self.inner.clone(), request, forwarding)
    }
}
