//! Stale answers in place of errors and of long waits, and the pause after a failure.

use std::{future::Future, sync::Arc};

use http::Response;
use tokio::time::timeout;

use super::{
    context::Errand,
    lookup::{Next, Served, look, serve},
    request::Asked,
    respond,
};
use crate::{
    body::CacheBody,
    entry::Entry,
    outcome::{CacheOutcome, StaleReason},
    semantics::select,
    state::{cache::Cache, flights::Failure},
    store::Resource,
};

/// How the leader of a flight is answered, or the waiting for it ended.
pub(crate) enum InTime<B, T> {
    Answered(T),
    /// By what is stored: the origin takes too long.
    Stale(Response<CacheBody<B>>),
}

/// Whether there is something stored for a request to get if the origin is slow.
pub(crate) fn is_impatient(cache: &Cache, errand: &Errand) -> bool {
    let now = cache.shared.clock.monotonic();
    let selected = errand.selected.as_ref();
    cache.config.soft_timeout.is_some()
        && selected.is_some_and(|entry| errand.asked.takes_instead(cache, entry, now))
}

/// Waits for an answer until the soft timeout; beyond that only if there is nothing else.
pub(crate) async fn in_time<B, F>(
    cache: &Cache,
    errand: &Errand,
    answer: &mut F,
) -> InTime<B, F::Output>
where
    F: Future + Unpin,
{
    if let Some(after) = cache.config.soft_timeout {
        if let Ok(answered) = timeout(after, &mut *answer).await {
            return InTime::Answered(answered);
        }
        if let Some(stale) = stand_in(cache, errand, StaleReason::Slow).await {
            return InTime::Stale(stale);
        }
    }
    InTime::Answered(answer.await)
}

/// For a while after the origin failed, nobody asks it for this key who may have what is stored
/// instead. The breaker has its own times.
pub(crate) fn pause_after(cache: &Cache, failure: Failure, errand: &Errand) {
    if matches!(failure, Failure::Open(_)) {
        return;
    }
    let Cache { shared, config } = cache;
    let now = shared.clock.monotonic();
    if let Some(entry) = &errand.selected {
        let hash = errand.asked.pause_hash(entry);
        shared.paused.set(hash, now, config.refresh_pause);
    }
}

/// The stored response that the request selected, if it may stand in for what the origin fails
/// to give (RFC 5861 §4), and nothing invalidated it since.
pub(crate) fn stale<B>(
    cache: &Cache,
    errand: &Errand,
    reason: StaleReason,
) -> Option<Response<CacheBody<B>>> {
    let entry = errand.selected.as_ref()?;
    let stands = errand.asked.generation(cache) == errand.generation;
    stands.then(|| stale_entry(cache, &errand.asked, entry, reason))?
}

/// The same for one who waited, for whom there may be something else in memory by now: that is
/// more recent than what was there when it came.
pub(crate) async fn stand_in<B>(
    cache: &Cache,
    errand: &Errand,
    reason: StaleReason,
) -> Option<Response<CacheBody<B>>> {
    let asked = &errand.asked;
    let stored = cache.shared.store.get(asked.key.as_ref()).await.ok()?;
    let now = cache.shared.clock.monotonic();
    let order = cache.config.rules.language_order;
    let (request, seed) = (&asked.parts.headers, cache.shared.seed());
    let variants = stored.as_ref().map_or(&[][..], Resource::variants);
    let Some(entry) = select::select(variants, request, seed, order) else {
        return stale(cache, errand, reason);
    };
    if let Next::Serve(entry, Served::Fresh) = look(cache, asked, stored.as_ref(), now) {
        return Some(serve(cache, asked, entry, now, Served::Fresh));
    }
    stale_entry(cache, asked, entry, reason)
}

fn stale_entry<B>(
    cache: &Cache,
    asked: &Asked,
    entry: &Arc<Entry>,
    reason: StaleReason,
) -> Option<Response<CacheBody<B>>> {
    let now = cache.shared.clock.monotonic();
    if !asked.takes_instead(cache, entry, now) {
        return None;
    }
    let ttl = entry.freshness().ttl(entry.age(now));
    let label = CacheOutcome::Stale { reason, ttl }.into();
    Some(respond::from_entry(cache, asked, entry, now, label))
}
