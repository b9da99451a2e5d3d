//! What a response from the origin is worth: the rules of storing, applied to one exchange.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header::DATE, response};
use http_body::Body;

use super::lifetime::{Question, Undecided, draw, keep};
use crate::{
    engine::context::Errand,
    entry::{Arrival, Entry, Head, Lesson},
    extensions::NoStore,
    semantics::{
        date,
        decide::Standing,
        fields::{self, Length},
        freshness::{Freshness, Times},
        hop, select,
        storable::{self, DefaultLifetime, Exchange, NotStored, Storable},
        targeted,
        vary::{self, Selecting},
    },
    state::cache::Cache,
    store::Resource,
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
    /// What is left to ask the policy, if it is stored and its body has a say.
    pub(crate) undecided: Option<Box<Undecided>>,
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
        let (arrived, cost) = (moments.arrived, moments.cost);
        Lesson::of(before, response.status, received, arrived, cost)
    });
    let history = lesson.as_ref().map(Lesson::at_head);
    let ask = |question: Question| question.ask(config, asked, response, own, history.as_ref());
    let (question, withheld) = match storable::default_lifetime(&exchange(&own)) {
        DefaultLifetime::Allowed => (Some(Question::Give), None),
        DefaultLifetime::Refused => (Some(Question::Shorten), None),
        DefaultLifetime::Withheld(reason) => {
            let others = ask(Question::Give);
            let longer = others.lifetime > own.lifetime;
            (None, longer.then_some(reason))
        }
    };
    let freshness = question.map_or(own, ask);
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
    let off = draw(shared, config);
    let awaits_body = lesson.as_ref().is_some_and(Lesson::awaits_body);
    let undecided = question
        .filter(|_| awaits_body && verdict == Verdict::Store)
        .map(|question| Undecided {
            question,
            response: response.clone(),
            own,
            off,
        });
    let freshness = freshness.shortened(off);
    let keep = keep(config, freshness, &headers, moments.times.response);
    Assessment {
        lesson,
        undecided: undecided.map(Box::new),
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
