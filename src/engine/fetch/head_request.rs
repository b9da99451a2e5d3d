//! A HEAD that was forwarded, and what its answer says of the stored response to GET
//! (RFC 9111 §4.3.5).

use std::sync::Arc;

use http::{Method, Request, Response, response};
use http_body::Body;

use super::storability::{self, Moments, Verdict};
use super::{call, failure, storing};
use crate::{
    body::CacheBody,
    engine::{context::Errand, respond},
    entry::Entry,
    inner::CacheableService,
    outcome::Storing,
    semantics::{
        decide::{Outcome, Standing},
        storable::{NotStored, Side},
        validate::{self, HeadUpdate},
    },
    state::cache::Cache,
};

/// Forwards a HEAD as it is. It is never turned into a GET, and its answer never stored.
pub(crate) async fn fetch_head<S, Q>(
    cache: &Cache,
    inner: S,
    errand: &Errand,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let request = Request::from_parts(errand.asked.parts.clone(), body);
    let (response, moments) = match call::exchange(cache, inner, request).await {
        Ok(answer) => answer,
        Err(failure) => return failure::failed(cache, errand, failure).answer,
    };
    if Outcome::of(response.status()) == Outcome::Error {
        return failure::error_status(cache, errand, response).answer;
    }
    let (parts, body) = response.into_parts();
    if let Some(stored) = &errand.stored {
        for entry in stored.variants() {
            compare(cache, errand, entry, &parts, moments).await;
        }
    }
    let storing = Storing::Refused(NotStored::Method);
    Ok(respond::pass_on(
        cache,
        errand,
        storing,
        Response::from_parts(parts, body),
    ))
}

/// Updates or invalidates one stored response by the answer to a HEAD that selects it.
async fn compare(
    cache: &Cache,
    errand: &Errand,
    entry: &Arc<Entry>,
    head: &response::Parts,
    at: Moments,
) {
    let Cache { shared, config } = cache;
    let rules = &config.rules;
    let request = &errand.asked.parts.headers;
    if !entry
        .selecting()
        .matches(request, shared.seed(), rules.language_order)
    {
        return;
    }
    let mut stored = entry.unpack();
    match validate::head_update(
        &stored.headers,
        entry.body_len(),
        head.status,
        &head.headers,
        rules.head_updates,
    ) {
        HeadUpdate::Keep => {}
        HeadUpdate::Invalidate => {
            stored.standing = Standing::Invalidated;
            let flagged = Arc::new(entry.with_head(&stored, &shared.shapes));
            storing::swap(cache, errand, entry, Some(flagged)).await;
        }
        HeadUpdate::Update => {
            let mut merged = Response::new(()).into_parts().0;
            merged.status = entry.status();
            merged.headers = stored.headers;
            validate::merge(&mut merged.headers, &head.headers, at.times.response, rules);
            // What is stored answers GET: the merged head is judged as one.
            let mut as_get = errand.clone();
            as_get.asked.parts.method = Method::GET;
            let mut assessment = storability::assess(cache, &as_get, &merged, at);
            // Only a validator tells that what is stored outlasted the change.
            if !validate::has_validator(&head.headers, at.times.response) {
                assessment.head.standing = errand.asked.standing(cache, entry);
            }
            match assessment.verdict {
                Verdict::Store => {
                    let mark = cache.mark(errand, &assessment.head.selecting);
                    let updated = entry.with_head(&assessment.head, &shared.shapes);
                    let updated = Arc::new(updated.marked(mark));
                    storing::swap(cache, errand, entry, Some(updated)).await;
                }
                // It says nothing about what others may have.
                Verdict::Refuse(reason) if reason.side() == Side::Request => {}
                Verdict::Refuse(_) => storing::swap(cache, errand, entry, None).await,
            }
        }
    }
}
