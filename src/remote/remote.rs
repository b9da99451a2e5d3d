//! The shared tier as one cache uses it: the server, and what this node knows of it.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache as BoundedMap;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    budget::WriteBudget,
    coherence::ChangeTracker,
    distrust::{Distrust, learn_soon},
    invalidations::PendingInvalidations,
    known::KnownNames,
    location::RemoteKey,
    names::{Name, Role, everything, prefix, purges},
    notify::{ChangeNotifier, Subscription},
    purges::PurgeLog,
    store::{RemoteLimits, RemoteStore, Watch, WatchEvent},
    timed::TimedStore,
    touch::Touches,
    variants,
};
use crate::{
    clock::Clock,
    codec::VariantList,
    entry::RemoteVersion,
    error::StoreError,
    executor::Executor,
    key::RequestKey,
    metrics::{RemoteDurations, RemoteMetrics},
    purge::PurgeTable,
};

/// How many bytes of variant lists are remembered, so that a variant can be read together with its
/// list.
const REMEMBERED_LISTS: u64 = 4 << 20;

/// A server that nodes share, and what one cache knows of it.
pub(crate) struct Remote {
    pub(super) store: Arc<dyn RemoteStore>,
    pub(crate) tracker: Arc<ChangeTracker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) distrust: Arc<Distrust>,
    pub(super) notifier: Arc<ChangeNotifier>,
    pub(super) invalidations: PendingInvalidations,
    pub(super) known: Arc<KnownNames>,
    /// The variant lists that were read last.
    pub(super) lists: BoundedMap<Name, Arc<VariantList>>,
    budget: WriteBudget,
    metrics: OnceLock<RemoteMetrics>,
    durations: Arc<OnceLock<RemoteDurations>>,
    /// What this node knows of the purges of all nodes.
    pub(crate) purges: Arc<PurgeLog>,
    nonces: AtomicU64,
    touches: Touches,
    _watch: Box<dyn Watch>,
}

impl Remote {
    /// Uses `store`, and begins to watch it. Purges of other nodes go into `purged`.
    pub(crate) fn new(
        store: Arc<dyn RemoteStore>,
        clock: Arc<dyn Clock>,
        purged: Arc<PurgeTable>,
    ) -> Self {
        let durations = Arc::<OnceLock<RemoteDurations>>::default();
        let timed = TimedStore::new(store, Arc::clone(&clock), Arc::clone(&durations));
        let store: Arc<dyn RemoteStore> = Arc::new(timed);
        let tracker = Arc::new(ChangeTracker::new(clock.monotonic()));
        let distrust = Arc::new(Distrust::new());
        let notifier = Arc::new(ChangeNotifier::default());
        let (tracks, notifies) = (Arc::clone(&tracker), Arc::clone(&notifier));
        let (distrusts, time) = (Arc::clone(&distrust), Arc::clone(&clock));
        let known = Arc::new(KnownNames::new());
        let knows = Arc::clone(&known);
        let of_everything = everything(&store.limits().namespace);
        let of_purges = purges(&store.limits().namespace);
        let log = PurgeLog::new(Arc::clone(&store), Arc::clone(&clock), purged);
        let log = Arc::new(log);
        let follows = Arc::clone(&log);
        let learn = {
            let (distrust, store) = (Arc::clone(&distrust), Arc::clone(&store));
            let clock = Arc::clone(&clock);
            move || learn_soon(&distrust, &store, &clock)
        };
        let on_event = move |event| match event {
            WatchEvent::Changed(name) if name == of_everything => {
                // In this order: what is current from here on knows of it.
                distrusts.has_changed();
                tracks.everything_changed();
                learn();
            }
            WatchEvent::Changed(name) if name == of_purges => follows.changed().notify_one(),
            WatchEvent::Changed(name) => {
                if let Some((name, role)) = Name::parse(&name) {
                    match role {
                        Role::Main => {
                            knows.insert(name);
                            tracks.changed(name);
                        }
                        // After the change that it comes with, as a rule: by the order of names.
                        Role::Fence => {
                            knows.remove(name);
                            tracks.invalidated(name, time.monotonic());
                        }
                        Role::Unanswered => {
                            knows.remove(name);
                            tracks.unanswered(name, time.monotonic());
                        }
                        Role::Auxiliary => {}
                    }
                    notifies.notify(name);
                }
            }
            WatchEvent::Disconnected => {
                follows.may_have_missed();
                tracks.disconnected(time.monotonic());
            }
            WatchEvent::Connected => {
                distrusts.may_have_changed();
                // Before memory may be used again.
                follows.may_have_missed();
                follows.append_at_once();
                tracks.connected(time.monotonic());
                learn();
                follows.changed().notify_one();
            }
        };
        let prefix = prefix(&store.limits().namespace);
        Self {
            budget: WriteBudget::new(store.limits().max_value_bytes),
            invalidations: PendingInvalidations::new(store.limits().max_pending),
            known,
            lists: BoundedMap::builder()
                .max_capacity(REMEMBERED_LISTS)
                .weigher(|_, list: &Arc<VariantList>| variants::weight(list))
                .build(),
            metrics: OnceLock::new(),
            durations,
            purges: log,
            nonces: AtomicU64::new(RandomState::new().hash_one("versions")),
            clock,
            distrust,
            notifier,
            touches: Touches::new(Arc::clone(&store)),
            tracker,
            _watch: store.watch(prefix, Box::new(on_event)),
            store,
        }
    }

