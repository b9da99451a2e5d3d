//! The responses this proxy writes itself: each says what happened and what to do.
//!
//! All of them are made by [`own`]: text or a problem (RFC 9457), as the request prefers,
//! `Proxy-Status` (RFC 9209), `X-Cache`, and `Cache-Status` with the reason as `detail`. RFC 9211
//! section 2 advises against the last one on what a proxy generates, but that is where operators look
//! for the reason; with `--profile rfc-literal` there is none.

use std::borrow::Cow;

use bytes::Bytes;
use cachewarp::Generated;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, AUTHORIZATION, CACHE_CONTROL, CACHE_STATUS, CONNECTION, CONTENT_LENGTH,
        CONTENT_TYPE, COOKIE, RETRY_AFTER,
    },
};
use http_body_util::Full;
use serde_json::json;

use crate::{admit::Refusal, failure::Failure};

/// RFC 9209
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// How the proxy signs the answers that are its own.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    /// Its name in `Cache-Status` and `Proxy-Status`.
    pub(crate) name: String,
    pub(crate) cache_status: OnOwn,
}

/// Whether the answers of the proxy's own have `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnOwn {
    Shown,
    Omitted,
}

/// Why the proxy answers itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    /// A type of RFC 9209 section 2.3, for `Proxy-Status`.
    pub(crate) error: &'static str,
    /// A word for `Cache-Status`.
    pub(crate) detail: &'static str,
}

impl Cause {
    pub(crate) const fn new(error: &'static str, detail: &'static str) -> Self {
        Self { error, detail }
    }
}

/// What the form of an answer depends on. Cheap to make: most requests never need it.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    accept: Option<HeaderValue>,
    is_head: bool,
}

impl Asked {
    pub(crate) fn by<B>(request: &Request<B>) -> Self {
        let mut lines = request.headers().get_all(ACCEPT).iter();
        let accept = match (lines.next(), lines.next()) {
            (Some(first), Some(second)) => {
                let mut all = [first.as_bytes(), second.as_bytes()].join(&b',');
                for line in lines {
                    all.push(b',');
                    all.extend_from_slice(line.as_bytes());
                }
                HeaderValue::from_bytes(&all).ok()
            }
            (only, _) => only.cloned(),
        };
        Self {
            accept,
            is_head: request.method() == Method::HEAD,
        }
    }

    fn form(&self) -> Form {
        match self.accept.as_ref().map(HeaderValue::to_str) {
            Some(Ok(accept)) => Form::preferred(accept),
            _ => Form::Text,
        }
    }
}

/// The two forms of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    /// `application/problem+json`
    Problem,
}

impl Form {
    /// The one that `accept` prefers. Text, unless the request names JSON, or has no use for text.
    fn preferred(accept: &str) -> Self {
        // For each, how exactly the range names it, and its weight in thousandths.
        let (mut text, mut json) = ((0, 0), (0, 0));
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts
                .find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")))
                .map_or(1000, thousandths);
            let (best, exactness) = match name.as_str() {
                "text/plain" | "text/html" => (&mut text, 3),
                "text/*" => (&mut text, 2),
                "application/json" | "application/problem+json" => (&mut json, 3),
                "application/*" => (&mut json, 2),
                "*/*" => {
                    text = text.max((1, weight));
                    json = json.max((1, weight));
                    continue;
                }
                _ => continue,
            };
            *best = (*best).max((exactness, weight));
        }
        let is_named = json.0 == 3 && json.1 > 0;
        if json.1 > text.1 || (is_named && json.1 == text.1) {
            Self::Problem
        } else {
            Self::Text
        }
    }
}

/// A weight (RFC 9110 section 12.4.2); what is none counts as 1, as if it were not there.
fn thousandths(weight: &str) -> u16 {
    let weight: f32 = weight.parse().unwrap_or(1.0);
    // Between 0 and 1000 after the bounds; a NaN becomes 0.
    (weight.clamp(0.0, 1.0) * 1000.0) as u16
}

