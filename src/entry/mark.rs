//! What an entry in memory knows of the shared tier: which version it is there, and which changes
//! by other nodes had been seen when that was known to be the current one.
//!
//! Whether it still is the current one is a question to the tier, which counts the changes.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::{codec::Stamp, semantics::decide::Validity};

/// The change counters that concern an entry: the one of its own name and, if it is a partition of
/// a resource, the one of the resource's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Slots {
    pub(crate) own: u16,
    pub(crate) resource: Option<u16>,
}

/// The state of the connection and of an entry's change counters at one moment.
///
/// The upper half is the era: it is odd while the node gets no change notifications, and moves on
/// whenever that changes. The lower half is the sum of the counters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Snapshot(u64);

impl Snapshot {
    /// Its era is odd, so no entry with it is ever current.
    const INVALIDATED: Self = Self(u64::MAX);

    pub(crate) fn new(era: u32, changes: u32) -> Self {
        Self(u64::from(era) << 32 | u64::from(changes))
    }

    /// Whether the node got change notifications at that moment.
    pub(crate) fn is_connected(self) -> bool {
        (self.0 >> 32).is_multiple_of(2)
    }

    /// Whether the node got every change notification between this moment and another.
    pub(crate) fn is_connected_with(self, other: Self) -> bool {
        self.is_connected() && self.0 >> 32 == other.0 >> 32
    }
}

/// Which version of a stored response an entry is in the shared tier.
#[derive(Debug)]
pub(crate) struct RemoteVersion {
    slots: Slots,
    /// The epoch and version that it is stored under there, or will be. No other response has the
    /// same version.
    stamp: Stamp,
    variant: Option<u64>,
    snapshot: AtomicU64,
    /// The epoch that a write without an answer began there, after which the entry was known not to
    /// be invalidated. Zero for none.
    unanswered: AtomicU64,
    /// In which [`tick`] it was last touched there. Zero for never.
    touched: AtomicU32,
}

impl RemoteVersion {
    pub(crate) fn new(
        slots: Slots,
        stamp: Stamp,
        variant: Option<u64>,
        snapshot: Snapshot,
    ) -> Self {
        Self {
            slots,
            stamp,
            variant,
            snapshot: AtomicU64::new(snapshot.0),
            unanswered: AtomicU64::new(0),
            touched: AtomicU32::new(0),
        }
    }

    /// The same for another entry, of the same response.
    pub(crate) fn copied(&self) -> Self {
        Self {
            slots: self.slots,
            stamp: self.stamp,
            variant: self.variant,
            snapshot: AtomicU64::new(self.snapshot().0),
            unanswered: AtomicU64::new(self.unanswered.load(Ordering::Acquire)),
            touched: AtomicU32::new(self.touched.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The id of the variant, if the resource has several.
    pub(crate) fn variant(&self) -> Option<u64> {
        self.variant
    }

    pub(crate) fn slots(&self) -> Slots {
        self.slots
    }

    /// Taken before the shared tier was last known to have this very version.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.snapshot.load(Ordering::Acquire))
    }

    /// The shared tier was asked after `snapshot` was taken, and has this very version.
    pub(crate) fn validated_at(&self, snapshot: Snapshot) {
        self.snapshot.store(snapshot.0, Ordering::Release);
    }

    /// Another node invalidated the resource since: the entry must be validated with the origin.
    pub(crate) fn invalidate(&self) {
        self.validated_at(Snapshot::INVALIDATED);
    }

    /// A write without an answer, and nothing else, came since, and began this epoch.
    pub(crate) fn unanswered_in(&self, epoch: u64) {
        self.unanswered.store(epoch, Ordering::Release);
    }

    /// Whether the entry was known not to be invalidated when this epoch had begun.
    pub(crate) fn is_unanswered_in(&self, epoch: u64) -> bool {
        epoch != 0 && self.unanswered.load(Ordering::Acquire) == epoch
    }

    /// What other nodes did to the resource since.
    pub(crate) fn validity(&self) -> Validity {
        if self.snapshot() == Snapshot::INVALIDATED {
            Validity::Invalidated
        } else if self.unanswered.load(Ordering::Acquire) != 0 {
            Validity::Unanswered
        } else {
            Validity::Valid
        }
    }

    /// How many eighths of a second ago it was last touched.
    pub(crate) fn since_touch(&self, now: Duration) -> u32 {
        match self.touched.load(Ordering::Relaxed) {
            0 => u32::MAX,
            touched => tick(now).wrapping_sub(touched),
        }
    }

    pub(crate) fn touched_at(&self, now: Duration) {
        self.touched.store(tick(now), Ordering::Relaxed);
    }
}

/// The eighth of a second that `now` is in, counted from one. It may repeat after 17 years.
fn tick(now: Duration) -> u32 {
    (now.as_millis() / 125 + 1) as u32
}
