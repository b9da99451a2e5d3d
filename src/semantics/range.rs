//! Byte ranges of a complete stored response (RFC 9110 §14).
//!
//! Positions refer to the stored bytes, including content codings. A request for one range gets
//! that range. A request for several gets the whole response, as RFC 9110 §14.2 allows.

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::semantics::list::members;
use crate::semantics::{date, etag, fields};

/// How much of the stored body to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Selection {
    /// All of it: `Range` is ignored.
    Full,
    /// A 206 with the bytes from `first` to `last`, both included.
    Part { first: u64, last: u64 },
    /// A 416: the body has none of the requested bytes.
    Unsatisfiable,
}

/// Applies `Range` and `If-Range` to a stored response whose body has `length` bytes.
///
/// `Range` is ignored (RFC 9110 §14.2) unless the method is GET, the status 200, the body not empty
/// and the unit bytes, and if it is malformed or repeated.
pub(crate) fn select(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    length: u64,
    now: i64,
) -> Selection {
    if method != Method::GET || status != StatusCode::OK || length == 0 {
        return Selection::Full;
    }
    let Some(requested) = fields::only(request, &RANGE).and_then(requested) else {
        return Selection::Full;
    };
    match if_range(request, stored, now) {
        IfRange::Slice => requested.of(length),
        IfRange::SendFull => Selection::Full,
    }
}

/// One well-formed range of bytes (RFC 9110 §14.1.2). Numbers of more than 64 bits saturate: no
/// body is that long.
#[derive(Clone, Copy)]
enum Requested {
    Between { first: u64, last: u64 },
    Suffix(u64),
}

impl Requested {
    fn of(self, length: u64) -> Selection {
        match self {
            Self::Between { first, last } if first < length => Selection::Part {
                first,
                last: last.min(length - 1),
            },
            Self::Suffix(count) if count > 0 => Selection::Part {
                first: length.saturating_sub(count),
                last: length - 1,
            },
            Self::Between { .. } | Self::Suffix(_) => Selection::Unsatisfiable,
        }
    }
}

/// Parses `bytes=` and a list with exactly one member.
fn requested(value: &[u8]) -> Option<Requested> {
    let (unit, set) = split_at_byte(value, b'=')?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut members = members([set]);
    let (Some(member), None) = (members.next(), members.next()) else {
        return None;
    };
    match split_at_byte(member, b'-')? {
        (b"", count) => Some(Requested::Suffix(number(count)?)),
        (first, last) => {
            let first = number(first)?;
            let last = match last {
                b"" => u64::MAX,
                digits => number(digits)?,
            };
            (first <= last).then_some(Requested::Between { first, last })
        }
    }
}

fn split_at_byte(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        byte.is_ascii_digit().then(|| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        })
    })
}

/// What `If-Range` says about a valid `Range`.
enum IfRange {
    Slice,
    SendFull,
}

/// Compares the validator in `If-Range`, if there is one, with the stored response (RFC 9110
/// §13.1.5). The client combines the part with bytes that it already has, so the comparison is
/// strong. If the validators cannot be compared, the client gets the whole response.
fn if_range(request: &HeaderMap, stored: &HeaderMap, now: i64) -> IfRange {
    if !request.contains_key(IF_RANGE) {
        return IfRange::Slice;
    }
    let same = match fields::only(request, &IF_RANGE) {
        Some(value) if value.iter().take(3).any(|&byte| byte == b'"') => {
            match (etag::parse(value), etag::of(stored)) {
                (Some(listed), Some(current)) => listed.strong_eq(current),
                _ => false,
            }
        }
        Some(value) => match (date::parse(value, now), fields::last_modified(stored, now)) {
            (Some(listed), Some(modified)) => {
                listed == modified && is_strong_date(modified, stored, now)
            }
            _ => false,
        },
        None => false,
    };
    if same {
        IfRange::Slice
    } else {
        IfRange::SendFull
    }
}

/// A modification date is a strong validator if its second was over when the response was made (RFC
/// 9110 §8.8.2.2).
fn is_strong_date(modified: i64, stored: &HeaderMap, now: i64) -> bool {
    fields::date(stored, now).is_some_and(|date| date > modified)
}

/// The `Content-Range` of a 206 (RFC 9110 §14.4).
pub(crate) fn content_range(first: u64, last: u64, length: u64) -> HeaderValue {
    visible(&format!("bytes {first}-{last}/{length}"))
}

/// The `Content-Range` of a 416 (RFC 9110 §15.5.17).
pub(crate) fn unsatisfied_range(length: u64) -> HeaderValue {
    visible(&format!("bytes */{length}"))
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("visible ASCII is a field value")
}

/// Removes the fields that are not true for a part. `Content-Digest` is the digest of the content
/// of one message (RFC 9530 §2). `Repr-Digest` is that of the representation, so it stays.
pub(crate) fn partial_head(head: &mut HeaderMap) {
    head.remove("content-digest");
}

#[cfg(test)]
mod tests;
