//! Whether memory has to be walked through, to wipe what was purged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::purge::PurgeTime;

/// Whether a walk through memory is due.
#[derive(Debug, Default)]
pub(crate) struct Wiping {
    /// One is waiting or in progress.
    pub(super) running: AtomicBool,
    /// There was a purge since the last one began.
    pub(super) due: AtomicBool,
    /// The last hard purge that is taken care of, and the last one of everything.
    hard: AtomicU64,
    everything: AtomicU64,
}

impl Wiping {
    /// Whether nobody has taken care of this purge of everything yet.
    pub(super) fn is_new_everything(&self, time: PurgeTime) -> bool {
        self.everything.fetch_max(time.millis(), Ordering::AcqRel) < time.millis()
    }

    /// Whether nobody has taken care of this purge yet.
    pub(super) fn is_new(&self, time: PurgeTime) -> bool {
        self.hard.fetch_max(time.millis(), Ordering::AcqRel) < time.millis()
    }
}
