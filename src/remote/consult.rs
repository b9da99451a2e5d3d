//! The lookup in the shared tier: what other nodes stored, before the origin is asked.

use std::{sync::Arc, time::Duration};

use http::HeaderName;

use super::{
    coherence::slots_of,
    convert::{self, UnpackContext},
    location::RemoteKey,
    read::{ObservedVersion, RemoteValue},
    remote::Remote,
    selecting::{SelectingHeaders, variant_id},
};
use crate::{
    codec::Stamp,
    engine::{
        context::RequestContext,
        lookup::{Next, Served, evaluate},
        memory_write,
    },
    entry::{Entry, RemoteVersion},
    error::StoreError,
    key::RequestKey,
    outcome::{ForwardReason, StaleReason},
    state::cache::{Cache, Shared},
    store::Resource,
};

/// What the shared tier has for a request, by what is done next.
#[derive(Debug)]
pub(crate) enum Consulted {
    /// Nothing that answers the request. The errand knows what was found, and goes to the origin.
    Ask,
    Serve(Arc<Entry>, Duration, Served),
    /// There is no shared tier, or it did not answer.
    Silent,
}

/// What was found in the shared tier.
enum Lookup {
    /// The entry that memory has, which is still current.
    Current(Arc<Entry>),
    /// An entry that memory does not have.
    New(Arc<Entry>),
    Nothing,
    Unavailable,
}

impl Shared {
    /// How many changes by other nodes concern a key so far. Requests from before a change do not
    /// share a fetch with those from after it.
    pub(crate) fn changes(&self, key: &RequestKey) -> u32 {
        self.remote.as_ref().map_or(0, |remote| {
            remote.tracker.changes(slots_of(&RemoteKey::of(key)))
        })
    }

    /// Whether this node is notified of changes by other nodes.
    pub(crate) fn hears(&self) -> bool {
        let remote = self.remote.as_ref();
        remote.is_some_and(|remote| remote.tracker.is_connected())
    }

    /// Whether `entry` may be used without asking the shared tier whether it is still current.
    pub(crate) fn trusts(&self, entry: &Entry) -> bool {
        match &self.remote {
            None => true,
            Some(remote) => entry
                .mark()
                .is_some_and(|version| remote.tracker.is_current(version)),
        }
    }
}

impl Cache {
    /// Looks a request up in the shared tier. What is found there is stored in memory too. If it can
    /// be served at once, and memory has no older version, that is left to
    /// [`promote`](Self::promote).
    pub(crate) async fn consult(&self, errand: &mut RequestContext) -> Consulted {
        let Some(remote) = &self.shared.remote else {
            return Consulted::Silent;
        };
        if !remote.is_available() {
            return Consulted::Silent;
        }
        let (entry, new) = match self.search(remote, errand).await {
            Lookup::Unavailable => return Consulted::Silent,
            Lookup::Current(entry) => (entry, None),
            Lookup::New(entry) => (Arc::clone(&entry), Some(entry)),
            Lookup::Nothing => return Consulted::Ask,
        };
        let now = self.shared.clock.monotonic();
        let resource = Resource::One(Arc::clone(&entry));
        let next = evaluate(self, &errand.request, Some(&resource), now);
        let revalidates = Served::Stale(StaleReason::WhileRevalidate);
        let at_once = matches!(next, Next::Serve(_, served) if served != revalidates);
        // If memory holds an older version, update it before answering: should the shared tier fail
        // next, memory must not serve the old one. If it holds none, that can wait.
        let behind = at_once && !self.has_something(errand).await;
        if !behind && new.is_some() {
            memory_write::replace_selected(self, errand, new.clone()).await;
        }
        if let Next::Serve(_, served) = next
            && at_once
        {
            errand.promotable = new.filter(|_| behind);
            return Consulted::Serve(entry, now, served);
        }
        match errand.adopt(next) {
            Next::Serve(entry, served) => {
                errand.stored = Some(resource);
                Consulted::Serve(entry, now, served)
            }
            Next::Fetch { .. } => {
                errand.stored = Some(resource);
                Consulted::Ask
            }
            Next::Refuse => Consulted::Ask,
        }
    }

