//! Services that wait for the inner one to be ready, and have to be told when that no longer
//! matters: once a gate refuses calls, a call need not wait to be refused.

use std::{collections::HashMap, task::Waker};

use super::{
    gate::Refusing,
    sync::{AtomicU64, AtomicUsize, Mutex, Ordering, PoisonError},
};

/// Who waits, and whether any gate refuses calls.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    refusing: AtomicUsize,
    next: AtomicU64,
    /// One for each service that is pending at this moment.
    wakers: Mutex<HashMap<u64, Waker>>,
}

/// What a service does whose inner one is not ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Readiness {
    /// It waits; its waker will be called if a gate begins to refuse.
    Wait,
    /// It takes the call, which may be refused, and else waits for itself.
    TakeTheCall,
}

impl Waiting {
    /// A name for a service.
    pub(crate) fn name(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn pending(&self, name: u64, waker: &Waker) -> Readiness {
        if self.is_any_refusing() {
            return Readiness::TakeTheCall;
        }
        self.wakers().insert(name, waker.clone());
        // Looked at again: a gate that began in between has woken nobody, or this one.
        if self.is_any_refusing() {
            self.leave(name);
            return Readiness::TakeTheCall;
        }
        Readiness::Wait
    }

    pub(crate) fn leave(&self, name: u64) {
        self.wakers().remove(&name);
    }

    pub(crate) fn refusing(&self, change: Refusing) {
        match change {
            Refusing::Begins => self.refusing.fetch_add(1, Ordering::SeqCst),
            Refusing::Ceases => self.refusing.fetch_sub(1, Ordering::SeqCst),
        };
    }

    /// To be called after a gate began to refuse, outside of any lock.
    pub(crate) fn wake(&self) {
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
