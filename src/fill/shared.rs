//! One body, shared by its recorder and its readers.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use slab::Slab;
use tokio::sync::Notify;

use super::{
    budget::Budget,
    state::{Keeping, State},
};

/// The shared state of one body.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(super) budget: Arc<Budget>,
    /// The length that the head declared.
    pub(super) declared: Option<u64>,
    /// Wakes the recorder when a reader moved on or went away.
    pub(super) moved: Notify,
    pub(super) state: Mutex<State>,
}

impl Fill {
    /// A body that is kept if its length allows it.
    pub(crate) fn new(declared: Option<u64>, budget: Arc<Budget>) -> Arc<Self> {
        Self::with(Keeping::Whole, declared, budget)
    }

    /// A body that is not kept, whatever its length: it ends with its last reader.
    pub(crate) fn passing(declared: Option<u64>, budget: Arc<Budget>) -> Arc<Self> {
        Self::with(Keeping::Window, declared, budget)
    }

    fn with(keeping: Keeping, declared: Option<u64>, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            declared,
            moved: Notify::new(),
            state: Mutex::new(State {
                ended: None,
                keeping,
                loose: 0,
                loose_bytes: 0,
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

    /// Leaves the bytes to the account of the store, which was given them.
    pub(crate) fn settle(&self) {
        let taken = std::mem::take(&mut self.lock().taken);
        self.budget.give_back(taken);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let taken = self.lock().taken;
        self.budget.give_back(taken);
    }
}
