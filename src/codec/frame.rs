//! The fixed part at the beginning of every value: its kind, stamp and checksum.

use std::ops::Range;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::{error::DecodeError, value::Stamp};

/// The kind of a value, by its byte on the wire.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    Entry = b'E',
    Variants = b'R',
    Tombstone = b'F',
}

const MAGIC: [u8; 2] = *b"CW";
const FORMAT: u8 = 1;
const EPOCH: Range<usize> = 4..12;
const VERSION: Range<usize> = 12..20;
const CHECKSUM: Range<usize> = 20..28;

/// The length of the fixed part.
pub(super) const FIXED: usize = CHECKSUM.end;

/// Begins a value: the fixed part with an empty checksum, and room for `more` bytes.
pub(super) fn begin(kind: Kind, stamp: Stamp, more: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FIXED + more);
    frame.extend(MAGIC);
    frame.extend([FORMAT, kind as u8]);
    frame.extend(stamp.epoch.to_be_bytes());
    frame.extend(stamp.version.to_be_bytes());
    frame.extend([0; CHECKSUM.end - CHECKSUM.start]);
    frame
}

/// Fills in the checksum of a value that [`begin`] began.
pub(super) fn seal(mut frame: Vec<u8>) -> Bytes {
    let checksum = checksum(&frame).to_be_bytes();
    // `begin` reserved these bytes, so the range is valid.
    frame[CHECKSUM].copy_from_slice(&checksum);
    frame.into()
}

/// Checks the fixed part, and returns the kind, the stamp and the bytes that follow.
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
        b'R' => Kind::Variants,
        b'F' => Kind::Tombstone,
        other => return Err(DecodeError::Kind(other)),
    };
    let stamp = stamp(bytes).ok_or(DecodeError::Truncated)?;
    Ok((kind, stamp, rest))
}

/// Reads only the stamp of an encoded value. Works for every format version, and does not check the
/// rest.
pub(crate) fn stamp(bytes: &[u8]) -> Option<Stamp> {
    let (epoch, version) = (number(bytes, EPOCH)?, number(bytes, VERSION)?);
    bytes
        .starts_with(&MAGIC)
        .then_some(Stamp { epoch, version })
}

/// Reads only which epoch ends if an encoded value is replaced by a tombstone for a write that got no
/// answer: its own, or the one that it ended itself, if it is such a tombstone. Zero for no bytes,
/// `None` for something else than a value.
pub(crate) fn since(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return Some(0);
    }
    let Stamp { epoch, version } = stamp(bytes)?;
    let is_tombstone = bytes.get(3) == Some(&(Kind::Tombstone as u8));
    Some(if is_tombstone { version } else { epoch })
}

fn number(bytes: &[u8], at: Range<usize>) -> Option<u64> {
    let digits = bytes.get(at)?.try_into().ok()?;
    Some(u64::from_be_bytes(digits))
}

/// The checksum of everything but the checksum itself. `bytes` has at least the fixed part.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&bytes[..CHECKSUM.start]);
    hasher.update(&bytes[CHECKSUM.end..]);
    hasher.digest()
}
