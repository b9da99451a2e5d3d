//! What a purge names, and what a stored response answers to.
//!
//! A subject is a hash of 128 bits over its kind, the namespace and its text. It is the same on all
//! nodes. Two subjects with one hash would only purge too much.
//!
//! The paths of a subject end at the boundaries of segments: the prefix `/a` has `/a/b` below it, and
//! not `/ab`. A response answers to each prefix of its path, at most to [`MAX_SEGMENTS`] of them; a
//! longer prefix is purged as its beginning, which purges more. Schemes play no part, except in groups
//! (RFC 9875 section 3), which belong to one origin. Nor does it matter which of several equivalent ways
//! of percent-encoding a path and query has (RFC 3986 section 6.2.2): a key has the one of its request,
//! and a purge the one that somebody typed.

use std::borrow::Cow;

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use crate::util::varint;

/// To how many prefixes of its path a response answers.
pub(crate) const MAX_SEGMENTS: usize = 32;

/// The kinds of subjects. The numbers are part of the format of the purge log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum SubjectKind {
    Everything = 0,
    Namespace = 1,
    Host = 2,
    /// One path, with any query.
    Path = 3,
    /// All paths that begin with a path and a slash.
    Prefix = 4,
    Tag = 5,
    Group = 6,
    /// One path and query: all variants, and all keys that the settings make of it.
    Resource = 7,
}

impl SubjectKind {
    pub(crate) const COUNT: usize = 8;

    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Everything,
        Self::Namespace,
        Self::Host,
        Self::Path,
        Self::Prefix,
        Self::Tag,
        Self::Group,
        Self::Resource,
    ];

    pub(super) fn index(self) -> usize {
        usize::from(self as u8)
    }
}

/// What a purge names. The upper eight bits are the kind, the others a hash.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Subject(u128);

impl Subject {
    const KIND: u32 = 120;

    fn new(kind: SubjectKind, parts: &[&[u8]]) -> Self {
        let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
        // The table compares only a part of the hash, which has to tell kinds apart too.
        bytes.push(kind as u8);
        for part in parts {
            varint::encode(part.len(), |digit| bytes.push(digit));
            bytes.extend_from_slice(part);
        }
        let hash = xxh3_128(&bytes) & ((1 << Self::KIND) - 1);
        Self(u128::from(kind as u8) << Self::KIND | hash)
    }

    pub(crate) fn everything() -> Self {
        Self::new(SubjectKind::Everything, &[])
    }

    pub(crate) fn namespace(namespace: &[u8]) -> Self {
        Self::new(SubjectKind::Namespace, &[namespace])
    }

    pub(crate) fn host(namespace: &[u8], host: &[u8]) -> Self {
        Self::new(SubjectKind::Host, &[namespace, host])
    }

    /// The path of this host, or of every host of the namespace, with any query.
    pub(crate) fn path(namespace: &[u8], host: Option<&[u8]>, path: &[u8]) -> Self {
        Self::at(SubjectKind::Path, namespace, host, path)
    }

    /// What lies below a path, of this host or of every host of the namespace.
    pub(crate) fn below(namespace: &[u8], host: Option<&[u8]>, path: &[u8]) -> Self {
        Self::at(SubjectKind::Prefix, namespace, host, deepest(path))
    }

    pub(crate) fn resource(namespace: &[u8], host: Option<&[u8]>, path_and_query: &[u8]) -> Self {
        Self::at(SubjectKind::Resource, namespace, host, path_and_query)
    }

    pub(crate) fn tag(namespace: &[u8], tag: &[u8]) -> Self {
        Self::new(SubjectKind::Tag, &[namespace, tag])
    }

    pub(crate) fn group(namespace: &[u8], scheme: &[u8], host: &[u8], group: &[u8]) -> Self {
        Self::new(SubjectKind::Group, &[namespace, scheme, host, group])
    }

