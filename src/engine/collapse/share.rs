//! Whether the outcome of a flight answers a request that waited for it or came late: it is judged
//! like a stored response.

use std::{sync::Arc, time::Duration};

use http::Response;

use crate::{
    body::CacheBody,
    engine::{context::RequestContext, respond},
    entry::{Arrival, Entry},
    outcome::{CacheOutcome, StaleReason, Tier},
    purge::{PurgeTime, Tags},
    semantics::{
        cache_control::RequestDirectives,
        classify::Requester,
        decide::{Candidate, Decision, Stale, StoredMatch, Validity, decide, withheld},
        freshness::Freshness,
        vary::Selecting,
    },
    state::{
        cache::Cache,
        flights::{FlightOutcome, StreamingResponse},
    },
};

/// What a request does with the outcome of a flight.
pub(super) enum Share<B> {
    Answer(Response<CacheBody<B>>),
    /// Look up again: the origin was not asked, and the response that was found does not answer
    /// this request.
    StartOver,
    /// Join the flight of another variant, with this digest.
    OtherVariant(u128),
    /// Join the flight of the plain requests.
    PlainOnly,
    /// Go to the origin directly: the response is not for this request.
    GoDirect,
    /// Begin another flight in place of this one: its body has stood still for too long, or its response
    /// was purged.
    Replace,
}

/// Judges the outcome of a flight, for a request that began to wait at `began`.
pub(super) fn share<B>(
    cache: &Cache,
    context: &RequestContext,
    outcome: FlightOutcome,
    began: Duration,
) -> Share<B> {
    match outcome {
        FlightOutcome::Private(Requester::Personal)
            if context.request.requester() == Requester::Plain =>
        {
            Share::PlainOnly
        }
        FlightOutcome::Failed(_) | FlightOutcome::Private(_) => Share::GoDirect,
        FlightOutcome::Stored(entry, until) => {
            let came = SharedSince::of(entry.arrival(), began);
            share_entry(cache, context, &entry, until, came)
        }
        FlightOutcome::FromPeer(entry, tier) => {
            // In this order: what was found belongs to this time or an earlier one.
            let seen = entry.purges().seen();
            if entry.purges().has_found() {
                return Share::StartOver;
            }
            let came = SharedSince::OnAnotherNode(tier);
            match share_entry(cache, context, &entry, seen, came) {
                Share::Answer(answer) => Share::Answer(answer),
                Share::StartOver
                | Share::GoDirect
                | Share::OtherVariant(_)
                | Share::PlainOnly
                | Share::Replace => Share::StartOver,
            }
        }
        FlightOutcome::Streaming(streaming) => share_streaming(cache, context, &streaming, began),
    }
}

fn share_entry<B>(
    cache: &Cache,
    context: &RequestContext,
    entry: &Arc<Entry>,
    until: PurgeTime,
    came: SharedSince,
) -> Share<B> {
    if let Some(variant) = other_variant(cache, context, entry.selecting()) {
        return Share::OtherVariant(variant);
    }
    if is_purged(cache, context, until, entry.tags()) {
        return Share::Replace;
    }
    let now = cache.shared.clock.monotonic();
    let age = entry.age(now);
    match outcome_if_usable(context, entry.freshness(), age, came, Received::Whole) {
        None => Share::GoDirect,
        Some(outcome) => {
            entry.count_request();
            let label = outcome.into();
            let answer = respond::from_entry(cache, &context.request, entry, now, label);
            Share::Answer(answer)
        }
    }
}

fn share_streaming<B>(
    cache: &Cache,
    context: &RequestContext,
    streaming: &StreamingResponse,
    began: Duration,
) -> Share<B> {
    let StreamingResponse { head, fill, .. } = streaming;
    if let Some(variant) = other_variant(cache, context, &head.meta.selecting) {
        return Share::OtherVariant(variant);
    }
    if is_purged(cache, context, head.meta.born, head.meta.tags.as_ref()) {
        return Share::Replace;
    }
    let now = cache.shared.clock.monotonic();
    let came = SharedSince::of(head.meta.arrival, began);
    let (freshness, age) = (&head.meta.freshness, head.age(now));
    let Some(outcome) = outcome_if_usable(context, freshness, age, came, Received::Partly) else {
        return Share::GoDirect;
    };
    if fill.stands_still(cache.config.wait_timeout) {
        return Share::Replace;
    }
    let request = &context.request;
    match respond::from_fill(cache, request, streaming, now, outcome.into()) {
        Some(answer) => Share::Answer(answer),
        None => Share::GoDirect,
    }
}

