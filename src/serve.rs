//! The road of a request, from its key to its answer.
//!
//! 1. [`Asked::destination`]: what kind of request is it, and what is its key?
//! 2. look up: which stored response does it select?
//! 3. [`decide()`]: serve, serve stale, revalidate, fetch or refuse?
//! 4. [`fly`](crate::fly): ask the origin, or wait for one who does.
//! 5. [`fetch`](crate::fetch): the exchange with the origin, and what it is worth.
//! 6. [`keep`](crate::keep): what of it is stored.
//! 7. [`respond`]: the answer, in the shape this client asked for.
//!
//! A hit in memory goes from 2 to 7 in [`from_memory`], without waiting for anything.

use std::{sync::Arc, time::Duration};

use http::Response;
use http_body::Body;

use crate::{
    asked::Asked,
    body::CacheBody,
    entry::Entry,
    fetch::{Errand, Timing},
    fly::InTime,
    layer::Cache,
    remote::Consulted,
    respond,
    semantics::{
        decide::{Candidate, Decision, Found, Stale, decide},
        select,
    },
    service::CacheableService,
    status::{CacheOutcome, ForwardReason, Generated, StaleReason},
    store::{Resource, StoreFuture},
    ttl::is_due,
};

/// A cache over one service, on behalf of one request.
#[derive(Clone, Debug)]
pub(crate) struct Road<S> {
    pub(crate) cache: Cache,
    pub(crate) inner: S,
}

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

impl<S> Road<S> {
    pub(crate) fn new(cache: Cache, inner: S) -> Self {
        Self { cache, inner }
    }

    /// Answers a request that may need the origin, or a store that takes its time.
    pub(crate) async fn travel<Q>(
        self,
        asked: Asked,
        body: Q,
        timing: Timing,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        let shared = &self.cache.shared;
        // Before the lookup: what is found now may be replaced by what is fetched now, unless the
        // resource is invalidated from here on.
        let generation = asked.generation(&self.cache);
        let lookup = shared.store.get(asked.key.as_ref());
        let stored = lookup.await.unwrap_or_else(|error| {
            // A store that fails holds nothing.
            tracing::debug!(%error, "lookup failed");
            shared.metrics().store_errors.increment(1);
            None
        });
        let now = shared.clock.monotonic();
        let (mut step, selected, forward) = match look(&self.cache, &asked, stored.as_ref(), now) {
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
            match self.cache.consult(&mut errand).await {
                Consulted::Serve(entry, now, served) => {
                    return Ok(self.found::<Q>(errand, None, &entry, now, served));
                }
                Consulted::Ask if errand.asked.directives.only_if_cached => {
                    return Ok(respond::generated(&self.cache, Generated::OnlyIfCached));
                }
                Consulted::Ask => step = Step::Ask,
                // When they do not answer, what is in memory is the best there is.
                Consulted::Silent => {}
            }
        }
        match (step, errand.selected.clone()) {
            (Step::Serve(served), Some(entry)) => {
                Ok(self.found::<Q>(errand, None, &entry, now, served))
            }
            (Step::Refresh, Some(entry)) => {
                let served = Served::Stale(StaleReason::WhileRevalidate);
                Ok(self.found::<Q>(errand, None, &entry, now, served))
            }
            (Step::Refuse, _) => Ok(respond::generated(&self.cache, Generated::OnlyIfCached)),
            // Only what was selected is ever served.
            (Step::Ask | Step::Refresh | Step::Serve(_), _) => self.ask(errand, body).await,
        }
    }

    /// Answers a request that memory has no answer to.
    async fn ask<Q>(
        self,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        if !errand.asked.is_head() {
            return self.fly(errand, body).await;
        }
        if errand.seen.is_none()
            && let Consulted::Serve(entry, now, served) = self.cache.consult(&mut errand).await
        {
            return Ok(self.found::<Q>(errand, None, &entry, now, served));
        }
        let mut fetching = Box::pin(self.cache.fetch_head(self.inner, &errand, body));
        if !self.cache.is_impatient(&errand) {
            return fetching.await;
        }
        // Its answer is not stored, so nothing is lost with it.
        match self.cache.in_time(&errand, &mut fetching).await {
            InTime::Answered(answer) => answer,
            InTime::Stale(stale) => Ok(stale),
        }
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
