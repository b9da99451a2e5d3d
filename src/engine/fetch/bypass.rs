//! Forwards a request that has no part in what is stored: the request is not plain, and only a
//! policy gave the stored response a lifetime.
//!
//! Such a request cannot be told from the beginning: whether it bypasses the cache depends on what
//! is stored. Therefore it is the engine that forwards it, with the time limit and the circuit
//! breaker that apply to every fetch.

use http::{Request, Response};
use http_body::Body;

use super::{call, failure, fetched::FetchResult};
use crate::{
    engine::{context::RequestContext, report, respond},
    inner::CacheableService,
    outcome::CacheOutcome,
    semantics::{classify::Bypass, decide::OriginAnswer},
    state::cache::Cache,
};

/// Forwards the request as its client sent it. The answer is for this client alone, and changes
/// nothing that is stored.
pub(crate) async fn bypass<S, Q>(
    cache: &Cache,
    inner: S,
    context: &RequestContext,
    body: Q,
    reason: Bypass,
) -> FetchResult<S::Body, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    if reason == Bypass::Cookie {
        report::cookie_cost_a_hit(cache, &context.request);
    }
    let parts = context.request.as_received();
    let request = Request::from_parts(parts, body);
    let call = call::call_origin(cache, inner, request, context.deadline);
    let response: Response<S::Body> = match call.await {
        Ok((response, _)) => response,
        Err(failure) => return failure::failed(cache, context, failure),
    };
    if OriginAnswer::of(response.status()) == OriginAnswer::Error {
        cache.shared.metrics().origin_failures.increment(1);
    }
    let method = &context.request.parts.method;
    let label = CacheOutcome::Bypassed(reason).into();
    let answer = respond::from_origin(cache, method, response, label);
    FetchResult::private(context, answer)
}