/// Whether a response that is right until this time was purged before this request came. A fetch that
/// began after the request has what the request wants, whatever is purged since: so a request starts
/// over for this reason at most once.
fn is_purged(
    cache: &Cache,
    context: &RequestContext,
    until: PurgeTime,
    tags: Option<&Arc<Tags>>,
) -> bool {
    let key = context.request.key.as_bytes();
    let tags = tags.map(|tags| &**tags);
    until < context.born && cache.shared.is_purged_since(until, key, tags)
}

/// The digest of the variant that the request selects, if the response is another variant.
fn other_variant(cache: &Cache, context: &RequestContext, selecting: &Selecting) -> Option<u128> {
    let seed = cache.shared.seed();
    let order = cache.config.rules.language_order;
    let request_headers = &context.request.parts.headers;
    if selecting.matches(request_headers, seed, order) {
        return None;
    }
    let names: Vec<_> = selecting.names().cloned().collect();
    Some(Selecting::record(&names, request_headers, seed, order).digest())
}

/// Since when a response that another request fetched has been there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SharedSince {
    /// It was there before this request came.
    BeforeRequest,
    /// Another node stored it some time ago. It was read from this tier.
    OnAnotherNode(Tier),
    /// It arrived while this request waited.
    WhileWaiting,
}

impl SharedSince {
    fn of(arrival: Arrival, began: Duration) -> Self {
        if arrival.monotonic < began {
            Self::BeforeRequest
        } else {
            Self::WhileWaiting
        }
    }
}

/// How much of a response is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Received {
    Whole,
    /// It is still being received.
    Partly,
}

/// How a response that another request fetched answers this one, if it does.
///
/// A request that demands validation is satisfied by a response that arrived while it waited: the
/// origin sent that after the request came. A response that has become stale while it still arrives
/// answers within its `stale-while-revalidate` window (RFC 5861 §3), as its fetch goes on, and where
/// the client accepts it (`max-stale`).
fn outcome_if_usable(
    context: &RequestContext,
    freshness: &Freshness,
    age: u32,
    came: SharedSince,
    received: Received,
) -> Option<CacheOutcome> {
    if withheld(freshness, context.request.facts).is_some() {
        return None;
    }
    let request = &context.request.directives;
    let directives = match came {
        SharedSince::BeforeRequest | SharedSince::OnAnotherNode(_) => *request,
        SharedSince::WhileWaiting => RequestDirectives {
            max_age: request.max_age.filter(|age| *age > 0),
            no_cache: false,
            ..*request
        },
    };
    let candidate = Candidate {
        freshness,
        age,
        validity: Validity::Valid,
    };
    let ttl = freshness.ttl(age);
    match decide(StoredMatch::Selected(candidate), &directives) {
        Decision::Serve => Some(match came {
            // A hit: the origin was not asked.
            SharedSince::OnAnotherNode(tier) => CacheOutcome::Hit { tier, ttl },
            SharedSince::BeforeRequest | SharedSince::WhileWaiting => CacheOutcome::Collapsed {
                forward: context.forward,
                ttl,
            },
        }),
        Decision::ServeStale(allowed) if received == Received::Partly => {
            let reason = match allowed {
                Stale::Client => StaleReason::Client,
                Stale::WhileRevalidate => StaleReason::WhileRevalidate,
            };
            let tier = Tier::Memory;
            Some(CacheOutcome::Stale { reason, tier, ttl })
        }
        Decision::Bypass(_)
        | Decision::Fetch(_)
        | Decision::Refuse
        | Decision::Revalidate(_)
        | Decision::ServeStale(_) => None,
    }
}
