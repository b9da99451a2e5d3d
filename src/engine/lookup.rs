//! The lookup: which stored response a request selects, and whether it answers the request.

use std::{sync::Arc, time::Duration};

use http::Response;

use super::{request::CacheRequest, respond};
use crate::{
    body::CacheBody,
    entry::Entry,
    outcome::{CacheOutcome, ForwardReason, StaleReason, Tier},
    purge::Standing,
    semantics::{
        classify::Bypass,
        decide::{Candidate, Decision, Stale, StoredMatch, decide, withheld},
        select,
    },
    state::cache::Cache,
    store::{Resource, StoreFuture},
    ttl::is_due,
};

/// What to do with a request, by what is stored for it. `E` is the selected entry, borrowed from
/// the lookup or owned.
#[derive(Debug)]
pub(crate) enum Next<E> {
    /// Ask the origin, to validate the selected response if there is one.
    Fetch {
        selected: Option<E>,
        forward: ForwardReason,
    },
    /// Forward the request: the selected response is not for it.
    Bypass(Bypass),
    /// Answer 504: the client wants nothing from the origin (`only-if-cached`).
    Refuse,
    /// Answer with the stored response. If it is stale while revalidated, refresh it too.
    Serve(E, Served),
}

impl<E> Next<E> {
    pub(crate) fn map<F>(self, with: impl FnOnce(E) -> F) -> Next<F> {
        match self {
            Self::Fetch { selected, forward } => Next::Fetch {
                selected: selected.map(with),
                forward,
            },
            Self::Bypass(reason) => Next::Bypass(reason),
            Self::Refuse => Next::Refuse,
            Self::Serve(entry, served) => Next::Serve(with(entry), served),
        }
    }
}

/// How a stored response is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Served {
    Fresh,
    Stale(StaleReason),
}

/// A stored response that answers a request.
#[derive(Clone, Debug)]
pub(crate) struct StoredAnswer {
    pub(crate) entry: Arc<Entry>,
    /// Where it was read for this request.
    pub(crate) tier: Tier,
    /// When it was found.
    pub(crate) now: Duration,
    pub(crate) served: Served,
}

impl StoredAnswer {
    pub(crate) fn in_memory(entry: Arc<Entry>, now: Duration, served: Served) -> Self {
        Self {
            entry,
            tier: Tier::Memory,
            now,
            served,
        }
    }

    pub(crate) fn serve<B>(&self, cache: &Cache, request: &CacheRequest) -> Response<CacheBody<B>> {
        serve(
            cache,
            request,
            &self.entry,
            self.tier,
            self.now,
            self.served,
        )
    }
}

/// What memory alone can do for a request.
pub(crate) enum FromMemory<B> {
    Answer(Response<CacheBody<B>>),
    /// It takes more than memory, for the answer or for an early refresh beside it.
    Continue(Trigger),
}

/// Why a response is fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trigger {
    /// A stored response that is still fresh has been served, and is refreshed before it expires.
    EarlyRefresh,
    /// No stored response answers the request.
    OnDemand,
}

/// Answers a request from memory, if that needs nothing else. Never waits.
pub(crate) fn from_memory<B>(cache: &Cache, request: &CacheRequest) -> FromMemory<B> {
    let lookup = cache.shared.store.get(request.key.as_ref());
    let StoreFuture::Ready(Some(Ok(Some(resource)))) = &lookup else {
        return FromMemory::Continue(Trigger::OnDemand);
    };
    let now = cache.shared.clock.monotonic();
    match evaluate(cache, request, Some(resource), now) {
        // The refresh that comes with it needs a task.
        Next::Serve(_, Served::Stale(StaleReason::WhileRevalidate)) => {
            FromMemory::Continue(Trigger::OnDemand)
        }
        Next::Serve(entry, served) if cache.shared.is_current(entry) => {
            if served == Served::Fresh && refreshes_early(cache, entry, now) {
                return FromMemory::Continue(Trigger::EarlyRefresh);
            }
            cache.shared.touch(entry, &request.key, now);
            FromMemory::Answer(serve(cache, request, entry, Tier::Memory, now, served))
        }
        Next::Serve(..) | Next::Fetch { .. } | Next::Bypass(_) | Next::Refuse => {
            FromMemory::Continue(Trigger::OnDemand)
        }
    }
}

