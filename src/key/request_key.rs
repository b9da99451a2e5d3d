//! The key of a request, while the request is handled.

use std::{borrow::Cow, fmt};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    key::{Key, KeyRef},
    target::{KeyTarget, without_default_port},
};
use crate::util::varint;

/// The longest key, in bytes. A request whose key would be longer bypasses the cache.
const MAX_KEY_BYTES: usize = 8 * 1024;

/// How many bytes of a key are kept without an allocation: enough for all but very long URIs.
const INLINE_BYTES: usize = 160;

/// The key of a request. It is built in three steps: [`name`](Self::name) the target resource,
/// [`push`](Self::push) further dimensions, [`seal`](Self::seal). Only very long requests make it
/// allocate.
#[derive(Clone, Default)]
pub(crate) struct RequestKey {
    bytes: KeyBytes,
    /// The length of the part that names the resource. Further dimensions follow it.
    resource_len: usize,
    hash: u64,
    resource_hash: u64,
}

impl RequestKey {
    /// The sealed key of a resource, without further dimensions.
    pub(crate) fn of(target: KeyTarget<'_>, seed: u64) -> Self {
        let mut key = Self::default();
        key.name(target);
        key.seal(seed);
        key
    }

    /// The sealed key under which something is stored. `None` never, as [`Key::parts`].
    pub(crate) fn of_stored(key: &Key, seed: u64) -> Option<Self> {
        let mut stored = Self {
            resource_len: key.resource()?.len(),
            ..Self::default()
        };
        stored.bytes.extend(&key.bytes);
        stored.seal(seed);
        Some(stored)
    }

    /// Adds the parts that name the target resource. The key must be empty.
    pub(crate) fn name(&mut self, target: KeyTarget<'_>) {
        self.push(target.namespace.as_bytes());
        match target.scheme {
            scheme @ ("http" | "https") => self.push(scheme.as_bytes()),
            scheme => self.push_lowercase(scheme.as_bytes()),
        }
        self.push_lowercase(without_default_port(target.authority, target.scheme));
        let path_and_query = match target.query {
            None => Cow::Borrowed(target.path_and_query),
            Some(query) => query.normalise(target.path_and_query),
        };
        if path_and_query.starts_with('/') {
            self.push(path_and_query.as_bytes());
        } else {
            self.push_rooted(path_and_query.as_bytes());
        }
        self.resource_len = self.bytes.len();
    }

    /// Adds one part.
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.push_len(part.len());
        self.bytes.extend(part);
    }

    fn push_lowercase(&mut self, part: &[u8]) {
        self.push(part);
        // Almost all schemes and hosts are in lower case already.
        if part.iter().any(u8::is_ascii_uppercase) {
            self.bytes.lowercase_last(part.len());
        }
    }

    /// Adds a query that has no path: an empty path means the same as `/` (RFC 9110 §4.2.3).
    #[cold]
    fn push_rooted(&mut self, query: &[u8]) {
        self.push_len(1 + query.len());
        self.bytes.extend(b"/");
        self.bytes.extend(query);
    }

    fn push_len(&mut self, len: usize) {
        varint::encode(len, |byte| self.bytes.extend(&[byte]));
    }

    pub(crate) fn is_too_long(&self) -> bool {
        self.bytes.len() > MAX_KEY_BYTES
    }

    /// Computes the hashes. All parts must have been added.
    pub(crate) fn seal(&mut self, seed: u64) {
        self.hash = xxh3_64_with_seed(self.bytes.as_slice(), seed);
        self.resource_hash = match self.dimensions() {
            Dimensions::Plain => self.hash,
            Dimensions::Extended => {
                xxh3_64_with_seed(&self.bytes.as_slice()[..self.resource_len], seed)
            }
        };
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The part that names the resource, without further dimensions.
    pub(crate) fn resource_bytes(&self) -> &[u8] {
        &self.bytes.as_slice()[..self.resource_len]
    }

    /// The further dimensions.
    pub(crate) fn dimension_bytes(&self) -> &[u8] {
        &self.bytes.as_slice()[self.resource_len..]
    }

    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        KeyRef {
            bytes: self.bytes.as_slice(),
            hash: self.hash,
        }
    }

    pub(crate) fn to_key(&self) -> Key {
        Key {
            bytes: self.bytes.as_slice().into(),
            hash: self.hash,
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The hash of the part that names the resource: the same for all keys of one resource.
    pub(crate) fn resource_hash(&self) -> u64 {
        self.resource_hash
    }

    pub(crate) fn dimensions(&self) -> Dimensions {
        if self.resource_len == self.bytes.len() {
            Dimensions::Plain
        } else {
            Dimensions::Extended
        }
    }
}

/// Whether a key has dimensions besides the name of the resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dimensions {
    Plain,
    Extended,
}

