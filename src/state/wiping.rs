//! Whether memory has to be walked through, to wipe what was purged.

use std::sync::atomic::AtomicBool;

/// Whether a walk through memory is due.
#[derive(Debug, Default)]
pub(crate) struct Wiping {
    /// One is waiting or in progress.
    pub(super) running: AtomicBool,
    /// There was a purge since the last one began.
    pub(super) due: AtomicBool,
}
