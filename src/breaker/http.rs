//! The defaults for HTTP: which responses are failures, how a refused request is answered, and which
//! circuit a request belongs to.

use std::{borrow::Cow, time::Duration};

use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{HOST, RETRY_AFTER},
};

use super::{
    classify::{BreakerOpen, Classify, OnOpen, Verdict},
    target::Target,
};
use crate::extensions::Priority;

/// Errors and the statuses 500, 502, 503 and 504 are failures. Every other response is a success.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpClassify;

impl<B, E> Classify<Response<B>, E> for HttpClassify {
    fn classify(&self, outcome: &Result<Response<B>, E>, _: Duration) -> Verdict {
        match outcome.as_ref().map(Response::status) {
            Err(_)
            | Ok(
                StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT,
            ) => Verdict::Failure,
            Ok(_) => Verdict::Success,
        }
    }
}

/// Answers with 503, an empty body, `Retry-After` in whole seconds, rounded up and at least 1
/// (RFC 9110 §10.2.3), and [`BreakerOpen`] as an extension.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpOnOpen;

impl<B: Default, E> OnOpen<Response<B>, E> for HttpOnOpen {
    fn on_open(&self, refused: BreakerOpen) -> Result<Response<B>, E> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let wait = HeaderValue::from(seconds(refused.retry_after));
        response.headers_mut().insert(RETRY_AFTER, wait);
        response.extensions_mut().insert(refused);
        Ok(response)
    }
}

fn seconds(wait: Duration) -> u64 {
    let rounded_up = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(rounded_up).max(1)
}

/// One circuit for all `http` requests. It reads the request's [`Priority`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpAll;

impl<B> Target<Request<B>> for HttpAll {
    fn key<'r>(&self, _: &'r Request<B>) -> Cow<'r, str> {
        Cow::Borrowed("")
    }

    fn priority(&self, request: &Request<B>) -> Priority {
        priority(request)
    }
}

/// A circuit for each host: the authority of the target, or the `Host` field if there is none, in
/// lower case and with the port. Requests without a host share the circuit with the empty key.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerHost;

impl<B> Target<Request<B>> for PerHost {
    fn key<'r>(&self, request: &'r Request<B>) -> Cow<'r, str> {
        let host = match request.uri().authority() {
            Some(authority) => authority.as_str(),
            None => {
                let host = request.headers().get(HOST);
                host.and_then(|host| host.to_str().ok()).unwrap_or_default()
            }
        };
        // Before the `@` there is user information, which is no part of the host.
        let host = host.rsplit('@').next().unwrap_or(host);
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        }
    }

    fn priority(&self, request: &Request<B>) -> Priority {
        priority(request)
    }
}

/// A circuit for each key that the closure returns for an `http` request.
///
/// Unlike the closure alone, it also reads the request's [`Priority`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpKey<F>(pub F);

impl<B, F> Target<Request<B>> for HttpKey<F>
where
    F: Fn(&Request<B>) -> String + Send + Sync + 'static,
{
    fn key<'r>(&self, request: &'r Request<B>) -> Cow<'r, str> {
        Cow::Owned((self.0)(request))
    }

    fn priority(&self, request: &Request<B>) -> Priority {
        priority(request)
    }
}

fn priority<B>(request: &Request<B>) -> Priority {
    let priority = request.extensions().get::<Priority>();
    priority.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_a_second_or_more() {
        for (wait, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_nanos(1_000_000_001), 2),
            (Duration::from_millis(4_500), 5),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(seconds(wait), expected, "{wait:?}");
        }
    }

    #[test]
    fn a_host_is_named_by_the_target_or_by_its_field() {
        let cases = [
            ("http://a.example/x", None, "a.example"),
            ("http://A.Example:8080/x", Some("b"), "a.example:8080"),
            ("http://me@a.example/x", None, "a.example"),
            ("/x", Some("B.example"), "b.example"),
            ("/x", None, ""),
        ];
        for (uri, host, expected) in cases {
            let mut request = Request::get(uri);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            let request = request.body(()).unwrap();
            assert_eq!(PerHost.key(&request), expected, "{uri} {host:?}");
        }
    }
}
