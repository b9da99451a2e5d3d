//! The wire format of what is kept outside this process: values to bytes and back.
//!
//! A value is plain data; what its codes mean is the caller's business. Bytes read back are not
//! trusted: they decode to a value or to the reason why not, in memory bounded by their length.
//!
//! ```text
//!  0..2   "CW"
//!  2      format version, 1
//!  3      kind: 'E' entry, 'R' record, 'F' fence
//!  4..12  epoch     } compared by scripts at these offsets,
//! 12..20  version   } the same in every format version
//! 20..28  checksum: xxh3 (64 bits) of everything but itself
//! 28..32  length of the head      } absent
//! 32..    head: fields (`wire`)   } from
//!   ..    body, raw or compressed } fences
//! ```
//!
//! Numbers are big-endian and of fixed size; the length of a field is base-128 digits. A reader
//! skips fields that it does not know: what it may not skip needs another format version.
//!
//! These files use nothing else of the crate, so that a bench and a fuzz target can include them.

mod compress;
mod decode;
mod encode;
mod error;
mod frame;
mod headers;
mod value;
mod wire;

pub(crate) use self::{
    compress::Compression,
    decode::decode,
    encode::encode,
    frame::stamp,
    value::{Listed, Parcel, Record, Selector, Stamp, Value},
};

#[cfg(test)]
use self::error::DecodeError;
#[cfg(test)]
mod tests;
