//! What a response from the origin is worth: the rules of storing, applied to one exchange.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header::DATE, response};
use http_body::Body;

use crate::{
    asked::Asked,
    config::{Config, NoStore},
    entry::{Arrival, Entry, Head},
    fetch::Errand,
    layer::Cache,
    semantics::{
        date,
        decide::Standing,
        fields::{self, Length},
        freshness::{Freshness, Times},
        hop, select,
        storable::{self, DefaultLifetime, Exchange, NotStored, Storable},
        targeted, validate,
        vary::{self, Selecting},
    },
    store::Resource,
    ttl::Fetched,
};

/// The moments of one exchange with the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) times: Times,
    /// When the head of the response was there, by the monotonic clock.
    pub(crate) arrived: Duration,
}

/// A response's head as it would be stored, and whether it may be.
#[derive(Debug)]
pub(crate) struct Assessment {
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
    let (freshness, withheld) = match storable::default_lifetime(&exchange(&own)) {
        DefaultLifetime::Allowed => (with_policy(config, asked, response, own), None),
        DefaultLifetime::Refused => (own, None),
        DefaultLifetime::Withheld(reason) => {
            let others = with_policy(config, asked, response, own);
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
    let keep = keep(config, freshness, &headers, moments);
    Assessment {
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

fn with_policy(
    config: &Config,
    asked: &Asked,
    response: &response::Parts,
    own: Freshness,
) -> Freshness {
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    let fetched = Fetched {
        request: &asked.parts,
        response,
    };
    match config.ttl.lifetime(&fetched) {
        Some(given) => own.with_policy(
            seconds(given.fresh),
            given.stale_while_revalidate.map(seconds),
            given.stale_if_error.map(seconds),
            &config.rules,
        ),
        None => own,
    }
}

/// How long an entry is of use after it arrived: while it is fresh, while it may be served stale,
/// and while it can be validated.
fn keep(config: &Config, freshness: Freshness, headers: &HeaderMap, moments: Moments) -> Duration {
    let fresh = freshness.lifetime.saturating_sub(freshness.initial_age);
    let stale = freshness
        .stale_while_revalidate
        .max(freshness.stale_if_error)
        .unwrap_or(0);
    let beyond = if validate::has_validator(headers, moments.times.response) {
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
