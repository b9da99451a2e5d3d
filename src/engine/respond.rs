//! Builds the answer for one client from a stored response, a streaming one, or the origin's.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING},
    response,
};
use http_body::Body;

use super::{
    nesting::reports::{self, Report},
    request::CacheRequest,
    shape::{self, Shape},
    tags,
};
use crate::{
    body::CacheBody,
    cache_status,
    entry::Entry,
    fill::Fill,
    outcome::{CacheOutcome, Generated, Tier},
    state::{cache::Cache, flights::StreamingResponse},
};

/// The head of a response whose body is still being received.
#[derive(Debug)]
pub(crate) struct StreamingHead {
    pub(crate) parts: response::Parts,
    /// When it arrived, in Unix seconds, if that was for another request.
    pub(crate) arrived: Option<i64>,
    pub(crate) shaping: Shaping,
}

/// Whether to evaluate the client's conditions and range against a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shaping {
    /// Evaluate them: they did not go to the origin.
    Evaluate,
    /// Leave the response as it is: the origin has evaluated them.
    Leave,
}

/// What the header fields and extensions of an answer say about how it came about.
#[derive(Clone, Debug)]
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
    request: &CacheRequest,
    entry: &Arc<Entry>,
    now: Duration,
    label: Label,
) -> Response<CacheBody<B>> {
    // The entry keeps heads rendered for its hits in memory.
    if let CacheOutcome::Hit {
        tier: Tier::Memory, ..
    } = label.outcome
        && !request.facts.conditional()
        && !request.facts.range()
    {
        return hit(cache, request, entry, now, label);
    }
    shaped(cache, request, entry, entry.age(now), label)
}

