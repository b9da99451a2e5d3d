//! What the engine gives to the other nodes: responses that it stored, and invalidations.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    codec::{Purgeable, Stamp},
    engine::context::RequestContext,
    entry::{Entry, RemoteVersion},
    key::RequestKey,
    remote::{
        Known, LONGEST_KEEP, LeaseNote, PendingWrite, Remote, RemoteKey, SelectingHeaders, convert,
        slots_of, variant_id,
    },
    semantics::{decide::Validity, vary::Selecting},
    state::cache::Cache,
    store::StoreFuture,
};

/// The version that a response will have in the shared tier, before it is stored in memory. `None`
/// if it cannot be shared.
pub(crate) fn remote_version(
    cache: &Cache,
    context: &RequestContext,
    selecting: &Selecting,
) -> Option<RemoteVersion> {
    let remote = cache.shared.remote.as_ref()?;
    let observed = context.observed?;
    let stamp = Stamp {
        epoch: observed.epoch,
        version: remote.nonce(),
    };
    let order = cache.config.rules.language_order;
    let mut request = SelectingHeaders::new(&context.request.parts.headers, order);
    let variant = variant_id(&request.selectors(selecting.names()));
    let slots = slots_of(&RemoteKey::of(&context.request.key));
    Some(RemoteVersion::new(slots, stamp, variant, observed.snapshot))
}

/// Gives a response that was stored in memory to the other nodes, in the background.
pub(crate) fn publish(cache: &Cache, context: &RequestContext, entry: &Arc<Entry>) {
    let Some(remote) = cache.shared.remote.clone() else {
        return;
    };
    let (Some(observed), Some(version)) = (context.observed, entry.remote_version()) else {
        return;
    };
    let resource = context.request.key.resource_hash();
    if cache.shared.generations.current(resource) != context.generation {
        return;
    }
    let Some(purgeable) = purgeable(&remote, entry) else {
        remote.metrics().writes_dropped.increment(1);
        return;
    };
    let bytes = usize::try_from(entry.body_len()).unwrap_or(usize::MAX);
    if bytes > remote.limits().max_value_bytes {
        if let Some(lease) = &context.lease {
            lease.post(LeaseNote::FetchAlone);
        }
        remote.metrics().writes_dropped.increment(1);
        return;
    }
    let Some(permit) = remote.reserve(bytes) else {
        remote.metrics().writes_dropped.increment(1);
        return;
    };
    let order = cache.config.rules.language_order;
    let request = context.request.parts.headers.clone();
    let selecting = SelectingHeaders::new(&request, order).selectors(entry.selecting().names());
    let key = RemoteKey::of(&context.request.key);
    let arrived = convert::arrived_ms(entry, &*cache.shared.clock);
    let pending = PendingWrite {
        record: convert::pack(
            entry,
            key.cache_key(),
            arrived,
            selecting,
            Some(Box::new(purgeable)),
        ),
        keep: entry.keep().min(LONGEST_KEEP),
        request,
        stamp: version.stamp(),
        variant: version.variant(),
        key,
        observed,
    };
    remote.remember_stored(&pending.key);
    let held = (context.lease.clone(), permit);
    let (clock, entry) = (Arc::clone(&cache.shared.clock), Arc::downgrade(entry));
    let publishing = async move { remote.publish(pending, order, &*clock, held, &entry).await };
    let executor = &*cache.config.executor;
    cache.shared.tasks.spawn(executor, publishing);
}

/// What decides for other nodes whether a purge concerns the entry. `None` if they could not know: the log
/// of purges was not known when its fetch began, or a purge has made it stale since.
fn purgeable(remote: &Remote, entry: &Entry) -> Option<Purgeable> {
    // In this order: what was found belongs to this time or an earlier one.
    let seen = entry.purges().seen();
    if entry.purges().has_found() {
        return None;
    }
    let tags = entry.tags();
    let tags = tags.into_iter().flat_map(|tags| tags.names());
    Some(Purgeable {
        tags: tags.map(Bytes::copy_from_slice).collect(),
        applied: Some(remote.purges.applied_at(seen)?),
    })
}

/// Removes what the other nodes have for a request, in the background: the origin has it no longer.
pub(crate) fn withdraw(cache: &Cache, context: &RequestContext) {
    let (Some(remote), Some(observed)) = (cache.shared.remote.clone(), context.observed) else {
        return;
    };
    if observed.is_missing() {
        return;
    }
    let key = RemoteKey::of(&context.request.key);
    let selected = context.selected.as_ref();
    let version = selected.and_then(|entry| entry.remote_version());
    let variant = version.and_then(RemoteVersion::variant);
    let executor = remote.executor();
    cache.shared.tasks.spawn(&executor, async move {
        remote.withdraw(&key, observed, variant).await;
    });
}

/// Tells the other nodes, in the background, that what is stored for a resource is invalidated or
/// unanswered: first of resources that this node has something of.
pub(crate) fn invalidate(cache: &Cache, key: &RequestKey, validity: Validity) {
    if let Some(remote) = &cache.shared.remote {
        let known = match cache.shared.store.get(key.as_ref()) {
            StoreFuture::Ready(Some(Ok(Some(_)))) => Known::Stored,
            StoreFuture::Ready(_) | StoreFuture::Pending(_) => Known::Nothing,
        };
        remote.invalidate(&RemoteKey::of(key), validity, known, &cache.shared.tasks);
    }
}