/// Shows the hash only: a key holds the path and the query, which may be secret.
impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:016x})", self.hash)
    }
}

/// Bytes that are kept inline while they fit, and on the heap afterwards.
#[derive(Clone)]
struct KeyBytes {
    inline: [u8; INLINE_BYTES],
    len: usize,
    /// All the bytes, once they no longer fit inline.
    heap: Vec<u8>,
}

impl Default for KeyBytes {
    fn default() -> Self {
        Self {
            inline: [0; INLINE_BYTES],
            len: 0,
            heap: Vec::new(),
        }
    }
}

impl KeyBytes {
    fn len(&self) -> usize {
        self.len
    }

    fn as_slice(&self) -> &[u8] {
        self.inline.get(..self.len).unwrap_or(&self.heap)
    }

    fn extend(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.inline.get_mut(self.len..end) {
            Some(inline) => inline.copy_from_slice(bytes),
            None => self.extend_on_heap(bytes),
        }
        self.len = end;
    }

    /// Lower-cases the last `len` bytes.
    #[cold]
    fn lowercase_last(&mut self, len: usize) {
        let start = self.len - len;
        match self.inline.get_mut(start..self.len) {
            Some(inline) => inline.make_ascii_lowercase(),
            None => self.heap[start..].make_ascii_lowercase(),
        }
    }

    #[cold]
    fn extend_on_heap(&mut self, bytes: &[u8]) {
        if let Some(inline) = self.inline.get(..self.len) {
            self.heap.extend_from_slice(inline);
        }
        self.heap.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    fn key(uri: &'static str) -> Key {
        let uri: Uri = uri.parse().unwrap();
        let authority = uri.authority().unwrap().as_str().to_owned();
        RequestKey::of(KeyTarget::new("", &uri, "http", authority.as_bytes()), 1).to_key()
    }

    #[test]
    fn requests_for_one_resource_share_a_key() {
        for same in ["http://A.TEST/x", "http://a.test:80/x", "HTTP://a.test/x"] {
            assert_eq!(key(same), key("http://a.test/x"), "{same}");
        }
        assert_eq!(key("https://a.test:443/"), key("https://a.test"));
    }

    #[test]
    fn every_part_of_the_target_makes_a_different_key() {
        let base = key("http://a.test/x");
        for other in [
            "https://a.test/x",
            "http://b.test/x",
            "http://a.test:8080/x",
            "http://a.test:443/x",
            "http://a.test./x",
            "http://a.test/X",
            "http://a.test/x?",
            "http://a.test/x/",
            "http://a.test/%78",
        ] {
            assert_ne!(key(other), base, "{other}");
        }
        assert_ne!(key("http://a.test/x?a&b"), key("http://a.test/x?b&a"));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let uri: Uri = "http://a.test/x".parse().unwrap();
        let target = KeyTarget::new("n", &uri, "http", b"a.test");
        let key = |parts: [&[u8]; 2]| {
            let mut key = RequestKey::default();
            key.name(target);
            parts.iter().for_each(|part| key.push(part));
            key.seal(0);
            key.to_key()
        };
        assert_ne!(key([b"ab", b"c"]), key([b"a", b"bc"]));
    }

    #[test]
    fn dimensions_do_not_change_the_hash_of_the_resource() {
        let uri: Uri = "http://a.test/x".parse().unwrap();
        let target = KeyTarget::new("", &uri, "http", b"a.test");
        let plain = RequestKey::of(target, 9);
        let mut extended = RequestKey::default();
        extended.name(target);
        extended.push(b"tenant");
        extended.seal(9);
        assert_eq!(plain.resource_hash(), extended.resource_hash());
        assert_eq!(plain.dimensions(), Dimensions::Plain);
        assert_eq!(extended.dimensions(), Dimensions::Extended);
        assert_ne!(plain.to_key(), extended.to_key());
    }
}
