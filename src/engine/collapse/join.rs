//! Which flight a request joins, and what it looks up again before it fetches.

use std::{sync::Arc, time::Duration};

use crate::{
    engine::{
        context::Errand,
        fetch::fetch,
        hit_for_miss::is_uncacheable,
        lookup::{Next, Served, look},
    },
    entry::Entry,
    flight::Leader,
    outcome::StaleReason,
    semantics::vary::Selecting,
    state::{
        cache::Cache,
        flights::{FlightKey, Flown},
    },
};

/// What a request may do in a flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// Ask for everyone, or wait.
    Any,
    /// Share what has arrived, but not wait for what may be somebody else's.
    Late,
}

/// Looks into memory for one who waited until there might be something. The errand is told what
/// is there if that is not all it takes.
pub(super) async fn look_afresh(
    cache: &Cache,
    errand: &mut Errand,
) -> Option<(Arc<Entry>, Duration, Served)> {
    let shared = &cache.shared;
    errand.generation = errand.asked.generation(cache);
    let stored = shared.store.get(errand.asked.key.as_ref()).await.ok()?;
    let now = shared.clock.monotonic();
    let (served, forward) = match look(cache, &errand.asked, stored.as_ref(), now) {
        Next::Serve(entry, served) => (Some((Arc::clone(entry), served)), None),
        Next::Refresh(entry) => {
            let served = Served::Stale(StaleReason::WhileRevalidate);
            (Some((Arc::clone(entry), served)), None)
        }
        Next::Ask { selected, forward } => {
            errand.selected = selected.map(Arc::clone);
            (None, Some(forward))
        }
        Next::Refuse => (None, None),
    };
    errand.stored = stored;
    errand.forward = forward.unwrap_or(errand.forward);
    let (entry, served) = served?;
    errand.selected = Some(Arc::clone(&entry));
    shared.trusts(&entry).then_some((entry, now, served))
}

/// Lands a flight that has just begun if what is stored by now is fresh, with that.
pub(super) async fn look_again(
    cache: &Cache,
    leader: &Leader<FlightKey, Flown>,
    errand: &Errand,
) -> Option<(Arc<Entry>, Duration)> {
    let shared = &cache.shared;
    let stored = shared.store.get(errand.asked.key.as_ref()).await.ok()?;
    let now = shared.clock.monotonic();
    match look(cache, &errand.asked, stored.as_ref(), now) {
        Next::Serve(entry, Served::Fresh)
            if shared.trusts(entry) && !errand.has_selected(entry) =>
        {
            leader.land(Flown::Entry(Arc::clone(entry)));
            Some((Arc::clone(entry), now))
        }
        Next::Serve(..) | Next::Ask { .. } | Next::Refresh(_) | Next::Refuse => None,
    }
}

/// Requests for a resource that is known to vary fly by variant from the start.
pub(super) fn flight_key(cache: &Cache, errand: &Errand) -> FlightKey {
    let newest = errand.stored.as_ref().and_then(|stored| {
        let newest = stored.variants().last()?;
        (!newest.selecting().is_empty()).then(|| Arc::clone(newest))
    });
    let seed = cache.shared.seed();
    let order = cache.config.rules.language_order;
    let request = &errand.asked.parts.headers;
    FlightKey {
        key: errand.asked.key.to_key(),
        generation: errand.generation,
        changes: cache.shared.changes(&errand.asked.key),
        variant: newest.map(|entry| {
            let names: Vec<_> = entry.selecting().names().cloned().collect();
            Selecting::record(&names, request, seed, order).digest()
        }),
    }
}

pub(super) fn part(cache: &Cache, errand: &Errand) -> Part {
    if fetch::own_question(cache, errand) || is_private(errand) || is_uncacheable(cache, errand) {
        Part::Late
    } else {
        Part::Any
    }
}

/// Whether the answer to a request is its own, because of what it carries or asks for.
pub(super) fn is_private(errand: &Errand) -> bool {
    errand.asked.facts.credentials() || errand.asked.directives.no_store
}