    pub(crate) fn limits(&self) -> &RemoteLimits {
        self.store.limits()
    }

    /// Whether it is worth asking.
    pub(crate) fn is_available(&self) -> bool {
        self.store.is_available()
    }

    /// Reads the log of purges, unless this node knows that it has applied all of it.
    pub(crate) async fn catch_up(&self) -> Result<(), StoreError> {
        if self.is_notified() {
            return Ok(());
        }
        self.purges.sync_in_time().await
    }

    /// Whether this node is told of every purge, and has missed none.
    pub(crate) fn is_notified(&self) -> bool {
        self.tracker.is_connected() && self.purges.is_caught_up()
    }

    /// Registered with the first request, like all metrics.
    pub(crate) fn metrics(&self) -> &RemoteMetrics {
        self.metrics.get_or_init(|| {
            self.durations.get_or_init(RemoteDurations::register);
            RemoteMetrics::register()
        })
    }

    /// Keeps a version that answers from memory from looking unused to the server.
    pub(crate) fn touch(&self, version: &RemoteVersion, key: &RequestKey, now: Duration) {
        self.touches.add(version, key, now);
    }

    /// A number that no other response, invalidation or lease has, on any node.
    pub(crate) fn nonce(&self) -> u64 {
        // Never zero, which stands for no value.
        self.nonces.fetch_add(1, Ordering::Relaxed).max(1)
    }

    /// Spawns on the server's runtime: for work that may begin where no runtime is entered, even
    /// while one shuts down.
    pub(crate) fn executor(&self) -> impl Executor + use<> {
        let runtime = self.store.runtime().clone();
        move |task| drop(runtime.spawn(task))
    }

    /// Reserves memory to write a body of this size. `None` if too much is being written already.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.budget.reserve(bytes)
    }

    /// What is reserved of that memory, in bytes.
    pub(crate) fn reserved(&self) -> usize {
        self.budget.reserved()
    }

    /// How many invalidations the server does not have yet.
    pub(crate) fn pending_invalidations(&self) -> usize {
        self.invalidations.count()
    }

    /// Subscribes to changes of anything that belongs to a key, leases included.
    pub(crate) fn subscribe(&self, key: &RemoteKey) -> Subscription {
        self.notifier.subscribe(key.name)
    }

    fn namespace(&self) -> &str {
        &self.store.limits().namespace
    }

    /// The name of the response to a key, or of its list of variants.
    pub(super) fn main_name(&self, key: &RemoteKey) -> String {
        key.name.main(self.namespace())
    }

    pub(super) fn variant_name(&self, key: &RemoteKey, id: u64) -> String {
        key.name.variant(self.namespace(), id)
    }

    /// The name of the tombstone that the partitions of a resource are compared with.
    pub(super) fn tombstone_name(&self, resource: Name) -> String {
        resource.tombstone(self.namespace())
    }

    /// The name of the lease to fetch one variant, or what does not vary, in one epoch.
    pub(crate) fn lease_name(&self, key: &RemoteKey, epoch: u64, variant: Option<u64>) -> String {
        let variant = variant.unwrap_or(0);
        key.name.lease(self.namespace(), epoch, variant)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("store", &self.store)
            .field("connected", &self.tracker.is_connected())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
