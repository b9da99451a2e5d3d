//! The handle: what an operator asks of a cache, from outside its services.

mod warm;

pub use self::warm::Warmed;
use std::{sync::Arc, time::Duration};

use crate::state::cache::Shared;

/// A handle on the cache that one or more layers share.
#[derive(Clone, Debug)]
pub struct CacheHandle {
    shared: Arc<Shared>,
}

impl CacheHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits until no fill and no refresh is under way, for `deadline` at the most. Returns the
    /// number of those that were not done by then.
    ///
    /// Call it after the server took its last request, and before its runtime ends.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.shared.tasks.drain(deadline).await
    }

    /// The figures of this moment.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.shared.memory.entry_count(),
            memory_bytes: self.shared.memory.weighed_size(),
            fill_bytes: self.shared.budget.used(),
            flights: self.shared.flights.len(),
            remote_connected: self.shared.remote_connected(),
            tasks: self.shared.tasks.under_way(),
        }
    }
}

/// The figures of one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Resources in the memory tier, as of its last maintenance.
    pub entries: u64,
    /// Bytes in the memory tier, as of its last maintenance.
    pub memory_bytes: u64,
    /// Bytes held by bodies that are being recorded, or were too large to be stored and are still
    /// being read. What was stored counts as memory.
    pub fill_bytes: u64,
    /// Flights that can be joined.
    pub flights: usize,
    /// Whether changes by other nodes are heard of at this moment. `false` without a shared tier.
    pub remote_connected: bool,
    /// Fetches, fills and refreshes under way that do not end with their client, of which there are
    /// [`max_fills`](crate::CacheBuilder::max_fills) at most.
    pub tasks: usize,
}
