//! The handle by which an operator reads, drains and warms a cache, from outside of its services.

mod entries;
mod entry;
mod explain;
mod info;
mod purge;
mod scan;
mod top;
mod warm;

pub use self::{
    entries::{Entries, EntriesCursor, EntriesPage, InvalidCursor},
    entry::ResourceInfo,
    explain::{ExpectedAnswer, Explanation},
    info::{EntryInfo, SelectingField},
    top::HotKey,
    warm::Warmed,
};
use std::time::Duration;

use crate::state::cache::Cache;

/// A handle on a cache, which one or more layers share, with the settings of the layer that it came
/// from. Clones are handles on the same cache.
///
/// What is asked for by URL is looked for in the namespace of that layer, and the layer's settings
/// say which host and scheme a path belongs to and what of a query counts. So
/// `layer.scope("admin").handle()` is for the namespace `admin`. Everything else is about the whole
/// cache.
#[derive(Clone, Debug)]
pub struct CacheHandle {
    cache: Cache,
}

impl CacheHandle {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache }
    }

    /// Waits until all fills and background refreshes have ended, but at most for `deadline`.
    /// Returns how many are still running.
    ///
    /// Call it when the server shuts down: after it accepted its last request, and before its
    /// runtime ends.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.cache.shared.tasks.drain(deadline).await
    }

    /// The current statistics of the cache. It has the memory tier do its maintenance first, so read
    /// them every second rather than with every request. The metrics of the memory tier are of this
    /// moment then, too: call it before metrics are read.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let shared = &self.cache.shared;
        shared.memory.settle();
        shared.memory.report();
        CacheStats {
            entries: shared.memory.entry_count(),
            memory_bytes: shared.memory.weighed_size(),
            fill_bytes: shared.account.used(),
            flights: shared.flights.len(),
            remote_connected: shared.remote_connected(),
            tasks: shared.tasks.running(),
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
    /// Bytes held by bodies that are still being received, and by bodies that are being read, whether
    /// they are stored or not: see [`Memory`](crate::Memory#what-all-of-it-holds). Bodies of up to
    /// 4 KiB do not count.
    pub fill_bytes: u64,
    /// Origin calls that concurrent requests can wait for.
    pub flights: usize,
    /// Whether the node currently receives the changes of other nodes. `false` without a shared
    /// tier.
    pub remote_connected: bool,
    /// Running fetches, fills and refreshes that go on if their client disconnects. At most
    /// [`max_fills`](crate::CacheBuilder::max_fills).
    pub tasks: usize,
}
