//! What to send of a response: all of it, a part, or only a head, by the client's conditions and
//! range.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, SET_COOKIE},
};

use super::request::CacheRequest;
use crate::{
    semantics::{
        conditional::{self, Precondition},
        range::{self, Selection},
    },
    state::cache::Cache,
};

/// What to send of a response, by the client's conditions and range (RFC 9110 §13.2.2).
pub(super) enum Shape {
    NotModified,
    Part { first: u64, last: u64 },
    Unsatisfiable,
    Whole,
}

/// Evaluates the client's conditions and range against a response. `stored_at` is when it was
/// received, if it was stored; `length` is that of its body, if known.
pub(super) fn shape(
    cache: &Cache,
    request: &CacheRequest,
    status: StatusCode,
    headers: &HeaderMap,
    stored_at: Option<i64>,
    length: Option<u64>,
) -> Shape {
    if !request.facts.conditional() && !request.facts.range() {
        return Shape::Whole;
    }
    let now = cache.shared.clock.wall();
    let request_headers = &request.parts.headers;
    if conditional::evaluate(request_headers, status, headers, stored_at, now)
        == Precondition::NotModified
    {
        return Shape::NotModified;
    }
    // Ignored are a range of a HEAD, and one of a body of unknown length (RFC 9110 §14.2).
    let Some(length) = length.filter(|_| !request.is_head()) else {
        return Shape::Whole;
    };
    match range::select(
        &request.parts.method,
        request_headers,
        status,
        headers,
        length,
        now,
    ) {
        Selection::Full => Shape::Whole,
        Selection::Part { first, last } => Shape::Part { first, last },
        Selection::Unsatisfiable => Shape::Unsatisfiable,
    }
}

/// Changes a head for the shape of its answer, and returns the status of that.
pub(super) fn fit(
    shape: &Shape,
    status: StatusCode,
    headers: &mut HeaderMap,
    length: u64,
) -> StatusCode {
    match *shape {
        Shape::Whole => status,
        Shape::NotModified => {
            without_representation(headers);
            StatusCode::NOT_MODIFIED
        }
        Shape::Part { first, last } => {
            range::partial_head(headers);
            headers.insert(CONTENT_RANGE, range::content_range(first, last, length));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(last + 1 - first));
            StatusCode::PARTIAL_CONTENT
        }
        Shape::Unsatisfiable => {
            without_representation(headers);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(CONTENT_RANGE, range::unsatisfied_range(length));
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            StatusCode::RANGE_NOT_SATISFIABLE
        }
    }
}

/// The same for a response that is not from the store: it may set cookies of this client, which
/// stay in a 304 too.
pub(super) fn fit_live(
    shape: &Shape,
    status: StatusCode,
    headers: &mut HeaderMap,
    length: u64,
) -> StatusCode {
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    let status = fit(shape, status, headers, length);
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    status
}

/// Removes the fields that describe a body which is not sent.
fn without_representation(headers: &mut HeaderMap) {
    let age = headers.remove(AGE);
    *headers = conditional::not_modified(headers);
    if let Some(age) = age {
        headers.insert(AGE, age);
    }
}
