//! The steps that a request takes, in order.
//!
//! 1. [`CacheRequest::destination`]: the request's kind, and its key.
//! 2. [`lookup`](super::lookup): the stored response that it selects; [`decide`] whether to serve
//!    it, serve it stale, validate it, fetch, or refuse.
//! 3. [`peers`]: the same in the tier that nodes share, if memory has no answer.
//! 4. [`collapse`]: one origin call for all requests that want the same response.
//! 5. [`fetch`](super::fetch): the exchange with the origin, and whether its response may be
//!    stored.
//! 6. [`storing`](super::fetch::storing): the body is recorded while clients read it, then stored.
//! 7. [`respond`]: the answer, by this client's method, conditions and range.
//!
//! A hit in memory goes from step 2 to step 7 in [`from_memory`](super::lookup::from_memory), and
//! waits for nothing.
//!
//! [`decide`]: crate::semantics::decide::decide()

use std::sync::Arc;

use http::Response;
use http_body::Body;

use super::{
    collapse::{collapse, refresh},
    context::{Handler, RequestContext},
    deadline::Deadline,
    fetch::{bypass, conditions, head_request},
    lookup::{self, Next, Served, StoredAnswer, Trigger},
    peers::{self, lookup::RemoteLookup},
    request::CacheRequest,
    respond,
    stale::{self, WithinSoftTimeout},
};
use crate::{
    body::CacheBody,
    inner::CacheableService,
    outcome::{Generated, StaleReason},
};

/// Answers a request that memory alone cannot answer.
pub(crate) async fn handle<S, Q>(
    handler: Handler<S>,
    request: CacheRequest,
    body: Q,
    trigger: Trigger,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let shared = &handler.cache.shared;
    // Registers those of the shared tier too, before it is asked.
    shared.metrics();
    let deadline = Deadline::after(handler.cache.config.origin_timeout);
    // Before the lookup: a fetch for this request may replace what the lookup finds, but not what
    // is stored after an invalidation from here on.
    let generation = request.generation(&handler.cache);
    let born = shared.purges.now();
    let lookup = shared.store.get(request.key.as_ref());
    let stored = lookup.await.unwrap_or_else(|error| {
        // A store that fails counts as empty.
        tracing::debug!(%error, "lookup failed");
        shared.metrics().store_errors.increment(1);
        None
    });
    let now = shared.clock.monotonic();
    // In a box: it is large, and many futures pass it on.
    let mut context = Box::new(RequestContext::new(request, generation, born, deadline));
    let next = lookup::evaluate(&handler.cache, &context.request, stored.as_ref(), now);
    let next = context.adopt(next);
    context.stored = stored;
    if let Some(entry) = &context.selected
        // Unless another request has had it refreshed by now.
        && entry.is_ageing(now)
    {
        context.trigger = trigger;
    }
    let current = context
        .selected
        .as_ref()
        .is_some_and(|it| shared.is_current(it));
    if !matches!(next, Next::Bypass(_) | Next::Fetch { .. }) && !current {
        // Other nodes may have stored a response, or changed the one in memory.
        match peers::lookup::find(&handler.cache, &mut context).await {
            RemoteLookup::Hit(found) => {
                return Ok(refresh::answer_and_follow_up::<S, Q>(
                    handler, context, None, &found,
                ));
            }
            RemoteLookup::Miss if context.request.directives.only_if_cached => {
                return Ok(respond::generated(&handler.cache, Generated::OnlyIfCached));
            }
            RemoteLookup::Miss => {
                // The tier has nothing better, and the origin failed a moment ago.
                if let Next::Serve(entry, served @ Served::Stale(StaleReason::Paused)) = &next
                    && context.has_selected(entry)
                    && context
                        .request
                        .allows_stale_if_error(&handler.cache, entry, now)
                {
                    let found = StoredAnswer::in_memory(Arc::clone(entry), now, *served);
                    return Ok(refresh::answer_and_follow_up::<S, Q>(
                        handler, context, None, &found,
                    ));
                }
                return fetch(handler, context, body).await;
            }
            // The tier does not answer, so memory has the best there is.
            RemoteLookup::Unavailable => {}
        }
    }
    match next {
        Next::Bypass(_) | Next::Fetch { .. } => fetch(handler, context, body).await,
        Next::Refuse => Ok(respond::generated(&handler.cache, Generated::OnlyIfCached)),
        Next::Serve(entry, served) => Ok(refresh::answer_and_follow_up::<S, Q>(
            handler,
            context,
            None,
            &StoredAnswer::in_memory(entry, now, served),
        )),
    }
}

/// Answers a request that needs the origin.
async fn fetch<S, Q>(
    handler: Handler<S>,
    mut context: Box<RequestContext>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    if context.bypass.is_none() {
        if context.request.is_head() && conditions::fills_for_head(&handler.cache, &context) {
            context.request.fetch_whole();
            return collapse::collapse(handler, context, body).await;
        }
        if !context.request.is_head() {
            return collapse::collapse(handler, context, body).await;
        }
        if context.observed.is_none()
            && let RemoteLookup::Hit(found) =
                peers::lookup::find(&handler.cache, &mut context).await
        {
            return Ok(refresh::answer_and_follow_up::<S, Q>(
                handler, context, None, &found,
            ));
        }
    }
    if let Some(reason) = context.bypass {
        let forwarding = bypass::bypass(&handler.cache, handler.inner, &context, body, reason);
        return Box::pin(forwarding).await.answer;
    }
    let mut fetching = Box::pin(head_request::forward_head(
        &handler.cache,
        handler.inner,
        &context,
        body,
    ));
    if !stale::has_soft_fallback(&handler.cache, &context) {
        return fetching.await;
    }
    // The answer to a HEAD is not stored, so it may be dropped for a stale one.
    match stale::within_soft_timeout(&handler.cache, &context, &mut fetching).await {
        WithinSoftTimeout::Answered(answer) => answer,
        WithinSoftTimeout::Stale(stale) => Ok(stale),
    }
}
