//! Services that wait until their inner service is ready. Once a gate begins to refuse calls they
//! are woken: a call need not wait for readiness only to be refused.

use std::{collections::HashMap, task::Waker};

use super::{
    gate::Refusing,
    sync::{AtomicU64, AtomicUsize, Mutex, Ordering, PoisonError},
};

/// The waiting services of one breaker, and how many of its gates refuse calls.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// How many gates refuse calls.
    refusing: AtomicUsize,
    next_id: AtomicU64,
    /// By the id of the waiting service.
    wakers: Mutex<HashMap<u64, Waker>>,
}

/// What a service does while its inner service is not ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Readiness {
    /// It waits. Its waker is called when a gate begins to refuse calls.
    Wait,
    /// It reports that it is ready. The call may be refused; otherwise the call itself waits.
    TakeTheCall,
}

impl Waiters {
    /// A new id for a service.
    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn wait(&self, id: u64, waker: &Waker) -> Readiness {
        if self.is_any_refusing() {
            return Readiness::TakeTheCall;
        }
        self.wakers().insert(id, waker.clone());
        // Checked again: a gate that began to refuse in between may have missed this waker.
        if self.is_any_refusing() {
            self.leave(id);
            return Readiness::TakeTheCall;
        }
        Readiness::Wait
    }

    pub(crate) fn leave(&self, id: u64) {
        self.wakers().remove(&id);
    }

    pub(crate) fn refusing(&self, change: Refusing) {
        match change {
            Refusing::Begins => self.refusing.fetch_add(1, Ordering::SeqCst),
            Refusing::Ceases => self.refusing.fetch_sub(1, Ordering::SeqCst),
        };
    }

    /// Wakes all waiting services. Call it after a gate began to refuse, with no lock held.
    pub(crate) fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers());
        wakers.into_values().for_each(Waker::wake);
    }

    pub(crate) fn is_any_refusing(&self) -> bool {
        self.refusing.load(Ordering::SeqCst) > 0
    }

    fn wakers(&self) -> impl std::ops::DerefMut<Target = HashMap<u64, Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
