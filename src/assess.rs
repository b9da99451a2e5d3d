//! What a response from the origin is worth: the rules of storing, applied to one exchange.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Response, StatusCode, header::DATE, response};
use http_body::Body;

use crate::{
    asked::Asked,
    config::{Config, NoStore},
    entry::{Arrival, Entry, Head, Lesson},
    fetch::Errand,
    layer::{Cache, Shared},
    semantics::{
        date,
        decide::Standing,
        fields::{self, Length},
        freshness::{Freshness, LifetimeSource, Times},
        hop, select,
        storable::{self, DefaultLifetime, Exchange, NotStored, Storable},
        targeted, validate,
        vary::{self, Selecting},
    },
    store::Resource,
    ttl::{Fetched, History},
};

/// The moments of one exchange with the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) times: Times,
    /// When the head of the response was there, by the monotonic clock.
    pub(crate) arrived: Duration,
    /// How long that took.
    pub(crate) cost: Duration,
}

/// A response's head as it would be stored, and whether it may be.
#[derive(Debug)]
pub(crate) struct Assessment {
    /// What it shows to a policy that learns.
    pub(crate) lesson: Option<Lesson>,
    /// How long the origin took.
    pub(crate) cost: Duration,
    pub(crate) head: Head,
    pub(crate) verdict: Verdict,
}

/// Whether a response may be stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Store,
    Refuse(NotStored),
}

/// Puts a `Date` where there is none that can be read (RFC 9110 §6.6.1).
pub(crate) fn ensure_date(headers: &mut HeaderMap, response_time: i64) {
    if fields::date(headers, response_time).is_none() {
        headers.insert(DATE, date::format(response_time));
    }
}

/// Applies the rules of RFC 9111 §3 to a response, which must have a `Date`.
///
/// What the key holds already counts too: a response without `Vary` inherits that of its
/// siblings.
pub(crate) fn assess(
    cache: &Cache,
    errand: &Errand,
    response: &response::Parts,
    moments: Moments,
) -> Assessment {
    let Cache { shared, config } = cache;
    let Errand { asked, stored, .. } = errand;
    let rules = &config.rules;
    let request = &asked.parts.headers;
    let received = &response.headers;
    let effective = targeted::effective(received, rules);
    let siblings: &[Arc<Entry>] = stored.as_ref().map_or(&[], Resource::variants);
    let varies = select::inherit(vary::effective(request, received), siblings);
    let varies = varies.or_names(&errand.varies);
    let own = Freshness::of(response.status, received, &effective, moments.times, rules);
    let exchange = |freshness| Exchange {
        method: &asked.parts.method,
        facts: &asked.facts,
        request_directives: &asked.directives,
        status: response.status,
        response: received,
        effective: &effective,
        freshness,
        vary: &varies,
        response_time: moments.times.response,
    };
    let lesson = config.ttl.learns().then(|| {
        let before = errand.selected.as_ref().and_then(|entry| entry.before());
        Lesson::of(before, received, moments.arrived, moments.cost)
    });
    let history = lesson.as_ref().map(Lesson::at_head);
    let given = || with_policy(config, asked, response, own, history.as_ref());
    let (freshness, withheld) = match storable::default_lifetime(&exchange(&own)) {
        DefaultLifetime::Allowed => (given(), None),
        DefaultLifetime::Refused => (
            shortened(config, asked, response, own, history.as_ref()),
            None,
        ),
        DefaultLifetime::Withheld(reason) => {
            let others = given();
            (own, (others.lifetime > own.lifetime).then_some(reason))
        }
    };
    let storable = storable::storable(&exchange(&freshness), rules);
    let (verdict, omitted) = match (storable, withheld) {
        _ if response.extensions.get::<NoStore>().is_some() => {
            (Verdict::Refuse(NotStored::Extension), Default::default())
        }
        // The answer to another request would be stored, and for longer.
        (Storable::Store(_) | Storable::Refuse(NotStored::Useless), Some(reason)) => {
            (Verdict::Refuse(reason), Default::default())
        }
        (Storable::Store(omitted), None) => (Verdict::Store, omitted),
        (Storable::Refuse(reason), _) => (Verdict::Refuse(reason), Default::default()),
    };
    let mut headers = received.clone();
    hop::strip(&mut headers);
    for name in omitted {
        headers.remove(name);
    }
    let selecting = Selecting::record(
        varies.names().unwrap_or_default(),
        request,
        shared.seed(),
        rules.language_order,
    );
    let freshness = jittered(shared, config, freshness);
    let keep = keep(config, freshness, &headers, moments.times.response);
    Assessment {
        lesson,
        cost: moments.cost,
        head: Head {
            status: response.status,
            headers,
            freshness,
            arrival: Arrival {
                wall: moments.times.response,
                monotonic: moments.arrived,
                date: fields::date(received, moments.times.response)
                    .unwrap_or(moments.times.response),
            },
            selecting,
            generation: errand.generation,
            keep,
            standing: Standing::Valid,
        },
        verdict,
    }
}

