//! What an exchange leaves in the store: the only place that writes entries there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderValue, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;

use crate::{
    assess,
    entry::{Entry, Segments},
    error::BoxError,
    fetch::{Errand, Recording},
    fill::{Limits, Recorded},
    flown::Arriving,
    layer::Cache,
    semantics::{decide::Standing, select},
    store::{Change, Resource, Update},
};

impl Cache {
    /// Drives a body to its end, for its readers and for the store.
    pub(crate) async fn record<B>(&self, errand: &Errand, recording: Recording<B>, limits: &Limits)
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let Recording {
            arriving,
            body,
            permit: _permit,
        } = recording;
        let Arriving {
            cost,
            head,
            fill,
            lesson,
            undecided,
        } = &*arriving;
        // Its readers see the end of the body only after the store has it.
        let (recorded, _ending) = fill.record(body, limits).await;
        match recorded {
            Recorded::Whole(segments) => {
                let mut head = head.clone();
                complete(&mut head.headers, head.status, &segments);
                let past = lesson.as_ref().map(|it| it.with_body(segments.as_slice()));
                if let (Some(past), Some(undecided)) = (&past, undecided) {
                    let asked = &errand.asked;
                    assess::reconsider(self, asked, &mut head, undecided, past.history());
                }
                let shared = &self.shared;
                let mark = self.mark(errand, &head.selecting);
                let entry = Entry::new(&head, &segments, &shared.shapes);
                let entry = Arc::new(entry.with_past(past).marked(mark).fetched_in(*cost));
                self.replace_selected(errand, Some(Arc::clone(&entry)))
                    .await;
                self.publish(errand, &entry);
                // The memory tier weighs them from here on.
                fill.settle();
            }
            Recorded::Abandoned => {
                tracing::debug!(key = ?errand.asked.key, "abandoned");
            }
            Recorded::Failed(error) => {
                tracing::debug!(key = ?errand.asked.key, %error, "not stored");
            }
            Recorded::NotKept => self.remember_uncacheable(errand),
        }
        let shared = &self.shared;
        let held = shared.budget.used();
        shared.metrics().fill_bytes.set(held as f64);
    }

    /// Stores `entry` in place of every variant that the request selects, or only removes those.
    ///
    /// An entry is stored only if nothing invalidated the resource since its request came in:
    /// checked inside the store's own update, so that no invalidation comes between.
    pub(crate) async fn replace_selected(&self, errand: &Errand, entry: Option<Arc<Entry>>) {
        if entry.is_none() {
            self.withdraw(errand);
        }
        let Cache { shared, config } = self.clone();
        let metrics = Arc::clone(&shared);
        let resource_hash = errand.asked.key.resource_hash();
        let generation = errand.generation;
        let request = errand.asked.parts.headers.clone();
        let change: Change = Box::new(move |stored| {
            if entry.is_some() && shared.generations.current(resource_hash) != generation {
                return Update::Keep;
            }
            let variants = stored.map_or(&[][..], Resource::variants);
            let order = config.rules.language_order;
            let mut kept: Vec<Arc<Entry>> =
                select::survivors(variants, &request, shared.seed(), order)
                    .cloned()
                    .collect();
            if let Some(entry) = &entry {
                // What takes its place arrived after it: then this one took its time.
                let newer = |old: &Arc<Entry>| {
                    old.arrival().monotonic > entry.arrival().monotonic
                        && old.standing() == Standing::Valid
                        && !kept.iter().any(|kept| Arc::ptr_eq(kept, old))
                };
                if variants.iter().any(newer) {
                    return Update::Keep;
                }
                shared.metrics().stored.increment(1);
            }
            kept.extend(entry);
            match Resource::new(kept, config.max_variants, shared.memory.max_resource()) {
                Some(resource) => Update::Replace(resource),
                None if stored.is_some() => Update::Remove,
                None => Update::Keep,
            }
        });
        let update = metrics.store.update(errand.asked.key.to_key(), change);
        if update.await.is_err() {
            metrics.metrics().store_errors.increment(1);
        }
        let memory = metrics.memory.weighed_size();
        metrics.metrics().memory_bytes.set(memory as f64);
    }

    /// Puts `new` in the place of the one variant `old`, or only removes that. Does nothing if it is
    /// no longer stored: what took its place is more recent. What is stored is given to the other
    /// nodes, if they had the old one.
    pub(crate) async fn swap(&self, errand: &Errand, old: &Arc<Entry>, new: Option<Arc<Entry>>) {
        let valid = new
            .as_ref()
            .filter(|new| new.standing() == Standing::Valid)
            .cloned();
        if valid.is_none() {
            self.withdraw(errand);
        }
        let swapped = Arc::new(AtomicBool::new(false));
        let swaps = Arc::clone(&swapped);
        let selected = errand.selected.as_ref();
        let is_selected = selected.is_some_and(|selected| Arc::ptr_eq(selected, old));
        let Cache { shared, config } = self.clone();
        let resource_hash = errand.asked.key.resource_hash();
        let generation = errand.generation;
        let old = Arc::clone(old);
        let fence = Arc::clone(&shared);
        let change: Change = Box::new(move |stored| {
            let variants = stored.map_or(&[][..], Resource::variants);
            let is_old = |entry: &Arc<Entry>| Arc::ptr_eq(entry, &old);
            if fence.generations.current(resource_hash) != generation
                || !variants.iter().any(is_old)
            {
                return Update::Keep;
            }
            swaps.store(true, Ordering::Relaxed);
            let swapped = variants
                .iter()
                .filter_map(|entry| {
                    if is_old(entry) {
                        new.clone()
                    } else {
                        Some(Arc::clone(entry))
                    }
                })
                .collect();
            let max_bytes = fence.memory.max_resource();
            Resource::new(swapped, config.max_variants, max_bytes)
                .map_or(Update::Remove, Update::Replace)
        });
        if shared
            .store
            .update(errand.asked.key.to_key(), change)
            .await
            .is_err()
        {
            shared.metrics().store_errors.increment(1);
        }
        if let Some(new) = valid
            && is_selected
            && swapped.load(Ordering::Relaxed)
        {
            self.publish(errand, &new);
        }
    }

    /// For a while, requests for this key do not wait for each other.
    pub(crate) fn remember_uncacheable(&self, errand: &Errand) {
        let Cache { shared, config } = self;
        shared.uncacheable.insert(
            errand.asked.key.hash(),
            shared.clock.monotonic(),
            config.uncacheable_for,
        );
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
