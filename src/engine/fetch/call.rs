//! One call of the origin: how long it may take, and what stands in when it fails.

use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tokio::time::{error::Elapsed, timeout};
use tower::ServiceExt;

use super::storability::{self, Moments};
use crate::{
    breaker::Verdict,
    inner::CacheableService,
    semantics::{decide::Outcome, freshness::Times},
    state::cache::Cache,
};

/// A call of the inner service that brought no response.
pub(crate) enum NoResponse<E> {
    Error(E),
    /// It was not made: the breaker is open, for so long.
    Open(Duration),
    Timeout,
}

/// Calls this instance of the inner service once it is ready, if the breaker lets it.
pub(crate) async fn exchange<S, Q>(
    cache: &Cache,
    inner: S,
    request: Request<Q>,
) -> Result<(Response<S::Body>, Moments), NoResponse<S::Error>>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let Cache { shared, config } = cache;
    let priority = request.extensions().get().copied().unwrap_or_default();
    let forwarded = shared.clock.wall();
    let began = shared.clock.monotonic();
    let call = async {
        shared.metrics().origin_calls.increment(1);
        timeout(config.origin_timeout, inner.oneshot(request)).await
    };
    let answer = match &config.breaker {
        None => call.await,
        Some(breaker) => match breaker.call(priority, call, judge).await {
            Ok(answer) => answer,
            Err(retry_after) => return Err(NoResponse::Open(retry_after)),
        },
    };
    let arrived = shared.clock.monotonic();
    let moments = Moments {
        times: Times {
            request: forwarded,
            response: shared.clock.wall(),
        },
        arrived,
        cost: arrived.saturating_sub(began),
    };
    match answer {
        Ok(Ok(mut response)) => {
            storability::ensure_date(response.headers_mut(), moments.times.response);
            Ok((response, moments))
        }
        Ok(Err(error)) => Err(NoResponse::Error(error)),
        Err(_) => Err(NoResponse::Timeout),
    }
}

/// What the end of a call says of the origin.
fn judge<B, E>(answer: &Result<Result<Response<B>, E>, Elapsed>) -> Verdict {
    match answer {
        Ok(Ok(response)) if Outcome::of(response.status()) == Outcome::Answer => Verdict::Success,
        Ok(Ok(_) | Err(_)) | Err(_) => Verdict::Failure,
    }
}
