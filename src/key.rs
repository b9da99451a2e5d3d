//! The key of a stored resource, and the policy that may add to it.
//!
//! A key is an injective encoding: every part is preceded by its length, so no two different
//! requests share one. It holds, in this order, the namespace, the scheme, the host and port, the
//! path with the query if there is one, and then whatever further dimensions the settings and the
//! [`KeyPolicy`] add. The method is not among them: what is stored answers GET and HEAD. A policy can only add, never take away: a key without
//! its host is how caches have served one site's pages to another's readers.
//!
//! Path and query count byte for byte (RFC 9111 §4, RFC 9110 §4.2.3): no decoding, no sorting, no
//! removal of dot segments. The host is lower-cased and a default port is left out.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use equivalent::Equivalent;
use http::{Uri, request::Parts, uri::PathAndQuery};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::varint;

/// The longest key, in bytes. A request whose key would be longer bypasses the cache.
pub(crate) const MAX_KEY_BYTES: usize = 8 * 1024;

/// Adds dimensions to the key of a request: a tenant, a device class, an experiment.
///
/// Implemented for closures.
///
/// ```
/// use cachewarp::{CacheLayer, Keying, KeyExtension, Memory};
///
/// let layer = CacheLayer::builder()
///     .memory(Memory::with_capacity(64 << 20))
///     .key(|request: &http::request::Parts, key: &mut KeyExtension<'_>| {
///         match request.headers.get("x-tenant") {
///             Some(tenant) => {
///                 key.push(tenant.as_bytes());
///                 Keying::Use
///             }
///             None => Keying::Bypass,
///         }
///     })
///     .build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
pub trait KeyPolicy: Send + Sync + 'static {
    /// Adds this policy's dimensions for `request` to `key`, or keeps the request from the cache.
    fn extend_key(&self, request: &Parts, key: &mut KeyExtension<'_>) -> Keying;
}

impl<F> KeyPolicy for F
where
    F: Fn(&Parts, &mut KeyExtension<'_>) -> Keying + Send + Sync + 'static,
{
    fn extend_key(&self, request: &Parts, key: &mut KeyExtension<'_>) -> Keying {
        self(request, key)
    }
}

/// What a [`KeyPolicy`] decides about a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keying {
    /// Look the request up under the extended key.
    Use,
    /// Send the request to the origin, without a lookup and without storing the answer.
    Bypass,
}

/// The part of a key that a [`KeyPolicy`] writes.
#[derive(Debug)]
pub struct KeyExtension<'a>(pub(crate) &'a mut RequestKey);

impl KeyExtension<'_> {
    /// Adds one dimension. Its position tells it from the others, so push a placeholder rather
    /// than nothing where a dimension is absent.
    pub fn push(&mut self, part: &[u8]) {
        self.0.push(part);
    }
}

/// Room for the keys of all but unusually long requests.
const KEY_ROOM: usize = 160;

/// Bytes in place while there is room, then on the heap.
#[derive(Clone)]
struct KeyBytes {
    room: [u8; KEY_ROOM],
    len: usize,
    /// All the bytes, once they are more than `room` holds.
    long: Vec<u8>,
}

impl Default for KeyBytes {
    fn default() -> Self {
        Self {
            room: [0; KEY_ROOM],
            len: 0,
            long: Vec::new(),
        }
    }
}

impl KeyBytes {
    fn len(&self) -> usize {
        self.len
    }

    fn as_slice(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or(&self.long)
    }

    fn extend(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.room.get_mut(self.len..end) {
            Some(room) => room.copy_from_slice(bytes),
            None => self.extend_long(bytes),
        }
        self.len = end;
    }

    /// Lower-cases the last `len` bytes.
    #[cold]
    fn lowercase_last(&mut self, len: usize) {
        let start = self.len - len;
        match self.room.get_mut(start..self.len) {
            Some(room) => room.make_ascii_lowercase(),
            None => self.long[start..].make_ascii_lowercase(),
        }
    }

    #[cold]
    fn extend_long(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room.get(..self.len) {
            self.long.extend_from_slice(room);
        }
        self.long.extend_from_slice(bytes);
    }
}

/// The parts of a URI and a request that every key holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a [u8],
    /// The path, with `?` and the query if there is a query, even an empty one.
    pub(crate) path_and_query: &'a str,
}

impl<'a> Target<'a> {
    /// The target of an absolute URI, or of an origin-form one with what its request adds.
    pub(crate) fn new(
        namespace: &'a str,
        uri: &'a Uri,
        default_scheme: &'a str,
        authority: &'a [u8],
    ) -> Self {
        Self {
            namespace,
            scheme: uri.scheme_str().unwrap_or(default_scheme),
            authority,
            path_and_query: uri.path_and_query().map_or("/", PathAndQuery::as_str),
        }
    }
}

