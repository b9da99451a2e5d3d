//! The key under which a resource is stored, and the borrowed forms that look it up.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use equivalent::Equivalent;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A key that borrows its bytes, so that a lookup allocates nothing.
#[derive(Clone, Copy)]
pub(crate) struct KeyRef<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) hash: u64,
}

impl<'a> KeyRef<'a> {
    pub(crate) fn hash(self) -> KeyHash {
        KeyHash(self.hash)
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl fmt::Debug for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:016x})", self.hash)
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    /// Compares the whole key: keys with the same hash may belong to different resources.
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && *self.bytes == *key.bytes
    }
}

/// The key under which a resource is stored.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Key {
    pub(super) bytes: Box<[u8]>,
    pub(super) hash: u64,
}

impl Key {
    pub(crate) fn hash(&self) -> KeyHash {
        KeyHash(self.hash)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:016x})", self.hash)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Equals every key with this hash. Only for lookups where a collision does no harm.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct KeyHash(u64);

#[cfg(test)]
impl From<u64> for KeyHash {
    fn from(hash: u64) -> Self {
        Self(hash)
    }
}

impl Equivalent<Key> for KeyHash {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.hash
    }
}

/// Returns the hash that a key already carries: it is a seeded xxh3, so hashing it again would gain
/// nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyHasher(u64);

pub(crate) type BuildKeyHasher = BuildHasherDefault<KeyHasher>;

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_the_same_hash_are_not_equal() {
        let one = KeyRef {
            bytes: b"one",
            hash: 1,
        };
        let other = Key {
            bytes: (*b"other").into(),
            hash: 1,
        };
        assert!(!one.equivalent(&other));
    }
}
