//! What to send of a response: all of it, a part, or only a head, by the client's conditions and
//! range.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE},
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

/// Evaluates the client's conditions and range against a response. `length` is that of its body, if
/// known.
pub(super) fn shape(
    cache: &Cache,
    request: &CacheRequest,
    status: StatusCode,
    headers: &HeaderMap,
    arrived: i64,
    length: Option<u64>,
) -> Shape {
    if !request.facts.conditional() && !request.facts.range() {
        return Shape::Whole;
    }
    let now = cache.shared.clock.wall();
    let request_headers = &request.parts.headers;
    if conditional::evaluate(request_headers, status, headers, arrived, now)
        == Precondition::NotModified
    {
        return Shape::NotModified;
    }
    // A range of a body of unknown length is ignored (RFC 9110 §14.2).
    let Some(length) = length else {
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

/// Removes the fields that describe a body which is not sent.
fn without_representation(headers: &mut HeaderMap) {
    let age = headers.remove(AGE);
    *headers = conditional::not_modified(headers);
    if let Some(age) = age {
        headers.insert(AGE, age);
    }
}
