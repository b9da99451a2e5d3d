//! The words in which a circuit and its gate talk: what may pass as what, and how it ended.

use std::time::Duration;

use super::rules::Pace;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    Pass(Ticket),
    Refuse {
        /// After which it is worth another try. Zero: as soon as a probe ends.
        retry_after: Duration,
    },
}

/// What a call was let through as. It is handed back once, with how the call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ticket {
    Counted {
        generation: u64,
    },
    /// One of the few that pass while the circuit is half-open. Holds a permit.
    Probe {
        generation: u64,
        id: u64,
    },
    /// Not counted at all.
    Free,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Succeeded(Pace),
    Failed(Pace),
    /// It says nothing about the service.
    Ignored,
    /// Whoever made the call no longer waited for it.
    Cancelled(Pace),
}

/// What calls get without asking the circuit itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lane {
    /// They have to ask.
    Ask,
    /// They pass and are counted.
    Counted { generation: u64 },
    /// They pass.
    Free,
}

/// What an operator puts in the place of the circuit's own judgement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Override {
    Open,
    Closed,
    Disabled,
}

/// What was counted since the circuit came to be.
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
