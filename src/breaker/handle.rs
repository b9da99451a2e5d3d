//! The handle: how an operator watches a breaker and overrides it.

use std::sync::Arc;

use super::{environment::BreakerEnvironment, event::BreakerState, keys::Keys, terms::Override};

/// A handle on the circuits of a [`BreakerLayer`](super::BreakerLayer).
///
/// If the layer has no keys, the key of its only circuit is empty. Reading a key that no call has
/// used yet makes no circuit; an override does.
///
/// An override lasts until the next one or a [`reset`](Self::reset), whatever the outcomes of
/// calls. When there are too many keys, keys with an override are evicted last.
#[derive(Clone, Debug)]
pub struct BreakerHandle {
    keys: Arc<Keys<BreakerEnvironment>>,
}

impl BreakerHandle {
    pub(super) fn new(keys: Arc<Keys<BreakerEnvironment>>) -> Self {
        Self { keys }
    }

    /// The state of the circuit of this key. A key without a circuit is closed.
    #[must_use]
    pub fn state(&self, key: &str) -> BreakerState {
        let gate = self.keys.existing(key);
        gate.map_or(BreakerState::Closed, |gate| gate.state())
    }

    /// The counts of the circuit of this key.
    #[must_use]
    pub fn stats(&self, key: &str) -> BreakerStats {
        let Some(gate) = self.keys.existing(key) else {
            return BreakerStats::default();
        };
        let (counts, tally) = gate.stats();
        BreakerStats {
            succeeded: counts.succeeded,
            failed: counts.failed,
            slow: counts.slow,
            ignored: counts.ignored,
            cancelled: counts.cancelled,
            refused: counts.refused,
            openings: counts.openings,
            window_calls: tally.calls,
            failure_rate: tally.failure_rate(),
            slow_rate: tally.slow_rate(),
        }
    }

    /// The keys that have a circuit, sorted. The empty key, which always has one, is left out.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.keys.keys()
    }

    /// Refuses all calls from now on.
    pub fn force_open(&self, key: &str) {
        self.keys.gate(key).force(Override::Open);
    }

    /// Lets all calls pass from now on, and keeps counting them.
    pub fn force_closed(&self, key: &str) {
        self.keys.gate(key).force(Override::Closed);
    }

    /// Lets all calls pass from now on, and counts nothing.
    pub fn disable(&self, key: &str) {
        self.keys.gate(key).force(Override::Disabled);
    }

    /// Ends an override: closes the circuit, with an empty window.
    pub fn reset(&self, key: &str) {
        if let Some(gate) = self.keys.existing(key) {
            gate.reset();
        }
    }
}

/// What a circuit counted since it was made, and what its window holds at this moment.
///
/// When the circuit closes, its window is emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BreakerStats {
    /// Calls that succeeded, including probes.
    pub succeeded: u64,
    /// Calls that failed, including probes.
    pub failed: u64,
    /// Calls that were slow, whether they succeeded, failed or were cancelled.
    pub slow: u64,
    /// Calls with the verdict [`Ignored`](super::Verdict::Ignored), and repeated failures of one part
    /// of the service.
    pub ignored: u64,
    /// Calls that their caller dropped before their end.
    pub cancelled: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// How often the circuit opened by itself.
    pub openings: u64,
    /// Calls in the window.
    pub window_calls: u64,
    /// The share of the calls in the window that failed, between 0 and 1.
    pub failure_rate: f64,
    /// The share of the calls in the window that were slow, between 0 and 1.
    pub slow_rate: f64,
}
