//! What became of a purge.

use std::{error::Error, fmt};

use super::purge::InvalidPurge;

/// What became of a purge. Everything here is true when it is said; what cannot be known is `None`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Purged {
    /// Tells this purge from others of this process.
    pub id: u64,
    /// How many subjects were named.
    pub subjects: usize,
    /// Whether it was soft.
    pub soft: bool,
    /// What it did on this node.
    pub here: PurgedHere,
    /// What the other nodes know of it.
    pub shared: PurgedShared,
}

/// What a purge did on this node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PurgedHere {
    /// Whether it is in force: no request that begins from now on gets what was purged.
    pub in_force: bool,
    /// How many stored responses of a URL it ended in the memory of this node, without those that the
    /// settings keep apart by more than the URL. Known only if it names a single URL, with its host:
    /// everything else is not looked for, it is found when it is used.
    pub variants: Option<u64>,
}

/// What the other nodes know of a purge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PurgedShared {
    /// There is no shared tier, so there are no other nodes.
    None,
    /// It is recorded in the shared tier. Nodes that hear of changes apply it at once, the others before
    /// they use what they have.
    #[non_exhaustive]
    Told {
        /// Up to which number the log of purges has it. Later purges of this node may be among them.
        seq: u64,
    },
    /// The shared tier did not record it yet. It is tried again until it does, or until this process ends.
    Pending,
}

impl PurgedShared {
    /// One word: `none`, `told` or `pending`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Told { .. } => "told",
            Self::Pending => "pending",
        }
    }
}

/// Why a purge is not in force everywhere.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PurgeError {
    /// It was refused, and nothing was purged.
    Invalid(InvalidPurge),
    /// It is in force on this node, and pending for the others: the shared tier did not answer. It is tried
    /// again until it does, or until this process ends.
    Pending(Purged),
}

impl fmt::Display for PurgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Pending(_) => f.write_str(
                "the purge is in force here, and pending for the other nodes: the shared tier did not \
                 answer",
            ),
        }
    }
}

impl Error for PurgeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::Pending(_) => None,
        }
    }
}

impl From<InvalidPurge> for PurgeError {
    fn from(invalid: InvalidPurge) -> Self {
        Self::Invalid(invalid)
    }
}
