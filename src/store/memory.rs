//! The memory tier (L1), on moka: bounded by the bytes that it really holds.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use moka::{notification::RemovalCause, ops::compute::Op, sync::Cache};

use super::{
    expiry::{ExpirySchedule, Minute},
    resource::Resource,
    store::{Store, StoreFuture, Update, UpdateFn},
};
use crate::{
    entry::RenderedHeads,
    key::{BuildKeyHasher, Key, KeyRef},
    metrics::MemoryMetrics,
};

/// Bytes that moka holds per entry beside key and value: its table, queues, timer wheel, counters.
const BOOKKEEPING: usize = 256;

/// Rendered heads may hold 1/16 of the capacity.
const RENDERED_HEADS_SHARE: u64 = 16;

/// An insert of more than 1/1024 of the capacity makes moka apply its bound at once.
const LARGE_INSERT: u64 = 1024;

/// The memory tier (L1): a cache bounded in bytes, which prefers to keep what is requested often
/// (TinyLFU).
///
/// # What all of it holds
///
/// Beside the memory tier a cache counts, in an account of the same size, the bodies that arrive and
/// the bodies that somebody reads: a stored body that leaves memory while a client reads it is there
/// until its last reader is gone. So all bodies together hold at most
///
/// - the capacity, for what is stored and not read,
/// - as much again, for what arrives and what is read,
/// - and for each response that is under way 64 KiB and the frame that comes next, or a body of up to
///   4 KiB.
///
/// When the account is full, nobody waits for room, and hits are served as ever. A response that
/// comes then is passed on through a window of 64 KiB and not stored
/// ([`Storing::Full`](crate::Storing::Full)); one found in Redis is not used. But first, readers that
/// have taken nothing for [`reader_stall`](crate::CacheBuilder::reader_stall) make room: they are cut
/// off, those of the largest body first, bodies that are not stored before those that are, and only as
/// many as it takes. [`CacheStats::fill_bytes`](crate::CacheStats::fill_bytes) is what the account
/// holds.
///
/// Give each cache a memory tier of its own. Clones share contents and bound; two caches built over
/// clones of one memory tier share only the bound. Neither finds what the other stored, because
/// each cache knows only its own fetches and invalidations: an entry that both served would remain
/// in one of them after the other invalidated it. For several layers over one cache, see
/// [`CacheLayer::with`](crate::CacheLayer::with).
#[derive(Clone)]
pub struct Memory {
    capacity: u64,
    cache: Cache<Key, StoredResource, BuildKeyHasher>,
    rendered_heads: Arc<RenderedHeads>,
    expiry: Arc<ExpirySchedule>,
    /// Registered with the first request, like all metrics.
    metrics: Arc<OnceLock<MemoryMetrics>>,
}

/// A resource, and the minute from which on it may be removed.
#[derive(Clone, Debug)]
struct StoredResource {
    resource: Resource,
    expires_at: Minute,
}

