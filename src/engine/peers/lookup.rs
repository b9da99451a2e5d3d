//! The lookup in the shared tier: what other nodes stored, before the origin is asked.

use std::sync::Arc;

use http::HeaderName;
use tracing::Instrument;

use super::doubts::{
    Selected, compare_epochs, distrust_selected, invalidate_if_unknown, invalidate_selected,
};
use crate::{
    codec::EntryRecord,
    engine::{
        context::RequestContext,
        lookup::{self, Next, Served, StoredAnswer},
        memory_write,
    },
    entry::{Entry, Grant, RemoteVersion, Snapshot},
    error::StoreError,
    outcome::{ForwardReason, StaleReason, Tier},
    purge::PurgeTime,
    remote::{
        Acceptance, Asked, ObservedVersion, Pending, Remote, RemoteKey, RemoteRead, RemoteValue,
        SelectingHeaders,
        convert::{self, UnpackContext},
        slots_of, variant_id,
    },
    semantics::decide::Validity,
    spans,
    state::cache::Cache,
    store::Resource,
};

/// What the shared tier has for a request.
#[derive(Debug)]
pub(crate) enum RemoteLookup {
    /// A response that answers the request.
    Hit(StoredAnswer),
    /// Nothing that answers the request. The context has what was found.
    Miss,
    /// There is no shared tier, or it did not answer.
    Unavailable,
}

/// An entry for a request, by where it was found.
enum PeerEntry {
    /// In memory, and the shared tier still has the same version.
    Current(Arc<Entry>),
    /// In the shared tier only.
    New(Arc<Entry>),
    Nothing,
    Unavailable,
}

