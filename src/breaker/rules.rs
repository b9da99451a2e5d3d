//! The settings as the state machine reads them: checked and immutable.

use std::time::Duration;

/// When a circuit opens, how long it stays open, and what closes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CircuitRules {
    pub(crate) window: Extent,
    /// The share of failures in the window that opens the circuit: above 0, at most 1.
    pub(crate) failure_rate: f64,
    /// From which duration on a call is slow. `None`: no call is.
    pub(crate) slow_call: Option<Duration>,
    /// The share of slow calls in the window that opens the circuit: above 0, at most 1.
    pub(crate) slow_rate: f64,
    /// With fewer calls in the window, the shares do not open the circuit.
    pub(crate) minimum_calls: u32,
    pub(crate) consecutive_failures: Option<u32>,
    pub(crate) internal_errors: InternalErrors,
    /// How many probes may be in flight at once.
    pub(crate) half_open_permits: u32,
    /// How many probes have to succeed before the circuit closes.
    pub(crate) half_open_successes: u32,
    /// After this time, a probe without an outcome counts as failed.
    pub(crate) probe_timeout: Duration,
    pub(crate) open_for: Duration,
    pub(crate) open_growth: f64,
    pub(crate) open_at_most: Duration,
    /// The open time is shortened by a random share of up to this, between 0 and 1.
    pub(crate) open_jitter: f64,
    pub(crate) max_keys: usize,
}

/// How far back a window reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// This many calls.
    Calls(u32),
    /// This much time, divided into buckets.
    Time { span: Duration, buckets: u32 },
}

/// What a call is that ended with an error inside the service: over HTTP with 500.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InternalErrors {
    /// A success: the service answers.
    Succeed,
    /// A failure of what was asked for.
    Fail,
}

/// Whether a call took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    Normal,
    Slow,
}

impl CircuitRules {
    pub(crate) fn pace(&self, took: Duration) -> Pace {
        match self.slow_call {
            Some(slow) if took >= slow => Pace::Slow,
            _ => Pace::Normal,
        }
    }

    /// How long the circuit stays open when it opens for the `opening`th time in a row (counted
    /// from 1). `jitter` is a random number from 0 to 1. Never zero: the circuit would refuse no
    /// call.
    pub(crate) fn open_length(&self, opening: u32, jitter: f64) -> Duration {
        let exponent = i32::try_from(opening.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.open_for.as_secs_f64() * self.open_growth.powi(exponent);
        // After enough openings this is infinite, and `min` takes the other number.
        let length = grown.min(self.open_at_most.as_secs_f64()) * (1.0 - self.open_jitter * jitter);
        Duration::try_from_secs_f64(length)
            .unwrap_or(self.open_at_most)
            .max(Duration::from_nanos(1))
    }
}

impl Default for CircuitRules {
    fn default() -> Self {
        Self {
            window: Extent::Calls(100),
            failure_rate: 0.5,
            slow_call: None,
            slow_rate: 0.5,
            minimum_calls: 20,
            consecutive_failures: Some(7),
            internal_errors: InternalErrors::Succeed,
            half_open_permits: 3,
            half_open_successes: 3,
            probe_timeout: Duration::from_secs(60),
            open_for: Duration::from_secs(5),
            open_growth: 2.0,
            open_at_most: Duration::from_secs(60),
            open_jitter: 0.1,
            max_keys: 1024,
        }
    }
}
