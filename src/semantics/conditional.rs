//! The client's own conditions, evaluated against a stored response (RFC 9111 §4.3.2).
//!
//! `If-Match` and `If-Unmodified-Since` are for the origin alone; requests that carry them never
//! come here.

use http::header::{
    ACCEPT_RANGES, AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, SET_COOKIE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::semantics::etag::{self, IfNoneMatch};
use crate::semantics::fields;

/// What a 304 leaves out of the stored head: its framing, its age, cookies, and the metadata of a
/// representation that it does not carry (RFC 9110 §15.4.5).
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

/// What the client's conditions ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Precondition {
    /// The client has the response already: answer 304.
    NotModified,
    /// Send the stored response.
    Send,
}

/// Evaluates the conditions of a GET or HEAD against the stored response that would answer it.
///
/// Conditions are about a successful answer (RFC 9110 §13.2.1): anything but a 200 is sent as it
/// is. `If-None-Match`, even malformed, silences `If-Modified-Since` (RFC 9110 §13.1.3).
pub(crate) fn evaluate(
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    response_time: i64,
    now: i64,
) -> Precondition {
    if status != StatusCode::OK {
        return Precondition::Send;
    }
    match etag::if_none_match(request) {
        IfNoneMatch::Absent => if_modified_since(request, stored, response_time, now),
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

/// A response without `Last-Modified` counts as modified at its `Date`, or when it was received
/// (RFC 9111 §4.3.2).
fn if_modified_since(
    request: &HeaderMap,
    stored: &HeaderMap,
    response_time: i64,
    now: i64,
) -> Precondition {
    let Some(since) = fields::if_modified_since(request, now) else {
        return Precondition::Send;
    };
    let modified = fields::last_modified(stored, now)
        .or_else(|| fields::date(stored, now))
        .unwrap_or(response_time);
    if modified <= since {
        Precondition::NotModified
    } else {
        Precondition::Send
    }
}

/// The head of the 304 that stands for a stored response, without `Age`.
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