impl PeerEntry {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Current(_) => "current",
            Self::New(_) => "hit",
            Self::Nothing => "miss",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Looks a request up in the shared tier. What is found there is stored in memory too. If it
/// answers the request, and memory has no older version, that is left to [`promote`].
pub(crate) async fn find(cache: &Cache, context: &mut RequestContext) -> RemoteLookup {
    let Some(remote) = &cache.shared.remote else {
        return RemoteLookup::Unavailable;
    };
    if !remote.is_available() {
        return match distrust_selected(cache, remote, context) {
            Selected::Distrusted => RemoteLookup::Miss,
            Selected::Trusted => RemoteLookup::Unavailable,
        };
    }
    let span = spans::lookup();
    let searching = search(cache, remote, context);
    let found = searching.instrument(span.clone()).await;
    span.record("found", found.as_str());
    drop(span);
    let (entry, tier, new) = match found {
        PeerEntry::Unavailable => return RemoteLookup::Unavailable,
        PeerEntry::Current(entry) => (entry, Tier::Memory, None),
        PeerEntry::New(entry) => (Arc::clone(&entry), Tier::Remote, Some(entry)),
        PeerEntry::Nothing => return RemoteLookup::Miss,
    };
    let now = cache.shared.clock.monotonic();
    let resource = Resource::One(Arc::clone(&entry));
    let next = lookup::evaluate(cache, &context.request, Some(&resource), now);
    let revalidates = Served::Stale(StaleReason::WhileRevalidate);
    let at_once = matches!(next, Next::Serve(_, served) if served != revalidates);
    // If L1 holds an older version, update it before answering: should the shared tier fail next,
    // L1 must not serve the old one. If it holds none, the update can wait.
    let promote_later = at_once && !is_in_memory(cache, context).await;
    if !promote_later && new.is_some() {
        memory_write::replace_selected(cache, context, new.clone()).await;
    }
    if let Next::Serve(_, served) = next
        && at_once
    {
        context.promotable = new.filter(|_| promote_later);
        return RemoteLookup::Hit(StoredAnswer {
            entry,
            tier,
            now,
            served,
        });
    }
    match context.adopt(next) {
        Next::Serve(entry, served) => {
            context.forward = ForwardReason::Stale;
            context.stored = Some(resource);
            RemoteLookup::Hit(StoredAnswer {
                entry,
                tier,
                now,
                served,
            })
        }
        Next::Bypass(_) | Next::Fetch { .. } => {
            context.stored = Some(resource);
            RemoteLookup::Miss
        }
        Next::Refuse => RemoteLookup::Miss,
    }
}

/// Stores in memory what was found in the shared tier for a request, after its answer.
pub(crate) async fn promote(cache: &Cache, context: &mut RequestContext) {
    if let Some(entry) = context.promotable.take() {
        memory_write::replace_selected(cache, context, Some(entry)).await;
    }
}

async fn search(cache: &Cache, remote: &Remote, context: &mut RequestContext) -> PeerEntry {
    let key = RemoteKey::of(&context.request.key);
    let snapshot = remote.tracker.snapshot(slots_of(&key));
    context.remote_vary.clear();
    // Before anything is used: what was purged while nobody told this node of it.
    if let Err(error) = remote.catch_up().await {
        return match distrust_selected(cache, remote, context) {
            Selected::Distrusted => PeerEntry::Nothing,
            Selected::Trusted => unavailable(remote, &error),
        };
    }
    if let Err(error) = remote.learn_distrust().await {
        return match distrust_selected(cache, remote, context) {
            Selected::Distrusted => PeerEntry::Nothing,
            Selected::Trusted => unavailable(remote, &error),
        };
    }
    let asked = remote.asked();
    match remote.pending(&key) {
        Pending::Nothing => {}
        Pending::Epoch(epoch, validity) => {
            // A response that is fetched now is written after this invalidation, and finds it
            // there.
            context.observed =
                (!key.is_partition()).then(|| ObservedVersion::invalidated(epoch, snapshot, asked));
            if validity == Validity::Invalidated {
                invalidate_selected(context);
            }
            return PeerEntry::Nothing;
        }
        Pending::Everything => {
            // What is fetched now may be written over something invalid, and not be found to be
            // newer.
            context.observed = None;
            return PeerEntry::Nothing;
        }
    }
    match validate_selected(cache, remote, context, &key, snapshot, asked).await {
        Ok(Some(entry)) => return PeerEntry::Current(entry),
        Ok(None) => {}
        Err(error) => return unavailable(remote, &error),
    }
    match read(cache, remote, context, &key, snapshot, asked).await {
        Ok(RemoteValue::Entry { record, .. })
            // As an entry it would be held for as long as it is read.
            if !remote.is_trusted(record.arrived_ms) || !has_room(cache, &record) =>
        {
            remote.metrics().misses.increment(1);
            PeerEntry::Nothing
        }
        Ok(RemoteValue::Entry { record, stamp }) => {
            let born = born(remote, &record).await;
            let Some(entry) = born.and_then(|at| unpack(cache, context, &record, at)) else {
                remote.metrics().misses.increment(1);
                return PeerEntry::Nothing;
            };
            remote.metrics().hits.increment(1);
            remote.remember_stored(&key);
            let variant = variant_id(&record.selecting);
            let version = RemoteVersion::new(slots_of(&key), stamp, variant, snapshot);
            PeerEntry::New(Arc::new(entry.with_remote_version(Some(version))))
        }
        Ok(RemoteValue::Tombstone { .. }) => PeerEntry::Nothing,
        Ok(RemoteValue::OtherVariants(names)) => {
            let names = names.iter().map(|name| HeaderName::from_bytes(name));
            context.remote_vary = names.flatten().collect();
            context.forward = ForwardReason::VaryMiss;
            invalidate_if_unknown(cache, remote, context);
            remote.metrics().misses.increment(1);
            PeerEntry::Nothing
        }
        Ok(RemoteValue::Missing) => {
            invalidate_if_unknown(cache, remote, context);
            remote.metrics().misses.increment(1);
            PeerEntry::Nothing
        }
        Err(error) => unavailable(remote, &error),
    }
}

/// The selected entry, if it is still current in the shared tier. The tier is asked only if it may
/// have changed.
async fn validate_selected(
    cache: &Cache,
    remote: &Remote,
    context: &mut RequestContext,
    key: &RemoteKey,
    snapshot: Snapshot,
    asked: Asked,
) -> Result<Option<Arc<Entry>>, StoreError> {
    let Some(entry) = context.selected.clone() else {
        return Ok(None);
    };
    if distrust_selected(cache, remote, context) == Selected::Distrusted {
        return Ok(None);
    }
    let Some(version) = entry.remote_version() else {
        return Ok(None);
    };
    if entry.validity() != Validity::Valid {
        // It is of an epoch that this node ended.
        return Ok(None);
    }
    if !remote.tracker.is_current(version) {
        let order = cache.config.rules.language_order;
        let mut request = SelectingHeaders::new(&context.request.parts.headers, order);
        if !remote.still_has(key, version, &mut request).await? {
            return Ok(None);
        }
        version.validated_at(snapshot);
    }
    context.observed = Some(ObservedVersion::of(version, snapshot, asked));
    Ok(Some(entry))
}

/// Reads what the shared tier has for the request. If the resource was invalidated since the
/// selected entry was stored, or a write to it got no answer, that concerns the entry too.
async fn read(
    cache: &Cache,
    remote: &Remote,
    context: &mut RequestContext,
    key: &RemoteKey,
    snapshot: Snapshot,
    asked: Asked,
) -> Result<RemoteValue, StoreError> {
    let order = cache.config.rules.language_order;
    let mut request = SelectingHeaders::new(&context.request.parts.headers, order);
    let acceptance = Acceptance {
        rules: &cache.config.rules,
        now_ms: cache.shared.clock.wall_millis(),
    };
    let read = remote.read(key, &mut request, &acceptance, snapshot, asked);
    let RemoteRead { value, observed } = read.await?;
    context.observed = Some(observed);
    compare_epochs(cache, remote, context, observed.epoch, &value);
    Ok(value)
}

/// When the fetch of a record began, by the purge clock of this node. `None` if nobody knows what was
/// purged since.
async fn born(remote: &Remote, record: &EntryRecord) -> Option<PurgeTime> {
    let applied = record.purgeable.as_ref()?.applied?;
    remote.purges.born(applied).await
}

fn unpack(
    cache: &Cache,
    context: &RequestContext,
    record: &EntryRecord,
    born: PurgeTime,
) -> Option<Entry> {
    let Cache { shared, config } = cache;
    let unpack_context = UnpackContext {
        clock: &*shared.clock,
        generation: context.generation,
        born,
        tag_limits: config.tag_limits,
        longest_fetch: config.origin_timeout,
        order: config.rules.language_order,
        request: &context.request.parts.headers,
        seed: shared.seed(),
    };
    convert::unpack(record, &unpack_context, &shared.names)
}

/// Whether the account of bodies has room for the body of a record.
fn has_room(cache: &Cache, record: &EntryRecord) -> bool {
    let bytes = record.body.iter().map(|part| part.len() as u64).sum();
    let stall = cache.config.fill.reader_stall;
    Entry::copies(bytes) || cache.shared.account.make_room(bytes, stall) == Grant::Granted
}

async fn is_in_memory(cache: &Cache, context: &RequestContext) -> bool {
    let lookup = cache.shared.store.get(context.request.key.as_ref());
    !matches!(lookup.await, Ok(None))
}

fn unavailable(remote: &Remote, error: &StoreError) -> PeerEntry {
    remote.metrics().errors.increment(1);
    tracing::debug!(%error, "the shared tier did not answer");
    PeerEntry::Unavailable
}
