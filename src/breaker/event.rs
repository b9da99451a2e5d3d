//! What a circuit can be, and what is told when that changes.

use std::{fmt, time::Duration};

/// What a circuit does with calls.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Calls pass and are counted.
    Closed,
    /// Calls are refused. It stays so after its time is up, until a call comes that may probe.
    Open,
    /// A few calls pass as probes, the others are refused.
    HalfOpen,
    /// Calls are refused until an operator says otherwise.
    ForcedOpen,
    /// Calls pass and are counted, and whatever they end in, the circuit does not open.
    ForcedClosed,
    /// Calls pass, and nothing is counted.
    Disabled,
}

impl BreakerState {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced-open",
            Self::ForcedClosed => "forced-closed",
            Self::Disabled => "disabled",
        }
    }

    /// Whether it refuses calls, all of them or most.
    #[must_use]
    pub const fn refuses(self) -> bool {
        matches!(self, Self::Open | Self::HalfOpen | Self::ForcedOpen)
    }

    /// Whether an operator has put it there.
    #[must_use]
    pub const fn is_manual(self) -> bool {
        matches!(self, Self::ForcedOpen | Self::ForcedClosed | Self::Disabled)
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a circuit changed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Too many of the calls in the window failed.
    #[non_exhaustive]
    FailureRate {
        /// The share that failed, between 0 and 1.
        rate: f64,
        /// The calls in the window.
        calls: u64,
    },
    /// Too many of the calls in the window were slow.
    #[non_exhaustive]
    SlowRate {
        /// The share that was slow, between 0 and 1.
        rate: f64,
        /// The calls in the window.
        calls: u64,
    },
    /// So many calls in a row failed.
    ConsecutiveFailures(u32),
    /// It was open for long enough, and a call came to probe.
    TimeUp,
    /// A probe failed.
    ProbeFailed,
    /// A probe was slow, whether it succeeded or was given up.
    ProbeSlow,
    /// A probe had no outcome after the probe timeout.
    ProbeOverdue,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// An operator asked for it.
    Manual,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailureRate { rate, calls } => {
                write!(f, "{:.0} % of {calls} calls failed", rate * 100.0)
            }
            Self::SlowRate { rate, calls } => {
                write!(f, "{:.0} % of {calls} calls were slow", rate * 100.0)
            }
            Self::ConsecutiveFailures(failures) => write!(f, "{failures} calls in a row failed"),
            Self::TimeUp => f.write_str("the open time is up"),
            Self::ProbeFailed => f.write_str("a probe failed"),
            Self::ProbeSlow => f.write_str("a probe was slow"),
            Self::ProbeOverdue => f.write_str("a probe did not end in time"),
            Self::ProbesSucceeded => f.write_str("the probes succeeded"),
            Self::Manual => f.write_str("an operator asked for it"),
        }
    }
}

/// A circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The key of the circuit; empty for the one that calls without a key share.
    pub key: &'a str,
    /// What it was.
    pub from: BreakerState,
    /// What it is now.
    pub to: BreakerState,
    /// Why.
    pub reason: Reason,
    /// For how long it refuses calls now, if it just opened by itself.
    pub open_for: Option<Duration>,
    /// Rises with every change of this circuit. Two threads may report two changes in either
    /// order; this tells which came first.
    pub generation: u64,
}

/// A change, as the state machine reports it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Transition {
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
    pub(crate) reason: Reason,
    pub(crate) open_for: Option<Duration>,
    pub(crate) generation: u64,
}

impl Transition {
    pub(crate) fn event<'a>(&self, key: &'a str) -> Event<'a> {
        Event {
            key,
            from: self.from,
            to: self.to,
            reason: self.reason,
            open_for: self.open_for,
            generation: self.generation,
        }
    }
}
