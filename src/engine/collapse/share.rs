//! What a landed flight is to one that waited for it, or comes late: judged like what is stored.

use std::{sync::Arc, time::Duration};

use http::Response;

use crate::{
    body::CacheBody,
    engine::{context::Errand, respond},
    entry::{Arrival, Entry},
    outcome::CacheOutcome,
    semantics::{
        cache_control::RequestDirectives,
        decide::{Candidate, Decision, Found, Standing, decide},
        freshness::Freshness,
        vary::Selecting,
    },
    state::{
        cache::Cache,
        flights::{Arriving, Flown},
    },
};

/// What a landed flight is to one that waited for it.
pub(super) enum Share<B> {
    Answer(Response<CacheBody<B>>),
    /// Nobody asked the origin, and what was found instead is not for this request.
    Again,
    /// It brought another variant; this is the one wanted.
    OtherVariant(u128),
    /// Nothing for this request.
    Nothing,
}

/// What a landed flight is worth to a request: the response is judged like a stored one.
pub(super) fn share<B>(cache: &Cache, errand: &Errand, flown: Flown, began: Duration) -> Share<B> {
    match flown {
        Flown::Failed(_) | Flown::Private => Share::Nothing,
        Flown::Entry(entry) => {
            let came = Came::of(entry.arrival(), began);
            share_entry(cache, errand, &entry, came)
        }
        Flown::Found(entry) => match share_entry(cache, errand, &entry, Came::Elsewhere) {
            Share::Answer(answer) => Share::Answer(answer),
            Share::Again | Share::Nothing | Share::OtherVariant(_) => Share::Again,
        },
        Flown::Arriving(arriving) => share_arriving(cache, errand, &arriving, began),
    }
}

fn share_entry<B>(cache: &Cache, errand: &Errand, entry: &Arc<Entry>, came: Came) -> Share<B> {
    if let Some(variant) = other_variant(cache, errand, entry.selecting()) {
        return Share::OtherVariant(variant);
    }
    let now = cache.shared.clock.monotonic();
    let age = entry.age(now);
    match collapsed(errand, entry.freshness(), age, came) {
        None => Share::Nothing,
        Some(outcome) => {
            entry.count();
            let label = outcome.into();
            let answer = respond::from_entry(cache, &errand.asked, entry, now, label);
            Share::Answer(answer)
        }
    }
}

fn share_arriving<B>(
    cache: &Cache,
    errand: &Errand,
    arriving: &Arriving,
    began: Duration,
) -> Share<B> {
    let Arriving { head, fill, .. } = arriving;
    if let Some(variant) = other_variant(cache, errand, &head.selecting) {
        return Share::OtherVariant(variant);
    }
    let now = cache.shared.clock.monotonic();
    let came = Came::of(head.arrival, began);
    let Some(outcome) = collapsed(errand, &head.freshness, head.age(now), came) else {
        return Share::Nothing;
    };
    let asked = &errand.asked;
    match respond::from_fill(cache, asked, head, fill, now, outcome.into()) {
        Some(answer) => Share::Answer(answer),
        None => Share::Nothing,
    }
}

/// The variant that the request wants, if the response is another.
fn other_variant(cache: &Cache, errand: &Errand, selecting: &Selecting) -> Option<u128> {
    let seed = cache.shared.seed();
    let order = cache.config.rules.language_order;
    let request = &errand.asked.parts.headers;
    if selecting.matches(request, seed, order) {
        return None;
    }
    let names: Vec<_> = selecting.names().cloned().collect();
    Some(Selecting::record(&names, request, seed, order).digest())
}

/// When a response that another request fetched was there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Came {
    /// Before this request asked.
    Before,
    /// To another node, some time ago.
    Elsewhere,
    /// While it waited.
    Since,
}

impl Came {
    fn of(arrival: Arrival, began: Duration) -> Self {
        if arrival.monotonic < began {
            Self::Before
        } else {
            Self::Since
        }
    }
}

/// How a response that another request fetched answers this one, if it does.
///
/// If it came while this request waited, one that asked for validation has it.
fn collapsed(errand: &Errand, freshness: &Freshness, age: u32, came: Came) -> Option<CacheOutcome> {
    let asked = &errand.asked.directives;
    let directives = match came {
        Came::Before | Came::Elsewhere => *asked,
        Came::Since => RequestDirectives {
            max_age: asked.max_age.filter(|age| *age > 0),
            no_cache: false,
            ..*asked
        },
    };
    let candidate = Candidate {
        freshness,
        age,
        standing: Standing::Valid,
    };
    let ttl = freshness.ttl(age);
    match decide(Found::Selected(candidate), &directives) {
        // As if it had been in memory, where it will be.
        Decision::Serve if came == Came::Elsewhere => Some(CacheOutcome::Hit { ttl }),
        Decision::Serve => Some(CacheOutcome::Collapsed {
            forward: errand.forward,
            ttl,
        }),
        Decision::Fetch(_)
        | Decision::Refuse
        | Decision::Revalidate(_)
        | Decision::ServeStale(_) => None,
    }
}
