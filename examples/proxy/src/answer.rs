//! The few responses this proxy writes itself.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE},
};
use http_body_util::Full;

use crate::{
    admit::Refusal,
    failure::{Failure, Kind},
};

/// RFC 9209
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The response to a request that was not admitted.
pub(crate) fn refused<B>(request: &Request<B>, refusal: Refusal) -> Response<Full<Bytes>> {
    match refusal {
        Refusal::Invalid(why) => text(StatusCode::BAD_REQUEST, why),
        Refusal::HeadTooLarge => text(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too many or too long header fields",
        ),
        Refusal::Connect => text(StatusCode::NOT_IMPLEMENTED, "no tunnels to other hosts"),
        Refusal::Loop => {
            let mut response = text(
                StatusCode::LOOP_DETECTED,
                "this request has been here before: the origin leads back to this proxy",
            );
            let status = HeaderValue::from_static("cachewarp; error=proxy_loop_detected");
            response.headers_mut().insert(PROXY_STATUS, status);
            response
        }
        Refusal::LastHop if request.method() == Method::TRACE => echo(request),
        Refusal::LastHop => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
    }
}

/// The response when the origin gave none.
pub(crate) fn failed(failure: &Failure) -> Response<Full<Bytes>> {
    let why = match failure.kind {
        Kind::ConnectTimeout | Kind::ResponseTimeout => "the origin took too long",
        Kind::ContentTimeout => "the content of the request did not arrive in time",
        Kind::HeadTooLarge => "the header of the origin's response is too large",
        Kind::Unreachable | Kind::Broken | Kind::Malformed => "the origin gave no usable response",
    };
    let mut response = text(failure.kind.status(), why);
    let status = failure.kind.proxy_status();
    response.headers_mut().insert(PROXY_STATUS, status);
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
