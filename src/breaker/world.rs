//! What all circuits of one breaker share: its settings, its clock, and who is told of changes.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{clock::Clock, metrics::BreakerMetrics};

use super::{
    event::{Event, Transition},
    gate::{Refusing, World},
    rules::{Pace, Rules},
    terms::Ending,
    waiting::Waiting,
};

/// Is told of every change.
pub(super) type Listener = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// The world as the gates of a breaker know it.
pub(super) struct Surroundings {
    pub(super) rules: Rules,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) listener: Option<Listener>,
    pub(super) metrics: OnceLock<BreakerMetrics>,
    pub(super) waiting: Waiting,
}

impl Surroundings {
    fn metrics(&self) -> &BreakerMetrics {
        self.metrics.get_or_init(BreakerMetrics::register)
    }
}

impl World for Surroundings {
    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn refusing(&self, change: Refusing) {
        self.waiting.refusing(change);
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
            tracing::warn!(key, %from, %to, %reason, "the circuit breaker opens");
            self.waiting.wake();
        } else {
            tracing::info!(key, %from, %to, %reason, "the circuit breaker changes");
        }
        let Some(listener) = &self.listener else {
            return;
        };
        // A change may happen while a panic drops a call; a second one would end the process.
        let told = catch_unwind(AssertUnwindSafe(|| listener(&transition.event(key))));
        if told.is_err() {
            tracing::error!(key, "the listener of a circuit breaker panicked");
        }
    }

    fn ended(&self, ending: Ending) {
        let metrics = self.metrics();
        let (calls, pace) = match ending {
            Ending::Succeeded(pace) => (&metrics.succeeded, Some(pace)),
            Ending::Failed(pace) => (&metrics.failed, Some(pace)),
            Ending::Ignored => (&metrics.ignored, None),
            Ending::Cancelled(pace) => (&metrics.cancelled, Some(pace)),
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

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("rules", &self.rules)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