    fn at(kind: SubjectKind, namespace: &[u8], host: Option<&[u8]>, text: &[u8]) -> Self {
        let text = &*normal(text);
        match host {
            Some(host) => Self::new(kind, &[namespace, host, text]),
            None => Self::new(kind, &[namespace, text]),
        }
    }

    /// `None` if the number is not that of any kind: it comes from a node with another version.
    pub(crate) fn from_number(number: u128) -> Option<Self> {
        let subject = Self(number);
        SubjectKind::ALL
            .into_iter()
            .any(|kind| kind as u128 == number >> Self::KIND)
            .then_some(subject)
    }

    pub(crate) fn number(self) -> u128 {
        self.0
    }

    pub(crate) fn kind(self) -> SubjectKind {
        // A subject has the number of a kind, which is below the length.
        SubjectKind::ALL[(self.0 >> Self::KIND) as usize % SubjectKind::COUNT]
    }

    /// Where the table looks for the subject.
    pub(super) fn mark(self) -> Mark {
        Mark(self.0 as u64)
    }
}

/// The part of a subject that the table compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark(pub(super) u64);

/// The prefix of a path that ends after its last slash, or after the last slash to which responses
/// answer.
fn deepest(path: &[u8]) -> &[u8] {
    let end = slashes(path).last().map_or(0, |at| at + 1);
    &path[..end]
}

/// Where the slashes of a path are, as far as responses answer to them.
pub(super) fn slashes(path: &[u8]) -> impl Iterator<Item = usize> {
    let all = path.iter().enumerate();
    all.filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at)
        .take(MAX_SEGMENTS)
}

/// A path and query in the normal form of its percent-encoding (RFC 3986 section 6.2.2). What needs no
/// encoding has none, what is not ASCII has it, and its digits are in upper case. A slash stays what
/// it is.
fn normal(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| *byte == b'%' || !byte.is_ascii()) {
        return Cow::Borrowed(text);
    }
    let mut normal = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        let encoded = match (first, after) {
            (b'%', [high, low, after @ ..]) => digits(*high, *low).map(|byte| (byte, after)),
            _ => None,
        };
        match encoded {
            Some((byte, after)) => {
                rest = after;
                match byte {
                    b'-' | b'.' | b'_' | b'~' => normal.push(byte),
                    byte if byte.is_ascii_alphanumeric() => normal.push(byte),
                    byte => normal.extend(percent(byte)),
                }
            }
            None if first.is_ascii() => normal.push(*first),
            None => normal.extend(percent(*first)),
        }
    }
    Cow::Owned(normal)
}

/// The byte that two hexadecimal digits stand for.
fn digits(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

fn percent(byte: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    // Both halves of a byte are below 16.
    let digit = |half: u8| DIGITS[usize::from(half & 15)];
    [b'%', digit(byte >> 4), digit(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_survives_its_number() {
        let subject = Subject::tag(b"n", b"item:7");
        assert_eq!(Subject::from_number(subject.number()), Some(subject));
        assert_eq!(subject.kind(), SubjectKind::Tag);
        assert_eq!(Subject::from_number(u128::MAX), None);
    }

    #[test]
    fn equivalent_ways_of_percent_encoding_are_one_subject() {
        for (text, expected) in [
            ("/caf%c3%a9?q=%C3%A9", "/caf%C3%A9?q=%C3%A9"),
            ("/café?q=é", "/caf%C3%A9?q=%C3%A9"),
            ("/%69tems%2f7/%7Eme", "/items%2F7/~me"),
            ("/100%/%zz/%4", "/100%/%zz/%4"),
            ("/a+b%20c", "/a+b%20c"),
            ("/plain", "/plain"),
        ] {
            let normal = normal(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&normal), expected);
            let subject = |text: &str| Subject::below(b"n", None, format!("{text}/").as_bytes());
            assert_eq!(subject(text), subject(expected));
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Subject::tag(b"ab", b"c"), Subject::tag(b"a", b"bc"));
        let any = Subject::path(b"n", None, b"/x");
        assert_ne!(any, Subject::path(b"n", Some(b""), b"/x"));
    }
}
