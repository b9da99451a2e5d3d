//! Why bytes are not a value.

use std::{error::Error, fmt};

use super::wire::Tag;

/// What is wrong with bytes that were read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DecodeError {
    /// They end before the fixed part or the head does.
    Truncated,
    /// They do not begin as a value of this cache does.
    Magic,
    /// Another version of the format, perhaps of a newer node that can read it.
    Format(u8),
    /// They are not the bytes that were written.
    Checksum,
    Kind(u8),
    /// The length of a field is malformed or reaches past the end.
    Length,
    /// The value of a field is not what its tag promises.
    Malformed(Tag),
    Missing(Tag),
    /// A field that comes once came twice.
    Repeated(Tag),
    /// More of a field than any response has.
    TooMany(Tag),
    /// An unknown way of storing the body.
    Method(u8),
    /// The size that the body is said to have decompressed is above the bound.
    TooLarge(u64),
    /// The body is not as long as the head says.
    BodyLength,
    /// The body does not decompress.
    Compressed,
    /// Something follows where nothing may.
    Trailing,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the value ends early"),
            Self::Magic => f.write_str("not a value of this cache"),
            Self::Format(version) => write!(f, "version {version} of the format is unknown"),
            Self::Checksum => f.write_str("the checksum does not match"),
            Self::Kind(kind) => write!(f, "a value of unknown kind {kind}"),
            Self::Length => f.write_str("a field's length is wrong"),
            Self::Malformed(tag) => write!(f, "the field {tag:?} is malformed"),
            Self::Missing(tag) => write!(f, "the field {tag:?} is missing"),
            Self::Repeated(tag) => write!(f, "the field {tag:?} is repeated"),
            Self::TooMany(tag) => write!(f, "there are too many fields {tag:?}"),
            Self::Method(method) => write!(f, "the body is stored in the unknown way {method}"),
            Self::TooLarge(size) => write!(f, "a body of {size} bytes is too large"),
            Self::BodyLength => f.write_str("the body's length is not the one announced"),
            Self::Compressed => f.write_str("the body does not decompress"),
            Self::Trailing => f.write_str("the value is followed by something else"),
        }
    }
}

impl Error for DecodeError {}
