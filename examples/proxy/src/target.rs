//! The request target: whichever form it came in, it goes on as a path and one `Host`.

use http::{
    HeaderValue, Method, Request, Uri, Version,
    header::HOST,
    uri::{Parts, PathAndQuery, Scheme},
};

use crate::admit::Refusal;

/// Leaves the target in origin form and the authority in `Host`, of which there must be one, in
/// `hosts` lines. HTTP/1.0 may omit it: `default_host` stands in.
pub(crate) fn settle<B>(
    request: &mut Request<B>,
    hosts: usize,
    default_host: &HeaderValue,
) -> Result<(), Refusal> {
    if hosts > 1 {
        return Err(Refusal::Invalid("more than one Host"));
    }
    let version = request.version();
    let uri = request.uri();
    match uri.path_and_query().map(PathAndQuery::as_str) {
        None => return Err(Refusal::Invalid("no path in the request target")),
        Some("*") if request.method() != Method::OPTIONS => {
            return Err(Refusal::Invalid("* is a target for OPTIONS only"));
        }
        Some(_) => {}
    }
    // Required even where the target overrides it (RFC 9112 section 3.2).
    match request.headers().get(HOST) {
        Some(host) if !is_host(host.as_bytes()) => {
            return Err(Refusal::Invalid("Host is no host name"));
        }
        None if version == Version::HTTP_11 => return Err(Refusal::Invalid("no Host")),
        _ => {}
    }
    let Some(authority) = uri.authority() else {
        if hosts == 0 {
            if version != Version::HTTP_10 {
                return Err(Refusal::Invalid("no authority"));
            }
            request.headers_mut().insert(HOST, default_host.clone());
        }
        return Ok(());
    };
    if !is_host(authority.as_str().as_bytes()) {
        return Err(Refusal::Invalid("the authority is no host name"));
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(Refusal::Invalid("the scheme is not http or https"));
    }
    // HTTP/1: the target overrides Host (RFC 9112 section 3.2.2). HTTP/2: a Host that differs from
    // :authority makes the request malformed (RFC 9113 section 8.3.1).
    if version == Version::HTTP_2
        && let Some(host) = request.headers().get(HOST)
        && !same_host(host.as_bytes(), authority.as_str().as_bytes(), uri.scheme())
    {
        return Err(Refusal::Invalid("Host differs from :authority"));
    }
    let host = HeaderValue::from_str(authority.as_str())
        .map_err(|_| Refusal::Invalid("the authority is no host name"))?;
    let mut parts = Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    let uri = Uri::from_parts(parts).map_err(|_| Refusal::Invalid("no path"))?;
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, host);
    Ok(())
}

/// `uri-host [":" port]` (RFC 9110 section 7.2), which has no room for a user name.
pub(crate) fn is_host(text: &[u8]) -> bool {
    let (host, port) = if text.first() == Some(&b'[') {
        let Some(end) = text.iter().position(|&byte| byte == b']') else {
            return false;
        };
        let address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        if !text[1..end].iter().all(address) {
            return false;
        }
        (&text[1..end], &text[end + 1..])
    } else {
        let end = text.iter().position(|&byte| byte == b':');
        let (host, port) = text.split_at(end.unwrap_or(text.len()));
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
        if !host.iter().all(name) {
            return false;
        }
        (host, port)
    };
    let port_is_sound = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !host.is_empty() && port_is_sound
}

fn same_host(one: &[u8], other: &[u8], scheme: Option<&Scheme>) -> bool {
    let default: &[u8] = if scheme == Some(&Scheme::HTTPS) {
        b":443"
    } else {
        b":80"
    };
    let name = |host: &'_ [u8]| host.strip_suffix(default).unwrap_or(host).len();
    one[..name(one)].eq_ignore_ascii_case(&other[..name(other)])
}
