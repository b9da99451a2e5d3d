//! The parts of a key, read back from its bytes.

use crate::util::varint;

/// What the bytes of a key say, as [`RequestKey::name`](super::RequestKey::name) wrote them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct KeyParts<'a> {
    pub(crate) namespace: &'a [u8],
    pub(crate) scheme: &'a [u8],
    /// The host, with a port that is not the scheme's default.
    pub(crate) host: &'a [u8],
    pub(crate) path_and_query: &'a [u8],
    /// What the settings added.
    pub(crate) dimensions: &'a [u8],
}

impl<'a> KeyParts<'a> {
    /// `None` if these are not the bytes of a key.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut at = 0;
        let mut next = || {
            bytes.get(at)?;
            let (start, length) = varint::decode(bytes, at);
            at = start.checked_add(length)?;
            bytes.get(start..at)
        };
        let (namespace, scheme) = (next()?, next()?);
        let (host, path_and_query) = (next()?, next()?);
        Some(Self {
            namespace,
            scheme,
            host,
            path_and_query,
            dimensions: bytes.get(at..)?,
        })
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &'a [u8] {
        let query = self.path_and_query.iter().position(|byte| *byte == b'?');
        &self.path_and_query[..query.unwrap_or(self.path_and_query.len())]
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;
    use crate::key::{KeyTarget, RequestKey};

    #[test]
    fn the_parts_are_those_that_the_key_was_made_of() {
        let uri: Uri = "https://A.test:443/a/b?c=/d".parse().unwrap();
        let mut key = RequestKey::default();
        key.name(KeyTarget::new("space", &uri, "http", b"A.test:443"));
        key.push(b"tenant");
        key.seal(7);
        let parts = KeyParts::parse(key.as_bytes()).unwrap();
        assert_eq!(parts.namespace, b"space");
        assert_eq!(parts.scheme, b"https");
        assert_eq!(parts.host, b"a.test");
        assert_eq!(parts.path_and_query, b"/a/b?c=/d");
        assert_eq!(parts.path(), b"/a/b");
        assert_eq!(parts.dimensions, b"\x06tenant");
    }

    #[test]
    fn what_is_no_key_has_no_parts() {
        for bytes in [&b""[..], b"\x05ab", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(KeyParts::parse(bytes), None, "{bytes:?}");
        }
    }
}
