//! A 304 from the origin: validates the stored response and updates its head (RFC 9111 §4.3.4).

use std::sync::Arc;

use http::{Response, StatusCode, header::SET_COOKIE, response};

use super::{
    fetched::FetchResult,
    storability::{self, ExchangeTimes},
    storing,
};
use crate::{
    engine::{
        context::RequestContext,
        nesting::reports,
        peers::publish,
        respond::{self, Label},
        tags,
    },
    entry::HistoryUpdate,
    extensions::NoStore,
    outcome::CacheOutcome,
    purge::Standing,
    semantics::{
        fields,
        rules::SetCookiePolicy,
        storable::Side,
        validate::{self, Confirmation},
    },
    state::{cache::Cache, flights::FlightOutcome},
};

/// Freshens the stored response by a 304 that confirms it. `None` if the 304 is about another
/// representation.
pub(crate) async fn freshen<B, E>(
    cache: &Cache,
    context: &RequestContext,
    not_modified: &response::Parts,
    times: ExchangeTimes,
) -> Option<FetchResult<B, E>> {
    let Cache { shared, config } = cache;
    let entry = context.selected.as_ref()?;
    if shared.purged(context.request.key.as_bytes(), entry) == Standing::Purged {
        return None;
    }
    let mut merged = Response::new(()).into_parts().0;
    merged.status = entry.status();
    merged.headers = entry.unpack().headers;
    reports::copy(&not_modified.extensions, &mut merged.extensions);
    tags::keep(entry, not_modified, &mut merged);
    let now = times.times.response;
    match validate::accepts(&merged.headers, &not_modified.headers, now) {
        Confirmation::Accept => {}
        Confirmation::Reject => return None,
    }
    validate::merge(
        &mut merged.headers,
        &not_modified.headers,
        now,
        &config.rules,
    );
    let evaluation = storability::evaluate(cache, context, &merged, times);
    let version = publish::remote_version(cache, context, &evaluation.head.meta.selecting);
    let fresh = entry.with_head(&evaluation.head, &shared.names);
    let past = evaluation
        .completion
        .history_update
        .as_ref()
        .map(HistoryUpdate::without_body);
    let fresh = fresh
        .with_history(past)
        .with_remote_version(version)
        .with_fetch_duration(times.cost)
        .confirmed_at(context.born);
    let fresh = Arc::new(fresh);
    let is_for_store = not_modified.extensions.get::<NoStore>().is_none();
    let outcome = match evaluation.storable {
        // The service knows that the 304 is for this client only.
        _ if !is_for_store => FlightOutcome::Private(context.request.requester()),
        Ok(()) => {
            storing::swap(cache, context, entry, Some(Arc::clone(&fresh))).await;
            shared.metrics().stored.increment(1);
            if fields::sets_cookie(&evaluation.head.headers) {
                FlightOutcome::Private(context.request.requester())
            } else {
                FlightOutcome::Stored(Arc::clone(&fresh), context.born)
            }
        }
        // This request may not be stored for: the stored response stays as it is for others.
        Err(reason) if reason.side() == Side::Request => {
            FlightOutcome::Private(context.request.requester())
        }
        Err(_) => {
            storing::end_predecessor(cache, context, merged.status).await;
            FlightOutcome::Private(context.request.requester())
        }
    };
    let label = Label {
        received: Some(StatusCode::NOT_MODIFIED),
        outcome: CacheOutcome::Revalidated {
            forward: context.forward,
            ttl: fresh.freshness().ttl(fresh.age(times.arrived)),
        },
    };
    let request = &context.request;
    let mut answer = respond::from_entry(cache, request, &fresh, times.arrived, label);
    if config.rules.set_cookie != SetCookiePolicy::Store {
        for cookie in not_modified.headers.get_all(SET_COOKIE) {
            answer.headers_mut().append(SET_COOKIE, cookie.clone());
        }
    }
    Some(FetchResult {
        answer: Ok(answer),
        outcome,
        recording: None,
    })
}
