//! In place of zstd in a build without it: nothing is compressed, and nothing decompresses.

use bytes::Bytes;

use super::error::DecodeError;

/// No body is small enough to be compressed.
pub(super) const LARGEST: usize = 0;

pub(super) fn compress(_: &[u8]) -> Option<Vec<u8>> {
    None
}

pub(super) fn decompress(_: &[u8], _: u64) -> Result<Bytes, DecodeError> {
    Err(DecodeError::Compression)
}
