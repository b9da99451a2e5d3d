//! The origin's response head, made fit to be stored and sent on.
//!
//! Runs behind the cache, once per response and never on a hit.

use cachewarp::NoStore;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, IF_MODIFIED_SINCE, IF_NONE_MATCH, TE, TRANSFER_ENCODING,
        UPGRADE,
    },
};

use crate::{
    failure::{Failure, Kind},
    hop::{self, Stripped},
};

/// Refuses an HTTP/1 response whose end is in doubt (RFC 9112 section 6.3): both framing fields, a
/// length that is none, or a coding that was not requested. One that ends when its connection
/// does is marked not to be stored, because a broken connection looks like its end.
pub(crate) fn check_framing<B>(
    method: &Method,
    mut response: Response<B>,
) -> Result<Response<B>, Failure> {
    let status = response.status();
    let headers = response.headers();
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    let length = content_length(headers)?;
    if chunked {
        if length.is_some() {
            return Err(malformed("both Transfer-Encoding and Content-Length"));
        }
        let mut codings = hop::options(headers, &TRANSFER_ENCODING);
        let only = codings
            .next()
            .filter(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        if only.is_none() || codings.next().is_some() {
            return Err(malformed("a transfer coding other than chunked"));
        }
    }
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        response.headers_mut().remove(CONTENT_LENGTH);
        return Ok(response);
    }
    match length {
        // Several lines of one length, or a list of it, are that length.
        Some(length) => {
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        None if !chunked && has_body(method, status) => {
            response.extensions_mut().insert(NoStore);
        }
        None => {}
    }
    Ok(response)
}

/// Refuses a 304 to a request without a condition: it refers to a representation that neither
/// the client nor the cache has (RFC 9110 section 15.4.5).
pub(crate) fn check_condition<B>(
    conditional: bool,
    response: Response<B>,
) -> Result<Response<B>, Failure> {
    if response.status() == StatusCode::NOT_MODIFIED && !conditional {
        return Err(malformed("a 304 to a request without a condition"));
    }
    Ok(response)
}

/// Refuses a change of protocols that nobody `asked` for, or to another one than WebSocket.
pub(crate) fn check_switch<B>(asked: bool, response: Response<B>) -> Result<Response<B>, Failure> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    if !asked {
        return Err(malformed("a 101 nobody asked for"));
    }
    let protocols = || hop::options(response.headers(), &UPGRADE);
    if protocols().count() != 1 || !protocols().all(hop::is_websocket) {
        return Err(malformed("a 101 to another protocol than websocket"));
    }
    Ok(response)
}

/// Whether the origin may answer with a 304.
pub(crate) fn is_conditional(request: &HeaderMap) -> bool {
    request.contains_key(IF_NONE_MATCH) || request.contains_key(IF_MODIFIED_SINCE)
}

/// Removes what was meant for our connection with the origin, and the version that it had: an
/// intermediary sends its own (RFC 9112 section 2.3). An origin of HTTP/1.0 would otherwise end the
/// connections of clients.
pub(crate) fn strip<B>(response: &mut Response<B>) {
    *response.version_mut() = Version::HTTP_11;
    let status = response.status();
    let headers = response.headers_mut();
    // 101 and 426 are about the protocol of this very connection, which is the client's as well
    // (RFC 9110 section 7.8).
    let keeps = matches!(
        status,
        StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED
    );
    let stripped = if headers.keys().any(|name| hop::is_hop_by_hop(name.as_str())) {
        hop::strip(headers)
    } else {
        Stripped::Nothing
    };
    headers.remove(TE);
    if keeps && headers.contains_key(UPGRADE) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
    if stripped == Stripped::Tampering {
        response.extensions_mut().insert(NoStore);
    }
}

fn has_body(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD && status != StatusCode::NOT_MODIFIED && !status.is_informational()
}

/// The one length all `Content-Length` lines and list members agree on.
fn content_length(headers: &HeaderMap) -> Result<Option<HeaderValue>, Failure> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_none() && is_number(first.as_bytes()) {
        return Ok(Some(first.clone()));
    }
    let mut members = hop::options(headers, &CONTENT_LENGTH);
    let length = members.next().filter(|length| is_number(length));
    match length {
        Some(length) if members.all(|other| other == length) => {
            Ok(HeaderValue::from_bytes(length).ok())
        }
        _ => Err(malformed("a Content-Length that is no length")),
    }
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn malformed(why: &'static str) -> Failure {
    Failure::because(Kind::Malformed, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(
        method: &Method,
        status: u16,
        fields: &[(&str, &str)],
    ) -> Result<(bool, usize), Kind> {
        let mut builder = Response::builder().status(status);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let response = check_framing(method, builder.body(()).unwrap()).map_err(|f| f.kind)?;
        let kept = response.extensions().get::<NoStore>().is_none();
        let lengths = response.headers().get_all(CONTENT_LENGTH).iter();
        let lengths = lengths.filter(|length| is_number(length.as_bytes()));
        Ok((kept, lengths.count()))
    }

    #[test]
    fn doubtful_framing_is_refused() {
        for fields in [
            &[("content-length", "3"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "10, 11")],
            &[("content-length", "10"), ("content-length", "11")],
            &[("content-length", "-1")],
            &[("content-length", "")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "identity")],
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
        ] {
            assert_eq!(
                framed(&Method::GET, 200, fields),
                Err(Kind::Malformed),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn one_length_said_often_is_one_length() {
        let fields = [("content-length", "10, 10"), ("content-length", "10")];
        assert_eq!(framed(&Method::GET, 200, &fields), Ok((true, 1)));
    }

    #[test]
    fn an_end_told_by_the_connection_alone_is_not_stored() {
        assert_eq!(framed(&Method::GET, 200, &[]), Ok((false, 0)));
        assert_eq!(
            framed(&Method::GET, 200, &[("transfer-encoding", "Chunked")]),
            Ok((true, 0))
        );
        assert_eq!(framed(&Method::HEAD, 200, &[]), Ok((true, 0)));
        assert_eq!(framed(&Method::GET, 304, &[]), Ok((true, 0)));
        assert_eq!(
            framed(&Method::GET, 204, &[("content-length", "0")]),
            Ok((true, 0))
        );
    }

    #[test]
    fn a_response_loses_its_hop_by_hop_fields() {
        let mut response = Response::builder()
            .header("connection", "x-hop, keep-alive")
            .header("keep-alive", "timeout=5")
            .header("x-hop", "1")
            .header("upgrade", "h2c")
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .body(())
            .unwrap();
        strip(&mut response);
        let left: Vec<_> = response.headers().keys().collect();
        assert_eq!(left, ["trailer"]);
        assert!(response.extensions().get::<NoStore>().is_none());
    }

    #[test]
    fn a_response_that_takes_away_a_needed_field_is_not_stored() {
        let mut response = Response::builder()
            .header("connection", "cache-control")
            .header("cache-control", "no-store")
            .body(())
            .unwrap();
        strip(&mut response);
        assert!(response.extensions().get::<NoStore>().is_some());
    }

    #[test]
    fn a_switch_of_protocols_keeps_its_fields() {
        let mut response = Response::builder()
            .status(101)
            .header("connection", "Upgrade, x-hop")
            .header("x-hop", "1")
            .header("upgrade", "websocket")
            .body(())
            .unwrap();
        strip(&mut response);
        assert_eq!(response.headers()[CONNECTION], "upgrade");
        assert_eq!(response.headers()[UPGRADE], "websocket");
        assert_eq!(response.headers().len(), 2);
    }
}
