//! The states of a circuit, and the event that reports a change.

use std::{fmt, time::Duration};

/// The state of a circuit: what it does with calls.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Calls pass and are counted.
    Closed,
    /// Calls are refused. The state lasts beyond the open time, until a call comes that may probe.
    Open,
    /// A few calls pass as probes. The others are refused.
    HalfOpen,
    /// An operator has all calls refused.
    ForcedOpen,
    /// An operator has all calls pass. They are counted, and the circuit does not open.
    ForcedClosed,
    /// An operator has all calls pass. Nothing is counted.
    Disabled,
}

impl BreakerState {
    /// The name of the state in metrics and logs.
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

    /// Whether most calls, or all, are refused in this state.
    #[must_use]
    pub const fn refuses(self) -> bool {
        matches!(self, Self::Open | Self::HalfOpen | Self::ForcedOpen)
    }

    /// Whether an operator has set this state.
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

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Too many of the calls in the window failed.
    #[non_exhaustive]
    FailureRate {
        /// The share of calls that failed, between 0 and 1.
        rate: f64,
        /// The calls in the window.
        calls: u64,
    },
    /// Too many of the calls in the window were slow.
    #[non_exhaustive]
    SlowRate {
        /// The share of calls that were slow, between 0 and 1.
        rate: f64,
        /// The calls in the window.
        calls: u64,
    },
    /// This many calls in a row failed.
    ConsecutiveFailures(u32),
    /// The open time is over, and a call came that may probe.
    TimeUp,
    /// A probe failed.
    ProbeFailed,
    /// A probe was slow: it succeeded late, or its caller dropped it.
    ProbeSlow,
    /// A probe had no outcome within the probe timeout.
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
            Self::TimeUp => f.write_str("the open time is over"),
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
    /// The key of the circuit: empty for the circuit of calls without a key.
    pub key: &'a str,
    /// The state before.
    pub from: BreakerState,
    /// The state now.
    pub to: BreakerState,
    /// The reason of the change.
    pub reason: Reason,
    /// How long calls are refused, if the circuit opened by itself.
    pub open_for: Option<Duration>,
    /// Grows with every change of this circuit. Two threads may report two changes in either order:
    /// the lower number came first.
    pub generation: u64,
}

/// A change of state, as the state machine reports it.
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
