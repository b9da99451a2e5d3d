//! Entity tags, and `If-None-Match` (RFC 9110 §8.8.3, §13.1.2).

use http::HeaderMap;
use http::header::{ETAG, IF_NONE_MATCH};
use smallvec::SmallVec;

use crate::semantics::fields::only;
use crate::semantics::list::trim_ows_start;

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EntityTag<'a> {
    /// Whether it begins with `W/`.
    pub(crate) weak: bool,
    /// The bytes between the quotes. A backslash has no special meaning.
    pub(crate) opaque: &'a [u8],
}

/// The `If-None-Match` of a request (RFC 9110 §13.1.2).
///
/// All but `Absent` take precedence over `If-Modified-Since` (RFC 9110 §13.1.3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum IfNoneMatch<'a> {
    Absent,
    /// `*`, as the only member.
    Any,
    Tags(SmallVec<[EntityTag<'a>; 4]>),
    /// Present but malformed: it matches nothing.
    Malformed,
}

/// Parses bytes that are exactly one entity tag.
pub(crate) fn parse(value: &[u8]) -> Option<EntityTag<'_>> {
    match EntityTag::take(value)? {
        (tag, []) => Some(tag),
        _ => None,
    }
}

/// The entity tag of a response, if it is a valid validator: one well-formed line.
pub(crate) fn of(headers: &HeaderMap) -> Option<EntityTag<'_>> {
    parse(only(headers, &ETAG)?)
}

/// The `If-None-Match` of a request, in all its lines. One malformed member makes all of it
/// malformed.
pub(crate) fn if_none_match(headers: &HeaderMap) -> IfNoneMatch<'_> {
    if !headers.contains_key(IF_NONE_MATCH) {
        return IfNoneMatch::Absent;
    }
    if only(headers, &IF_NONE_MATCH) == Some(b"*") {
        return IfNoneMatch::Any;
    }
    let mut tags = SmallVec::new();
    for line in headers.get_all(IF_NONE_MATCH) {
        if collect(line.as_bytes(), &mut tags).is_none() {
            return IfNoneMatch::Malformed;
        }
    }
    if tags.is_empty() {
        return IfNoneMatch::Malformed;
    }
    IfNoneMatch::Tags(tags)
}

/// Adds the entity tags of one line. `None` if the line contains anything else.
///
/// Commas are not found as in other lists: a tag may contain commas, and its quotes have no
/// escapes.
fn collect<'a>(line: &'a [u8], tags: &mut SmallVec<[EntityTag<'a>; 4]>) -> Option<()> {
    let mut rest = line;
    loop {
        rest = match trim_ows_start(rest) {
            [] => return Some(()),
            [b',', rest @ ..] => rest,
            member => {
                let (tag, rest) = EntityTag::take(member)?;
                tags.push(tag);
                match trim_ows_start(rest) {
                    rest @ ([] | [b',', ..]) => rest,
                    _ => return None,
                }
            }
        };
    }
}

impl<'a> EntityTag<'a> {
    /// Strong comparison (RFC 9110 §8.8.3.2): the same bytes, and neither tag is weak.
    pub(crate) fn strong_eq(self, other: EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (RFC 9110 §8.8.3.2): the same bytes.
    pub(crate) fn weak_eq(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// The entity tag at the start of these bytes, and the bytes after it.
    fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, bytes) = match bytes.strip_prefix(b"W/") {
            Some(bytes) => (true, bytes),
            None => (false, bytes),
        };
        let bytes = bytes.strip_prefix(b"\"")?;
        let length = bytes.iter().position(|byte| !is_etagc(*byte))?;
        let (opaque, rest) = bytes.split_at(length);
        Some((Self { weak, opaque }, rest.strip_prefix(b"\"")?))
    }
}

/// etagc (RFC 9110 §8.8.3).
fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7E | 0x80..=0xFF)
}

#[cfg(test)]
mod tests;
