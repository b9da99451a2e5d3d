//! From a stored response, or one that is arriving, to the answer for one client.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, RETRY_AFTER, TRANSFER_ENCODING},
    response,
};
use http_body::Body;

use super::{context::Errand, request::Asked};
use crate::{
    body::CacheBody,
    cache_status,
    entry::{Entry, Head},
    fill::Fill,
    outcome::{CacheOutcome, Generated, Storing},
    semantics::{
        conditional::{self, Precondition},
        range::{self, Selection},
    },
    state::cache::Cache,
};

/// What is to be sent of a response, by the client's conditions and range (RFC 9110 §13.2.2).
enum Shape {
    NotModified,
    Part { first: u64, last: u64 },
    Unsatisfiable,
    Whole,
}

/// A head to be sent while its body still arrives.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) parts: response::Parts,
    /// When it arrived, in Unix seconds.
    pub(crate) arrived: i64,
    pub(crate) shaping: Shaping,
}

/// Whether the client's conditions and range are still to be evaluated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shaping {
    /// They did not go to the origin.
    Evaluate,
    /// The origin saw them: what it answered is the answer.
    Leave,
}

/// How an answer is labelled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) outcome: CacheOutcome,
    /// The status that the origin answered with, if it was asked.
    pub(crate) received: Option<StatusCode>,
}

impl From<CacheOutcome> for Label {
    fn from(outcome: CacheOutcome) -> Self {
        Self {
            outcome,
            received: None,
        }
    }
}

/// The answer to a request from a stored response.
pub(crate) fn from_entry<B>(
    cache: &Cache,
    asked: &Asked,
    entry: &Arc<Entry>,
    now: Duration,
    label: Label,
) -> Response<CacheBody<B>> {
    if let CacheOutcome::Hit { .. } = label.outcome
        && !asked.facts.conditional()
        && !asked.facts.range()
    {
        return hit(cache, asked, entry, now, label);
    }
    shaped(cache, asked, entry, entry.age(now), label)
}

