//! The bytes that all fills together may hold.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The bytes that all fills together may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    allowance: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(allowance: u64) -> Arc<Self> {
        Arc::new(Self {
            allowance,
            used: AtomicU64::new(0),
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self, bytes: u64) -> Grant {
        if self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.allowance {
            return Grant::Granted;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        Grant::Refused
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Grant {
    Granted,
    Refused,
}
