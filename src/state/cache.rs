//! What all requests of one cache share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{
    flights::{FlightKey, FlightOutcome},
    heat::Heat,
    wiping::Wiping,
};
use crate::{
    clock::Clock,
    config::{ConcurrencyLimits, Config},
    entry::{Account, Entry, NameInterner, RenderedHeads},
    executor::Tasks,
    flight::Flights,
    generation::Generations,
    key::RequestKey,
    metrics::Metrics,
    purge::{EntrySubjects, PurgeTable, PurgeTime, Standing, Tags},
    remote::{Remote, RemoteKey, slots_of},
    semantics::vary::Seed,
    store::{Memory, Store},
    util::{expiring_set::ExpiringSet, random::Random, reported::Reported},
};

/// A cache and the settings of one layer over it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
}

/// What all layers and services of one cache share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Counts the bytes of bodies that arrive, and of those that are read.
    pub(crate) account: Arc<Account>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Bounds the work that outlives its request: a permit for each flight, and for each fill
    /// without a flight.
    pub(crate) fills: Arc<Semaphore>,
    /// How many permits there are, used ones included.
    max_fills: usize,
    pub(crate) flights: Arc<Flights<FlightKey, FlightOutcome>>,
    pub(crate) generations: Generations,
    /// Which keys are hit most often.
    pub(crate) heat: Heat,
    /// Keys whose response could not be shared a moment ago.
    pub(crate) hit_for_miss: ExpiringSet,
    pub(crate) memory: Memory,
    metrics: OnceLock<Metrics>,
    /// Names of header fields, shared by all entries with the same ones.
    pub(crate) names: NameInterner,
    /// Stored responses whose last refresh failed a moment ago.
    pub(crate) paused: ExpiringSet,
    /// The bytes that the bodies of requests may hold which are a part of the key.
    pub(crate) posted: Arc<Semaphore>,
    /// What was purged, and when.
    pub(crate) purges: Arc<PurgeTable>,
    pub(crate) random: Random,
    /// Keys that another node refreshes, or whose refresh the circuit breaker would refuse.
    pub(crate) refresh_backoff: ExpiringSet,
    /// Bounds the refreshes in the background.
    pub(crate) refreshes: Arc<Semaphore>,
    /// The tier shared with other nodes, if there is one.
    pub(crate) remote: Option<Arc<Remote>>,
    pub(crate) rendered_heads: Arc<RenderedHeads>,
    /// Cookies that cost hits.
    pub(crate) reported_cookies: Reported,
    /// Per-process hash seed, against hash flooding.
    pub(crate) seed: u64,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tasks: Tasks,
    /// Keys whose whole response was fetched a while ago for a client that needed no body, and then
    /// was not stored.
    pub(crate) unfillable: ExpiringSet,
    pub(super) wiping: Wiping,
}

impl Shared {
    pub(crate) fn new(
        memory: Memory,
        remote: Option<Arc<Remote>>,
        clock: Arc<dyn Clock>,
        limits: ConcurrencyLimits,
        purges: Arc<PurgeTable>,
    ) -> Self {
        let permits = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let fills = permits(limits.fills);
        let max_fills = fills.available_permits();
        Self {
            account: Account::new(memory.capacity()),
            clock,
            flights: Flights::new(limits.waiters, Arc::clone(&fills)),
            fills,
            max_fills,
            generations: Generations::new(),
            heat: Heat::default(),
            hit_for_miss: ExpiringSet::new(),
            metrics: OnceLock::new(),
            names: NameInterner::default(),
            paused: ExpiringSet::new(),
            posted: permits(usize::try_from(memory.capacity() / 4).unwrap_or(usize::MAX)),
            purges,
            random: Random::new(),
            refresh_backoff: ExpiringSet::new(),
            refreshes: permits(limits.refreshes),
            remote,
            rendered_heads: memory.rendered_heads(),
            reported_cookies: Reported::default(),
            seed: RandomState::new().hash_one("cachewarp"),
            store: Arc::new(memory.clone()),
            memory,
            tasks: Tasks::new(),
            unfillable: ExpiringSet::new(),
            wiping: Wiping::default(),
        }
    }

    /// A number that no other cache of the process has while this one lives.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn seed(&self) -> Seed {
        Seed(self.seed)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(|| {
            self.memory.register_metrics();
            if let Some(remote) = &self.remote {
                remote.metrics();
            }
            Metrics::register()
        })
    }

    /// What was counted so far. `None` before the first request.
    pub(crate) fn counted(&self) -> Option<&Metrics> {
        self.metrics.get()
    }

    /// How many fetches and fills are under way.
    pub(crate) fn running_fills(&self) -> usize {
        self.max_fills
            .saturating_sub(self.fills.available_permits())
    }

    /// How many changes by other nodes concern a key so far. Requests from before a change do not
    /// share a fetch with those from after it.
    pub(crate) fn remote_changes(&self, key: &RequestKey) -> u32 {
        self.remote.as_ref().map_or(0, |remote| {
            remote.tracker.changes(slots_of(&RemoteKey::of(key)))
        })
    }

    /// Whether this node is notified of changes by other nodes.
    pub(crate) fn remote_connected(&self) -> bool {
        let remote = self.remote.as_ref();
        remote.is_some_and(|remote| remote.tracker.is_connected())
    }

    /// Keeps `entry`, which answers a request from memory, from looking unused in the shared tier.
    pub(crate) fn touch(&self, entry: &Entry, key: &RequestKey, now: Duration) {
        if let Some(remote) = &self.remote
            && let Some(version) = entry.remote_version()
        {
            remote.touch(version, key, now);
        }
    }

    /// What the purges until now have made of `entry`, which is stored under the key with these bytes.
    #[inline]
    pub(crate) fn purged(&self, key: &[u8], entry: &Entry) -> Standing {
        self.purges.compare(entry.purges(), || {
            let tags = entry.tags().map(|tags| &**tags);
            EntrySubjects::of(key, tags)
        })
    }

    /// Whether a response that is under this key and has these tags was purged in any way since `born`.
    pub(crate) fn is_purged_since(&self, born: PurgeTime, key: &[u8], tags: Option<&Tags>) -> bool {
        self.purges
            .is_purged_since(born, &EntrySubjects::of(key, tags))
    }

    /// Whether `entry`, which has been compared with the purges, may be used without asking the shared tier whether it is still current.
    pub(crate) fn is_current(&self, entry: &Entry) -> bool {
        match &self.remote {
            None => true,
            Some(remote) => entry.remote_version().is_some_and(|version| {
                remote.tracker.is_current(version)
                    && remote.purges.is_caught_up()
                    // In this order: what was missed may have been applied since it was compared.
                    && entry.purges().seen() >= self.purges.now()
            }),
        }
    }
}