/// A stored response, after the client's conditions and range were evaluated.
#[inline(never)]
fn shaped<B>(
    cache: &Cache,
    request: &CacheRequest,
    entry: &Entry,
    age: u32,
    label: Label,
) -> Response<CacheBody<B>> {
    let mut headers = entry.headers();
    headers.insert(AGE, cache_status::age_value(age));
    let account = &cache.shared.account;
    let length = entry.body_len();
    let arrived = Some(entry.arrival().wall);
    let shape = shape::shape(
        cache,
        request,
        entry.status(),
        &headers,
        arrived,
        Some(length),
    );
    let body = match shape {
        _ if request.is_head() => CacheBody::empty(),
        Shape::Whole => CacheBody::stored(entry.read(account, 0, length)),
        Shape::Part { first, last } => {
            let part = (last + 1).saturating_sub(first);
            CacheBody::stored(entry.read(account, first, part))
        }
        Shape::NotModified | Shape::Unsatisfiable => CacheBody::empty(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = shape::fit(&shape, entry.status(), &mut headers, length);
    *response.headers_mut() = headers;
    finish(cache, response, label)
}

/// A fresh stored response as a whole, from memory.
fn hit<B>(
    cache: &Cache,
    request: &CacheRequest,
    entry: &Arc<Entry>,
    now: Duration,
    label: Label,
) -> Response<CacheBody<B>> {
    let Cache { shared, config } = cache;
    let layer_id = config.id;
    shared.metrics().answered(&label.outcome);
    let head = entry.rendered_head(&shared.rendered_heads, now, layer_id, |head, age| {
        head.headers.insert(AGE, cache_status::age_value(age));
        config
            .status
            .stamp(&mut head.headers, &label.outcome, head.status, None);
        head.extensions.insert(label.outcome);
    });
    let body = if request.is_head() {
        CacheBody::empty()
    } else {
        shared.metrics().sent.memory.increment(entry.body_len());
        CacheBody::stored(entry.read(&shared.account, 0, entry.body_len()))
    };
    Response::from_parts(head, body)
}

/// The answer to a request from a response whose body another request is receiving. `None` if the
/// beginning of the body may have been released.
pub(crate) fn from_fill<B>(
    cache: &Cache,
    request: &CacheRequest,
    streaming: &StreamingResponse,
    now: Duration,
    label: Label,
) -> Option<Response<CacheBody<B>>> {
    let StreamingResponse { head, fill, end } = streaming;
    let (mut parts, ()) = Response::new(()).into_parts();
    // Another cache around this one has to know too.
    if let Some(end) = end {
        parts.extensions.insert(end.clone());
    }
    parts.status = head.meta.status;
    parts.headers = head.headers.clone();
    parts
        .headers
        .insert(AGE, cache_status::age_value(head.age(now)));
    let live = StreamingHead {
        parts,
        arrived: Some(head.meta.arrival.wall),
        shaping: Shaping::Evaluate,
    };
    from_live(cache, request, live, fill, label)
}

/// The answer to the request that started a fill, with the head as the origin sent it.
pub(crate) fn from_live<B>(
    cache: &Cache,
    request: &CacheRequest,
    live: StreamingHead,
    fill: &Arc<Fill>,
    label: Label,
) -> Option<Response<CacheBody<B>>> {
    let StreamingHead {
        mut parts,
        arrived,
        shaping,
    } = live;
    tags::remove_fields(&cache.config, &mut parts.headers);
    let length = fill.declared();
    let shape = match shaping {
        Shaping::Evaluate => shape::shape(
            cache,
            request,
            parts.status,
            &parts.headers,
            arrived,
            length,
        ),
        Shaping::Leave => Shape::Whole,
    };
    let body = match shape {
        _ if request.is_head() => CacheBody::omitted(),
        Shape::Whole => CacheBody::fill(fill.read(0, None)?),
        Shape::Part { first, last } => CacheBody::fill(fill.read(first, Some(last + 1))?),
        Shape::NotModified | Shape::Unsatisfiable => CacheBody::empty(),
    };
    parts.status = shape::fit_live(
        &shape,
        parts.status,
        &mut parts.headers,
        length.unwrap_or(0),
    );
    if request.is_head() {
        declare_length(parts.status, &mut parts.headers, length);
    }
    Some(finish(cache, Response::from_parts(parts, body), label))
}

/// The 304 to a client whose conditions a response of the origin's meets. The body is not needed.
pub(crate) fn not_modified<B>(
    cache: &Cache,
    mut parts: response::Parts,
    label: Label,
) -> Response<CacheBody<B>> {
    tags::remove_fields(&cache.config, &mut parts.headers);
    parts.status = shape::fit_live(&Shape::NotModified, parts.status, &mut parts.headers, 0);
    finish(
        cache,
        Response::from_parts(parts, CacheBody::empty()),
        label,
    )
}

/// The origin's response as it came.
pub(crate) fn from_origin<B: Body>(
    cache: &Cache,
    method: &Method,
    mut response: Response<B>,
    label: Label,
) -> Response<CacheBody<B>> {
    tags::remove_fields(&cache.config, response.headers_mut());
    let response = if *method == Method::HEAD {
        without_body(response)
    } else {
        response.map(CacheBody::origin)
    };
    finish(cache, response, label)
}

/// The origin's response of a layer that does not cache.
pub(crate) fn untouched<B: Body>(response: Response<B>) -> Response<CacheBody<B>> {
    let mut response = response.map(CacheBody::origin);
    response.extensions_mut().insert(CacheOutcome::Disabled);
    response
}

/// The origin's response that opens a tunnel. Its fields are those of another protocol's beginning, so
/// the cache adds none to them.
pub(crate) fn tunnel<B: Body>(cache: &Cache, response: Response<B>) -> Response<CacheBody<B>> {
    let mut response = response.map(CacheBody::origin);
    if let Some(Report::Answered) = reports::take(&cache.shared, response.extensions_mut()) {
        return response;
    }
    count(cache, &mut response, &CacheOutcome::Tunnelled);
    response.extensions_mut().insert(CacheOutcome::Tunnelled);
    response
}

/// The answer to a HEAD, without the body that a service may have sent. `Content-Length` says how
/// long that body would be, as a server would (RFC 9110 §9.3.2).
fn without_body<B: Body>(mut response: Response<B>) -> Response<CacheBody<B>> {
    let status = response.status();
    let length = response.body().size_hint().exact();
    declare_length(status, response.headers_mut(), length);
    response.map(|_| CacheBody::omitted())
}

/// Says in the head of an answer to HEAD how long the body would be, unless the head says it.
fn declare_length(status: StatusCode, headers: &mut HeaderMap, length: Option<u64>) {
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // An empty body may have been removed by an inner layer: its length says nothing.
    if let Some(length) = length.filter(|it| *it > 0)
        && !bodiless
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// An answer that the cache makes itself.
pub(crate) fn generated<B>(cache: &Cache, reason: Generated) -> Response<CacheBody<B>> {
    let response = unlabelled(&reason);
    finish(cache, response, CacheOutcome::Generated(reason).into())
}

/// The same for a layer of this cache that is further out, which labels it.
pub(crate) fn unlabelled<B>(reason: &Generated) -> Response<CacheBody<B>> {
    let mut response = Response::new(CacheBody::empty());
    *response.status_mut() = reason.status();
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    if let Some(seconds) = reason.retry_after() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Adds the label to an answer's fields and extensions, and counts the answer, unless an inner
/// layer of this cache did that.
pub(crate) fn finish<B>(
    cache: &Cache,
    mut response: Response<CacheBody<B>>,
    label: Label,
) -> Response<CacheBody<B>> {
    if let Some(Report::Answered) = reports::take(&cache.shared, response.extensions_mut()) {
        return response;
    }
    let sent = response.status();
    cache
        .config
        .status
        .stamp(response.headers_mut(), &label.outcome, sent, label.received);
    count(cache, &mut response, &label.outcome);
    response.extensions_mut().insert(label.outcome);
    response
}

/// Counts an answer, and the bytes of its body.
fn count<B>(cache: &Cache, response: &mut Response<CacheBody<B>>, outcome: &CacheOutcome) {
    let metrics = cache.shared.metrics();
    metrics.answered(outcome);
    let (stored, arriving) = (metrics.sent.stored(outcome), metrics.sent.arriving(outcome));
    response.body_mut().count(stored, arriving);
}
