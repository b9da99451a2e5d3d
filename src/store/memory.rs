//! The memory tier, on moka: bounded by the bytes it really holds.

use std::{fmt, sync::Arc};

use moka::{notification::RemovalCause, ops::compute::Op, sync::Cache};

use super::{
    expiry::{Minute, Schedule},
    resource::Resource,
    store::{Change, Store, StoreFuture, Update},
};
use crate::{
    entry::RenderedHeads,
    key::{BuildKeyHasher, Key, KeyRef},
};

/// What moka keeps beside a key and a value: its table, queues, timer wheel and counters.
const BOOKKEEPING: usize = 256;

/// One part in this many of the capacity is set aside for ready heads.
const HOT_SHARE: u64 = 16;

/// An insert of more than one part in this many of the capacity is followed by maintenance.
const LARGE_INSERT: u64 = 1024;

/// The memory tier: a cache bounded in bytes, which keeps what is asked for often (TinyLFU).
///
/// It belongs to one cache. Clones share its contents and its bound; two caches over clones of one
/// memory share the bound alone. Neither finds what the other stored: what is fetched and what is
/// invalidated is known to each cache for itself, so an entry that both served would outlive its
/// invalidation in one of them. For several layers over one cache, see
/// [`CacheLayer::with`](crate::CacheLayer::with).
#[derive(Clone)]
pub struct Memory {
    capacity: u64,
    cache: Cache<Key, Kept, BuildKeyHasher>,
    hot: Arc<RenderedHeads>,
    schedule: Arc<Schedule>,
}

/// A resource, and when it is past its use.
#[derive(Clone, Debug)]
struct Kept {
    resource: Resource,
    until: Minute,
}

impl Memory {
    /// A memory tier that holds up to `bytes` bytes: bodies, heads, keys and bookkeeping.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        let hot = bytes / HOT_SHARE;
        let schedule = Arc::new(Schedule::new());
        let evicted = Arc::clone(&schedule);
        let cache = Cache::builder()
            .max_capacity(bytes - hot)
            .weigher(weigh)
            .eviction_listener(move |key: Arc<Key>, kept: Kept, cause| {
                // What takes the place of a resource is scheduled in its place.
                if cause != RemovalCause::Replaced {
                    evicted.remove(key.hash(), kept.until);
                }
            })
            .build_with_hasher(BuildKeyHasher::default());
        Self {
            capacity: bytes,
            cache,
            hot: RenderedHeads::new(usize::try_from(hot).unwrap_or(usize::MAX)),
            schedule,
        }
    }

    /// The bound, in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The bytes held, as of the last maintenance.
    #[must_use]
    pub fn weighed_size(&self) -> u64 {
        self.cache.weighted_size()
    }

    /// The number of resources held, as of the last maintenance.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        self.cache.entry_count()
    }

    /// The largest resource of several variants, in bytes: one that left room for little else would
    /// not be let in, and all its variants would be lost together. What moka weighs is a `u32`.
    pub(crate) fn max_resource(&self) -> usize {
        let usable = self.capacity - self.capacity / HOT_SHARE;
        let bytes = (usable / 2).min(u64::from(u32::MAX / 2));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(crate) fn rendered_heads(&self) -> Arc<RenderedHeads> {
        Arc::clone(&self.hot)
    }

    /// Frees some of what is past its use, which every change does. moka could expire entries by
    /// itself, but would look at their times and at its clock on every hit.
    fn free(&self, now: Minute) {
        for key in self.schedule.take_due(now) {
            // Unless it was replaced since.
            if self.cache.get(&key).is_some_and(|kept| kept.until <= now) {
                self.cache.invalidate(&key);
            }
        }
    }

    /// moka applies its bound in batches, which many small inserts never outrun and few large
    /// ones do: 400 of 8 MiB into 64 MiB held 1.1 GiB at their peak without this.
    fn maintain_after(&self, inserted: u64) {
        if inserted > self.capacity / LARGE_INSERT {
            self.cache.run_pending_tasks();
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
        StoreFuture::ready(self.cache.get(&key).map(|kept| kept.resource))
    }

    fn update(&self, key: Key, change: Change) -> StoreFuture<()> {
        let hash = key.hash();
        let (mut before, mut after, mut inserted) = (None, None, 0);
        self.cache.entry(key).and_compute_with(|stored| {
            let stored = stored.as_ref().map(moka::Entry::value);
            match change(stored.map(|kept| &kept.resource)) {
                Update::Keep => Op::Nop,
                Update::Remove => Op::Remove,
                Update::Replace(resource) => {
                    inserted = resource.heap_bytes() as u64;
                    let until = self.schedule.after(resource.keep());
                    before = stored.map(|kept| kept.until);
                    after = Some(until);
                    Op::Put(Kept { resource, until })
                }
            }
        });
        if let Some(until) = after {
            self.schedule.replace(hash, before, until);
        }
        self.free(self.schedule.now());
        self.maintain_after(inserted);
        StoreFuture::ready(())
    }
}

fn weigh(key: &Key, kept: &Kept) -> u32 {
    let bytes = BOOKKEEPING + key.heap_bytes() + kept.resource.heap_bytes();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
