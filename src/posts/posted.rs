//! A body that was read to its end: what the key has of it, and what is sent to the origin.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

/// The body of a request that was read to its end.
#[derive(Debug)]
pub(crate) struct Posted {
    bytes: Bytes,
    /// Accounts for the bytes, as long as they are held.
    _held: OwnedSemaphorePermit,
}

impl Posted {
    pub(super) fn new(bytes: Bytes, held: OwnedSemaphorePermit) -> Self {
        Self { bytes, _held: held }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The first 128 bits of the SHA-256 of the body.
    ///
    /// A cryptographic hash, because no client must be able to find two bodies with the same one:
    /// it could have the response to its own body served for another. And one without a secret of
    /// the process, because nodes that share a tier must agree on it.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(&self.bytes)[..16]);
        digest
    }
}
