//! Evaluates the client's conditions against the response that would answer it (RFC 9111 §4.3.2).
//!
//! Only the origin can evaluate `If-Match` and `If-Unmodified-Since`: requests with these bypass
//! the cache.

use http::header::{
    ACCEPT_RANGES, AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, SET_COOKIE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::semantics::etag::{self, IfNoneMatch};
use crate::semantics::fields;

/// The fields of the stored head that a 304 does not have: framing, age, cookies, and the metadata
/// of the representation, which it does not contain (RFC 9110 §15.4.5).
static NOT_IN_304: [HeaderName; 12] = [
    ACCEPT_RANGES,
    AGE,
    HeaderName::from_static("content-digest"),
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HeaderName::from_static("repr-digest"),
    SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    TRANSFER_ENCODING,
];

/// The result of the client's conditions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Precondition {
    /// The client already has the response: answer 304.
    NotModified,
    /// Send the stored response.
    Send,
}

/// Evaluates the conditions of a GET or HEAD against the response that would answer it. `stored_at`
/// is when that was received, if it was stored; a response that is only now being received has to
/// have a validator of its own.
///
/// Conditions apply to successful responses only (RFC 9110 §13.2.1): a response other than 200 is
/// sent as it is. `If-None-Match` takes precedence over `If-Modified-Since`, even if it is
/// malformed (RFC 9110 §13.1.3).
pub(crate) fn evaluate(
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    stored_at: Option<i64>,
    now: i64,
) -> Precondition {
    if status != StatusCode::OK {
        return Precondition::Send;
    }
    match etag::if_none_match(request) {
        IfNoneMatch::Absent => if_modified_since(request, stored, stored_at, now),
        IfNoneMatch::Any => Precondition::NotModified,
        IfNoneMatch::Malformed => Precondition::Send,
        IfNoneMatch::Tags(listed) => match etag::of(stored) {
            // Weak comparison (RFC 9110 §13.1.2).
            Some(current) if listed.iter().any(|tag| tag.weak_eq(current)) => {
                Precondition::NotModified
            }
            _ => Precondition::Send,
        },
    }
}

/// A stored response without `Last-Modified` counts as modified at its `Date`, or else when it was
/// received (RFC 9111 §4.3.2).
fn if_modified_since(
    request: &HeaderMap,
    stored: &HeaderMap,
    stored_at: Option<i64>,
    now: i64,
) -> Precondition {
    let Some(since) = fields::if_modified_since(request, now) else {
        return Precondition::Send;
    };
    let dated = || stored_at.map(|received| fields::date(stored, now).unwrap_or(received));
    match fields::last_modified(stored, now).or_else(dated) {
        Some(modified) if modified <= since => Precondition::NotModified,
        Some(_) | None => Precondition::Send,
    }
}

/// The head of a 304 about a stored response, without `Age`.
pub(crate) fn not_modified(stored: &HeaderMap) -> HeaderMap {
    let mut head = HeaderMap::with_capacity(stored.keys_len());
    for (name, value) in stored {
        if !NOT_IN_304.contains(name) {
            head.append(name, value.clone());
        }
    }
    head
}

#[cfg(test)]
mod tests;
