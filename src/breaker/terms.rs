//! The types that a circuit and its gate exchange.

use std::time::Duration;

use super::rules::Pace;

/// Whether a circuit lets a call pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permission {
    Granted(Ticket),
    Refused {
        /// How long to wait before the next try. Zero: until a probe ends.
        retry_after: Duration,
    },
}

/// How a call was admitted. It is handed back once, with the outcome of the call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ticket {
    Counted {
        generation: u64,
    },
    /// One of the few calls that pass while the circuit is half-open. It holds a permit.
    Probe {
        generation: u64,
        id: u64,
    },
    /// The call is not counted.
    Uncounted,
}

/// What a call asks a service for, as a hash: over HTTP the path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Part(pub(crate) u64);

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallOutcome {
    Succeeded(Pace),
    Failed(Pace),
    /// What it asked for failed. Other parts of the service may work.
    PartFailed(Pace),
    /// The outcome says nothing about the service.
    Ignored,
    /// The caller dropped the call before it ended.
    Cancelled(Pace),
}

/// What the gate may decide without taking the circuit's lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FastPath {
    /// Nothing: the circuit decides.
    AskCircuit,
    /// Calls pass and are counted.
    Counted { generation: u64 },
    /// Calls pass and are not counted.
    Uncounted,
}

/// A state that an operator forces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Override {
    Open,
    Closed,
    Disabled,
}

/// How many calls ended in which way since the circuit was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    pub(crate) cancelled: u64,
    pub(crate) slow: u64,
    pub(crate) refused: u64,
    pub(crate) openings: u64,
}
