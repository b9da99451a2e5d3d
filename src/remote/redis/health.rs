//! Whether reads or writes work, reported once when that changes. Pure: the time is an argument.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long no command may fail until they count as working again. Without it, a Cluster with one
/// failing server would change state with every command.
const QUIET: Duration = Duration::from_secs(1);

/// The state of reads, or of writes.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When a command failed last, in microseconds; 0 while they work.
    failed: AtomicU64,
    #[cfg(test)]
    outages: AtomicU64,
}

/// What the end of a command changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HealthChange {
    /// Nothing.
    None,
    /// Commands worked, and do no longer.
    Broken,
    /// Commands failed, and work again.
    Restored,
}

impl Health {
    pub(super) fn failed(&self, now: Duration) -> HealthChange {
        let time = micros(now);
        if self.failed.swap(time, Ordering::Relaxed) != 0 {
            return HealthChange::None;
        }
        #[cfg(test)]
        self.outages.fetch_add(1, Ordering::Relaxed);
        HealthChange::Broken
    }

    pub(super) fn worked(&self, now: Duration) -> HealthChange {
        let failed = self.failed.load(Ordering::Relaxed);
        if failed == 0 || micros(now) < failed.saturating_add(micros(QUIET)) {
            return HealthChange::None;
        }
        let order = Ordering::Relaxed;
        match self.failed.compare_exchange(failed, 0, order, order) {
            Ok(_) => HealthChange::Restored,
            Err(_) => HealthChange::None,
        }
    }

    /// How often commands stopped working.
    #[cfg(test)]
    pub(super) fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }
}

/// Never 0, which stands for no failure.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_reported_once() {
        let health = Health::default();
        let at = Duration::from_millis;
        assert_eq!(health.worked(at(0)), HealthChange::None);
        assert_eq!(health.failed(at(10)), HealthChange::Broken);
        assert_eq!(health.failed(at(20)), HealthChange::None);
        // One success between two failures changes nothing.
        assert_eq!(health.worked(at(900)), HealthChange::None);
        assert_eq!(health.failed(at(910)), HealthChange::None);
        assert_eq!(health.worked(at(1_909)), HealthChange::None);
        assert_eq!(health.worked(at(1_910)), HealthChange::Restored);
        assert_eq!(health.worked(at(1_911)), HealthChange::None);
        assert_eq!(health.outages(), 1);
        assert_eq!(health.failed(at(2_000)), HealthChange::Broken);
        assert_eq!(health.outages(), 2);
    }

    #[test]
    fn a_failure_at_the_very_start_counts() {
        let health = Health::default();
        assert_eq!(health.failed(Duration::ZERO), HealthChange::Broken);
        assert_eq!(health.failed(Duration::ZERO), HealthChange::None);
    }
}
