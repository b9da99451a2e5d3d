//! The road of a request, from its key to its answer.
//!
//! 1. [`Asked::destination`]: what kind of request is it, and what is its key?
//! 2. look up: which stored response does it select?
//! 3. [`decide()`]: serve, serve stale, revalidate, fetch or refuse?
//! 4. [`fly`](crate::engine::collapse): ask the origin, or wait for one who does.
//! 5. [`fetch`](crate::engine::fetch::fetch): the exchange with the origin, and what it is worth.
//! 6. [`keep`](crate::engine::fetch::storing): what of it is stored.
//! 7. [`respond`]: the answer, in the shape this client asked for.
//!
//! A hit in memory goes from 2 to 7 in [`from_memory`], without waiting for anything.

use std::sync::Arc;

use http::Response;
use http_body::Body;

use super::{
    collapse::{collapse, refresh},
    context::{Errand, Road, Timing},
    fetch::head_request,
    lookup::{Next, Served, look},
    request::Asked,
    respond, stale,
    stale::InTime,
};
use crate::{
    body::CacheBody,
    inner::CacheableService,
    outcome::{ForwardReason, Generated, StaleReason},
    remote::Consulted,
};

/// Answers a request that may need the origin, or a store that takes its time.
pub(crate) async fn travel<S, Q>(
    handler: Road<S>,
    asked: Asked,
    body: Q,
    timing: Timing,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let shared = &handler.cache.shared;
    // Before the lookup: what is found now may be replaced by what is fetched now, unless the
    // resource is invalidated from here on.
    let generation = asked.generation(&handler.cache);
    let lookup = shared.store.get(asked.key.as_ref());
    let stored = lookup.await.unwrap_or_else(|error| {
        // A store that fails holds nothing.
        tracing::debug!(%error, "lookup failed");
        shared.metrics().store_errors.increment(1);
        None
    });
    let now = shared.clock.monotonic();
    let (mut step, selected, forward) = match look(&handler.cache, &asked, stored.as_ref(), now) {
        Next::Serve(entry, served) => (Step::Serve(served), Some(entry), ForwardReason::Stale),
        Next::Refresh(entry) => (Step::Refresh, Some(entry), ForwardReason::Stale),
        Next::Refuse => (Step::Refuse, None, ForwardReason::UriMiss),
        Next::Ask { selected, forward } => (Step::Ask, selected, forward),
    };
    // Unless another request has had it refreshed by now.
    let timing = match selected {
        Some(entry) if timing == Timing::Early && entry.is_ageing(now) => timing,
        _ => Timing::OnDemand,
    };
    // In a box: it is large, and handed on from future to future.
    let mut errand = Box::new(Errand {
        selected: selected.map(Arc::clone),
        asked,
        forward,
        found: None,
        generation,
        lease: None,
        seen: None,
        stored,
        timing,
        varies: Vec::new(),
    });
    if step != Step::Ask && !errand.selected.as_ref().is_some_and(|it| shared.trusts(it)) {
        // Other nodes may have stored something, or changed what is in memory.
        match handler.cache.consult(&mut errand).await {
            Consulted::Serve(entry, now, served) => {
                return Ok(refresh::found::<S, Q>(
                    handler, errand, None, &entry, now, served,
                ));
            }
            Consulted::Ask if errand.asked.directives.only_if_cached => {
                return Ok(respond::generated(&handler.cache, Generated::OnlyIfCached));
            }
            Consulted::Ask => step = Step::Ask,
            // When they do not answer, what is in memory is the best there is.
            Consulted::Silent => {}
        }
    }
    match (step, errand.selected.clone()) {
        (Step::Serve(served), Some(entry)) => Ok(refresh::found::<S, Q>(
            handler, errand, None, &entry, now, served,
        )),
        (Step::Refresh, Some(entry)) => {
            let served = Served::Stale(StaleReason::WhileRevalidate);
            Ok(refresh::found::<S, Q>(
                handler, errand, None, &entry, now, served,
            ))
        }
        (Step::Refuse, _) => Ok(respond::generated(&handler.cache, Generated::OnlyIfCached)),
        // Only what was selected is ever served.
        (Step::Ask | Step::Refresh | Step::Serve(_), _) => ask(handler, errand, body).await,
    }
}

/// Answers a request that memory has no answer to.
async fn ask<S, Q>(
    handler: Road<S>,
    mut errand: Box<Errand>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    if !errand.asked.is_head() {
        return collapse::fly(handler, errand, body).await;
    }
    if errand.seen.is_none()
        && let Consulted::Serve(entry, now, served) = handler.cache.consult(&mut errand).await
    {
        return Ok(refresh::found::<S, Q>(
            handler, errand, None, &entry, now, served,
        ));
    }
    let mut fetching = Box::pin(head_request::fetch_head(
        &handler.cache,
        handler.inner,
        &errand,
        body,
    ));
    if !stale::is_impatient(&handler.cache, &errand) {
        return fetching.await;
    }
    // Its answer is not stored, so nothing is lost with it.
    match stale::in_time(&handler.cache, &errand, &mut fetching).await {
        InTime::Answered(answer) => answer,
        InTime::Stale(stale) => Ok(stale),
    }
}

/// What comes after the lookup in memory, for the errand that has what was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Ask,
    Refresh,
    Refuse,
    Serve(Served),
}
