//! One call of the origin: its time limit and its circuit breaker.

use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tower::ServiceExt;

use super::storability::ExchangeTimes;
use crate::{
    breaker::{HttpClassify, OriginBreaker, Verdict},
    engine::deadline::{Deadline, DeadlinePassed},
    inner::CacheableService,
    semantics::{fields, freshness::Times},
    state::cache::Cache,
};

/// Why a call of the inner service brought no response.
pub(crate) enum CallError<E> {
    Error(E),
    /// It was not made: the circuit breaker stays open for this long.
    Open(Duration),
    Timeout,
}

/// Waits until this instance of the inner service is ready, and calls it, if the circuit breaker
/// permits. Both end at the deadline.
pub(crate) async fn call_origin<S, Q>(
    cache: &Cache,
    inner: S,
    request: Request<Q>,
    deadline: Deadline,
) -> Result<(Response<S::Body>, ExchangeTimes), CallError<S::Error>>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    if deadline.has_passed() {
        return Err(CallError::Timeout);
    }
    let Cache { shared, config } = cache;
    let priority = request.extensions().get().copied().unwrap_or_default();
    let path = config
        .breaker
        .as_ref()
        .map(|_| OriginBreaker::path(request.uri()));
    let forwarded = shared.clock.wall();
    let began = shared.clock.monotonic();
    let call = async {
        shared.metrics().origin_calls.increment(1);
        deadline.limit(inner.oneshot(request)).await
    };
    let answer = match config.breaker.as_ref().zip(path) {
        None => call.await,
        Some((breaker, path)) => match breaker.call(priority, path, call, judge).await {
            Ok(answer) => answer,
            Err(retry_after) => return Err(CallError::Open(retry_after)),
        },
    };
    let arrived = shared.clock.monotonic();
    let cost = arrived.saturating_sub(began);
    let response = shared.clock.wall();
    let times = ExchangeTimes {
        times: Times {
            request: if response < forwarded {
                // The wall clock was set back meanwhile: it does not show the delay.
                response.saturating_sub(cost.as_secs().cast_signed())
            } else {
                forwarded
            },
            response,
        },
        arrived,
        cost,
    };
    match answer {
        Ok(Ok(mut response)) => {
            fields::ensure_date(response.headers_mut(), times.times.response);
            Ok((response, times))
        }
        Ok(Err(error)) => Err(CallError::Error(error)),
        Err(_) => Err(CallError::Timeout),
    }
}

/// What the result of a call says about the origin.
fn judge<B, E>(answer: &Result<Result<Response<B>, E>, DeadlinePassed>) -> Verdict {
    match answer {
        Ok(Ok(response)) => HttpClassify::status(response.status()),
        Ok(Err(_)) => Verdict::Failure,
        // One slow page says nothing about the others.
        Err(_) => Verdict::PartFailure,
    }
}
