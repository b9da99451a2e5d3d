//! The memory tier, on moka: bounded by the bytes it really holds.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, ops::compute::Op, sync::Cache};

use super::{
    resource::Resource,
    tier::{Change, Store, StoreFuture, Update},
};
use crate::{
    entry::HotHeads,
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
    cache: Cache<Key, Resource, BuildKeyHasher>,
    hot: Arc<HotHeads>,
}

impl Memory {
    /// A memory tier that holds up to `bytes` bytes: bodies, heads, keys and bookkeeping.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        let hot = bytes / HOT_SHARE;
        let cache = Cache::builder()
            .max_capacity(bytes - hot)
            .weigher(weigh)
            .expire_after(Retention)
            .build_with_hasher(BuildKeyHasher::default());
        Self {
            capacity: bytes,
            cache,
            hot: HotHeads::new(usize::try_from(hot).unwrap_or(usize::MAX)),
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

    pub(crate) fn hot_heads(&self) -> Arc<HotHeads> {
        Arc::clone(&self.hot)
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
        StoreFuture::ready(self.cache.get(&key))
    }

    fn update(&self, key: Key, change: Change) -> StoreFuture<()> {
        let mut inserted = 0;
        self.cache.entry(key).and_compute_with(|stored| {
            match change(stored.as_ref().map(moka::Entry::value)) {
                Update::Keep => Op::Nop,
                Update::Remove => Op::Remove,
                Update::Replace(resource) => {
                    inserted = resource.heap_bytes() as u64;
                    Op::Put(resource)
                }
            }
        });
        self.maintain_after(inserted);
        StoreFuture::ready(())
    }
}

fn weigh(key: &Key, resource: &Resource) -> u32 {
    let bytes = BOOKKEEPING + key.heap_bytes() + resource.heap_bytes();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Frees what is past its use.
struct Retention;

impl Expiry<Key, Resource> for Retention {
    fn expire_after_create(&self, _: &Key, resource: &Resource, _: Instant) -> Option<Duration> {
        Some(resource.keep())
    }

    fn expire_after_update(
        &self,
        _: &Key,
        resource: &Resource,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(resource.keep())
    }
}
