//! Fields with one value: `Age`, `Date`, `Retry-After`, `Expires`, `Last-Modified`, `If-Modified-Since` and
//! `Content-Length`; and whether a response sets cookies.

use http::header::{
    AGE, CONTENT_LENGTH, DATE, EXPIRES, IF_MODIFIED_SINCE, LAST_MODIFIED, RETRY_AFTER, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::date;
use crate::semantics::list::{delta_seconds, members, trim_ows};

/// What `Content-Length` says about the length of the content (RFC 9110 §8.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Length {
    Absent,
    Exactly(u64),
    /// It is not a number, or there are several different ones: the framing cannot be trusted.
    Invalid,
}

/// What `Expires` says about the freshness lifetime (RFC 9111 §5.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expires {
    Absent,
    /// The response is fresh until this time, in Unix seconds.
    At(i64),
    /// It is not a date, or there are several different ones: the response has already expired.
    Past,
}

/// The trimmed value of a field with exactly one line. A field that should have one value but has
/// several lines counts as absent.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(value), None) => Some(trim_ows(value.as_bytes())),
        _ => None,
    }
}

/// `Retry-After` in seconds from `now` on (RFC 9110 §10.2.3): a number, or a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: i64) -> Option<u32> {
    let value = only(headers, &RETRY_AFTER)?;
    let until = |date: i64| u32::try_from(date.saturating_sub(now).max(0)).unwrap_or(u32::MAX);
    delta_seconds(value).or_else(|| date::parse(value, now).map(until))
}

/// `Age` in seconds (RFC 9111 §5.1). The first member counts. 0 if it is not a number.
pub(crate) fn age(headers: &HeaderMap) -> u32 {
    members(headers.get_all(AGE))
        .next()
        .and_then(delta_seconds)
        .unwrap_or(0)
}

/// `Date` in Unix seconds (RFC 9110 §6.6.1).
pub(crate) fn date(headers: &HeaderMap, now: i64) -> Option<i64> {
    date::parse(only(headers, &DATE)?, now)
}

/// Adds a `Date` to a response without a valid one (RFC 9110 §6.6.1).
pub(crate) fn ensure_date(headers: &mut HeaderMap, response_time: i64) {
    if date(headers, response_time).is_none() {
        headers.insert(DATE, date::format(response_time));
    }
}

/// `Last-Modified` in Unix seconds (RFC 9110 §8.8.2).
pub(crate) fn last_modified(headers: &HeaderMap, now: i64) -> Option<i64> {
    date::parse(only(headers, &LAST_MODIFIED)?, now)
}

/// `If-Modified-Since` in Unix seconds (RFC 9110 §13.1.3).
pub(crate) fn if_modified_since(headers: &HeaderMap, now: i64) -> Option<i64> {
    date::parse(only(headers, &IF_MODIFIED_SINCE)?, now)
}

/// `Expires` (RFC 9111 §5.3). Identical lines count as one.
pub(crate) fn expires(headers: &HeaderMap, now: i64) -> Expires {
    let mut lines = headers.get_all(EXPIRES).iter().map(HeaderValue::as_bytes);
    let Some(value) = lines.next().map(trim_ows) else {
        return Expires::Absent;
    };
    if lines.any(|line| trim_ows(line) != value) {
        return Expires::Past;
    }
    date::parse(value, now).map_or(Expires::Past, Expires::At)
}

/// `Content-Length` (RFC 9110 §8.6). The same number may be repeated, in one line or in several.
pub(crate) fn content_length(headers: &HeaderMap) -> Length {
    let mut length = Length::Absent;
    for line in headers.get_all(CONTENT_LENGTH) {
        for member in line.as_bytes().split(|byte| *byte == b',') {
            length = match (length, decimal(trim_ows(member))) {
                (Length::Absent, Some(number)) => Length::Exactly(number),
                (Length::Exactly(first), Some(number)) if first == number => length,
                _ => return Length::Invalid,
            };
        }
    }
    length
}

/// Whether a response sets a cookie.
pub(crate) fn sets_cookie(headers: &HeaderMap) -> bool {
    headers.contains_key(SET_COOKIE) || headers.contains_key("set-cookie2")
}

/// A decimal number that fits in 64 bits.
fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests;
