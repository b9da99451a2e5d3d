//! Hit-for-miss: requests for a key whose response could not be shared a moment ago do not wait for
//! each other.
//!
//! A mark has the class of the request that set it. One set by a plain request holds for all: what
//! nobody may share needs no waiting. One set by a request with a cookie or a key of its own says
//! nothing about those without, so it holds for such requests only. A request with `Authorization`
//! waits for no other and sets no mark. And where a resource is known to have variants, each has marks of
//! its own. So no client can turn off collapsing for the others.
//!
//! In the same way refreshes are paused whose response was not stored.

use super::context::RequestContext;
use crate::{semantics::classify::Requester, state::cache::Cache};

/// From now on, and for a while, requests for this key do not wait for each other.
pub(crate) fn remember_uncacheable(cache: &Cache, context: &RequestContext) {
    let Cache { shared, config } = cache;
    if let Some(mark) = mark(cache, context) {
        let now = shared.clock.monotonic();
        shared
            .hit_for_miss
            .insert(mark, now, config.uncacheable_for);
    }
}

/// Ends what [`remember_uncacheable`] began: there is a response that can be shared.
pub(crate) fn forget_uncacheable(cache: &Cache, context: &RequestContext) {
    if context.request.requester() != Requester::Private {
        for mark in marks(cache, context) {
            cache.shared.hit_for_miss.remove(mark);
        }
    }
}

/// Whether requests for this key go to the origin without waiting for each other.
pub(crate) fn is_uncacheable(cache: &Cache, context: &RequestContext) -> bool {
    let shared = &cache.shared;
    let now = shared.clock.monotonic();
    marks(cache, context).any(|mark| shared.hit_for_miss.contains(mark, now))
}

/// From now on, and for `refresh_pause`, such requests do not have the stored response refreshed.
pub(crate) fn pause_refreshes(cache: &Cache, context: &RequestContext) {
    let Cache { shared, config } = cache;
    if let Some(mark) = mark(cache, context) {
        let now = shared.clock.monotonic();
        shared
            .refresh_backoff
            .insert(mark, now, config.refresh_pause);
    }
}

/// Whether such requests do not have the stored response refreshed.
pub(crate) fn refreshes_are_paused(cache: &Cache, context: &RequestContext) -> bool {
    let shared = &cache.shared;
    let now = shared.clock.monotonic();
    // Another node, or the circuit breaker, speaks for all variants.
    let mut marks = marks(cache, context).chain([context.request.key.hash()]);
    marks.any(|mark| shared.refresh_backoff.contains(mark, now))
}

/// The marks that hold for a request.
fn marks(cache: &Cache, context: &RequestContext) -> impl Iterator<Item = u64> {
    let heeded = context.request.requester().heeds().iter();
    let hash = context.variant_hash(cache);
    heeded.filter_map(move |class| of_class(hash, *class))
}

/// The mark that a request sets.
fn mark(cache: &Cache, context: &RequestContext) -> Option<u64> {
    of_class(context.variant_hash(cache), context.request.requester())
}

fn of_class(hash: u64, class: Requester) -> Option<u64> {
    match class {
        Requester::Plain | Requester::Personal => Some(class.mark(hash)),
        Requester::Private => None,
    }
}
