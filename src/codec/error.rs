//! Why bytes do not decode to a value.

use std::{error::Error, fmt};

use super::tag::Tag;

/// Why bytes do not decode to a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DecodeError {
    /// The bytes end within the fixed part or the head.
    Truncated,
    /// The bytes do not begin with the magic number.
    Magic,
    /// An unknown version of the format, perhaps written by a newer node.
    Format(u8),
    /// The checksum does not match: the bytes were damaged.
    Checksum,
    /// An unknown kind of value.
    Kind(u8),
    /// The length of a field is malformed, or reaches past the end of the bytes.
    Length,
    /// The value of a field does not have the form that its tag requires.
    Malformed(Tag),
    /// A mandatory field is missing.
    Missing(Tag),
    /// A field that may occur once occurs twice.
    Repeated(Tag),
    /// More fields of one kind than any response has.
    TooMany(Tag),
    /// The head is longer than that of any response.
    HeadTooLarge(usize),
    /// An unknown way of storing the body.
    Method(u8),
    /// The body is compressed, and this build does not decompress.
    #[cfg_attr(
        feature = "redis-zstd",
        allow(dead_code, reason = "a build with zstd decompresses")
    )]
    Compression,
    /// The announced size of the decompressed body is above the limit.
    TooLarge(u64),
    /// The body does not have the announced length.
    BodyLength,
    /// The body does not decompress.
    #[cfg_attr(
        not(feature = "redis-zstd"),
        allow(dead_code, reason = "a build without zstd does not even try")
    )]
    Compressed,
    /// Bytes follow the end of the value.
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
            Self::HeadTooLarge(length) => write!(f, "a head of {length} bytes is too large"),
            Self::Compression => f.write_str("the body is compressed, and this build has no zstd"),
            Self::Method(method) => write!(f, "the body is stored in the unknown way {method}"),
            Self::TooLarge(size) => write!(f, "a body of {size} bytes is too large"),
            Self::BodyLength => f.write_str("the body's length is not the one announced"),
            Self::Compressed => f.write_str("the body does not decompress"),
            Self::Trailing => f.write_str("the value is followed by something else"),
        }
    }
}

impl Error for DecodeError {}
