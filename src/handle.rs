//! The handle by which an operator reads, drains and warms a cache, from outside of its services.

mod entries;
mod entry;
mod explain;
mod info;
mod purge;
mod scan;
mod stats;
mod top;
mod warm;

pub use self::{
    entries::{Entries, EntriesCursor, EntriesPage, InvalidCursor},
    entry::ResourceInfo,
    explain::{ExpectedAnswer, Explanation},
    info::{EntryInfo, SelectingField},
    stats::{CacheStats, RequestStats},
    top::HotKey,
    warm::Warmed,
};
use std::time::Duration;

use futures_util::future::join;
use tokio::time::timeout;

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
    /// Returns how many are still running. Purges that the shared tier has not recorded yet are
    /// told to it once more, if it answers.
    ///
    /// Call it when the server shuts down: after it accepted its last request, and before its
    /// runtime ends.
    pub async fn drain(&self, deadline: Duration) -> usize {
        let shared = &self.cache.shared;
        let telling = timeout(deadline, shared.tell_pending());
        let (running, _) = join(shared.tasks.drain(deadline), telling).await;
        running
    }
}
