//! The request target: whichever form it came in, it goes on as a path and one `Host`.

use http::{
    HeaderValue, Method, Request, Uri, Version,
    header::HOST,
    uri::{Parts, PathAndQuery},
};

use crate::admit::{
    Refusal,
    hosts::{self, Form, Scheme},
};

/// Leaves the target in origin form and the authority in `Host`, in the one form that is keyed
/// ([`hosts::form`]). There must be one `Host`, in `hosts` lines. HTTP/1.0 may omit it:
/// `default_host` stands in.
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
    let scheme = match uri.scheme_str() {
        Some("https") => Scheme::Https,
        Some("http") | None => Scheme::Http,
        Some(_) => return Err(Refusal::Invalid("the scheme is not http or https")),
    };
    // Required even where the target overrides it (RFC 9112 section 3.2).
    let host = request.headers().get(HOST);
    if host.is_none() && version == Version::HTTP_11 {
        return Err(Refusal::Invalid("no Host"));
    }
    let named = host
        .map(|host| normal(host.as_bytes(), scheme))
        .transpose()?;
    let Some(authority) = uri.authority() else {
        let settled = match named {
            Some(named) => named,
            None if version == Version::HTTP_10 => {
                let default = normal(default_host.as_bytes(), scheme)?;
                Some(default.unwrap_or_else(|| default_host.clone()))
            }
            None => return Err(Refusal::Invalid("no authority")),
        };
        if let Some(host) = settled {
            request.headers_mut().insert(HOST, host);
        }
        return Ok(());
    };
    let target = match normal(authority.as_str().as_bytes(), scheme)? {
        Some(target) => target,
        None => HeaderValue::from_str(authority.as_str())
            .map_err(|_| Refusal::Invalid("the authority is no host name"))?,
    };
    // HTTP/1: the target overrides Host (RFC 9112 section 3.2.2). HTTP/2: a Host that differs from
    // :authority makes the request malformed (RFC 9113 section 8.3.1).
    if version == Version::HTTP_2
        && let Some(host) = named.as_ref().and_then(|named| named.as_ref().or(host))
        && *host != target
    {
        return Err(Refusal::Invalid("Host differs from :authority"));
    }
    let mut parts = Parts::default();
    parts.path_and_query = uri.path_and_query().map(in_origin_form).transpose()?;
    let uri = Uri::from_parts(parts).map_err(|_| Refusal::Invalid("no path"))?;
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, target);
    Ok(())
}

/// A URL may have no path, as in `http://a?b` and `http://a#c`; in origin form that is `/`, or the
/// request line would have no target (RFC 9112 section 3.2.1).
fn in_origin_form(path: &PathAndQuery) -> Result<PathAndQuery, Refusal> {
    match path.as_str() {
        // What is empty says the same of itself.
        "/" => Ok(PathAndQuery::from_static("/")),
        query if query.starts_with('?') => format!("/{query}")
            .parse()
            .map_err(|_| Refusal::Invalid("no path")),
        _ => Ok(path.clone()),
    }
}

/// The one form of a host. `None` if that is what it is in.
fn normal(text: &[u8], scheme: Scheme) -> Result<Option<HeaderValue>, Refusal> {
    match hosts::form(text, scheme).map_err(Refusal::Invalid)? {
        Form::Normal => Ok(None),
        Form::Respelled(host) => {
            let host = HeaderValue::from_maybe_shared(bytes::Bytes::from(host));
            host.map(Some)
                .map_err(|_| Refusal::Invalid("the host is no host name"))
        }
    }
}
