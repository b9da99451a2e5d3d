//! `CacheHandle::stats`: what the cache holds and does at this moment, and what it did so far.

use super::CacheHandle;
use crate::{
    breaker::BreakerState,
    metrics::{AnswerKind, Metrics},
};

impl CacheHandle {
    /// The statistics of the cache, of all its layers, at this moment. They are exact: what was done
    /// before the call is in them. A layer that is [`disabled`](crate::CacheLayer::disabled) counts
    /// nothing.
    ///
    /// It has the memory tier do its maintenance first, so read them every second rather than with every
    /// request. The metrics of the memory tier are of this moment then, too: call it before metrics are
    /// read. It needs no recorder.
    ///
    /// ```
    /// # fn show(handle: cachewarp::CacheHandle) {
    /// let stats = handle.stats();
    /// let percent = 100.0 * stats.requests.hit_ratio();
    /// println!("{} requests, {percent:.1} % hits", stats.requests.total());
    /// println!("{} of {} bytes", stats.memory_bytes, stats.memory_capacity);
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let shared = &self.cache.shared;
        let remote = shared.remote.as_ref();
        let counted = shared.counted();
        let count = |of: fn(&Metrics) -> u64| counted.map_or(0, of);
        shared.memory.settle();
        shared.memory.report();
        CacheStats {
            entries: shared.memory.entry_count(),
            memory_bytes: shared.memory.weighed_size(),
            memory_capacity: shared.memory.capacity(),
            fill_bytes: shared.account.used(),
            fills: shared.running_fills(),
            flights: shared.flights.len(),
            waiting: shared.flights.waiting(),
            tasks: shared.tasks.running(),
            requests: counted.map(RequestStats::of).unwrap_or_default(),
            origin_calls: count(|it| it.origin_calls.get()),
            origin_failures: count(|it| it.origin_failures.get()),
            stored: count(|it| it.stored.get()),
            evictions: shared.memory.evictions(),
            remote_connected: shared.remote_connected(),
            remote_available: remote.is_some_and(|it| it.is_available()),
            pending_write_bytes: remote.map_or(0, |it| it.reserved()),
            pending_invalidations: remote.map_or(0, |it| it.pending_invalidations()),
            pending_purges: remote.map_or(0, |it| it.purges.pending()),
            purged: count(|it| it.purges.purged.get()),
            breaker: self
                .cache
                .config
                .breaker
                .as_ref()
                .map(|breaker| breaker.handle().state("")),
        }
    }
}

/// The statistics of a cache at one moment. See [`CacheHandle::stats`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Resources in the memory tier. All variants of a resource count as one.
    pub entries: u64,
    /// Bytes in the memory tier.
    pub memory_bytes: u64,
    /// Bytes that the memory tier may hold, with the heads that it keeps ready for hits.
    pub memory_capacity: u64,
    /// Bytes held by bodies that are still being received, and by bodies that are being read, whether
    /// they are stored or not: see [`Memory`](crate::Memory#what-all-of-it-holds). Bodies of up to
    /// 4 KiB do not count.
    pub fill_bytes: u64,
    /// Origin calls that others can wait for, and bodies that are received to be stored: of
    /// [`max_fills`](crate::CacheBuilder::max_fills).
    pub fills: usize,
    /// Origin calls that concurrent requests can wait for.
    pub flights: usize,
    /// Requests that wait for one of those.
    pub waiting: usize,
    /// Running fetches, fills and refreshes that go on if their client disconnects, and writes to the
    /// shared tier.
    pub tasks: usize,
    /// Requests so far, by how they were answered.
    pub requests: RequestStats,
    /// Calls of the service so far.
    pub origin_calls: u64,
    /// Those of them that ended with an error, a timeout, or status 500, 502, 503 or 504.
    pub origin_failures: u64,
    /// Responses written to the memory tier so far, also by validations and from the shared tier.
    pub stored: u64,
    /// Resources that were removed from memory so far to make room for others.
    pub evictions: u64,
    /// Whether the node currently receives the changes of other nodes. `false` without a shared
    /// tier.
    pub remote_connected: bool,
    /// Whether the shared tier is asked: not while it does not answer. `false` without one.
    pub remote_available: bool,
    /// Bytes reserved for responses that are being written to the shared tier: zero if none is.
    pub pending_write_bytes: usize,
    /// Invalidations that the shared tier does not have yet.
    pub pending_invalidations: usize,
    /// Subjects that were purged here and that the shared tier has not recorded yet.
    pub pending_purges: usize,
    /// Responses that left memory because they were purged.
    pub purged: u64,
    /// The state of the circuit breaker of this handle's layer. `None` if it has none.
    pub breaker: Option<BreakerState>,
}

/// Requests so far, by how they were answered: see [`CacheOutcome`](crate::CacheOutcome).
///
/// As in the metric `cachewarp_requests_total`, a refresh in the background counts as an answer of its
/// own, and a request that ended with an error of the service is not counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RequestStats {
    /// With a fresh response from memory.
    pub memory_hits: u64,
    /// With a fresh response from the shared tier.
    pub remote_hits: u64,
    /// With a stored response that was stale.
    pub stale: u64,
    /// With a stored response that the origin had just validated.
    pub revalidated: u64,
    /// With the response that a concurrent request fetched.
    pub collapsed: u64,
    /// With a response of the origin that was being stored.
    pub misses_stored: u64,
    /// With a response of the origin that was not stored.
    pub misses_not_stored: u64,
    /// By the origin, past the cache: bypasses, writes and tunnels.
    pub bypassed: u64,
    /// By the cache itself, with an error.
    pub generated: u64,
}

impl RequestStats {
    fn of(counted: &Metrics) -> Self {
        let count = |kind| counted.requests.get(kind);
        Self {
            memory_hits: count(AnswerKind::HitMemory),
            remote_hits: count(AnswerKind::HitRemote),
            stale: count(AnswerKind::Stale),
            revalidated: count(AnswerKind::Revalidated),
            collapsed: count(AnswerKind::Collapsed),
            misses_stored: count(AnswerKind::Stored),
            misses_not_stored: count(AnswerKind::NotStored),
            bypassed: count(AnswerKind::Bypassed),
            generated: count(AnswerKind::Generated),
        }
    }

    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.hits()
            + self.stale
            + self.revalidated
            + self.collapsed
            + self.misses_stored
            + self.misses_not_stored
            + self.bypassed
            + self.generated
    }

    /// Hits of both tiers.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.memory_hits + self.remote_hits
    }

    /// The share of all requests that were answered from the store without a new word of the origin,
    /// between 0 and 1: hits and stale answers. Zero if there was no request.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        match self.total() {
            0 => 0.0,
            total => (self.hits() + self.stale) as f64 / total as f64,
        }
    }
}
