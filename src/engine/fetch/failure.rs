//! An exchange that failed: a stale answer where that is allowed, else the error.

use std::time::Duration;

use http::Response;
use http_body::Body;

use super::{call::NoResponse, fetched::Exchanged};
use crate::{
    body::CacheBody,
    engine::{context::Errand, respond, stale},
    outcome::{Generated, Storing},
    state::{
        cache::Cache,
        flights::{Failure, Flown},
    },
};

/// Without a response: stale if that is allowed, else the error.
pub(crate) fn failed<B, E>(
    cache: &Cache,
    errand: &Errand,
    failure: NoResponse<E>,
) -> Exchanged<B, E> {
    let failed = match &failure {
        NoResponse::Error(_) => Failure::Error,
        NoResponse::Open(retry_after) => Failure::Open(whole_seconds(*retry_after)),
        NoResponse::Timeout => Failure::Timeout,
    };
    if !matches!(failed, Failure::Open(_)) {
        cache.shared.metrics().origin_failures.increment(1);
    }
    let answer = match (instead(cache, errand, failed), failure) {
        (Some(stale), _) => Ok(stale),
        (None, NoResponse::Error(error)) => Err(error),
        (None, NoResponse::Open(_)) => Ok(respond::generated(cache, failed.for_waiters())),
        (None, NoResponse::Timeout) => Ok(respond::generated(cache, Generated::OriginTimeout)),
    };
    Exchanged {
        answer,
        flown: Flown::Failed(failed),
        recording: None,
    }
}

/// The stored response in place of a failure, if that is allowed. Then the origin is left alone
/// for a while.
fn instead<B>(cache: &Cache, errand: &Errand, failure: Failure) -> Option<Response<CacheBody<B>>> {
    let stale = stale::stale(cache, errand, failure.into())?;
    stale::pause_after(cache, failure, errand);
    Some(stale)
}

/// 500, 502, 503 or 504: stale if that is allowed, else passed on.
pub(crate) fn error_status<B: Body, E>(
    cache: &Cache,
    errand: &Errand,
    response: Response<B>,
) -> Exchanged<B, E> {
    let failed = Failure::Status(response.status());
    cache.shared.metrics().origin_failures.increment(1);
    let answer = instead(cache, errand, failed)
        .unwrap_or_else(|| respond::pass_on(cache, errand, Storing::Failure, response));
    Exchanged {
        answer: Ok(answer),
        flown: Flown::Failed(failed),
        recording: None,
    }
}

/// As `Retry-After` has it: rounded up, and one at least.
fn whole_seconds(span: Duration) -> u32 {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}
