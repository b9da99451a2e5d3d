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
pub(super) struct WriteBudget {
    free: Arc<Semaphore>,
    units: usize,
}

impl WriteBudget {
    /// A budget that holds at least one value of the largest size.
    pub(super) fn new(max_value_bytes: usize) -> Self {
        let units = BUDGET.max(units(max_value_bytes));
        Self {
            free: Arc::new(Semaphore::new(units)),
            units,
        }
    }

    /// Reserves memory to write a body of this size. `None` if too much is being written already.
    pub(super) fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(units(bytes)).ok()?;
        Arc::clone(&self.free).try_acquire_many_owned(units).ok()
    }

    /// How much is reserved, in bytes.
    pub(super) fn reserved(&self) -> usize {
        self.units.saturating_sub(self.free.available_permits()) * 1024
    }
}

/// What a body of this size takes of the budget.
fn units(bytes: usize) -> usize {
    OVERHEAD + bytes / 1024
}
