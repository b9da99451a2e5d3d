//! What the recorder and the readers of one body share.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use slab::Slab;
use tokio::sync::Notify;

use super::{
    budget::Budget,
    state::{FillState, Keeping},
};

/// What a body is received for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FillPurpose {
    /// To be stored, if it is not too large.
    Store,
    /// For its readers only.
    Deliver,
}

/// One body, shared by its recorder and its readers.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(super) budget: Arc<Budget>,
    /// The length that the head declared.
    pub(super) declared: Option<u64>,
    /// What the body is received for.
    pub(super) purpose: FillPurpose,
    /// Wakes the recorder when a reader moved on or was dropped.
    pub(super) moved: Notify,
    pub(super) state: Mutex<FillState>,
}

impl Fill {
    /// A body that is kept whole if its length allows it.
    pub(crate) fn new(declared: Option<u64>, budget: Arc<Budget>) -> Arc<Self> {
        Self::with(FillPurpose::Store, Keeping::Whole, declared, budget)
    }

    /// A body that is not kept, whatever its length. It ends with its last reader.
    pub(crate) fn not_kept(declared: Option<u64>, budget: Arc<Budget>) -> Arc<Self> {
        Self::with(FillPurpose::Deliver, Keeping::Window, declared, budget)
    }

    fn with(
        purpose: FillPurpose,
        keeping: Keeping,
        declared: Option<u64>,
        budget: Arc<Budget>,
    ) -> Arc<Self> {
        Arc::new(Self {
            budget,
            declared,
            purpose,
            moved: Notify::new(),
            state: Mutex::new(FillState {
                ended: None,
                keeping,
                loose: 0,
                loose_bytes: 0,
                moved_at: None,
                readers: Slab::new(),
                received: 0,
                segments: VecDeque::new(),
                taken: 0,
            }),
        })
    }

    /// The length that the head declared.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Gives the bytes back to the budget. The store accounts for them from now on.
    pub(crate) fn release_budget(&self) {
        let taken = std::mem::take(&mut self.lock().taken);
        self.budget.give_back(taken);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, FillState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let taken = self.lock().taken;
        self.budget.give_back(taken);
    }
}
