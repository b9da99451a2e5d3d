//! The lookup: which stored response a request selects, and what to do with it.

use std::{sync::Arc, time::Duration};

use http::Response;

use super::{request::Asked, respond};
use crate::{
    body::CacheBody,
    entry::Entry,
    outcome::{CacheOutcome, ForwardReason, StaleReason},
    semantics::{
        decide::{Candidate, Decision, Found, Stale, decide},
        select,
    },
    state::cache::Cache,
    store::{Resource, StoreFuture},
    ttl::is_due,
};

/// What memory has for a request.
pub(crate) enum InMemory<B> {
    Answer(Response<CacheBody<B>>),
    /// Nothing that is all it takes.
    Else,
    /// An answer, and a reason to refresh it before it expires.
    Expiring,
}

/// Answers a request from memory, if that is all it takes.
pub(crate) fn from_memory<B>(cache: &Cache, asked: &Asked) -> InMemory<B> {
    let lookup = cache.shared.store.get(asked.key.as_ref());
    let StoreFuture::Ready(Some(Ok(Some(resource)))) = &lookup else {
        return InMemory::Else;
    };
    let now = cache.shared.clock.monotonic();
    match look(cache, asked, Some(resource), now) {
        Next::Serve(entry, served) if cache.shared.trusts(entry) => {
            if served == Served::Fresh && is_expiring(cache, entry, now) {
                return InMemory::Expiring;
            }
            InMemory::Answer(serve(cache, asked, entry, now, served))
        }
        Next::Serve(..) | Next::Ask { .. } | Next::Refresh(_) | Next::Refuse => InMemory::Else,
    }
}

/// Whether a fresh entry is to be refreshed early, by this request. None is in the first half of the
/// freshness that it came with, which would be halved over and over where a fetch takes nearly as
/// long.
fn is_expiring(cache: &Cache, entry: &Entry, now: Duration) -> bool {
    let draw = || cache.shared.chance.draw();
    let due = |beta| is_due(entry.fresh_for(now), entry.cost(), beta, draw);
    cache.config.early_refresh.is_some_and(due) && entry.is_ageing(now)
}

/// What comes after a lookup.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// Ask the origin, about the selected response if there is one.
    Ask {
        selected: Option<&'a Arc<Entry>>,
        forward: ForwardReason,
    },
    /// Serve it, and have it refreshed in the background.
    Refresh(&'a Arc<Entry>),
    Refuse,
    Serve(&'a Arc<Entry>, Served),
}

/// How a stored response is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Served {
    Fresh,
    Stale(StaleReason),
}

/// Selects among what is stored, and decides.
pub(crate) fn look<'a>(
    cache: &Cache,
    asked: &Asked,
    stored: Option<&'a Resource>,
    now: Duration,
) -> Next<'a> {
    let seed = cache.shared.seed();
    let order = cache.config.rules.language_order;
    let request = &asked.parts.headers;
    let selected =
        stored.and_then(|resource| select::select(resource.variants(), request, seed, order));
    let found = match selected {
        Some(entry) => Found::Selected(Candidate {
            freshness: entry.freshness(),
            age: entry.age(now),
            standing: asked.standing(cache, entry),
        }),
        None if stored.is_some() => Found::NoVariant,
        None => Found::Nothing,
    };
    let ask = |forward| Next::Ask { selected, forward };
    match (decide(found, &asked.directives), selected) {
        (Decision::Serve, Some(entry)) => Next::Serve(entry, Served::Fresh),
        (Decision::ServeStale(Stale::Client), Some(entry)) => {
            Next::Serve(entry, Served::Stale(StaleReason::Client))
        }
        (Decision::ServeStale(Stale::WhileRevalidate), Some(entry)) => Next::Refresh(entry),
        // Only what was selected is ever served.
        (Decision::Serve | Decision::ServeStale(_), None) => ask(ForwardReason::UriMiss),
        (Decision::Revalidate(_), Some(entry)) if is_paused(cache, asked, entry, now) => {
            Next::Serve(entry, Served::Stale(StaleReason::Paused))
        }
        (Decision::Revalidate(why), _) => ask(why.into()),
        (Decision::Fetch(missing), _) => ask(missing.into()),
        (Decision::Refuse, _) => Next::Refuse,
    }
}

/// Whether the origin failed a moment ago, and `entry` may be the answer instead.
#[cold]
fn is_paused(cache: &Cache, asked: &Asked, entry: &Entry, now: Duration) -> bool {
    let paused = &cache.shared.paused;
    paused.contains(asked.pause_hash(entry), now) && asked.takes_instead(cache, entry, now)
}

/// The answer from a stored response.
pub(crate) fn serve<B>(
    cache: &Cache,
    asked: &Asked,
    entry: &Arc<Entry>,
    now: Duration,
    served: Served,
) -> Response<CacheBody<B>> {
    entry.count();
    let ttl = entry.freshness().ttl(entry.age(now));
    let outcome = match served {
        Served::Fresh => CacheOutcome::Hit { ttl },
        Served::Stale(reason) => CacheOutcome::Stale { reason, ttl },
    };
    respond::from_entry(cache, asked, entry, now, outcome.into())
}
