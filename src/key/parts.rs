//! The parts of a key, read back from its bytes.

use super::key::Key;
use crate::util::varint;

/// How many digits the length of a part has at most.
const MOST_DIGITS: usize = 4;

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
            // A length of more digits is that of no key.
            let digits = bytes.get(at..)?.iter().take(MOST_DIGITS);
            digits.copied().find(u8::is_ascii)?;
            let (start, length) = varint::decode(bytes, at);
            at = start.checked_add(length)?;
            bytes.get(start..at)
        };
        let (namespace, scheme) = (next()?, next()?);
        let (host, path_and_query) = (next()?, next()?);
        // A path begins with a slash.
        let dimensions = bytes.get(at..)?;
        path_and_query.starts_with(b"/").then_some(Self {
            namespace,
            scheme,
            host,
            path_and_query,
            dimensions,
        })
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &'a [u8] {
        let query = self.path_and_query.iter().position(|byte| *byte == b'?');
        &self.path_and_query[..query.unwrap_or(self.path_and_query.len())]
    }

    /// The host, without a port. An IP literal keeps its brackets.
    pub(crate) fn host_name(&self) -> &'a [u8] {
        let end = match self.host {
            [b'[', literal @ ..] => literal
                .iter()
                .position(|byte| *byte == b']')
                .map(|it| it + 2),
            name => name.iter().position(|byte| *byte == b':'),
        };
        &self.host[..end.unwrap_or(self.host.len())]
    }
}

impl Key {
    /// The parts of the key. Never `None`, as every key was made of them.
    pub(crate) fn parts(&self) -> Option<KeyParts<'_>> {
        KeyParts::parse(&self.bytes)
    }

    /// The part that names the resource. Never `None` either.
    pub(crate) fn resource(&self) -> Option<&[u8]> {
        let dimensions = self.parts()?.dimensions.len();
        self.bytes.get(..self.bytes.len().checked_sub(dimensions)?)
    }

    /// Whether this is the key of the resource that a key without further dimensions names, or one of
    /// its partitions. All parts have their length in front, so that no other key begins like this.
    pub(crate) fn is_of(&self, resource: &[u8]) -> bool {
        self.bytes.starts_with(resource)
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use proptest::prelude::*;

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
        for bytes in [
            &b""[..],
            b"\0",
            b"\0\0\0",
            b"\x05ab",
            b"\0\x04http\x01a",
            b"\0\x04http\x01a\x02/",
            &[0xff; 9],
            &[0xff; 20],
        ] {
            assert_eq!(KeyParts::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_host_has_a_name_and_perhaps_a_port() {
        for (host, name) in [
            ("a.test", "a.test"),
            ("a.test:8080", "a.test"),
            ("[::1]", "[::1]"),
            ("[::1]:81", "[::1]"),
            ("", ""),
        ] {
            let parts = KeyParts {
                host: host.as_bytes(),
                ..KeyParts::default()
            };
            assert_eq!(parts.host_name(), name.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn every_key_is_taken_apart_again(
            namespace in "[a-z]{0,200}",
            authority in "[a-z.]{1,200}",
            path in "/[a-z/?=]{0,200}",
            dimensions in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..3),
        ) {
            let uri: Uri = path.parse().unwrap();
            let mut request = RequestKey::default();
            request.name(KeyTarget::new(
                &namespace,
                &uri,
                "http",
                authority.as_bytes(),
            ));
            let resource = request.clone();
            dimensions.iter().for_each(|part| request.push(part));
            request.seal(7);
            let key = request.to_key();
            let parts = key.parts().unwrap();
            prop_assert_eq!(parts.namespace, namespace.as_bytes());
            prop_assert_eq!(parts.scheme, b"http");
            prop_assert_eq!(parts.host, authority.as_bytes());
            prop_assert_eq!(parts.path_and_query, path.as_bytes());
            prop_assert_eq!(parts.dimensions, request.dimension_bytes());
            prop_assert_eq!(key.resource(), Some(resource.as_bytes()));
            prop_assert!(key.is_of(resource.as_bytes()));
            let again = RequestKey::of_stored(&key, 7).unwrap();
            prop_assert_eq!(again.to_key(), key);
            prop_assert_eq!(again.resource_hash(), request.resource_hash());
            prop_assert_eq!(again.dimensions(), request.dimensions());
        }
    }
}
