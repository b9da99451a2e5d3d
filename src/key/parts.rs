//! A key read back: the parts that it was made of.

use super::key::Key;
use crate::util::varint;

/// How many parts name the resource.
const NAMING: usize = 4;

/// How many digits the length of a part has at most.
const MOST_DIGITS: usize = 4;

/// The parts of a key, borrowed from its bytes. [`RequestKey::name`](super::RequestKey::name) makes
/// them; this takes them apart again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct KeyParts<'a> {
    pub(crate) namespace: &'a [u8],
    /// Host and port, in lower case, without a default port.
    pub(crate) authority: &'a [u8],
    pub(crate) path_and_query: &'a [u8],
    pub(crate) scheme: &'a [u8],
    /// The further dimensions, each with its length in front. Empty if there are none.
    pub(crate) dimensions: &'a [u8],
    /// The length of what names the resource, from the beginning of the key.
    pub(crate) resource_len: usize,
}

impl<'a> KeyParts<'a> {
    /// `None` for bytes that are no key.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut parts = [&bytes[..0]; NAMING];
        let mut at = 0;
        for part in &mut parts {
            // A length of more digits is that of no key.
            let digits = bytes.iter().skip(at).take(MOST_DIGITS);
            digits.copied().find(u8::is_ascii)?;
            let (start, length) = varint::decode(bytes, at);
            at = start.checked_add(length)?;
            *part = bytes.get(start..at)?;
        }
        let [namespace, scheme, authority, path_and_query] = parts;
        // A path begins with a slash, so none of the four lengths is missing.
        path_and_query.starts_with(b"/").then_some(Self {
            namespace,
            authority,
            path_and_query,
            scheme,
            dimensions: &bytes[at..],
            resource_len: at,
        })
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &'a [u8] {
        let end = self.path_and_query.iter().position(|byte| *byte == b'?');
        &self.path_and_query[..end.unwrap_or(self.path_and_query.len())]
    }

    /// The host, without the port. An IP literal keeps its brackets.
    pub(crate) fn host(&self) -> &'a [u8] {
        let end = match self.authority {
            [b'[', literal @ ..] => literal
                .iter()
                .position(|byte| *byte == b']')
                .map(|it| it + 2),
            name => name.iter().position(|byte| *byte == b':'),
        };
        &self.authority[..end.unwrap_or(self.authority.len())]
    }
}

impl Key {
    /// The parts of the key. Never `None`, as every key was made of them.
    pub(crate) fn parts(&self) -> Option<KeyParts<'_>> {
        KeyParts::of(&self.bytes)
    }

    /// The part that names the resource. Never `None` either.
    pub(crate) fn resource(&self) -> Option<&[u8]> {
        self.bytes.get(..self.parts()?.resource_len)
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

    fn target<'a>(namespace: &'a str, uri: &'a Uri, authority: &'a str) -> KeyTarget<'a> {
        KeyTarget::new(namespace, uri, "http", authority.as_bytes())
    }

    #[test]
    fn the_parts_are_those_that_the_key_was_made_of() {
        for (uri, scheme, authority, path_and_query, path, host) in [
            ("http://A.test/x", "http", "a.test", "/x", "/x", "a.test"),
            (
                "https://a.test:443/x?y=/?",
                "https",
                "a.test",
                "/x?y=/?",
                "/x",
                "a.test",
            ),
            (
                "http://a.test:8080",
                "http",
                "a.test:8080",
                "/",
                "/",
                "a.test",
            ),
            ("http://[::1]:81/?", "http", "[::1]:81", "/?", "/", "[::1]"),
            (
                "http://[::1]/a%2Fb",
                "http",
                "[::1]",
                "/a%2Fb",
                "/a%2Fb",
                "[::1]",
            ),
            ("ws://a.test?q", "ws", "a.test", "/?q", "/", "a.test"),
        ] {
            let uri: Uri = uri.parse().unwrap();
            let key = RequestKey::of(target("n", &uri, uri.authority().unwrap().as_str()), 1);
            let key = key.to_key();
            let parts = key.parts().unwrap();
            let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
            assert_eq!(text(parts.namespace), "n", "{uri}");
            assert_eq!(text(parts.scheme), scheme, "{uri}");
            assert_eq!(text(parts.authority), authority, "{uri}");
            assert_eq!(text(parts.path_and_query), path_and_query, "{uri}");
            assert_eq!(text(parts.path()), path, "{uri}");
            assert_eq!(text(parts.host()), host, "{uri}");
            assert_eq!(parts.dimensions, b"", "{uri}");
        }
    }

    #[test]
    fn what_is_no_key_has_no_parts() {
        for bytes in [
            &b""[..],
            b"\0",
            b"\0\0\0\0",
            b"\0\x04http\x01a",
            b"\0\x04http\x01a\x02/",
            b"\0\x04http\x01a\x01x",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(KeyParts::of(bytes), None, "{bytes:?}");
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
            request.name(target(&namespace, &uri, &authority));
            let resource = request.clone();
            dimensions.iter().for_each(|part| request.push(part));
            request.seal(7);
            let key = request.to_key();
            let parts = key.parts().unwrap();
            prop_assert_eq!(parts.namespace, namespace.as_bytes());
            prop_assert_eq!(parts.scheme, b"http");
            prop_assert_eq!(parts.authority, authority.as_bytes());
            prop_assert_eq!(parts.path_and_query, path.as_bytes());
            prop_assert_eq!(parts.dimensions, request.dimension_bytes());
            prop_assert_eq!(parts.resource_len, resource.as_bytes().len());
            prop_assert!(key.is_of(resource.as_bytes()));
            let again = RequestKey::of_stored(&key, 7).unwrap();
            prop_assert_eq!(again.to_key(), key);
            prop_assert_eq!(again.resource_hash(), request.resource_hash());
            prop_assert_eq!(again.dimensions(), request.dimensions());
        }
    }
}