/// A stored response in the shape that the client's conditions and range give it.
#[inline(never)]
fn shaped<B>(
    cache: &Cache,
    asked: &Asked,
    entry: &Entry,
    age: u32,
    label: Label,
) -> Response<CacheBody<B>> {
    let mut headers = entry.headers();
    headers.insert(AGE, cache_status::age_value(age));
    let length = entry.body_len();
    let arrived = entry.arrival().wall;
    let shape = shape(
        cache,
        asked,
        entry.status(),
        &headers,
        arrived,
        Some(length),
    );
    let body = match shape {
        _ if asked.is_head() => CacheBody::empty(),
        Shape::Whole => CacheBody::stored(entry.body()),
        Shape::Part { first, last } => CacheBody::part(entry.body(), first, last),
        Shape::NotModified | Shape::Unsatisfiable => CacheBody::empty(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = fit(&shape, entry.status(), &mut headers, length);
    *response.headers_mut() = headers;
    finish(cache, response, label)
}

/// A fresh stored response, whole.
fn hit<B>(
    cache: &Cache,
    asked: &Asked,
    entry: &Arc<Entry>,
    now: Duration,
    label: Label,
) -> Response<CacheBody<B>> {
    let Cache { shared, config } = cache;
    let maker = config.id;
    let head = entry.finished_head(&shared.hot, now, maker, |head, age| {
        head.headers.insert(AGE, cache_status::age_value(age));
        config
            .status
            .stamp(&mut head.headers, label.outcome, head.status, None);
        head.extensions.insert(label.outcome);
    });
    shared.metrics().answered(label.outcome);
    let body = if asked.is_head() {
        CacheBody::empty()
    } else {
        CacheBody::stored(entry.body())
    };
    Response::from_parts(head, body)
}

/// The answer to a request from a response that is still arriving; `None` if its beginning may be
/// gone.
pub(crate) fn from_fill<B>(
    cache: &Cache,
    asked: &Asked,
    head: &Head,
    fill: &Arc<Fill>,
    now: Duration,
    label: Label,
) -> Option<Response<CacheBody<B>>> {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = head.status;
    parts.headers = head.headers.clone();
    parts
        .headers
        .insert(AGE, cache_status::age_value(head.age(now)));
    let live = Live {
        parts,
        arrived: head.arrival.wall,
        shaping: Shaping::Evaluate,
    };
    from_live(cache, asked, live, fill, label)
}

/// The answer to the request that caused a fill: the head as the origin sent it.
pub(crate) fn from_live<B>(
    cache: &Cache,
    asked: &Asked,
    live: Live,
    fill: &Arc<Fill>,
    label: Label,
) -> Option<Response<CacheBody<B>>> {
    let Live {
        mut parts,
        arrived,
        shaping,
    } = live;
    let length = fill.declared();
    let shape = match shaping {
        Shaping::Evaluate => shape(cache, asked, parts.status, &parts.headers, arrived, length),
        Shaping::Leave => Shape::Whole,
    };
    let body = match shape {
        Shape::Whole => CacheBody::fill(fill.read(0, None)?),
        Shape::Part { first, last } => CacheBody::fill(fill.read(first, Some(last + 1))?),
        Shape::NotModified | Shape::Unsatisfiable => CacheBody::empty(),
    };
    parts.status = fit(
        &shape,
        parts.status,
        &mut parts.headers,
        length.unwrap_or(0),
    );
    Some(finish(cache, Response::from_parts(parts, body), label))
}

/// The origin's response to the request that fetched it, which is not stored.
pub(crate) fn pass_on<B: Body>(
    cache: &Cache,
    errand: &Errand,
    storing: Storing,
    response: Response<B>,
) -> Response<CacheBody<B>> {
    let label = Label {
        received: Some(response.status()),
        outcome: CacheOutcome::Fetched {
            forward: errand.forward,
            storing,
        },
    };
    from_origin(cache, &errand.asked.parts.method, response, label)
}

/// The answer from the origin itself, as it came.
pub(crate) fn from_origin<B: Body>(
    cache: &Cache,
    method: &Method,
    response: Response<B>,
    label: Label,
) -> Response<CacheBody<B>> {
    let response = if *method == Method::HEAD {
        without_body(response)
    } else {
        response.map(CacheBody::origin)
    };
    finish(cache, response, label)
}

/// The answer to a HEAD: whatever a service sends with it, that is not part of the message. Its
/// length is told as a server would have told it (RFC 9110 §9.3.2).
fn without_body<B: Body>(mut response: Response<B>) -> Response<CacheBody<B>> {
    let status = response.status();
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // An empty body may be one that was left out before us, and not the length of the content.
    let length = response.body().size_hint().exact().filter(|it| *it > 0);
    let headers = response.headers_mut();
    if let Some(length) = length
        && !bodiless
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.map(|_| CacheBody::omitted())
}

/// An answer of the cache's own.
pub(crate) fn generated<B>(cache: &Cache, reason: Generated) -> Response<CacheBody<B>> {
    let mut response = Response::new(CacheBody::empty());
    *response.status_mut() = reason.status();
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    if let Generated::BreakerOpen { retry_after } = reason {
        let seconds = HeaderValue::from(retry_after);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    finish(cache, response, CacheOutcome::Generated(reason).into())
}

/// Labels an answer, in its fields and its extensions, and counts it.
pub(crate) fn finish<B>(cache: &Cache, mut response: Response<B>, label: Label) -> Response<B> {
    let sent = response.status();
    cache
        .config
        .status
        .stamp(response.headers_mut(), label.outcome, sent, label.received);
    response.extensions_mut().insert(label.outcome);
    cache.shared.metrics().answered(label.outcome);
    response
}

/// Evaluates the client's conditions and range against the response to be sent, whose body is
/// `length` bytes long if that is known.
fn shape(
    cache: &Cache,
    asked: &Asked,
    status: StatusCode,
    headers: &HeaderMap,
    arrived: i64,
    length: Option<u64>,
) -> Shape {
    if !asked.facts.conditional() && !asked.facts.range() {
        return Shape::Whole;
    }
    let now = cache.shared.clock.wall();
    let request = &asked.parts.headers;
    if conditional::evaluate(request, status, headers, arrived, now) == Precondition::NotModified {
        return Shape::NotModified;
    }
    // Without a known length a range is ignored, as it may be (RFC 9110 §14.2).
    let Some(length) = length else {
        return Shape::Whole;
    };
    match range::select(&asked.parts.method, request, status, headers, length, now) {
        Selection::Full => Shape::Whole,
        Selection::Part { first, last } => Shape::Part { first, last },
        Selection::Unsatisfiable => Shape::Unsatisfiable,
    }
}

/// Fits a head to the shape of its answer, and returns the status to go with it.
fn fit(shape: &Shape, status: StatusCode, headers: &mut HeaderMap, length: u64) -> StatusCode {
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

/// Leaves out what is said of a representation that is not sent.
fn without_representation(headers: &mut HeaderMap) {
    let age = headers.remove(AGE);
    *headers = conditional::not_modified(headers);
    if let Some(age) = age {
        headers.insert(AGE, age);
    }
}
