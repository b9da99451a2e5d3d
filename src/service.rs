//! The service: always ready. It answers hits at once and hands all other requests to the engine.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::{
    body::CacheBody,
    config::Caching,
    engine::{
        context::Handler,
        fetch::call,
        handle,
        lookup::{self, FromMemory, Trigger},
        nesting::{self, Guards, Place, reports::Report},
        posted,
        request::{CacheRequest, Destination},
        write::{
            forward::{self, Forwarding, TimeLimit},
            in_time,
        },
    },
    future::ResponseFuture,
    inner::{CacheableService, RequestBody, are_blind},
    semantics::classify::Bypass,
    spans,
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
    Q: RequestBody,
{
    type Response = Response<CacheBody<S::Body>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Q>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        if self.cache.config.caching == Caching::Off || are_blind::<Q>() {
            let forwarding = Forwarding::disabled(&self.cache, request.method());
            return ResponseFuture::forward(self.inner.clone(), request, forwarding);
        }
        if spans::may_be_heard() {
            return self.call_in_span(request);
        }
        self.respond(request)
    }
}

impl<S> CacheService<S> {
    /// Answers a request in a span of its own, if somebody listens to it.
    #[cold]
    #[inline(never)]
    fn call_in_span<Q>(&self, mut request: Request<Q>) -> ResponseFuture<S, Q>
    where
        S: CacheableService<Q>,
        Q: RequestBody,
    {
        let Some(span) = spans::request(&mut request) else {
            return self.respond(request);
        };
        let answer = span.in_scope(|| self.respond(request));
        answer.in_span(span)
    }

    /// In `call` as if it were written there: a hit is too short for one more call of a function.
    #[inline(always)]
    fn respond<Q>(&self, request: Request<Q>) -> ResponseFuture<S, Q>
    where
        S: CacheableService<Q>,
        Q: RequestBody,
    {
        let (parts, body) = request.into_parts();
        let mut request = CacheRequest::new(parts);
        let destination = request.destination(&self.cache, &body);
        if nesting::is_nested(&request) {
            return self.call_nested(request, body, destination);
        }
        // `answer` does the same, but would move the request.
        match self.ask_memory(&request, destination) {
            FromMemory::Answer(response) => ResponseFuture::ready(response),
            FromMemory::Continue(trigger) => self.send(request, body, destination, trigger),
        }
    }

    /// What memory alone can do for a request that goes to `destination`.
    #[inline]
    fn ask_memory<B>(&self, request: &CacheRequest, destination: Destination) -> FromMemory<B> {
        match destination {
            Destination::Lookup => lookup::from_memory(&self.cache, request),
            _ => FromMemory::Continue(Trigger::OnDemand),
        }
    }

    /// From memory if possible.
    fn answer<Q>(
        &self,
        request: CacheRequest,
        body: Q,
        destination: Destination,
    ) -> ResponseFuture<S, Q>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        match self.ask_memory(&request, destination) {
            FromMemory::Answer(response) => ResponseFuture::ready(response),
            FromMemory::Continue(trigger) => self.send(request, body, destination, trigger),
        }
    }

    /// Answers a request that came through another layer, perhaps of this cache, or passes it on.
    #[cold]
    #[inline(never)]
    fn call_nested<Q>(
        &self,
        mut request: CacheRequest,
        body: Q,
        mut destination: Destination,
    ) -> ResponseFuture<S, Q>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        let Cache { shared, config } = &self.cache;
        let guards = match nesting::place(&self.cache, &mut request, &mut destination) {
            Place::Outermost => return self.answer(request, body, destination),
            Place::Answers => {
                let answer = self.answer(request, body, destination);
                return answer.reporting(Arc::clone(shared), Report::Answered);
            }
            Place::HandsOutward(guards) => guards,
        };
        nesting::enter(&self.cache, &mut request, destination);
        let inner = self.inner.clone();
        let request = Request::from_parts(request.parts, body);
        let passed = match (guards, config.breaker.clone()) {
            (Guards::Own, Some(breaker)) if destination != Destination::Lookup => {
                let cache = self.cache.clone();
                ResponseFuture::handle(Box::pin(forward::pass_on(cache, breaker, inner, request)))
            }
            (Guards::None, _) => ResponseFuture::pass(&self.cache, inner, request),
            (Guards::Own, _) => {
                let cache = self.cache.clone();
                let passing = async move { call::pass_on(&cache, inner, request).await };
                ResponseFuture::handle(Box::pin(passing))
            }
        };
        passed.reporting(Arc::clone(shared), Report::Settings(Arc::clone(config)))
    }

    /// Hands a request that memory does not answer to the engine. Not a part of `call`, so that the
    /// code of a hit stays compact.
    #[cold]
    #[inline(never)]
    fn send<Q>(
        &self,
        mut request: CacheRequest,
        body: Q,
        destination: Destination,
        trigger: Trigger,
    ) -> ResponseFuture<S, Q>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        let cache = &self.cache;
        if destination == Destination::Lookup {
            request.normalise(cache);
        }
        nesting::enter(cache, &mut request, destination);
        let forwarding = match destination {
            Destination::Lookup => {
                let handler = Handler::new(cache.clone(), self.inner.clone());
                return ResponseFuture::handle(Box::pin(handle::handle(
                    handler, request, body, trigger,
                )));
            }
            Destination::Bypass(reason) => Forwarding::bypass(cache, &request.parts, reason),
            // The layer further out has read it, perhaps for the very same key, or takes it for a
            // write, and invalidates.
            Destination::Forward(_)
                if posted::is_read::<Q>(cache, &request)
                    && nesting::has_outer(cache, &request.parts.extensions) =>
            {
                Forwarding::bypass(cache, &request.parts, Bypass::Content)
            }
            Destination::Forward(_) if posted::is_read::<Q>(cache, &request) => {
                let handler = Handler::new(cache.clone(), self.inner.clone());
                return ResponseFuture::handle(Box::pin(posted::handle(handler, request, body)));
            }
            Destination::Forward(safety) => Forwarding::method(cache, &mut request.parts, safety),
            Destination::Tunnel => Forwarding::tunnel(cache, &mut request.parts),
        };
        let request = Request::from_parts(request.parts, body);
        let inner = self.inner.clone();
        let breaker = cache.config.breaker.clone();
        let breaker = breaker.filter(|it| !nesting::has_permit(it, request.extensions()));
        // What the operator sends past the cache takes the time that it takes.
        if let Destination::Bypass(reason) = destination
            && reason != Bypass::KeyPolicy
        {
            let call = in_time::forward_in_time(cache.clone(), breaker, inner, request, forwarding);
            return ResponseFuture::handle(Box::pin(call));
        }
        match breaker {
            None => ResponseFuture::forward(inner, request, forwarding),
            Some(breaker) => ResponseFuture::handle(Box::pin(forward::forward_guarded(
                breaker,
                inner,
                request,
                forwarding,
                TimeLimit::Off,
            ))),
        }
    }
}
