//! A call of the wrapped service, with the purge that the service puts into its response: it is in force
//! before anybody gets the response.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::{ServiceExt, util::Oneshot};

use crate::{
    config::Caching,
    inner::CacheableService,
    purge::{PurgeError, PurgeRequest},
    spans::OriginSpan,
    state::cache::Cache,
};

pin_project! {
    /// Waits until the service is ready, calls it, and carries out the purge in its response.
    pub(crate) struct OriginCall<S, Q>
    where
        S: CacheableService<Q>,
        Q: Body,
        Q: Default,
    {
        #[pin]
        call: Oneshot<S, Request<Q>>,
        cache: Cache,
        // In a box, as few responses purge anything.
        purging: Option<Box<Purging<S::Body>>>,
        // While it is called, if somebody listens.
        span: Option<Box<OriginSpan>>,
    }
}

/// A response that waits for its purge.
struct Purging<B> {
    response: Response<B>,
    purge: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S, Q> OriginCall<S, Q>
where
    S: CacheableService<Q>,
    Q: Body + Default,
{
    pub(crate) fn new(cache: &Cache, inner: S, request: Request<Q>) -> Self {
        Self {
            call: inner.oneshot(request),
            cache: cache.clone(),
            purging: None,
            span: match cache.config.caching {
                Caching::On => OriginSpan::new(),
                Caching::Off => None,
            },
        }
    }
}

impl<S, Q> Future for OriginCall<S, Q>
where
    S: CacheableService<Q>,
    Q: Body + Default,
{
    type Output = Result<Response<S::Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.purging.is_none() {
            let answer = match this.span {
                None => ready!(this.call.poll(cx)),
                Some(span) => ready!(span.in_scope(|| this.call.poll(cx))),
            };
            if let Some(span) = this.span.take() {
                span.end(&answer);
            }
            let mut response = answer?;
            match wanted(this.cache, &mut response) {
                None => return Poll::Ready(Ok(response)),
                Some(request) => {
                    let purge = Box::pin(purge(this.cache.clone(), request));
                    *this.purging = Some(Box::new(Purging { response, purge }));
                }
            }
        }
        if let Some(purging) = this.purging {
            ready!(purging.purge.as_mut().poll(cx));
        }
        match this.purging.take() {
            Some(purging) => Poll::Ready(Ok(purging.response)),
            // Polled after completion: a future may do anything then.
            None => Poll::Pending,
        }
    }
}

/// The purge in a response, unless a layer of this cache with the same names has carried it out already:
/// a response may pass several layers.
fn wanted<B>(cache: &Cache, response: &mut Response<B>) -> Option<PurgeRequest> {
    let request: &mut PurgeRequest = response.extensions_mut().get_mut()?;
    request
        .begin(cache.shared.id(), &cache.purge_names())
        .then(|| request.clone())
}

async fn purge(cache: Cache, request: PurgeRequest) {
    match cache.purge(&request).await {
        Ok(_) => {}
        // The response is not to blame, and goes out.
        Err(PurgeError::Invalid(error)) => {
            tracing::error!(%error, "a response's purge is invalid: nothing was purged");
        }
        Err(error @ PurgeError::Pending(_)) => tracing::warn!(%error, "purge"),
    }
}
