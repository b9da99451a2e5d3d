//! Bounds the memory of responses that are being written to the shared tier.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all responses that are being written may hold, in KiB: 32 MiB of bodies, each of
/// which may be held twice, as it is and encoded.
const BUDGET: usize = 32 << 10;

/// What a response that is being written holds in addition to its body, in KiB.
const OVERHEAD: usize = 4;

/// Bounds the memory of responses that are being written.
#[derive(Debug)]
pub(super) struct WriteBudget(Arc<Semaphore>);

impl WriteBudget {
    /// A budget that holds at least one value of the largest size.
    pub(super) fn new(max_value_bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(BUDGET.max(units(max_value_bytes)))))
    }

    /// Reserves memory to write a body of this size. `None` if too much is being written already.
    pub(super) fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(units(bytes)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(units).ok()
    }
}

/// What a body of this size takes of the budget.
fn units(bytes: usize) -> usize {
    OVERHEAD + bytes / 1024
}
