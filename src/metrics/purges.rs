//! The metrics of purges.

use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use super::{part::GaugePart, readable::ReadableCounter};

const PURGES: &str = "cachewarp_purges_total";
const PURGED: &str = "cachewarp_purged_total";
const PURGE_PENDING: &str = "cachewarp_purge_pending";
const PURGE_LAG: &str = "cachewarp_purge_lag_seconds";

/// The kinds of subjects, in the order of their numbers.
const KINDS: [&str; 8] = [
    "everything",
    "namespace",
    "host",
    "path",
    "prefix",
    "tag",
    "group",
    "url",
];

/// The modes, in the order of their numbers, from 1.
const MODES: [&str; 3] = ["soft", "validate", "hard"];

/// The metrics of purges that this node made or found.
#[derive(Debug)]
pub(crate) struct PurgeMetrics {
    /// By kind, then by mode.
    subjects: [[Counter; MODES.len()]; KINDS.len()],
    pub(crate) purged: ReadableCounter,
}

impl PurgeMetrics {
    pub(super) fn register() -> Self {
        describe_counter!(
            PURGES,
            Unit::Count,
            "Subjects that were purged through this node, by kind and mode"
        );
        describe_counter!(
            PURGED,
            Unit::Count,
            "Stored responses that left memory because they were purged"
        );
        let subjects =
            KINDS.map(|kind| MODES.map(|mode| counter!(PURGES, "kind" => kind, "mode" => mode)));
        Self {
            subjects,
            purged: ReadableCounter::new(counter!(PURGED)),
        }
    }

    /// Counts a subject of the kind and of the mode with these numbers.
    pub(crate) fn count(&self, kind: u8, mode: u8) {
        let modes = self.subjects.get(usize::from(kind));
        let counter = modes.and_then(|modes| modes.get(usize::from(mode).checked_sub(1)?));
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }
}

/// The metrics of what the other nodes are told of purges.
#[derive(Debug)]
pub(crate) struct PurgeLogMetrics {
    lag: Histogram,
    pending: GaugePart,
}

impl PurgeLogMetrics {
    pub(crate) fn register() -> Self {
        describe_gauge!(
            PURGE_PENDING,
            Unit::Count,
            "Subjects that were purged here and that the shared tier has not recorded yet"
        );
        describe_histogram!(
            PURGE_LAG,
            Unit::Seconds,
            "Time until the shared tier had recorded a subject that was purged here"
        );
        Self {
            lag: histogram!(PURGE_LAG),
            pending: GaugePart::new(gauge!(PURGE_PENDING)),
        }
    }

    pub(crate) fn are_pending(&self, subjects: usize) {
        self.pending.set(subjects as u64);
    }

    pub(crate) fn recorded_after(&self, lag: Duration) {
        self.lag.record(lag.as_secs_f64());
    }
}
