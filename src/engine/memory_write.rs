//! Writes entries to L1. Only an invalidation changes L1 elsewhere.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::context::RequestContext;
use crate::{
    config::Config,
    entry::Entry,
    purge::Standing,
    semantics::{decide::Validity, select},
    state::cache::{Cache, Shared},
    store::{Resource, Update, UpdateFn},
};

/// Stores `entry` in place of every variant that the request selects, or only removes those
/// variants.
///
/// An entry is stored only if the resource has not been invalidated since its request came, and
/// variants are removed only if they are those that were there when the request came: what arrived
/// later is more recent than the response that removes them. A response that has been purged while it
/// arrived is not stored either, and purged variants go. This is checked inside the store's
/// atomic update, so that nothing can come in between.
pub(crate) async fn replace_selected(
    cache: &Cache,
    context: &RequestContext,
    entry: Option<Arc<Entry>>,
) {
    if let Some(entry) = &entry {
        cache.shared.purges.keeps_for(entry.keep());
    }
    let Cache { shared, config } = cache.clone();
    let metrics = Arc::clone(&shared);
    let resource_hash = context.request.key.resource_hash();
    let generation = context.generation;
    let request_headers = context.request.parts.headers.clone();
    let selected = context.selected.clone();
    let key = context.request.key.to_key();
    let change: UpdateFn = Box::new(move |stored| {
        if entry.is_some() && shared.generations.current(resource_hash) != generation {
            return Update::Keep;
        }
        let found = stored.map_or(&[][..], Resource::variants);
        let variants: &[Arc<Entry>] = &usable(&shared, key.as_bytes(), found);
        if let Some(entry) = &entry
            && shared.purged(key.as_bytes(), entry) == Standing::Purged
        {
            return without_purged(&config, &shared, found, variants);
        }
        let order = config.rules.language_order;
        let mut kept: Vec<Arc<Entry>> =
            select::survivors(variants, &request_headers, shared.seed(), order)
                .cloned()
                .collect();
        if let Some(entry) = &entry {
            // A variant that would be replaced arrived later: keep the more recent one.
            let newer = |old: &Arc<Entry>| {
                old.arrival().monotonic > entry.arrival().monotonic
                    && old.validity() == Validity::Valid
                    && !kept.iter().any(|kept| Arc::ptr_eq(kept, old))
            };
            if variants.iter().any(newer) {
                return Update::Keep;
            }
            shared.metrics().stored.increment(1);
        } else {
            let since = |it: &&Arc<Entry>| selected.as_ref().is_none_or(|old| is_since(it, old));
            let survives = |it: &&Arc<Entry>| kept.iter().any(|kept| Arc::ptr_eq(kept, *it));
            kept = variants
                .iter()
                .filter(|it| survives(it) || since(it))
                .cloned()
                .collect();
            if kept.len() == found.len() {
                return Update::Keep;
            }
        }
        kept.extend(entry);
        match Resource::new(kept, config.max_variants, shared.memory.max_resource()) {
            Some(resource) => Update::Replace(resource),
            None if stored.is_some() => Update::Remove,
            None => Update::Keep,
        }
    });
    let update = metrics.store.update(context.request.key.to_key(), change);
    if update.await.is_err() {
        metrics.metrics().store_errors.increment(1);
    }
    metrics.memory.report();
}

/// The variants that have not been purged.
fn usable<'a>(shared: &Shared, key: &[u8], found: &'a [Arc<Entry>]) -> Cow<'a, [Arc<Entry>]> {
    let is_usable = |entry: &&Arc<Entry>| shared.purged(key, entry) == Standing::Usable;
    if found.iter().all(|entry| is_usable(&entry)) {
        return Cow::Borrowed(found);
    }
    let usable: Vec<_> = found.iter().filter(is_usable).cloned().collect();
    let purged = (found.len() - usable.len()) as u64;
    shared.metrics().purges.purged.increment(purged);
    Cow::Owned(usable)
}

/// Removes the variants that have been purged, in place of an update that came too late.
fn without_purged(
    config: &Config,
    shared: &Shared,
    found: &[Arc<Entry>],
    usable: &[Arc<Entry>],
) -> Update {
    if found.len() == usable.len() {
        return Update::Keep;
    }
    let max_bytes = shared.memory.max_resource();
    Resource::new(usable.to_vec(), config.max_variants, max_bytes)
        .map_or(Update::Remove, Update::Replace)
}

/// Whether a response was stored after `old` was. A clock may give both the same moment: then `old`
/// itself is not, nor is what an invalidation made of it.
fn is_since(entry: &Arc<Entry>, old: &Arc<Entry>) -> bool {
    let (at, before) = (entry.arrival().monotonic, old.arrival().monotonic);
    at > before || at == before && !Arc::ptr_eq(entry, old) && entry.validity() == Validity::Valid
}

/// Whether a variant was replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Swap {
    Done,
    /// It was not: it is no longer stored, or the resource has been invalidated.
    Outdated,
}

/// Replaces the variant `old` by `new`, or only removes it. Changes nothing if `old` is no longer
/// stored, since its successor is more recent, or if the resource has been invalidated.
pub(crate) async fn swap(
    cache: &Cache,
    context: &RequestContext,
    old: &Arc<Entry>,
    new: Option<Arc<Entry>>,
) -> Swap {
    if let Some(entry) = &new {
        cache.shared.purges.keeps_for(entry.keep());
    }
    let swapped = Arc::new(AtomicBool::new(false));
    let swaps = Arc::clone(&swapped);
    let Cache { shared, config } = cache.clone();
    let resource_hash = context.request.key.resource_hash();
    let generation = context.generation;
    let old = Arc::clone(old);
    let key = context.request.key.to_key();
    let for_change = Arc::clone(&shared);
    let change: UpdateFn = Box::new(move |stored| {
        let variants = stored.map_or(&[][..], Resource::variants);
        let is_old = |entry: &Arc<Entry>| Arc::ptr_eq(entry, &old);
        if for_change.generations.current(resource_hash) != generation
            || !variants.iter().any(is_old)
        {
            return Update::Keep;
        }
        let is_purged =
            |entry: &Arc<Entry>| for_change.purged(key.as_bytes(), entry) == Standing::Purged;
        if new.as_ref().is_some_and(is_purged) {
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
        let max_bytes = for_change.memory.max_resource();
        Resource::new(swapped, config.max_variants, max_bytes)
            .map_or(Update::Remove, Update::Replace)
    });
    if shared
        .store
        .update(context.request.key.to_key(), change)
        .await
        .is_err()
    {
        shared.metrics().store_errors.increment(1);
    }
    if swapped.load(Ordering::Relaxed) {
        Swap::Done
    } else {
        Swap::Outdated
    }
}
