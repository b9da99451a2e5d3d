//! Stale answers in place of errors and of long waits, and the pause after a failure.

use std::{future::Future, sync::Arc, time::Duration};

use http::Response;
use tokio::time::timeout;

use super::{
    context::RequestContext,
    lookup::{self, Next, Served, StoredAnswer},
    request::CacheRequest,
    respond,
};
use crate::{
    body::CacheBody,
    entry::Entry,
    outcome::{CacheOutcome, StaleReason, Tier},
    semantics::select,
    state::{cache::Cache, flights::Failure},
    store::Resource,
};

/// How the wait for an answer ended, with a soft timeout.
pub(crate) enum WithinSoftTimeout<B, T> {
    Answered(T),
    /// The origin took too long: this is the answer from a stored response.
    Stale(Response<CacheBody<B>>),
}

/// Whether the request may get a stored response if the origin is slow or does not answer.
pub(crate) fn has_fallback(cache: &Cache, context: &RequestContext) -> bool {
    let now = cache.shared.clock.monotonic();
    let selected = context.selected.as_ref();
    selected.is_some_and(|entry| context.request.allows_stale_if_error(cache, entry, now))
}

/// The same, if there is a soft timeout.
pub(crate) fn has_soft_fallback(cache: &Cache, context: &RequestContext) -> bool {
    cache.config.soft_timeout.is_some() && has_fallback(cache, context)
}

/// Waits for an answer until the soft timeout, and longer only if no stored response may be served.
pub(crate) async fn within_soft_timeout<B, F>(
    cache: &Cache,
    context: &RequestContext,
    answer: &mut F,
) -> WithinSoftTimeout<B, F::Output>
where
    F: Future + Unpin,
{
    if let Some(after) = cache.config.soft_timeout {
        if let Ok(answered) = timeout(after, &mut *answer).await {
            return WithinSoftTimeout::Answered(answered);
        }
        if let Some(stale) = best_available(cache, context, StaleReason::Slow).await {
            return WithinSoftTimeout::Stale(stale);
        }
    }
    WithinSoftTimeout::Answered(answer.await)
}

/// Pauses the origin calls for a response after a failure, for requests that may get the stored one
/// instead: for as long as the origin asks, within `retry_after_cap`, and for `refresh_pause` at
/// least. A failure of a request that is not plain pauses only those of its class. An open circuit
/// breaker keeps its own time.
pub(crate) fn pause_after(cache: &Cache, failure: Failure, context: &RequestContext) {
    let Cache { shared, config } = cache;
    let asked = match failure {
        Failure::Open(_) => return,
        Failure::Status { retry_after, .. } => Duration::from_secs(retry_after.unwrap_or(0).into()),
        Failure::Error | Failure::Repeated | Failure::Timeout => Duration::ZERO,
    };
    let pause = config.refresh_pause.max(asked.min(config.retry_after_cap));
    let now = shared.clock.monotonic();
    if let Some(entry) = &context.selected {
        let mark = context.request.pause_mark(entry);
        shared.paused.insert(mark, now, pause);
    }
}

/// The stored response that the request selected, if it may be served in place of an error (RFC
/// 5861 §4) and has not been invalidated since.
pub(crate) fn stale<B>(
    cache: &Cache,
    context: &RequestContext,
    reason: StaleReason,
) -> Option<Response<CacheBody<B>>> {
    let entry = context.selected.as_ref()?;
    let generation = context.request.generation(cache);
    let is_valid = !context.generation.is_invalidated_in(generation);
    is_valid.then(|| stale_entry(cache, &context.request, entry, reason))?
}

/// The best stored response for a request that has waited: memory may hold a more recent one by
/// now, which may even be fresh.
pub(crate) async fn best_available<B>(
    cache: &Cache,
    context: &RequestContext,
    reason: StaleReason,
) -> Option<Response<CacheBody<B>>> {
    let request = &context.request;
    let stored = cache.shared.store.get(request.key.as_ref()).await.ok()?;
    let now = cache.shared.clock.monotonic();
    let order = cache.config.rules.language_order;
    let (request_headers, seed) = (&request.parts.headers, cache.shared.seed());
    let variants = stored.as_ref().map_or(&[][..], Resource::variants);
    let Some(entry) = select::select(variants, request_headers, seed, order) else {
        return stale(cache, context, reason);
    };
    if let Next::Serve(entry, Served::Fresh) =
        lookup::evaluate(cache, request, stored.as_ref(), now)
    {
        let found = StoredAnswer::in_memory(Arc::clone(entry), now, Served::Fresh);
        return Some(found.serve(cache, request));
    }
    stale_entry(cache, request, entry, reason)
}

fn stale_entry<B>(
    cache: &Cache,
    request: &CacheRequest,
    entry: &Arc<Entry>,
    reason: StaleReason,
) -> Option<Response<CacheBody<B>>> {
    let now = cache.shared.clock.monotonic();
    if !request.allows_stale_if_error(cache, entry, now) {
        return None;
    }
    let ttl = entry.freshness().ttl(entry.age_for_reuse(now));
    // What the shared tier had is in memory before the origin is asked.
    let tier = Tier::Memory;
    let label = CacheOutcome::Stale { reason, tier, ttl }.into();
    Some(respond::from_entry(cache, request, entry, now, label))
}
