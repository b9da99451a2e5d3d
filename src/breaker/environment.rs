//! What all circuits of one breaker share: the settings, the clock, and the listener.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{clock::Clock, metrics::BreakerMetrics};

use super::{
    event::{Event, Transition},
    gate::{Environment, Refusing},
    rules::{CircuitRules, Pace},
    terms::CallOutcome,
    waiters::Waiters,
};

/// Is called at every change of state.
pub(super) type EventListener = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// The [`Environment`] of the gates of one breaker.
pub(super) struct BreakerEnvironment {
    pub(super) rules: CircuitRules,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) listener: Option<EventListener>,
    pub(super) metrics: OnceLock<BreakerMetrics>,
    pub(super) waiters: Waiters,
}

impl BreakerEnvironment {
    fn metrics(&self) -> &BreakerMetrics {
        self.metrics.get_or_init(BreakerMetrics::register)
    }
}

impl Environment for BreakerEnvironment {
    fn rules(&self) -> &CircuitRules {
        &self.rules
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn refusing(&self, change: Refusing) {
        self.waiters.refusing(change);
        match change {
            Refusing::Begins => self.metrics().refusing.increment(1.0),
            Refusing::Ceases => self.metrics().refusing.decrement(1.0),
        }
    }

    fn changed(&self, key: &str, transition: &Transition) {
        let Transition {
            from, to, reason, ..
        } = transition;
        self.metrics().changed(to.as_str());
        if to.refuses() && !from.refuses() {
            tracing::warn!(key, %from, %to, %reason, "circuit breaker opened");
            self.waiters.wake_all();
        } else {
            tracing::info!(key, %from, %to, %reason, "circuit breaker changed its state");
        }
        let Some(listener) = &self.listener else {
            return;
        };
        // A change may happen while a panic unwinds. A second panic would abort the process.
        let called = catch_unwind(AssertUnwindSafe(|| listener(&transition.event(key))));
        if called.is_err() {
            tracing::error!(key, "event listener of the circuit breaker panicked");
        }
    }

    fn ended(&self, outcome: CallOutcome) {
        let metrics = self.metrics();
        let (calls, pace) = match outcome {
            CallOutcome::Succeeded(pace) => (&metrics.succeeded, Some(pace)),
            CallOutcome::Failed(pace) | CallOutcome::PartFailed(pace) => {
                (&metrics.failed, Some(pace))
            }
            CallOutcome::Ignored => (&metrics.ignored, None),
            CallOutcome::Cancelled(pace) => (&metrics.cancelled, Some(pace)),
        };
        calls.increment(1);
        if pace == Some(Pace::Slow) {
            metrics.slow.increment(1);
        }
    }

    fn refused(&self) {
        self.metrics().refused.increment(1);
    }
}

impl fmt::Debug for BreakerEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerEnvironment")
            .field("rules", &self.rules)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
