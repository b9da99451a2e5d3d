//! One exchange with the origin, from the request to the judged response.

use http::{Request, StatusCode};
use http_body::Body;

use super::{
    bypass, call,
    conditions::{self, Conditions},
    failure,
    fetched::{FetchResult, Permit},
    receive, revalidate, storing,
};
use crate::{
    engine::{context::RequestContext, nesting::reports},
    inner::CacheableService,
    semantics::{classify::Requester, validate},
    state::cache::Cache,
};

/// Asks the origin, and judges the response. A body to store is left to
/// [`record`](super::storing::record).
pub(crate) async fn fetch<S, Q>(
    cache: &Cache,
    inner: S,
    context: &RequestContext,
    body: Q,
    permit: Permit,
) -> FetchResult<S::Body, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    if let Some(reason) = context.bypass {
        return bypass::bypass(cache, inner, context, body, reason).await;
    }
    let mut request = Request::from_parts(context.request.parts.clone(), body);
    let conditions = conditions::set_conditions(cache, context, &mut request);
    let deadline = context.deadline;
    let call = call::call_origin(cache, inner.clone(), request, deadline);
    let (response, times) = match call.await {
        Ok(answer) => answer,
        Err(failure) => return failure::failed(cache, context, failure),
    };
    let cache = &reports::judge(cache, response.extensions());
    if conditions != Conditions::Validating || response.status() != StatusCode::NOT_MODIFIED {
        return receive::receive(cache, context, response, times, conditions, permit).await;
    }
    let (not_modified, _) = response.into_parts();
    if let Some(fetched) = revalidate::freshen(cache, context, &not_modified, times).await {
        return fetched;
    }
    // The 304 is about another representation: ask once more, without conditions (RFC 9111 §4.3.3).
    // If it is everybody's, the stored one is gone with an answer to that, but not with a failure.
    let body = context.request.new_body(cache);
    let mut request = Request::from_parts(context.request.parts.clone(), body);
    validate::strip(request.headers_mut());
    match call::call_origin(cache, inner, request, deadline).await {
        Ok((response, times)) => {
            let cache = &reports::judge(cache, response.extensions());
            if response.status() == StatusCode::NOT_MODIFIED
                && context.request.requester() == Requester::Plain
            {
                // It answers nothing that was asked, and confirms no more than the first one.
                storing::remove_selected(cache, context).await;
            }
            receive::receive(
                cache,
                context,
                response,
                times,
                Conditions::Stripped,
                permit,
            )
            .await
        }
        Err(failure) => failure::failed(cache, context, failure),
    }
}
