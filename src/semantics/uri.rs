//! URIs as a cache handles them: in absolute form, and in the spellings that clients use.
//!
//! RFC 3986 forbids some characters in a path, such as `|`. [`Uri`] accepts them, and clients send
//! `/a|b` as it is or as `/a%7Cb`. A resolver of references does not accept them.

use std::fmt::Write as _;

use http::{
    Uri,
    uri::{Authority, PathAndQuery},
};

/// `target` in absolute form, with this authority, and with `default_scheme` if it has no scheme.
pub(crate) fn absolute(target: &Uri, authority: &[u8], default_scheme: &str) -> Option<Uri> {
    let mut absolute = target.clone().into_parts();
    absolute.authority = Some(Authority::try_from(authority).ok()?);
    if absolute.scheme.is_none() {
        absolute.scheme = Some(default_scheme.parse().ok()?);
    }
    Uri::from_parts(absolute).ok()
}

/// `target` with another path and query.
pub(crate) fn with_path_and_query(target: &Uri, path_and_query: &[u8]) -> Option<Uri> {
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// What happens to percent signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Percent {
    /// They are encoded too, so that [`decode`] returns the very same bytes.
    Encode,
    /// Triplets such as `%7C` stay as they are.
    KeepTriplets,
}

/// Percent-encodes the bytes that RFC 3986 forbids in a path or query (§3.3, §3.4).
pub(super) fn encode(bytes: &[u8], percent: Percent) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        let stays = match byte {
            b'%' => percent == Percent::KeepTriplets && triplet(&bytes[index..]).is_some(),
            b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'/' | b'?' => true,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if stays {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Replaces each percent-encoded triplet by its byte. Other percent signs stay.
pub(crate) fn decode(encoded: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        let (byte, after) = match triplet(rest) {
            Some(byte) => (byte, &rest[3..]),
            None => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

/// A reference whose path and query are encoded with [`Percent::Encode`]. The fragment is left out:
/// it is not part of what a cache stores.
pub(super) fn encode_reference(reference: &[u8]) -> Vec<u8> {
    let end = reference.iter().position(|byte| *byte == b'#');
    let reference = &reference[..end.unwrap_or(reference.len())];
    let (origin, path_and_query) = reference.split_at(path_start(reference));
    [origin, encode(path_and_query, Percent::Encode).as_bytes()].concat()
}

/// Where the path of a reference begins: after the scheme and the authority, if it has them.
fn path_start(reference: &[u8]) -> usize {
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?');
    let scheme = match reference
        .iter()
        .position(|byte| is_end(byte) || *byte == b':')
    {
        Some(colon) if reference[colon] == b':' => colon + 1,
        _ => 0,
    };
    let Some(authority) = reference[scheme..].strip_prefix(b"//") else {
        return scheme;
    };
    let len = authority.iter().position(is_end);
    scheme + 2 + len.unwrap_or(authority.len())
}

/// The byte that the first three bytes encode, if they are a triplet.
fn triplet(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_target_in_origin_form_gets_the_scheme_and_the_authority() {
        let cases = [
            ("/x?y", "http://b.test/x?y"),
            ("https://a.test/x", "https://b.test/x"),
        ];
        for (target, expected) in cases {
            let target: Uri = target.parse().unwrap();
            let absolute = absolute(&target, b"b.test", "http").unwrap();
            assert_eq!(absolute.to_string(), expected);
        }
        assert_eq!(absolute(&Uri::from_static("/"), b"a b", "http"), None);
    }

    #[test]
    fn what_a_path_may_not_hold_is_encoded() {
        let cases = [
            ("/a|b", "/a%7Cb", "/a%7Cb"),
            ("/a%7cb", "/a%257cb", "/a%7cb"),
            ("/100%", "/100%25", "/100%25"),
            ("/a-b/c;d=e?f=g&h", "/a-b/c;d=e?f=g&h", "/a-b/c;d=e?f=g&h"),
            ("/\u{e9}", "/%C3%A9", "/%C3%A9"),
        ];
        for (path, all, kept) in cases {
            assert_eq!(encode(path.as_bytes(), Percent::Encode), all);
            assert_eq!(encode(path.as_bytes(), Percent::KeepTriplets), kept);
        }
    }

    #[test]
    fn only_the_path_and_the_query_of_a_reference_are_encoded() {
        let cases = [
            ("/a|b#top", "/a%7Cb"),
            ("a|b", "a%7Cb"),
            ("?a|b", "?a%7Cb"),
            ("//a.test/|", "//a.test/%7C"),
            ("//a.test", "//a.test"),
            ("http://a.test:80?|", "http://a.test:80?%7C"),
            ("http:|", "http:%7C"),
            ("./a:b|", "./a:b%7C"),
            ("#top", ""),
        ];
        for (reference, expected) in cases {
            let encoded = encode_reference(reference.as_bytes());
            assert_eq!(encoded, expected.as_bytes(), "{reference}");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(decode(encode(&bytes, Percent::Encode).as_bytes()), bytes);
        }
    }
}