    async fn search(&self, remote: &Remote, errand: &mut RequestContext) -> Lookup {
        let key = RemoteKey::of(&errand.request.key);
        let slots = slots_of(&key);
        let snapshot = remote.tracker.snapshot(slots);
        errand.remote_vary.clear();
        if let Some(epoch) = remote.pending_epoch(&key) {
            // A response that is fetched now is written after this invalidation, and finds it there.
            errand.observed =
                (!key.is_partition()).then(|| ObservedVersion::invalidated(epoch, snapshot));
            invalidate_selected(errand);
            return Lookup::Nothing;
        }
        let order = self.config.rules.language_order;
        if let Some(entry) = errand.selected.clone()
            && let Some(version) = entry.mark()
        {
            let observed = ObservedVersion::of(version, snapshot);
            if remote.tracker.is_current(version) {
                errand.observed = Some(observed);
                return Lookup::Current(entry);
            }
            let mut request = SelectingHeaders::new(&errand.request.parts.headers, order);
            match remote.still_has(&key, version, &mut request).await {
                Ok(true) => {
                    version.validated_at(snapshot);
                    errand.observed = Some(observed);
                    return Lookup::Current(entry);
                }
                Ok(false) => {}
                Err(error) => return unavailable(remote, &error),
            }
        }
        let headers = &errand.request.parts.headers;
        let mut request = SelectingHeaders::new(headers, order);
        let read = match remote.read(&key, &mut request).await {
            Ok(read) => read,
            Err(error) => return unavailable(remote, &error),
        };
        let observed = ObservedVersion {
            snapshot,
            ..read.observed
        };
        errand.observed = Some(observed);
        if observed.epoch != 0 {
            let selected = errand.selected.as_ref().and_then(|entry| entry.mark());
            if selected.is_some_and(|version| version.stamp().epoch != observed.epoch) {
                invalidate_selected(errand);
            }
        }
        let (record, version) = match read.value {
            RemoteValue::Entry { record, version } => (record, version),
            RemoteValue::Tombstone => {
                invalidate_selected(errand);
                return Lookup::Nothing;
            }
            RemoteValue::OtherVariants(names) => {
                let names = names.iter().map(|name| HeaderName::from_bytes(name));
                errand.remote_vary = names.flatten().collect();
                errand.forward = ForwardReason::VaryMiss;
                remote.metrics().misses.increment(1);
                return Lookup::Nothing;
            }
            RemoteValue::Missing => {
                remote.metrics().misses.increment(1);
                return Lookup::Nothing;
            }
        };
        let context = UnpackContext {
            clock: &*self.shared.clock,
            generation: errand.generation,
            order,
            request: headers,
            seed: self.shared.seed(),
        };
        let Some(entry) = convert::unpack(&record, &context, &self.shared.names) else {
            remote.metrics().misses.increment(1);
            return Lookup::Nothing;
        };
        remote.metrics().hits.increment(1);
        let stamp = Stamp {
            epoch: observed.epoch,
            version,
        };
        let variant = variant_id(&record.selecting);
        let version = RemoteVersion::new(slots, stamp, variant, snapshot);
        Lookup::New(Arc::new(entry.marked(Some(version))))
    }

    async fn has_something(&self, errand: &RequestContext) -> bool {
        let lookup = self.shared.store.get(errand.request.key.as_ref());
        !matches!(lookup.await, Ok(None))
    }

    /// Stores in memory what was found for an errand and serves its request, after the response was
    /// sent.
    pub(crate) async fn promote(&self, errand: &mut RequestContext) {
        if let Some(entry) = errand.promotable.take() {
            memory_write::replace_selected(self, errand, Some(entry)).await;
        }
    }
}

/// The selected entry was invalidated by another node: it may be validated with the origin, but not
/// served before that.
fn invalidate_selected(errand: &RequestContext) {
    if let Some(version) = errand.selected.as_ref().and_then(|entry| entry.mark()) {
        version.invalidate();
    }
}

fn unavailable(remote: &Remote, error: &StoreError) -> Lookup {
    remote.metrics().errors.increment(1);
    tracing::debug!(%error, "the shared tier did not answer");
    Lookup::Unavailable
}
