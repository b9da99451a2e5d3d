//! Decides whether a response may be stored, and builds the stored head (RFC 9111 §3).

use std::{sync::Arc, time::Duration};

use http::{StatusCode, response};
use http_body::Body;

use super::lifetime::{self, PendingLifetime, PolicyCall};
use crate::{
    clock::Clock,
    config::Config,
    engine::{
        context::RequestContext,
        nesting::reports::{self, Report},
        report, tags,
    },
    entry::{Arrival, Entry, Head, HeadMeta, HistoryUpdate},
    extensions::NoStore,
    purge::TooManyTags,
    semantics::{
        decide::Validity,
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

/// The times of one exchange with the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeTimes {
    pub(crate) times: Times,
    /// When the head of the response arrived, by the monotonic clock.
    pub(crate) arrived: Duration,
    /// How long the origin took for it.
    pub(crate) cost: Duration,
}

impl ExchangeTimes {
    /// The times of an exchange that began at `forwarded`, by the wall clock in Unix seconds, and
    /// `began`, by the monotonic clock, and whose response has just arrived.
    pub(crate) fn until_now(clock: &dyn Clock, forwarded: i64, began: Duration) -> Self {
        let arrived = clock.monotonic();
        let cost = arrived.saturating_sub(began);
        let response = clock.wall();
        Self {
            times: Times {
                request: if response < forwarded {
                    // The wall clock was set back meanwhile: it does not show the delay.
                    response.saturating_sub(cost.as_secs().cast_signed())
                } else {
                    forwarded
                },
                response,
            },
            arrived,
            cost,
        }
    }
}

/// Whether a response may be stored, and the head to store.
#[derive(Debug)]
pub(crate) struct Evaluation {
    pub(crate) head: Head,
    pub(crate) storable: Result<(), NotStored>,
    pub(crate) completion: Completion,
}

/// What it takes to complete an entry once its body is there.
#[derive(Debug)]
pub(crate) struct Completion {
    /// The settings by which the response was judged.
    pub(crate) config: Arc<Config>,
    /// How long the origin took for the head.
    pub(crate) cost: Duration,
    /// What the response adds to the history that a learning policy is given.
    pub(crate) history_update: Option<HistoryUpdate>,
    /// The lifetime that such a policy decides only then.
    pub(crate) pending: Option<Box<PendingLifetime>>,
}

/// Applies the rules of RFC 9111 §3 to a response, which must have a `Date`.
///
/// The stored variants of the same key count too: a response without `Vary` inherits theirs.
pub(crate) fn evaluate(
    cache: &Cache,
    context: &RequestContext,
    response: &response::Parts,
    times: ExchangeTimes,
) -> Evaluation {
    let Cache { shared, config } = cache;
    let RequestContext {
        request, stored, ..
    } = context;
    let rules = &config.rules;
    let request_headers = &request.parts.headers;
    let received = &response.headers;
    let effective = targeted::effective(received, rules);
    let siblings: &[Arc<Entry>] = stored.as_ref().map_or(&[], Resource::variants);
    let varies = select::inherit(vary::effective(request_headers, received), siblings);
    let varies = varies.or_names(&context.remote_vary);
    let own = Freshness::of(response.status, received, &effective, times.times, rules);
    let exchange = |freshness| Exchange {
        method: request.stored_as(),
        facts: &request.facts,
        request_directives: &request.directives,
        status: response.status,
        response: received,
        effective: &effective,
        freshness,
        vary: &varies,
    };
    let history_update = config.ttl.learns().then(|| {
        let before = context.selected.as_ref().and_then(|entry| entry.previous());
        let (arrived, cost) = (times.arrived, times.cost);
        HistoryUpdate::new(before, response.status, received, arrived, cost)
    });
    let history = history_update.as_ref().map(HistoryUpdate::at_head);
    let ask = |call: PolicyCall| call.ask(config, request, response, own, history.as_ref());
    let (call, withheld) = match storable::default_lifetime(&exchange(&own), rules) {
        DefaultLifetime::Allowed => (Some(PolicyCall::Give), None),
        DefaultLifetime::Lowering => (Some(PolicyCall::Lower), None),
        DefaultLifetime::Refused => (Some(PolicyCall::Shorten), None),
        DefaultLifetime::Withheld(reason) => {
            let others = ask(PolicyCall::Give);
            let longer = others.lifetime > own.lifetime;
            (None, longer.then_some(reason))
        }
    };
    let freshness = call.map_or(own, ask);
    let storable = storable::storable(&exchange(&freshness), rules);
    // By an inner layer, which stored it if it may be stored.
    let reported = reports::of(shared, &response.extensions);
    let is_answered = matches!(reported, Some(Report::Answered));
    let (storable, omitted) = match (storable, withheld) {
        _ if response.extensions.get::<NoStore>().is_some() || is_answered => {
            (Err(NotStored::Extension), Default::default())
        }
        // The response would be stored, and for longer, if another request had caused it.
        (
            Storable::Store(_) | Storable::Refuse(NotStored::NoLifetime | NotStored::Expired),
            Some(reason),
        ) => {
            if reason == NotStored::Cookie {
                report::cookie_cost_a_hit(cache, request);
            }
            (Err(reason), Default::default())
        }
        (Storable::Store(omitted), None) => (Ok(()), omitted),
        (Storable::Refuse(reason), _) => (Err(reason), Default::default()),
    };
    let tags = tags::of(cache, request, response);
    let storable = match tags {
        Err(TooManyTags) => storable.and(Err(NotStored::TooManyTags)),
        Ok(_) => storable,
    };
    let mut headers = received.clone();
    hop::strip(&mut headers);
    tags::remove_fields(config, &mut headers);
    for name in omitted {
        headers.remove(name);
    }
    let selecting = Selecting::record(
        varies.names().unwrap_or_default(),
        request_headers,
        shared.seed(),
        rules.language_order,
    );
    let off = lifetime::jitter(shared, config);
    let awaits_body = history_update
        .as_ref()
        .is_some_and(HistoryUpdate::awaits_body);
    let pending = call
        .filter(|_| awaits_body && storable.is_ok())
        .map(|call| PendingLifetime {
            call,
            response: response.clone(),
            own,
            off,
        });
    let freshness = freshness.shortened(off);
    let keep = lifetime::retention(config, freshness, &headers);
    Evaluation {
        completion: Completion {
            config: Arc::clone(config),
            cost: times.cost,
            history_update,
            pending: pending.map(Box::new),
        },
        head: Head {
            headers,
            meta: HeadMeta {
                status: response.status,
                freshness,
                arrival: Arrival {
                    wall: times.times.response,
                    monotonic: times.arrived,
                    date: fields::date(received, times.times.response)
                        .unwrap_or(times.times.response),
                },
                selecting,
                generation: context.generation,
                keep,
                validity: Validity::Valid,
                born: context.born,
                tags: tags.ok().flatten().map(Arc::new),
            },
        },
        storable,
    }
}

/// The length of a body, as its head declares it or as the body itself knows it. A 204 has none
/// (RFC 9110 §8.6).
pub(crate) fn declared_length(parts: &response::Parts, body: &impl Body) -> Option<u64> {
    match fields::content_length(&parts.headers) {
        _ if parts.status == StatusCode::NO_CONTENT => None,
        Length::Exactly(length) => Some(length),
        Length::Absent => body.size_hint().exact(),
        Length::Invalid => None,
    }
}
