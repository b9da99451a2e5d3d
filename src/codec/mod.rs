//! The wire format of values in the shared tier: encoding, and decoding of bytes that are not
//! trusted.
//!
//! A value is plain data; the caller knows what its numeric codes mean. Bytes decode to a value or
//! to the reason why not, in memory bounded by their length.
//!
//! ```text
//!  0..2   "CW"
//!  2      format version, 1
//!  3      kind: 'E' entry, 'R' list of variants, 'F' tombstone
//!  4..12  epoch     } compared by scripts at these offsets,
//! 12..20  version   } which are the same in every format version
//! 20..28  checksum: xxh3 (64 bits) of everything but itself
//! 28..32  length of the head      }
//! 32..    head: fields (`wire`)   } absent from tombstones
//!   ..    body, raw or compressed }
//! ```
//!
//! What the version of a tombstone says is in `remote/fence.rs`.
//!
//! Numbers are big-endian and of fixed size; the length of a field is in base 128. A reader skips
//! fields that it does not know, so a field that must not be skipped needs a new format version.
//!
//! zstd comes with the feature `redis-zstd`. Without it nothing is compressed, and a compressed value
//! does not decode.
//!
//! These files use nothing else of the crate, so that a bench and a fuzz target can include them.

mod compress;
mod decode;
mod encode;
mod error;
mod frame;
mod headers;
mod tag;
mod value;
mod wire;
#[cfg(feature = "redis-zstd")]
mod zstandard;
#[cfg(not(feature = "redis-zstd"))]
#[path = "no_zstandard.rs"]
mod zstandard;

pub(crate) use self::{
    compress::Compression,
    decode::{Body, announced_size, decode},
    encode::encode,
    error::DecodeError,
    frame::{since, stamp},
    value::{Applied, EntryRecord, Purgeable, Selector, Stamp, Value, VariantList, VariantRecord},
};

#[cfg(test)]
mod tests;
