//! The settings as the state machine reads them: checked, and without a way to change them.

use std::time::Duration;

/// When a circuit opens, for how long, and what closes it again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) window: Extent,
    /// The share of failures in the window that opens, above 0 and at most 1.
    pub(crate) failure_rate: f64,
    /// How long a call takes that is slow; without it none is.
    pub(crate) slow_call: Option<Duration>,
    /// The share of slow calls in the window that opens, above 0 and at most 1.
    pub(crate) slow_rate: f64,
    /// Calls in the window below which no share is judged.
    pub(crate) minimum_calls: u32,
    pub(crate) consecutive_failures: Option<u32>,
    /// Probes in flight at once.
    pub(crate) half_open_permits: u32,
    /// Probes that have to succeed before the circuit closes.
    pub(crate) half_open_successes: u32,
    /// After which a probe without an outcome has failed.
    pub(crate) probe_timeout: Duration,
    pub(crate) open_for: Duration,
    pub(crate) open_growth: f64,
    pub(crate) open_at_most: Duration,
    /// The share of the open time that chance may take off, between 0 and 1.
    pub(crate) open_jitter: f64,
    pub(crate) max_keys: usize,
}

/// What a window reaches back over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// So many calls.
    Calls(u32),
    /// So much time, in so many buckets.
    Time { span: Duration, buckets: u32 },
}

/// Whether a call took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    Normal,
    Slow,
}

impl Rules {
    pub(crate) fn pace(&self, took: Duration) -> Pace {
        match self.slow_call {
            Some(slow) if took >= slow => Pace::Slow,
            _ => Pace::Normal,
        }
    }

    /// How long the circuit stays open at its `opening`th time in a row, from 1, where chance is
    /// from 0 to 1. Never zero, which would refuse nobody.
    pub(crate) fn open_length(&self, opening: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(opening.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.open_for.as_secs_f64() * self.open_growth.powi(exponent);
        // Infinite after enough openings, which `min` takes as any other number.
        let length = grown.min(self.open_at_most.as_secs_f64()) * (1.0 - self.open_jitter * chance);
        Duration::try_from_secs_f64(length)
            .unwrap_or(self.open_at_most)
            .max(Duration::from_nanos(1))
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            window: Extent::Calls(100),
            failure_rate: 0.5,
            slow_call: None,
            slow_rate: 0.5,
            minimum_calls: 20,
            consecutive_failures: Some(7),
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
