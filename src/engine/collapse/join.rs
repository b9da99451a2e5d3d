//! Which flight a request joins, and what it looks up again once it leads or has waited.

use std::{fmt, sync::Arc};

use crate::{
    engine::{
        context::RequestContext,
        fetch::conditions,
        hit_for_miss,
        lookup::{self, Next, Served, StoredAnswer},
    },
    flight::Leader,
    outcome::StaleReason,
    semantics::classify::Requester,
    state::{
        cache::Cache,
        flights::{Audience, FlightKey, FlightOutcome},
    },
};

/// How a request takes part in collapsing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Collapsing {
    /// It leads a flight, or waits for one.
    Join,
    /// It may share a response that is already there, but waits for none: the response to come may
    /// be for another client only.
    PeekOnly,
}

/// Looks into memory again for a request that has waited. What is stored now goes into the context;
/// a response that may be served at once is returned.
pub(super) async fn recheck_as_waiter(
    cache: &Cache,
    context: &mut RequestContext,
) -> Option<StoredAnswer> {
    let shared = &cache.shared;
    context.generation = context.request.generation(cache);
    let stored = shared.store.get(context.request.key.as_ref()).await.ok()?;
    let now = shared.clock.monotonic();
    let next = lookup::evaluate(cache, &context.request, stored.as_ref(), now);
    let next = context.adopt(next);
    context.stored = stored;
    match next {
        Next::Serve(entry, served) if shared.is_current(&entry) => {
            Some(StoredAnswer::in_memory(entry, now, served))
        }
        Next::Serve(..) | Next::Fetch { .. } | Next::Bypass(_) | Next::Refuse => None,
    }
}

/// Looks into memory again for a new leader, as the flight before this one may have ended since the
/// request's lookup. If the response stored by now is fresh, the flight completes with it. If the
/// origin failed, those who wait find the pause themselves.
pub(super) async fn recheck_as_leader(
    cache: &Cache,
    leader: &Leader<FlightKey, FlightOutcome>,
    context: &RequestContext,
) -> Option<StoredAnswer> {
    let shared = &cache.shared;
    let until = shared.purges.now();
    let stored = shared.store.get(context.request.key.as_ref()).await.ok()?;
    let now = shared.clock.monotonic();
    match lookup::evaluate(cache, &context.request, stored.as_ref(), now) {
        Next::Serve(entry, Served::Fresh)
            if shared.is_current(entry) && !context.has_selected(entry) =>
        {
            leader.complete(FlightOutcome::Stored(Arc::clone(entry), until));
            Some(StoredAnswer::in_memory(
                Arc::clone(entry),
                now,
                Served::Fresh,
            ))
        }
        Next::Serve(entry, served @ Served::Stale(StaleReason::Paused))
            if shared.is_current(entry) =>
        {
            Some(StoredAnswer::in_memory(Arc::clone(entry), now, served))
        }
        Next::Serve(..) | Next::Fetch { .. } | Next::Bypass(_) | Next::Refuse => None,
    }
}

/// Tells those who will wait whose request leads. Before the attempt begins.
pub(super) fn announce(leader: &Leader<FlightKey, FlightOutcome>, context: &RequestContext) {
    if context.request.requester() != Requester::Plain {
        leader.for_itself();
    }
}

/// The flight that a request belongs to. If the resource is known to have variants, each variant
/// has a flight of its own from the start.
pub(super) fn flight_key(cache: &Cache, context: &RequestContext) -> FlightKey {
    FlightKey {
        key: context.request.key.to_key(),
        generation: context.generation,
        changes: cache.shared.remote_changes(&context.request.key),
        variant: context.variant(cache),
        audience: Audience::Everybody,
    }
}

/// Why a request waits for no other request's response.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GoesAlone {
    /// Its own conditions or its range go to the origin, so that the response is for its client only
    /// ([`ConditionalMiss`](crate::ConditionalMiss), [`RangeMiss`](crate::RangeMiss)).
    Conditions,
    /// It has `Authorization`, or a field that means the same, or `no-store`.
    Private,
    /// The response could not be shared a moment ago
    /// ([`uncacheable_for`](crate::CacheBuilder::uncacheable_for)).
    Uncacheable,
}

impl GoesAlone {
    pub(crate) fn of(cache: &Cache, context: &RequestContext) -> Option<Self> {
        if conditions::forwards_conditions(cache, context) {
            Some(Self::Conditions)
        } else if context.request.requester() == Requester::Private {
            Some(Self::Private)
        } else if hit_for_miss::is_uncacheable(cache, context) {
            Some(Self::Uncacheable)
        } else {
            None
        }
    }
}

impl fmt::Display for GoesAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conditions => "its conditions or its range go to the origin",
            Self::Private => "it has credentials or `no-store`",
            Self::Uncacheable => "the response could not be shared a moment ago",
        })
    }
}

/// Whether the request may wait for another's response.
pub(super) fn collapsing(cache: &Cache, context: &RequestContext) -> Collapsing {
    match GoesAlone::of(cache, context) {
        Some(_) => Collapsing::PeekOnly,
        None => Collapsing::Join,
    }
}
