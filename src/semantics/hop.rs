//! Fields that are about one connection and never stored (RFC 9110 §7.6.1, RFC 9111 §3.1).

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

use crate::semantics::list;

/// What the `Connection` field of a message asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConnectionOptions {
    /// Nothing that changes what the message means.
    Ordinary,
    /// To drop a field that the message or its answer depends on.
    Abusive,
}

/// Whether a field is about the connection rather than the message, whatever `Connection` says.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION
        | header::TE
        | header::TRAILER
        | header::TRANSFER_ENCODING
        | header::UPGRADE => true,
        _ => matches!(
            name.as_str(),
            "keep-alive" | "proxy-authentication-info" | "proxy-connection"
        ),
    }
}

/// Removes every field that is about the connection, those that `Connection` names included.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let doomed: SmallVec<[HeaderName; 8]> = options(headers)
        .chain(headers.keys().filter(|name| is_hop_by_hop(name)).cloned())
        .collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// What the `Connection` field of a request asks for. Besides the fields that carry meaning, any
/// end-to-end field it names and has may be one that the response varies on.
pub(crate) fn connection_options(request: &HeaderMap) -> ConnectionOptions {
    let misused = options(request)
        .find(|name| !is_hop_by_hop(name) && (carries_meaning(name) || request.contains_key(name)));
    match misused {
        Some(_) => ConnectionOptions::Abusive,
        None => ConnectionOptions::Ordinary,
    }
}

/// What the `Connection` field of a response asks for. Fields of the response's own that nothing
/// else depends on are for it to declare hop-by-hop.
pub(crate) fn response_connection_options(response: &HeaderMap) -> ConnectionOptions {
    match options(response).find(carries_meaning) {
        Some(_) => ConnectionOptions::Abusive,
        None => ConnectionOptions::Ordinary,
    }
}

/// The field names among the connection options. An option that is no field name is skipped.
fn options(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    list::members(headers.get_all(header::CONNECTION))
        .filter(|option| !is_usual(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
}

/// Whether this is one of the options that nearly every `Connection` consists of. Neither is the
/// name of a field that could be misused, and passing over them keeps the common case cheap.
fn is_usual(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}

/// Whether a field belongs to what a message means end to end: dropping it on the way changes
/// which response is right, or whether and for how long it may be reused.
fn carries_meaning(name: &HeaderName) -> bool {
    match *name {
        header::AGE
        | header::AUTHORIZATION
        | header::CACHE_CONTROL
        | header::COOKIE
        | header::DATE
        | header::ETAG
        | header::EXPIRES
        | header::HOST
        | header::LAST_MODIFIED
        | header::LOCATION
        | header::ORIGIN
        | header::PRAGMA
        | header::RANGE
        | header::SET_COOKIE
        | header::VARY => true,
        _ => ["accept", "content-", "if-"]
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix)),
    }
}

#[cfg(test)]
mod tests;