/// The key of one request, as long as the request is looked at. It is made in place: named, then
/// extended, then sealed. It allocates only for unusually long requests.
#[derive(Clone, Default)]
pub(crate) struct RequestKey {
    bytes: KeyBytes,
    /// Where the name of the resource ends and further dimensions begin.
    resource_len: usize,
    hash: u64,
    resource_hash: u64,
}

impl RequestKey {
    /// The sealed key of the resource that `target` names, without further dimensions.
    pub(crate) fn of(target: Target<'_>, seed: u64) -> Self {
        let mut key = Self::default();
        key.name(target);
        key.seal(seed);
        key
    }

    /// Names the resource that `target` is. The key must be empty.
    pub(crate) fn name(&mut self, target: Target<'_>) {
        self.push(target.namespace.as_bytes());
        match target.scheme {
            scheme @ ("http" | "https") => self.push(scheme.as_bytes()),
            scheme => self.push_lowercase(scheme.as_bytes()),
        }
        self.push_lowercase(without_default_port(target.authority, target.scheme));
        if target.path_and_query.starts_with('/') {
            self.push(target.path_and_query.as_bytes());
        } else {
            self.push_rooted(target.path_and_query.as_bytes());
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
        // Hardly any is written otherwise.
        if part.iter().any(u8::is_ascii_uppercase) {
            self.bytes.lowercase_last(part.len());
        }
    }

    /// Adds a query without a path: an empty path means the same as `/` (RFC 9110 §4.2.3).
    #[cold]
    fn push_rooted(&mut self, query: &[u8]) {
        self.push_len(1 + query.len());
        self.bytes.extend(b"/");
        self.bytes.extend(query);
    }

    fn push_len(&mut self, len: usize) {
        varint::encode(len, |digit| self.bytes.extend(&[digit]));
    }

    pub(crate) fn is_too_long(&self) -> bool {
        self.bytes.len() > MAX_KEY_BYTES
    }

    /// Computes the hashes, once all parts are there.
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

    /// The part that names the resource, whoever's partition of it the key is.
    pub(crate) fn resource_bytes(&self) -> &[u8] {
        &self.bytes.as_slice()[..self.resource_len]
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

    /// The hash of the resource's own name: the same for every partition of it.
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

/// `authority` without `:80` under http or `:443` under https (RFC 9110 §4.2.3).
fn without_default_port<'a>(authority: &'a [u8], scheme: &str) -> &'a [u8] {
    let default = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else if scheme.eq_ignore_ascii_case("http") {
        ":80"
    } else {
        return authority;
    };
    // An empty port ("host:") means the default one too (RFC 3986 §6.2.3).
    authority
        .strip_suffix(default.as_bytes())
        .or_else(|| authority.strip_suffix(b":"))
        .unwrap_or(authority)
}

/// Whether a key holds more than the resource's own name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dimensions {
    Plain,
    Extended,
}

/// Keys hold paths and queries, which may be secret: only the hash is shown.
impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:016x})", self.hash)
    }
}

/// A key that borrows its bytes: lookups allocate nothing.
#[derive(Clone, Copy)]
pub(crate) struct KeyRef<'a> {
    bytes: &'a [u8],
    hash: u64,
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
    /// Compares the whole key: a hash collision may never serve another resource.
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && *self.bytes == *key.bytes
    }
}

/// The key under which a resource is stored.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Key {
    bytes: Box<[u8]>,
    hash: u64,
}

impl Key {
    pub(crate) fn hash(&self) -> KeyHash {
        KeyHash(self.hash)
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

/// Stands for whatever key has this hash, where taking one key for another does no harm.
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

/// Passes on the hash that keys carry: seeded xxh3, which needs no second hash.
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

    fn key(uri: &'static str) -> Key {
        let uri: Uri = uri.parse().unwrap();
        let authority = uri.authority().unwrap().as_str().to_owned();
        RequestKey::of(Target::new("", &uri, "http", authority.as_bytes()), 1).to_key()
    }

    #[test]
    fn requests_for_one_resource_share_a_key() {
        for same in ["http://A.TEST/x", "http://a.test:80/x", "HTTP://a.test/x"] {
            assert_eq!(key(same), key("http://a.test/x"), "{same}");
        }
        assert_eq!(key("https://a.test:443/"), key("https://a.test"));
    }

    #[test]
    fn every_part_of_the_target_tells_keys_apart() {
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
    fn no_part_can_pose_as_another() {
        let uri: Uri = "http://a.test/x".parse().unwrap();
        let target = Target::new("n", &uri, "http", b"a.test");
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
    fn dimensions_leave_the_hash_of_the_resource_alone() {
        let uri: Uri = "http://a.test/x".parse().unwrap();
        let target = Target::new("", &uri, "http", b"a.test");
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

    #[test]
    fn a_colliding_hash_does_not_make_keys_equal() {
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
