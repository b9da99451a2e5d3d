//! Whether a direction of traffic works, told once when that changes. Pure: the time is an
//! argument.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// For how long nothing may fail until what failed counts as working again. Without it, a Cluster
/// with one failing server would change state with every command.
const QUIET: Duration = Duration::from_secs(1);

/// Reads, or writes.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When something failed last, in microseconds; 0 while it works.
    failed: AtomicU64,
    #[cfg(test)]
    outages: AtomicU64,
}

/// What a command's end changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It worked and does not any more.
    Broken,
    /// It did not work and does again.
    Restored,
}

impl Health {
    pub(super) fn failed(&self, now: Duration) -> Change {
        let time = micros(now);
        if self.failed.swap(time, Ordering::Relaxed) != 0 {
            return Change::None;
        }
        #[cfg(test)]
        self.outages.fetch_add(1, Ordering::Relaxed);
        Change::Broken
    }

    pub(super) fn worked(&self, now: Duration) -> Change {
        let failed = self.failed.load(Ordering::Relaxed);
        if failed == 0 || micros(now) < failed.saturating_add(micros(QUIET)) {
            return Change::None;
        }
        let order = Ordering::Relaxed;
        match self.failed.compare_exchange(failed, 0, order, order) {
            Ok(_) => Change::Restored,
            Err(_) => Change::None,
        }
    }

    /// How often it stopped working.
    #[cfg(test)]
    pub(super) fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }
}

/// Never 0, which says that nothing failed.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_told_once() {
        let health = Health::default();
        let at = Duration::from_millis;
        assert_eq!(health.worked(at(0)), Change::None);
        assert_eq!(health.failed(at(10)), Change::Broken);
        assert_eq!(health.failed(at(20)), Change::None);
        // One that works between two that fail changes nothing.
        assert_eq!(health.worked(at(900)), Change::None);
        assert_eq!(health.failed(at(910)), Change::None);
        assert_eq!(health.worked(at(1_909)), Change::None);
        assert_eq!(health.worked(at(1_910)), Change::Restored);
        assert_eq!(health.worked(at(1_911)), Change::None);
        assert_eq!(health.outages(), 1);
        assert_eq!(health.failed(at(2_000)), Change::Broken);
        assert_eq!(health.outages(), 2);
    }

    #[test]
    fn a_failure_at_the_very_start_counts() {
        let health = Health::default();
        assert_eq!(health.failed(Duration::ZERO), Change::Broken);
        assert_eq!(health.failed(Duration::ZERO), Change::None);
    }
}
