//! What an exchange leaves in the store: the only place that writes entries there.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;

use super::{fetched::Recording, lifetime};
use crate::{
    engine::{
        context::Errand,
        hit_for_miss,
        memory_write::{self, Swap},
    },
    entry::{Entry, Segments},
    error::BoxError,
    fill::{Limits, Recorded},
    semantics::decide::Standing,
    state::{cache::Cache, flights::Arriving},
};

/// Drives a body to its end, for its readers and for the store.
pub(crate) async fn record<B>(
    cache: &Cache,
    errand: &Errand,
    recording: Recording<B>,
    limits: &Limits,
) where
    B: Body,
    B::Error: Into<BoxError>,
{
    let Recording {
        arriving,
        body,
        cost,
        lesson,
        permit: _permit,
        undecided,
    } = recording;
    let Arriving { head, fill } = &*arriving;
    // Its readers see the end of the body only after the store has it.
    let (recorded, _ending) = fill.record(body, limits).await;
    match recorded {
        Recorded::Whole(segments) => {
            let mut head = head.clone();
            complete(&mut head.headers, head.status, &segments);
            let past = lesson.as_ref().map(|it| it.with_body(segments.as_slice()));
            if let (Some(past), Some(undecided)) = (&past, &undecided) {
                let asked = &errand.asked;
                lifetime::reconsider(cache, asked, &mut head, undecided, past.history());
            }
            let shared = &cache.shared;
            let mark = cache.mark(errand, &head.selecting);
            let entry = Entry::new(&head, &segments, &shared.shapes);
            let entry = Arc::new(entry.with_past(past).marked(mark).fetched_in(cost));
            memory_write::replace_selected(cache, errand, Some(Arc::clone(&entry))).await;
            cache.publish(errand, &entry);
            // The memory tier weighs them from here on.
            fill.settle();
        }
        Recorded::Abandoned => {
            tracing::debug!(key = ?errand.asked.key, "abandoned");
        }
        Recorded::Failed(error) => {
            tracing::debug!(key = ?errand.asked.key, %error, "not stored");
        }
        Recorded::NotKept => hit_for_miss::remember_uncacheable(cache, errand),
    }
    let shared = &cache.shared;
    let held = shared.budget.used();
    shared.metrics().fill_bytes.set(held as f64);
}

/// Removes what the request selects, here and from the other nodes.
pub(crate) async fn remove_selected(cache: &Cache, errand: &Errand) {
    cache.withdraw(errand);
    memory_write::replace_selected(cache, errand, None).await;
}

/// Puts `new` in the place of the one variant `old`, or only removes that. What is stored is given
/// to the other nodes, if they had the old one.
pub(crate) async fn swap(
    cache: &Cache,
    errand: &Errand,
    old: &Arc<Entry>,
    new: Option<Arc<Entry>>,
) {
    let valid = new
        .as_ref()
        .filter(|new| new.standing() == Standing::Valid)
        .cloned();
    if valid.is_none() {
        cache.withdraw(errand);
    }
    let swap = memory_write::swap(cache, errand, old, new).await;
    if let Some(new) = valid
        && swap == Swap::Done
        && errand.has_selected(old)
    {
        cache.publish(errand, &new);
    }
}

/// Gives a stored head the length of its body, which it may have lacked (RFC 9110 §8.6).
fn complete(headers: &mut http::HeaderMap, status: StatusCode, body: &Segments) {
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    } else {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
}
