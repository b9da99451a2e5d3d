//! Records a body while clients read it, and stores the response: in memory, then for other nodes.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;
use tracing::Instrument;

use super::{
    conditions,
    fetched::{Demand, Recording},
    lifetime,
    storability::Completion,
};
use crate::{
    engine::{
        context::RequestContext,
        hit_for_miss,
        memory_write::{self, Swap},
        peers::publish,
    },
    entry::{Entry, Segments},
    error::{BoxError, FillError},
    extensions::BodyEnd,
    fill::{Limits, Recorded},
    semantics::{
        decide::Validity,
        storable::{self, Predecessor, Timeliness},
    },
    state::{cache::Cache, flights::StreamingResponse},
};

/// Receives a body to its end, for its readers and for the store. Returns the error with which it
/// ended, if it did.
pub(crate) async fn record<B>(
    cache: &Cache,
    context: &RequestContext,
    recording: Recording<B>,
    limits: &Limits,
) -> Option<FillError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let span = recording.span.clone();
    let receiving = receive_to_its_end(cache, context, recording, limits);
    receiving.instrument(span).await
}

async fn receive_to_its_end<B>(
    cache: &Cache,
    context: &RequestContext,
    recording: Recording<B>,
    limits: &Limits,
) -> Option<FillError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let Recording {
        streaming,
        body,
        completion,
        demand,
        permit,
        span,
    } = recording;
    let limits = match demand {
        Demand::Reader => limits.clone(),
        Demand::StoreOnly => limits.without_discarding(),
    };
    let Completion {
        config,
        cost,
        history_update,
        pending,
    } = completion;
    let cache = &Cache {
        shared: Arc::clone(&cache.shared),
        config,
    };
    let limits = Limits {
        max_body: cache.config.fill.max_body,
        ..limits
    };
    let StreamingResponse { head, fill, end } = &*streaming;
    if let Some(permit) = permit {
        fill.hold(permit);
    }
    // Readers see the end of the body only after the response is stored.
    let (recorded, _ending) = fill.record(body, &limits).await;
    span.record("body", recorded.as_str());
    let mut failed = None;
    match recorded {
        Recorded::Whole(_) if end.as_ref().is_some_and(BodyEnd::is_doubtful) => {
            tracing::debug!(key = ?context.request.key, "not stored: the end is not certain");
        }
        Recorded::Whole(segments) => {
            let mut head = head.clone();
            complete(&mut head.headers, head.meta.status, &segments);
            let past = history_update
                .as_ref()
                .map(|it| it.with_body(segments.as_slice()));
            if let (Some(past), Some(pending)) = (&past, &pending) {
                let request = &context.request;
                lifetime::finalize(cache, request, &mut head, pending, past.history());
            }
            let shared = &cache.shared;
            let version = publish::remote_version(cache, context, &head.meta.selecting);
            let entry = Entry::new(&head, &segments, &shared.names);
            let entry = Arc::new(
                entry
                    .with_history(past)
                    .with_remote_version(version)
                    .with_fetch_duration(cost),
            );
            // Before it is stored, which may make others leave memory.
            fill.hand_over(&entry);
            memory_write::replace_selected(cache, context, Some(Arc::clone(&entry))).await;
            conditions::forget_unfillable(cache, context);
            publish::publish(cache, context, &entry);
        }
        Recorded::Abandoned => {
            tracing::debug!(key = ?context.request.key, "abandoned");
        }
        Recorded::Failed(error) => {
            tracing::debug!(key = ?context.request.key, %error, "not stored");
            failed = Some(error);
        }
        // Not for what the response is: the next one may find room.
        Recorded::NoRoom => {
            tracing::debug!(key = ?context.request.key, "not stored: no room");
        }
        Recorded::NotKept => {
            hit_for_miss::remember_uncacheable(cache, context);
            if demand == Demand::StoreOnly {
                conditions::remember_unfillable(cache, context);
            }
        }
    }
    let shared = &cache.shared;
    shared.metrics().fill_bytes.set(shared.account.used());
    failed
}

/// Removes the stored response in whose place a response came that is not stored, if it has to go.
pub(super) async fn end_predecessor(
    cache: &Cache,
    context: &RequestContext,
    status: StatusCode,
) -> Predecessor {
    let now = cache.shared.clock.monotonic();
    let is_fresh = |entry: &Arc<Entry>| {
        entry.freshness().ttl(entry.age_for_reuse(now)) > 0
            && context.request.validity(cache, entry) == Validity::Valid
    };
    let timeliness = match &context.selected {
        Some(entry) if is_fresh(entry) => Timeliness::Fresh,
        Some(_) | None => Timeliness::Stale,
    };
    let predecessor = storable::predecessor(status, context.request.requester(), timeliness);
    if predecessor == Predecessor::Drop {
        remove_selected(cache, context).await;
    }
    predecessor
}

/// Removes the stored responses that the request selected, in memory and in the shared tier. Those
/// that were stored since stay.
pub(crate) async fn remove_selected(cache: &Cache, context: &RequestContext) {
    if context.selected.is_none() {
        return;
    }
    publish::withdraw(cache, context);
    memory_write::replace_selected(cache, context, None).await;
}

/// Replaces the variant `old` by `new`, or only removes it. The new one is published to other nodes
/// if the old one was the selected response.
pub(crate) async fn swap(
    cache: &Cache,
    context: &RequestContext,
    old: &Arc<Entry>,
    new: Option<Arc<Entry>>,
) {
    let valid = new
        .as_ref()
        .filter(|new| new.validity() == Validity::Valid)
        .cloned();
    if valid.is_none() {
        publish::withdraw(cache, context);
    }
    let swap = memory_write::swap(cache, context, old, new).await;
    if let Some(new) = valid
        && swap == Swap::Done
        && context.has_selected(old)
    {
        publish::publish(cache, context, &new);
    }
}

/// Sets `Content-Length` to the length of the stored body (RFC 9110 §8.6).
fn complete(headers: &mut http::HeaderMap, status: StatusCode, body: &Segments) {
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    } else {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
}
