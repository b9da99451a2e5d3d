//! One call of the origin: its time limit and its circuit breaker.

use std::time::Duration;

use http::{Request, Response};
use http_body::Body;

use super::{storability::ExchangeTimes, timing::Timing};
use crate::{
    body::CacheBody,
    breaker::{HttpClassify, OriginBreaker, Verdict},
    engine::{
        deadline::{Deadline, DeadlinePassed},
        nesting,
        origin_call::OriginCall,
        respond,
    },
    extensions::{Blame, RequestProgress},
    inner::CacheableService,
    key::target_of,
    outcome::Generated,
    semantics::fields,
    state::cache::{Cache, Shared},
};

/// Why a call of the inner service brought no response.
pub(crate) enum CallError<E> {
    Error(E),
    /// An error too, after the service had sent the request twice.
    Repeated(E),
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
    let shared = &cache.shared;
    let forwarded = shared.clock.wall();
    let began = shared.clock.monotonic();
    let answer = guarded_call(cache, deadline, inner, request, Some(shared)).await;
    let times = ExchangeTimes::until_now(&*shared.clock, forwarded, began);
    match answer {
        Ok(mut response) => {
            fields::ensure_date(response.headers_mut(), times.times.response);
            Ok((response, times))
        }
        Err(failure) => Err(failure),
    }
}

/// Passes a request on to the inner service for a layer of the same cache that is further out, with
/// the time limit and the circuit breaker of this layer.
pub(crate) async fn pass_on<S, Q>(
    cache: &Cache,
    inner: S,
    request: Request<Q>,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    // The outer layer counts the call.
    let deadline = Deadline::after(cache.config.origin_timeout);
    match guarded_call(cache, deadline, inner, request, None).await {
        Ok(response) => Ok(response.map(CacheBody::origin)),
        Err(CallError::Error(error) | CallError::Repeated(error)) => Err(error),
        Err(CallError::Open(retry_after)) => {
            let retry_after = whole_seconds(retry_after);
            Ok(respond::unlabelled(&Generated::BreakerOpen { retry_after }))
        }
        Err(CallError::Timeout) => Ok(respond::unlabelled(&Generated::OriginTimeout)),
    }
}

/// Calls this instance once it is ready, if the circuit breaker permits, and at most until the
/// deadline. If it is called, that is counted and timed for `counted`.
async fn guarded_call<S, Q>(
    cache: &Cache,
    deadline: Deadline,
    inner: S,
    mut request: Request<Q>,
    counted: Option<&Shared>,
) -> Result<Response<S::Body>, CallError<S::Error>>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let progress = RequestProgress::of(request.extensions_mut());
    let priority = request.extensions().get().copied().unwrap_or_default();
    let breaker = cache.config.breaker.as_ref();
    let breaker = breaker.filter(|it| !nesting::has_permit(it, request.extensions()));
    let breaker = breaker.map(|it| {
        (
            it,
            OriginBreaker::path(target_of(request.uri(), request.extensions())),
        )
    });
    let call = async {
        let timing = counted.map(Timing::begin);
        let answer = deadline.limit(OriginCall::new(cache, inner, request)).await;
        if let Some(timing) = timing {
            timing.end(&answer);
        }
        answer
    };
    let answer = match breaker {
        None => call.await,
        Some((breaker, path)) => {
            let judge = |answer: &_| judge(answer, &progress);
            match breaker.call(priority, path, call, judge).await {
                Ok(answer) => answer,
                Err(retry_after) => return Err(CallError::Open(retry_after)),
            }
        }
    };
    match answer {
        Ok(Err(error)) if progress.is_repeated() => Err(CallError::Repeated(error)),
        Ok(answer) => answer.map_err(CallError::Error),
        Err(DeadlinePassed) => Err(CallError::Timeout),
    }
}

/// What the result of a call says about the origin.
fn judge<B, E>(
    answer: &Result<Result<Response<B>, E>, DeadlinePassed>,
    progress: &RequestProgress,
) -> Verdict {
    match answer {
        Ok(Ok(response)) => HttpClassify::status(response.status()),
        // One slow page says nothing about the others, whoever gave it up.
        Err(DeadlinePassed) => Verdict::PartFailure,
        Ok(Err(_)) => match progress.blame() {
            Some(Blame::Path) => Verdict::PartFailure,
            Some(Blame::Service) => Verdict::Ignored,
            Some(Blame::Client | Blame::Origin) | None => Verdict::Failure,
        },
    }
}

/// The seconds of a `Retry-After` field: rounded up, and at least one.
pub(crate) fn whole_seconds(span: Duration) -> u32 {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}