/// A response of the proxy's own. `text` says what happened and what to do, in sentences, without
/// anything of the origin's.
pub(crate) fn own(
    signature: &Signature,
    asked: &Asked,
    status: StatusCode,
    cause: Cause,
    text: &str,
) -> Response<Full<Bytes>> {
    let (kind, body) = match asked.form() {
        Form::Text => ("text/plain; charset=utf-8", format!("{text}\n")),
        Form::Problem => {
            let problem = json!({
                "type": "about:blank",
                "title": status.canonical_reason().unwrap_or("Error"),
                "status": status.as_u16(),
                "detail": text,
            });
            ("application/problem+json", format!("{problem}\n"))
        }
    };
    let length = HeaderValue::from(body.len());
    let body = if asked.is_head {
        Full::default()
    } else {
        Full::from(body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, length);
    mark(&mut response, signature, cause, text);
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Says that this response is the proxy's.
fn mark<B>(response: &mut Response<B>, signature: &Signature, cause: Cause, details: &str) {
    let Cause { error, detail } = cause;
    let name = &signature.name;
    let mut value = format!("{name}; error={error}; details=\"");
    // What a string may hold (RFC 9651 section 3.3.3).
    for letter in details.chars().filter(|it| matches!(it, ' '..='~')) {
        if matches!(letter, '"' | '\\') {
            value.push('\\');
        }
        value.push(letter);
    }
    value.push('"');
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(PROXY_STATUS, value);
    }
    let x_cache = if is_error { "ERROR" } else { "BYPASS" };
    headers.insert(X_CACHE, HeaderValue::from_static(x_cache));
    let member = format!("{name}; detail={detail}");
    if signature.cache_status == OnOwn::Shown
        && let Ok(member) = HeaderValue::from_maybe_shared(Bytes::from(member))
    {
        headers.insert(CACHE_STATUS, member);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Says of a response of the origin that it went past the cache, as the cache says it.
pub(crate) fn passed<B>(response: &mut Response<B>, signature: &Signature, detail: &str) {
    let member = format!("{}; fwd=bypass; detail={detail}", signature.name);
    let headers = response.headers_mut();
    headers.insert(X_CACHE, HeaderValue::from_static("BYPASS"));
    if let Ok(member) = HeaderValue::from_maybe_shared(Bytes::from(member)) {
        // The members before are from caches nearer to the origin.
        headers.append(CACHE_STATUS, member);
    }
}

/// The response to a request that was not admitted.
pub(crate) fn refused<B>(
    signature: &Signature,
    request: &Request<B>,
    refusal: Refusal,
) -> Response<Full<Bytes>> {
    let (status, cause, text) = match refusal {
        Refusal::Invalid(why) => (
            StatusCode::BAD_REQUEST,
            Cause::new("http_request_error", "request-invalid"),
            Cow::Owned(format!(
                "This request is not valid: {why}. Correct it before you send it again."
            )),
        ),
        Refusal::Misdirected => (
            StatusCode::MISDIRECTED_REQUEST,
            Cause::new("http_request_denied", "host-not-served"),
            "This server does not serve the host of this request. The operator of this site may add \
             it to --allow-host."
                .into(),
        ),
        Refusal::HeadTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Cause::new("http_request_error", "request-header-too-large"),
            "This request has too many or too long header fields. Send less of them, for example \
             fewer cookies."
                .into(),
        ),
        Refusal::Connect => (
            StatusCode::NOT_IMPLEMENTED,
            Cause::new("http_request_denied", "connect-not-served"),
            "This server opens no tunnels to other hosts. CONNECT is for forward proxies.".into(),
        ),
        Refusal::TransferCoding => (
            StatusCode::NOT_IMPLEMENTED,
            Cause::new("http_request_error", "transfer-coding-unknown"),
            "This server understands no transfer coding but one of chunked. Send the content without \
             another one; Content-Encoding may say that it is compressed."
                .into(),
        ),
        Refusal::Loop => (
            StatusCode::LOOP_DETECTED,
            Cause::new("proxy_loop_detected", "proxy-loop"),
            "This request has been here before: the origin server leads back to this proxy. The \
             operator of this site has to correct that."
                .into(),
        ),
        Refusal::LastHop => return last_hop(signature, request),
    };
    let mut response = own(signature, &Asked::by(request), status, cause, &text);
    if refusal == Refusal::TransferCoding {
        // Others may see another end of this request.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// The response when the origin gave none.
pub(crate) fn failed(
    signature: &Signature,
    asked: &Asked,
    failure: &Failure,
) -> Response<Full<Bytes>> {
    let kind = failure.kind;
    let cause = Cause::new(kind.error(), kind.detail());
    own(signature, asked, kind.status(), cause, &failure.text())
}

/// The response in place of an empty one that the cache generated.
pub(crate) fn generated(
    signature: &Signature,
    asked: &Asked,
    why: &Generated,
) -> Response<Full<Bytes>> {
    let mut wait = None;
    let (error, text): (_, Cow<'static, str>) = match why {
        Generated::BreakerOpen { retry_after, .. } => {
            wait = Some(*retry_after);
            let text = format!(
                "The origin server has failed too often and is left alone for a while. Try again \
                 after {retry_after} s."
            );
            ("destination_unavailable", text.into())
        }
        Generated::TooManyWaiters => (
            "proxy_internal_response",
            "Too many requests wait for this response already. Try again later.".into(),
        ),
        Generated::FlightFailed {
            status,
            retry_after,
            ..
        } => {
            wait = *retry_after;
            if *status == StatusCode::GATEWAY_TIMEOUT {
                (
                    "http_response_timeout",
                    "The origin server did not answer in time. Try again later.".into(),
                )
            } else {
                (
                    "destination_unavailable",
                    "The origin server failed to answer. Try again later.".into(),
                )
            }
        }
        Generated::OnlyIfCached => (
            "proxy_internal_response",
            "No stored response may be used, and the request accepts no other. Send it without \
             only-if-cached."
                .into(),
        ),
        Generated::OriginTimeout => (
            "http_response_timeout",
            "The origin server did not answer in time. Try again later.".into(),
        ),
        _ => (
            "proxy_internal_response",
            "There is no response to this request now. Try again later.".into(),
        ),
    };
    let cause = Cause::new(error, why.as_str());
    let mut response = own(signature, asked, why.status(), cause, &text);
    if let Some(seconds) = wait {
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// The answer of the last recipient that `Max-Forwards` allows. A 204 has no body.
fn last_hop<B>(signature: &Signature, request: &Request<B>) -> Response<Full<Bytes>> {
    let mut response = if request.method() == Method::TRACE {
        echo(request)
    } else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    };
    let details = "Max-Forwards allows no further recipient.";
    let cause = Cause::new("proxy_internal_response", "max-forwards");
    mark(&mut response, signature, cause, details);
    response
}

/// TRACE shows the request as it was received, without what is secret (RFC 9110 section 9.3.8).
fn echo<B>(request: &Request<B>) -> Response<Full<Bytes>> {
    let line = format!(
        "{} {} {:?}\r\n",
        request.method(),
        request.uri(),
        request.version()
    );
    let mut message = line.into_bytes();
    for (name, value) in request.headers() {
        if *name == AUTHORIZATION || *name == COOKIE || name == "proxy-authorization" {
            continue;
        }
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    let mut response = Response::new(Full::from(message));
    let kind = HeaderValue::from_static("message/http");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
