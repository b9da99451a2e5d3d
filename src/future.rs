//! The future of a response: ready, forwarded, or handled by the engine.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tracing::Span;

use crate::{
    body::CacheBody,
    engine::{
        nesting::reports::{self, Report},
        origin_call::OriginCall,
        write::forward::Forwarding,
    },
    inner::CacheableService,
    spans,
    state::cache::{Cache, Shared},
};

/// An answer that needs a fetch, a wait or a slow store.
type Handling<B, E> = Pin<Box<dyn Future<Output = Answer<B, E>> + Send>>;

type Answer<B, E> = Result<Response<CacheBody<B>>, E>;

pin_project! {
    /// Response future of [`CacheService`](crate::CacheService).
    pub struct ResponseFuture<S, Q>
    where
        S: CacheableService<Q>,
        Q: Body,
        Q: Default,
    {
        #[pin]
        state: FutureState<S, Q>,
        // What to tell the layers of the same cache that are further out, once there is a response.
        report: Option<(Arc<Shared>, Report)>,
        // In a box, so that a hit moves little; nobody listens as a rule.
        span: Option<Box<Span>>,
    }
}

pin_project! {
    #[project = FutureStateProj]
    enum FutureState<S, Q>
    where
        S: CacheableService<Q>,
        Q: Body,
        Q: Default,
    {
        Ready { response: Option<Response<CacheBody<S::Body>>> },
        Pass { #[pin] call: OriginCall<S, Q> },
        Forward { #[pin] call: OriginCall<S, Q>, forwarding: Option<Forwarding> },
        Handle { future: Handling<S::Body, S::Error> },
    }
}

impl<S, Q> ResponseFuture<S, Q>
where
    S: CacheableService<Q>,
    Q: Body + Default,
{
    pub(crate) fn ready(response: Response<CacheBody<S::Body>>) -> Self {
        Self::from(FutureState::Ready {
            response: Some(response),
        })
    }

    pub(crate) fn forward(inner: S, request: Request<Q>, forwarding: Forwarding) -> Self {
        Self::from(FutureState::Forward {
            call: OriginCall::new(forwarding.cache(), inner, request),
            forwarding: Some(forwarding),
        })
    }

    /// Passes a request on for a layer of the same cache that is further out.
    pub(crate) fn pass(cache: &Cache, inner: S, request: Request<Q>) -> Self {
        Self::from(FutureState::Pass {
            call: OriginCall::new(cache, inner, request),
        })
    }

    /// The same, with a report to the layers of this cache that are further out.
    pub(crate) fn reporting(mut self, shared: Arc<Shared>, report: Report) -> Self {
        match &mut self.state {
            FutureState::Ready {
                response: Some(response),
            } => reports::add(&shared, response.extensions_mut(), report),
            _ => self.report = Some((shared, report)),
        }
        self
    }

    pub(crate) fn handle(future: Handling<S::Body, S::Error>) -> Self {
        Self::from(FutureState::Handle { future })
    }

    fn from(state: FutureState<S, Q>) -> Self {
        Self {
            state,
            report: None,
            span: None,
        }
    }

    /// The same, in the span of its request.
    pub(crate) fn in_span(self, span: Span) -> Self {
        Self {
            span: Some(Box::new(span)),
            ..self
        }
    }
}

impl<S, Q> Future for ResponseFuture<S, Q>
where
    S: CacheableService<Q>,
    Q: Body + Default,
{
    type Output = Result<Response<CacheBody<S::Body>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(span) = self.as_mut().project().span.take() else {
            return self.poll_answer(cx);
        };
        let polled = span.in_scope(|| self.as_mut().poll_answer(cx));
        match &polled {
            Poll::Ready(answer) => spans::answered(&span, answer),
            Poll::Pending => *self.project().span = Some(span),
        }
        polled
    }
}

impl<S, Q> ResponseFuture<S, Q>
where
    S: CacheableService<Q>,
    Q: Body + Default,
{
    /// In `poll` as if it were written there.
    #[inline(always)]
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<S::Body, S::Error>> {
        let this = self.project();
        let mut answer = match this.state.project() {
            FutureStateProj::Ready { response } => {
                return match response.take() {
                    Some(response) => Poll::Ready(Ok(response)),
                    // Polled after completion: a future may do anything then.
                    None => Poll::Pending,
                };
            }
            FutureStateProj::Pass { call } => {
                let answer = ready!(call.poll(cx));
                answer.map(|response| response.map(CacheBody::origin))
            }
            FutureStateProj::Forward { call, forwarding } => {
                let outcome = ready!(call.poll(cx));
                match (outcome, forwarding.take()) {
                    (Ok(response), Some(forwarding)) => Ok(forwarding.arrive(response)),
                    (Ok(_), None) => return Poll::Pending,
                    // Dropping the forwarding invalidates what an unsafe request may have changed.
                    (Err(error), _) => Err(error),
                }
            }
            FutureStateProj::Handle { future } => ready!(future.as_mut().poll(cx)),
        };
        if let (Ok(response), Some((shared, report))) = (&mut answer, this.report.take()) {
            reports::add(&shared, response.extensions_mut(), report);
        }
        Poll::Ready(answer)
    }
}

impl<S, Q> fmt::Debug for ResponseFuture<S, Q>
where
    S: CacheableService<Q>,
    Q: Body + Default,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            FutureState::Ready { .. } => "ResponseFuture::Ready",
            FutureState::Pass { .. } => "ResponseFuture::Pass",
            FutureState::Forward { .. } => "ResponseFuture::Forward",
            FutureState::Handle { .. } => "ResponseFuture::Handle",
        })
    }
}
