//! The log of purges in the shared tier: what a node sends to it, and what it reads there.
//!
//! The log has an id. Each row has a number of its own, above those of all rows before it. The server
//! can lose the log, or its end: it evicts, is flushed, or a replica takes its place that has not
//! received everything. Then numbers may be given a second time, which the numbers alone do not show.
//! So a position in the log has a random token too, that of the append which gave the number, and the
//! log has it as well. If the position of a node is not in the log, the log gets a new id.

use std::{error::Error, fmt, ops::RangeInclusive};

/// What a node appends to the log, and from where on it reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRequest<'a> {
    /// The whole key. Watches of the namespace report when it changes.
    pub(crate) name: &'a str,
    /// Up to where this node has applied the log; `None` for nothing yet.
    pub(crate) position: Option<LogPosition>,
    /// May be empty. A row that the log has already moves to its end.
    pub(crate) append: &'a [LogRow],
    /// A random number, which becomes the id if the log is new or was replaced.
    pub(crate) new_id: u64,
    /// A random number, which becomes the token of what is appended.
    pub(crate) new_token: u64,
    /// How many numbers the log goes back. Older rows are removed.
    pub(crate) keep: u64,
    /// Whether a request waits for it: then it takes no longer than a read may.
    pub(crate) urgent: bool,
    /// How many replicas must have what is appended before the answer; 0 for none.
    pub(crate) replicas: u32,
}

/// The largest number that a row has. Up to twice as much the server counts exactly.
pub(crate) const LAST_SEQ: u64 = 1 << 52;

/// A position in the log: the end of an append.
///
/// The beginning of a log has the number 0 and the token 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LogPosition {
    pub(crate) id: u64,
    pub(crate) seq: u64,
    pub(crate) token: u64,
}

/// A purge, as the log has it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct LogRow {
    pub(crate) mode: u8,
    pub(crate) subject: u128,
}

/// What a node learns of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LogReply {
    /// The end of the log, what was appended included.
    pub(crate) head: LogPosition,
    /// Rows up to this number may have been removed.
    pub(crate) floor: u64,
    pub(crate) continuity: Continuity,
    /// The rows and their numbers, ascending: those after the position if the log goes on from
    /// there, else all. What was appended is among them.
    pub(crate) rows: Vec<(u64, LogRow)>,
    /// The numbers of what was appended.
    pub(crate) appended: Option<RangeInclusive<u64>>,
}

/// How the log goes on from the position of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Continuity {
    /// The rows of the answer are all that followed.
    Continuous,
    /// The position is of another log: this one began later, or has lost its end.
    Replaced,
    /// The node had no position.
    First,
    /// It is the same log, but some of the rows that followed are removed.
    Gap,
}

/// Rows were appended, but fewer replicas have them than must.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotReplicated {
    pub(crate) wanted: u32,
    pub(crate) acknowledged: u32,
}

impl LogRow {
    /// The size of a row on the wire.
    pub(crate) const SIZE: usize = 17;

    /// The mode, then the subject, most significant byte first.
    pub(crate) fn encode(self) -> [u8; Self::SIZE] {
        let mut bytes = [self.mode; Self::SIZE];
        bytes[1..].copy_from_slice(&self.subject.to_be_bytes());
        bytes
    }

    /// `None` if the bytes are no row.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (mode, subject) = bytes.split_first()?;
        Some(Self {
            mode: *mode,
            subject: u128::from_be_bytes(subject.try_into().ok()?),
        })
    }
}

impl fmt::Display for NotReplicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wanted,
            acknowledged,
        } = self;
        write!(f, "{acknowledged} of {wanted} replicas have acknowledged")
    }
}

impl Error for NotReplicated {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_decoded_as_it_was_encoded() {
        let row = LogRow {
            mode: 3,
            subject: 0x0102 << 112 | 0xff,
        };
        let bytes = row.encode();
        let mut expected = [0; 17];
        expected[..3].copy_from_slice(&[3, 1, 2]);
        expected[16] = 0xff;
        assert_eq!(bytes, expected);
        assert_eq!(LogRow::decode(&bytes), Some(row));
    }

    #[test]
    fn nothing_else_is_a_row() {
        for length in [0, 1, 16, 18] {
            assert_eq!(LogRow::decode(&vec![1; length]), None, "{length}");
        }
    }
}