/// Draws whether this request has a fresh entry refreshed before it expires.
///
/// An entry is never refreshed in the first half of the freshness that it arrived with. Otherwise,
/// where a fetch takes nearly as long as a response stays fresh, each refresh would bring a
/// response that is due for refresh at once.
fn refreshes_early(cache: &Cache, entry: &Entry, now: Duration) -> bool {
    let draw = || cache.shared.random.fraction();
    let due = |beta| is_due(entry.fresh_for(now), entry.fetch_duration(), beta, draw);
    cache.config.early_refresh.is_some_and(due) && entry.is_ageing(now)
}

/// Selects among the stored variants, and decides what to do (RFC 9111 §4).
pub(crate) fn evaluate<'a>(
    cache: &Cache,
    request: &CacheRequest,
    stored: Option<&'a Resource>,
    now: Duration,
) -> Next<&'a Arc<Entry>> {
    let seed = cache.shared.seed();
    let order = cache.config.rules.language_order;
    let headers = &request.parts.headers;
    let matching =
        stored.and_then(|resource| select::select(resource.variants(), headers, seed, order));
    // What was purged is as good as gone: it is not even validated.
    let selected = matching
        .filter(|entry| cache.shared.purged(request.key.as_bytes(), entry) == Standing::Usable);
    let found = match selected {
        Some(entry) => match withheld(entry.freshness(), request.facts) {
            Some(reason) => StoredMatch::Withheld(reason),
            None => StoredMatch::Selected(Candidate {
                freshness: entry.freshness(),
                age: entry.age_for_reuse(now),
                validity: request.validity(cache, entry),
            }),
        },
        None if stored.is_some() && matching.is_none() => StoredMatch::NoVariant,
        None => StoredMatch::Nothing,
    };
    let fetch = |forward| Next::Fetch { selected, forward };
    match (decide(found, &request.directives), selected) {
        (Decision::Serve, Some(entry)) => Next::Serve(entry, Served::Fresh),
        (Decision::ServeStale(Stale::Client), Some(entry)) => {
            Next::Serve(entry, Served::Stale(StaleReason::Client))
        }
        (Decision::ServeStale(Stale::WhileRevalidate), Some(entry)) => {
            Next::Serve(entry, Served::Stale(StaleReason::WhileRevalidate))
        }
        // Only a selected response is ever served.
        (Decision::Serve | Decision::ServeStale(_), None) => fetch(ForwardReason::UriMiss),
        (Decision::Revalidate(_), Some(entry)) if is_paused(cache, request, entry, now) => {
            Next::Serve(entry, Served::Stale(StaleReason::Paused))
        }
        (Decision::Revalidate(why), _) => fetch(why.into()),
        (Decision::Fetch(missing), _) => fetch(missing.into()),
        (Decision::Bypass(reason), _) => Next::Bypass(reason),
        (Decision::Refuse, _) => Next::Refuse,
    }
}

/// Whether the origin failed for this response a moment ago, and `entry` may be served in its
/// place.
#[cold]
fn is_paused(cache: &Cache, request: &CacheRequest, entry: &Entry, now: Duration) -> bool {
    request.is_paused(cache, entry, now) && request.allows_stale_if_error(cache, entry, now)
}

/// The answer from a stored response that was read from `tier`.
fn serve<B>(
    cache: &Cache,
    request: &CacheRequest,
    entry: &Arc<Entry>,
    tier: Tier,
    now: Duration,
    served: Served,
) -> Response<CacheBody<B>> {
    entry.count_request();
    cache.shared.heat.hit(request.key.as_ref());
    let ttl = entry.freshness().ttl(entry.age_for_reuse(now));
    let outcome = match served {
        Served::Fresh => CacheOutcome::Hit { tier, ttl },
        Served::Stale(reason) => CacheOutcome::Stale { reason, tier, ttl },
    };
    respond::from_entry(cache, request, entry, now, outcome.into())
}
