//! An exchange that failed: a stale answer where that is allowed, else the error.

use http::Response;
use http_body::Body;

use super::{
    call::{self, CallError},
    fetched::{self, FetchResult},
};
use crate::{
    body::CacheBody,
    engine::{context::RequestContext, respond, stale},
    outcome::{Generated, Storing},
    semantics::fields,
    state::{
        cache::Cache,
        flights::{Failure, FlightOutcome},
    },
};

/// The answer when there was no response: stale if that is allowed, else the error.
pub(crate) fn failed<B, E>(
    cache: &Cache,
    context: &RequestContext,
    failure: CallError<E>,
) -> FetchResult<B, E> {
    let failed = match &failure {
        CallError::Error(_) => Failure::Error,
        CallError::Repeated(_) => Failure::Repeated,
        CallError::Open(retry_after) => Failure::Open(call::whole_seconds(*retry_after)),
        CallError::Timeout => Failure::Timeout,
    };
    if !matches!(failed, Failure::Open(_)) {
        cache.shared.metrics().origin_failures.increment(1);
    }
    let answer = match (stale_on_error(cache, context, failed), failure) {
        (Some(stale), _) => Ok(stale),
        (None, CallError::Error(error) | CallError::Repeated(error)) => Err(error),
        (None, CallError::Open(_)) => Ok(respond::generated(cache, failed.for_waiters())),
        (None, CallError::Timeout) => Ok(respond::generated(cache, Generated::OriginTimeout)),
    };
    FetchResult {
        answer,
        outcome: FlightOutcome::Failed(failed),
        recording: None,
    }
}

/// The stored response in place of an error, if that is allowed. Calls for the same response are
/// then paused for a while.
pub(crate) fn stale_on_error<B>(
    cache: &Cache,
    context: &RequestContext,
    failure: Failure,
) -> Option<Response<CacheBody<B>>> {
    let stale = stale::stale(cache, context, failure.into())?;
    stale::pause_after(cache, failure, context);
    Some(stale)
}

/// The answer to 500, 502, 503 or 504: stale if that is allowed, else the error itself.
pub(crate) fn error_status<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    response: Response<B>,
) -> FetchResult<B, E> {
    let failed = by_status(cache, &response);
    cache.shared.metrics().origin_failures.increment(1);
    let answer = stale_on_error(cache, context, failed)
        .unwrap_or_else(|| fetched::pass_on(cache, context, Storing::Failure, response));
    FetchResult {
        answer: Ok(answer),
        outcome: FlightOutcome::Failed(failed),
        recording: None,
    }
}

/// The failure that a response is.
pub(crate) fn by_status<B>(cache: &Cache, response: &Response<B>) -> Failure {
    let now = cache.shared.clock.wall();
    Failure::Status {
        status: response.status(),
        retry_after: fields::retry_after(response.headers(), now),
    }
}