impl Memory {
    /// A memory tier of at most `bytes` bytes, such as `64 << 20` for 64 MiB. Bodies, heads, keys and
    /// bookkeeping all count: a small response takes about 1 KiB.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        let for_heads = bytes / RENDERED_HEADS_SHARE;
        let expiry = Arc::new(ExpirySchedule::new());
        let listener_expiry = Arc::clone(&expiry);
        let metrics = Arc::<OnceLock<MemoryMetrics>>::default();
        let listener_metrics = Arc::clone(&metrics);
        let cache = Cache::builder()
            .max_capacity(bytes - for_heads)
            .weigher(weigh)
            .eviction_listener(move |key: Arc<Key>, stored: StoredResource, cause| {
                // After a replacement the key is still stored, and its new time already scheduled.
                if cause != RemovalCause::Replaced {
                    listener_expiry.remove(key.hash(), stored.expires_at);
                }
                if cause == RemovalCause::Size
                    && let Some(metrics) = listener_metrics.get()
                {
                    metrics.evicted_size.increment(1);
                }
            })
            .build_with_hasher(BuildKeyHasher::default());
        Self {
            capacity: bytes,
            cache,
            rendered_heads: RenderedHeads::new(usize::try_from(for_heads).unwrap_or(usize::MAX)),
            expiry,
            metrics,
        }
    }

    /// The capacity, in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The bytes held, as of moka's last maintenance. [`CacheStats`](crate::CacheStats) has those of the
    /// moment.
    #[must_use]
    pub fn weighed_size(&self) -> u64 {
        self.cache.weighted_size()
    }

    /// The number of resources held, as of moka's last maintenance. All variants of a resource
    /// count as one.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        self.cache.entry_count()
    }

    /// How many resources were removed so far to make room for others.
    pub(crate) fn evictions(&self) -> u64 {
        let metrics = self.metrics.get();
        metrics.map_or(0, |metrics| metrics.evicted_size.get())
    }

    /// Removes everything.
    pub(crate) fn clear(&self) {
        self.cache.invalidate_all();
        self.settle();
    }

    /// Has moka count what was stored and removed a moment ago.
    pub(crate) fn settle(&self) {
        self.cache.run_pending_tasks();
    }

    /// What is stored, in no particular order. What is stored or removed meanwhile may be among it or
    /// not. It is no use of what is looked at, which therefore stays no longer.
    ///
    /// moka copies the keys of a 64th of the store at a time, and hands out what it finds for them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Arc<Key>, Resource)> + Send + '_ {
        self.cache
            .iter()
            .map(|(key, stored)| (key, stored.resource))
    }

    /// Registers the metrics of the tier, once.
    pub(crate) fn register_metrics(&self) {
        self.metrics
            .get_or_init(|| MemoryMetrics::register(self.capacity));
    }

    /// Brings the metrics up to the last maintenance, if they are registered.
    pub(crate) fn report(&self) {
        if let Some(metrics) = self.metrics.get() {
            metrics.holds(self.entry_count(), self.weighed_size());
        }
    }

    /// The largest size of a resource with several variants, in bytes. moka would not admit one
    /// that leaves little room for others, and all its variants would be lost together. Also, moka
    /// measures a weight in a `u32`.
    pub(crate) fn max_resource(&self) -> usize {
        let usable = self.capacity - self.capacity / RENDERED_HEADS_SHARE;
        let bytes = (usable / 2).min(u64::from(u32::MAX / 2));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(crate) fn rendered_heads(&self) -> Arc<RenderedHeads> {
        Arc::clone(&self.rendered_heads)
    }

    /// Removes some of the resources that expired; every update does this. moka could expire
    /// entries by itself, but would compare their times with its clock on every hit.
    fn remove_expired(&self, now: Minute) {
        for key in self.expiry.take_due(now) {
            // It may have been replaced since.
            let stored = self.cache.get(&key);
            if stored.is_some_and(|stored| stored.expires_at <= now)
                && self.cache.remove(&key).is_some()
                && let Some(metrics) = self.metrics.get()
            {
                metrics.evicted_expired.increment(1);
            }
        }
    }

    /// Makes moka apply its bound after a large change. By itself it applies the bound in batches,
    /// and drops what was removed some time later. Many small inserts never outrun it, but few large
    /// ones do: without this, 400 inserts of 8 MiB into 64 MiB held 1.1 GiB at their peak.
    fn maintain_after(&self, changed: u64) {
        if changed > self.capacity / LARGE_INSERT {
            self.settle();
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("capacity", &self.capacity)
            .field("weighed_size", &self.weighed_size())
            .field("entry_count", &self.entry_count())
            .finish()
    }
}

impl Store for Memory {
    fn get(&self, key: KeyRef<'_>) -> StoreFuture<Option<Resource>> {
        StoreFuture::ready(self.cache.get(&key).map(|stored| stored.resource))
    }

    fn update(&self, key: Key, update: UpdateFn) -> StoreFuture<()> {
        let hash = key.hash();
        let (mut old_expiry, mut new_expiry, mut changed) = (None, None, 0);
        self.cache.entry(key).and_compute_with(|stored| {
            let stored = stored.as_ref().map(moka::Entry::value);
            match update(stored.map(|stored| &stored.resource)) {
                Update::Keep => Op::Nop,
                Update::Remove => {
                    changed = stored.map_or(0, |stored| stored.resource.heap_bytes() as u64);
                    Op::Remove
                }
                Update::Replace(resource) => {
                    let removed = stored.map_or(0, |stored| stored.resource.heap_bytes());
                    changed = resource.heap_bytes().max(removed) as u64;
                    let expires_at = self.expiry.after(resource.keep());
                    old_expiry = stored.map(|stored| stored.expires_at);
                    new_expiry = Some(expires_at);
                    Op::Put(StoredResource {
                        resource,
                        expires_at,
                    })
                }
            }
        });
        if let Some(new_expiry) = new_expiry {
            self.expiry.replace(hash, old_expiry, new_expiry);
        }
        self.remove_expired(self.expiry.now());
        self.maintain_after(changed);
        StoreFuture::ready(())
    }
}

fn weigh(key: &Key, stored: &StoredResource) -> u32 {
    let bytes = BOOKKEEPING + key.heap_bytes() + stored.resource.heap_bytes();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