/// Gives a head the lifetime that its body speaks for, by what it has shown of the representation.
pub(crate) fn reconsider(cache: &Cache, asked: &Asked, head: &mut Head, history: &History) {
    let Cache { shared, config } = cache;
    let (mut response, ()) = Response::new(()).into_parts();
    response.status = head.status;
    response.headers = head.headers.clone();
    let judge = match head.freshness.source {
        LifetimeSource::Policy => with_policy,
        _ => shortened,
    };
    let freshness = judge(config, asked, &response, head.freshness, Some(history));
    head.freshness = jittered(shared, config, freshness);
    head.keep = keep(config, head.freshness, &head.headers, head.arrival.wall);
}

/// Takes as much off a lifetime as chance and the operator want.
fn jittered(shared: &Shared, config: &Config, freshness: Freshness) -> Freshness {
    match config.lifetime_jitter {
        0.0 => freshness,
        most => freshness.shortened(most * shared.chance.draw()),
    }
}

/// What the policy gives a response that states no lifetime.
fn with_policy(
    config: &Config,
    asked: &Asked,
    response: &response::Parts,
    own: Freshness,
    history: Option<&History>,
) -> Freshness {
    let Some(given) = config.ttl.lifetime(&fetched(asked, response, history)) else {
        return own;
    };
    let fresh = given.fresh;
    tracing::debug!(key = ?asked.key, ?fresh, reason = ?given.reason, "lifetime by policy");
    own.with_policy(
        seconds(given.fresh),
        given.stale_while_revalidate.map(seconds),
        given.stale_if_error.map(seconds),
        &config.rules,
    )
}

/// What the policy leaves of a lifetime that a response states.
fn shortened(
    config: &Config,
    asked: &Asked,
    response: &response::Parts,
    own: Freshness,
    history: Option<&History>,
) -> Freshness {
    if !own.is_explicit() || own.lifetime == 0 {
        return own;
    }
    let explicit = Duration::from_secs(own.lifetime.into());
    let fetched = fetched(asked, response, history).with_explicit(explicit);
    match config.ttl.shorten(&fetched, explicit) {
        Some(shorter) => own.at_most(seconds(shorter)),
        None => own,
    }
}

fn fetched<'a>(
    asked: &'a Asked,
    response: &'a response::Parts,
    history: Option<&'a History>,
) -> Fetched<'a> {
    let fetched = Fetched::new(&asked.parts, response);
    match history {
        Some(history) => fetched.with_history(history),
        None => fetched,
    }
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

/// How long an entry is of use after it arrived: while it is fresh, while it may be served stale,
/// and while it can be validated.
fn keep(config: &Config, freshness: Freshness, headers: &HeaderMap, arrived: i64) -> Duration {
    let fresh = freshness.lifetime.saturating_sub(freshness.initial_age);
    let stale = freshness
        .stale_while_revalidate
        .max(freshness.stale_if_error)
        .unwrap_or(0);
    let beyond = if validate::has_validator(headers, arrived) {
        config.keep_stale
    } else {
        config.max_stale
    };
    Duration::from_secs(fresh.into()) + Duration::from_secs(stale.into()).max(beyond)
}

/// The length of a body, as its head declares it or the body itself knows it. A 204 has none,
/// whatever it says (RFC 9110 §8.6).
pub(crate) fn declared_length(parts: &response::Parts, body: &impl Body) -> Option<u64> {
    match fields::content_length(&parts.headers) {
        _ if parts.status == StatusCode::NO_CONTENT => None,
        Length::Exactly(length) => Some(length),
        Length::Absent => body.size_hint().exact(),
        Length::Invalid => None,
    }
}
