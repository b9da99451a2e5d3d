//! The defaults for HTTP: which responses are failures, how a refused request is answered, and
//! which circuit a request belongs to.

use std::{borrow::Cow, time::Duration};

use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{HOST, RETRY_AFTER},
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    classify::{BreakerOpen, Classify, Granularity, OnOpen, Verdict},
    target::Target,
};
use crate::extensions::Priority;

/// Errors are failures of the service; 502, 503 and 504 are failures of the path that was asked for;
/// 500 is an [internal error](Verdict::InternalError). Every other response is a success. Paths are
/// [told apart](Granularity::Part).
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpClassify;

impl HttpClassify {
    /// What a status says about the service.
    pub(crate) fn status(status: StatusCode) -> Verdict {
        match status {
            StatusCode::INTERNAL_SERVER_ERROR => Verdict::InternalError,
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Verdict::PartFailure,
            _ => Verdict::Success,
        }
    }
}

impl<B, E> Classify<Response<B>, E> for HttpClassify {
    fn classify(&self, outcome: &Result<Response<B>, E>, _: Duration) -> Verdict {
        match outcome {
            Ok(response) => Self::status(response.status()),
            Err(_) => Verdict::Failure,
        }
    }

    fn granularity(&self) -> Granularity {
        Granularity::Part
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

    fn part(&self, request: &Request<B>) -> Option<u64> {
        Some(path_hash(request.uri()))
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

    fn part(&self, request: &Request<B>) -> Option<u64> {
        Some(path_hash(request.uri()))
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

    fn part(&self, request: &Request<B>) -> Option<u64> {
        Some(path_hash(request.uri()))
    }
}

fn priority<B>(request: &Request<B>) -> Priority {
    let priority = request.extensions().get::<Priority>();
    priority.copied().unwrap_or_default()
}

/// The path, without the query, as a hash. However a client spells a path, it is the same one:
/// percent-encoded, with empty segments, dot segments or parameters of segments. Many servers take
/// all of these for one page, which would speak as several.
pub(crate) fn path_hash(uri: &Uri) -> u64 {
    let path = uri.path().as_bytes();
    let is_odd = |pair: &[u8]| matches!(pair, b"//" | b"/." | b"/;");
    if !path.iter().any(|byte| matches!(byte, b'%' | b';')) && !path.windows(2).any(is_odd) {
        return xxh3_64(path);
    }
    let decoded = decoded(path);
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_open = true;
    for segment in decoded.split(|byte| *byte == b'/') {
        let name = segment.split(|byte| *byte == b';').next();
        let name = name.unwrap_or(segment);
        ends_open = matches!(name, b"" | b"." | b"..");
        match name {
            b"" | b"." => {}
            b".." => _ = segments.pop(),
            name => segments.push(name),
        }
    }
    let mut normal = Vec::with_capacity(decoded.len() + 1);
    for segment in &segments {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    if ends_open {
        normal.push(b'/');
    }
    xxh3_64(&normal)
}

/// Without percent-encoding.
fn decoded(mut path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    while let [first, rest @ ..] = path {
        let (byte, after) = match percent_decoded(path) {
            Some(byte) => (byte, &path[3..]),
            None => (*first, rest),
        };
        decoded.push(byte);
        path = after;
    }
    decoded
}

/// The byte that the first three encode, if they are a triplet such as `%2F` (RFC 3986 §2.1).
fn percent_decoded(path: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = path else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
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
    fn a_path_is_the_same_in_all_its_spellings_and_with_any_query() {
        let hash = |uri: &'static str| path_hash(&Uri::from_static(uri));
        for same in [
            "/a?x",
            "/%61",
            "http://h.test/a?x",
            "/%61?%62",
            "/%61?%",
            "//a",
            "///a",
            "/%2Fa",
            "/./a",
            "/%2e/a",
            "/b/../a",
            "/b/%2E%2e/./a",
            "/../a",
            "/a;x=1",
            "/a%3Bx",
            "/;x/a;y?z",
        ] {
            assert_eq!(hash("/a"), hash(same), "{same}");
        }
        for same in ["//a//", "/a/.", "/a/b/..", "/a%2f", "/a;x/"] {
            assert_eq!(hash("/a/"), hash(same), "{same}");
        }
        for same in ["//", "/.", "/..", "/a/..", "/;x", "/%2f"] {
            assert_eq!(hash("/"), hash(same), "{same}");
        }
        assert_eq!(hash("/.a/b"), hash("//.a/b"));
        assert_eq!(hash("/a%20b"), hash("//a%20b"));
        for other in [
            "/", "/b", "/a/", "/A", "/a%2F", "*", "/.a", "/a.", "/..a", "/a/a", "/a..",
        ] {
            assert_ne!(hash("/a"), hash(other), "{other}");
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
