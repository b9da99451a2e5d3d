//! The handle: what an operator asks of a breaker, and tells it, from outside its services.

use std::sync::Arc;

use super::{event::BreakerState, keys::Keys, terms::Override, world::Surroundings};

/// A handle on the circuits of a [`BreakerLayer`](super::BreakerLayer).
///
/// Where the layer has no keys, the key of its only circuit is empty. To ask for a key that no call
/// has had changes nothing; to give it an order makes its circuit.
///
/// An order stands until the next one: nothing that calls end in changes it. At the bound on keys, a
/// key with an order is the last to be forgotten.
#[derive(Clone, Debug)]
pub struct BreakerHandle {
    keys: Arc<Keys<Surroundings>>,
}

impl BreakerHandle {
    pub(super) fn new(keys: Arc<Keys<Surroundings>>) -> Self {
        Self { keys }
    }

    /// What the circuit of this key does with calls. A key never asked for is closed.
    #[must_use]
    pub fn state(&self, key: &str) -> BreakerState {
        let gate = self.keys.existing(key);
        gate.map_or(BreakerState::Closed, |gate| gate.state())
    }

    /// The figures of the circuit of this key.
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

    /// The keys that have a circuit, in order; without the empty one, which always has.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.keys.keys()
    }

    /// Refuses all calls from now on.
    pub fn force_open(&self, key: &str) {
        self.keys.gate(key).force(Override::Open);
    }

    /// Lets all calls pass from now on, and goes on counting them.
    pub fn force_closed(&self, key: &str) {
        self.keys.gate(key).force(Override::Closed);
    }

    /// Lets all calls pass from now on, and counts nothing.
    pub fn disable(&self, key: &str) {
        self.keys.gate(key).force(Override::Disabled);
    }

    /// Closes the circuit with an empty window, and lets it judge for itself again.
    pub fn reset(&self, key: &str) {
        if let Some(gate) = self.keys.existing(key) {
            gate.reset();
        }
    }
}

/// What a circuit has counted since it came to be, and what its window holds at this moment.
///
/// The window is empty after every time that the circuit closes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BreakerStats {
    /// Calls that succeeded, probes among them.
    pub succeeded: u64,
    /// Calls that failed, probes among them.
    pub failed: u64,
    /// Calls that were slow, whether they succeeded, failed or were given up.
    pub slow: u64,
    /// Calls that were [`Ignored`](super::Verdict::Ignored).
    pub ignored: u64,
    /// Calls that were given up before their end.
    pub cancelled: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// How often the circuit opened by itself.
    pub openings: u64,
    /// Calls in the window.
    pub window_calls: u64,
    /// The share of them that failed, between 0 and 1.
    pub failure_rate: f64,
    /// The share of them that was slow, between 0 and 1.
    pub slow_rate: f64,
}
