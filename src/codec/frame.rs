//! The fixed part that every value begins with, and the checksum over all of it.

use std::ops::Range;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::{error::DecodeError, value::Stamp};

/// What a value is.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    Entry = b'E',
    Record = b'R',
    Fence = b'F',
}

const MAGIC: [u8; 2] = *b"CW";
const FORMAT: u8 = 1;
const EPOCH: Range<usize> = 4..12;
const VERSION: Range<usize> = 12..20;
const CHECKSUM: Range<usize> = 20..28;

/// How long the fixed part is.
pub(super) const FIXED: usize = CHECKSUM.end;

/// The fixed part, without a checksum yet, and room for `more` bytes.
pub(super) fn begin(kind: Kind, stamp: Stamp, more: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FIXED + more);
    frame.extend(MAGIC);
    frame.extend([FORMAT, kind as u8]);
    frame.extend(stamp.epoch.to_be_bytes());
    frame.extend(stamp.version.to_be_bytes());
    frame.extend([0; CHECKSUM.end - CHECKSUM.start]);
    frame
}

/// Writes the checksum into what [`begin`] began.
pub(super) fn seal(mut frame: Vec<u8>) -> Bytes {
    let checksum = checksum(&frame).to_be_bytes();
    // `begin` made it at least this long.
    frame[CHECKSUM].copy_from_slice(&checksum);
    frame.into()
}

/// Checks the fixed part; returns what it says, and what follows it.
pub(super) fn open(bytes: &[u8]) -> Result<(Kind, Stamp, &[u8]), DecodeError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(DecodeError::Magic);
    }
    let rest = bytes.get(FIXED..).ok_or(DecodeError::Truncated)?;
    if bytes[2] != FORMAT {
        return Err(DecodeError::Format(bytes[2]));
    }
    if number(bytes, CHECKSUM) != Some(checksum(bytes)) {
        return Err(DecodeError::Checksum);
    }
    let kind = match bytes[3] {
        b'E' => Kind::Entry,
        b'R' => Kind::Record,
        b'F' => Kind::Fence,
        other => return Err(DecodeError::Kind(other)),
    };
    let stamp = stamp(bytes).ok_or(DecodeError::Truncated)?;
    Ok((kind, stamp, rest))
}

/// The stamp of an encoded value of any format version, without a look at anything else.
pub(crate) fn stamp(bytes: &[u8]) -> Option<Stamp> {
    let (epoch, version) = (number(bytes, EPOCH)?, number(bytes, VERSION)?);
    bytes
        .starts_with(&MAGIC)
        .then_some(Stamp { epoch, version })
}

fn number(bytes: &[u8], at: Range<usize>) -> Option<u64> {
    let digits = bytes.get(at)?.try_into().ok()?;
    Some(u64::from_be_bytes(digits))
}

/// Of everything but itself; the bytes are at least the fixed part.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&bytes[..CHECKSUM.start]);
    hasher.update(&bytes[CHECKSUM.end..]);
    hasher.digest()
}
