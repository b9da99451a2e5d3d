//! What the engine gives to the other nodes: responses that it stored, and invalidations.

use std::sync::Arc;

use super::{
    coherence::slots_of,
    convert,
    lease::LeaseNote,
    location::RemoteKey,
    outbox::LONGEST_KEEP,
    selecting::{SelectingHeaders, variant_id},
    write::PendingWrite,
};
use crate::{
    codec::Stamp,
    engine::context::RequestContext,
    entry::{Entry, RemoteVersion},
    key::RequestKey,
    semantics::vary::Selecting,
    state::cache::Cache,
};

impl Cache {
    /// The version that a response gets in the shared tier, which is about to be stored. `None` if it
    /// cannot be shared.
    pub(crate) fn mark(
        &self,
        errand: &RequestContext,
        selecting: &Selecting,
    ) -> Option<RemoteVersion> {
        let remote = self.shared.remote.as_ref()?;
        let observed = errand.observed?;
        let stamp = Stamp {
            epoch: observed.epoch,
            version: remote.nonce(),
        };
        let order = self.config.rules.language_order;
        let mut request = SelectingHeaders::new(&errand.request.parts.headers, order);
        let variant = variant_id(&request.selectors(selecting.names()));
        let slots = slots_of(&RemoteKey::of(&errand.request.key));
        Some(RemoteVersion::new(slots, stamp, variant, observed.snapshot))
    }

    /// Gives a response that was stored in memory to the other nodes, in the background.
    pub(crate) fn publish(&self, errand: &RequestContext, entry: &Arc<Entry>) {
        let Some(remote) = self.shared.remote.clone() else {
            return;
        };
        let (Some(observed), Some(version)) = (errand.observed, entry.mark()) else {
            return;
        };
        let resource = errand.request.key.resource_hash();
        if self.shared.generations.current(resource) != errand.generation {
            return;
        }
        let bytes = usize::try_from(entry.body_len()).unwrap_or(usize::MAX);
        if bytes > remote.limits().max_value_bytes {
            if let Some(lease) = &errand.lease {
                lease.post(LeaseNote::FetchAlone);
            }
            remote.metrics().writes_dropped.increment(1);
            return;
        }
        let Some(permit) = remote.reserve(bytes) else {
            remote.metrics().writes_dropped.increment(1);
            return;
        };
        let order = self.config.rules.language_order;
        let request = errand.request.parts.headers.clone();
        let selecting = SelectingHeaders::new(&request, order).selectors(entry.selecting().names());
        let key = RemoteKey::of(&errand.request.key);
        let arrived = convert::arrived_ms(entry, &*self.shared.clock);
        let pending = PendingWrite {
            record: convert::pack(entry, key.cache_key(), arrived, selecting),
            keep: entry.keep().min(LONGEST_KEEP),
            request,
            stamp: version.stamp(),
            variant: version.variant(),
            key,
            observed,
        };
        let held = (errand.lease.clone(), permit);
        let (clock, entry) = (Arc::clone(&self.shared.clock), Arc::downgrade(entry));
        self.shared.tasks.spawn(&*self.config.executor, async move {
            remote.publish(pending, order, &*clock, held, &entry).await;
        });
    }

    /// Removes what the other nodes have for a request, in the background: the origin has it no
    /// longer.
    pub(crate) fn withdraw(&self, errand: &RequestContext) {
        let (Some(remote), Some(observed)) = (self.shared.remote.clone(), errand.observed) else {
            return;
        };
        if observed.is_missing() {
            return;
        }
        let key = RemoteKey::of(&errand.request.key);
        let selected = errand.selected.as_ref().and_then(|entry| entry.mark());
        let variant = selected.and_then(RemoteVersion::variant);
        let executor = remote.executor();
        self.shared.tasks.spawn(&executor, async move {
            remote.withdraw(&key, observed, variant).await;
        });
    }

    /// Tells the other nodes that what is stored for a resource is invalid.
    pub(crate) fn invalidate_remote(&self, key: &RequestKey) {
        if let Some(remote) = &self.shared.remote {
            remote.invalidate(&RemoteKey::of(key), &self.shared.tasks);
        }
    }
}
