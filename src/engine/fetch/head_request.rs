//! Forwards a HEAD, and freshens or invalidates the stored response to GET by the answer
//! (RFC 9111 §4.3.5).

use std::sync::Arc;

use http::{Method, Request, Response, response};
use http_body::Body;

use super::{
    call, failure,
    fetched::pass_on,
    storability::{self, ExchangeTimes},
    storing,
};
use crate::{
    body::CacheBody,
    engine::{context::RequestContext, nesting::reports, peers::publish, tags},
    entry::Entry,
    extensions::NoStore,
    inner::CacheableService,
    outcome::Storing,
    purge::Standing,
    semantics::{
        classify::Requester,
        decide::{OriginAnswer, Validity},
        storable::{NotStored, Side},
        validate::{self, HeadUpdate},
    },
    state::cache::Cache,
};

/// Forwards a HEAD as it is: it never becomes a GET, and its answer is never stored.
pub(crate) async fn forward_head<S, Q>(
    cache: &Cache,
    inner: S,
    context: &RequestContext,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let request = Request::from_parts(context.request.parts.clone(), body);
    let call = call::call_origin(cache, inner, request, context.deadline);
    let (response, times) = match call.await {
        Ok(answer) => answer,
        Err(failure) => return failure::failed(cache, context, failure).answer,
    };
    if OriginAnswer::of(response.status()) == OriginAnswer::Error {
        return failure::error_status(cache, context, response).answer;
    }
    let (parts, body) = response.into_parts();
    let cache = &reports::judge(cache, &parts.extensions);
    // What a HEAD says for its own client only changes nothing for the others.
    if let Some(stored) = &context.stored
        && context.request.requester() == Requester::Plain
        && parts.extensions.get::<NoStore>().is_none()
    {
        for entry in stored.variants() {
            freshen_from_head(cache, context, entry, &parts, times).await;
        }
    }
    let storing = Storing::Refused(NotStored::Method);
    Ok(pass_on(
        cache,
        context,
        storing,
        Response::from_parts(parts, body),
    ))
}

/// Freshens or invalidates one stored response by the answer to a HEAD that selects it.
async fn freshen_from_head(
    cache: &Cache,
    context: &RequestContext,
    entry: &Arc<Entry>,
    head: &response::Parts,
    at: ExchangeTimes,
) {
    let Cache { shared, config } = cache;
    let rules = &config.rules;
    let request_headers = &context.request.parts.headers;
    if shared.purged(context.request.key.as_bytes(), entry) == Standing::Purged {
        return;
    }
    if !entry
        .selecting()
        .matches(request_headers, shared.seed(), rules.language_order)
    {
        return;
    }
    let mut stored = entry.unpack();
    match validate::head_update(
        &stored.headers,
        entry.status(),
        entry.body_len(),
        head.status,
        &head.headers,
        rules.head_updates,
    ) {
        HeadUpdate::Keep => {}
        HeadUpdate::Invalidate => {
            stored.meta.validity = Validity::Invalidated;
            let flagged = Arc::new(entry.with_head(&stored, &shared.names));
            storing::swap(cache, context, entry, Some(flagged)).await;
        }
        HeadUpdate::Update => {
            let mut merged = Response::new(()).into_parts().0;
            merged.status = entry.status();
            merged.headers = stored.headers;
            reports::copy(&head.extensions, &mut merged.extensions);
            tags::keep(entry, head, &mut merged);
            validate::merge(&mut merged.headers, &head.headers, at.times.response, rules);
            // The stored response answers GET, so the merged head is judged as a response to GET.
            let mut as_get = context.clone();
            as_get.request.parts.method = Method::GET;
            let mut evaluation = storability::evaluate(cache, &as_get, &merged, at);
            // Only a validator shows that an invalidated response is still valid. Under
            // `HeadUpdates::Literal` there may be none.
            if !validate::has_validator(&head.headers) {
                evaluation.head.meta.validity = context.request.validity(cache, entry);
            }
            match evaluation.storable {
                Ok(()) => {
                    let version =
                        publish::remote_version(cache, context, &evaluation.head.meta.selecting);
                    let updated = entry.with_head(&evaluation.head, &shared.names);
                    let updated = Arc::new(updated.with_remote_version(version));
                    storing::swap(cache, context, entry, Some(updated)).await;
                }
                // The reason lies in this request: it says nothing about the stored response.
                Err(reason) if reason.side() == Side::Request => {}
                Err(_) => storing::swap(cache, context, entry, None).await,
            }
        }
    }
}
