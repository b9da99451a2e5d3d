//! Hop-by-hop fields: they are about one connection and never stored (RFC 9110 §7.6.1, RFC 9111
//! §3.1).

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

use crate::semantics::list;

/// Whether the `Connection` field of a message is acceptable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConnectionOptions {
    /// It names no field on which the meaning of the message depends.
    Ordinary,
    /// It names a field on which the message or its response depends, and so asks to remove it.
    Abusive,
}

/// Whether a field is about the connection even if `Connection` does not name it.
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

/// Removes all hop-by-hop fields, including those that `Connection` names.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let doomed: SmallVec<[HeaderName; 8]> = options(headers)
        .chain(headers.keys().filter(|name| is_hop_by_hop(name)).cloned())
        .collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Checks the `Connection` field of a request. Any end-to-end field of the request that it names
/// may be one on which the response varies.
pub(crate) fn connection_options(request: &HeaderMap) -> ConnectionOptions {
    let misused = options(request)
        .find(|name| !is_hop_by_hop(name) && (carries_meaning(name) || request.contains_key(name)));
    match misused {
        Some(_) => ConnectionOptions::Abusive,
        None => ConnectionOptions::Ordinary,
    }
}

/// Checks the `Connection` field of a response. A response may declare its own fields hop-by-hop,
/// unless they change its meaning.
pub(crate) fn response_connection_options(response: &HeaderMap) -> ConnectionOptions {
    match options(response).find(carries_meaning) {
        Some(_) => ConnectionOptions::Abusive,
        None => ConnectionOptions::Ordinary,
    }
}

/// The connection options that are field names.
fn options(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    list::members(headers.get_all(header::CONNECTION))
        .filter(|option| !is_usual(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
}

/// Whether this is one of the two most common options. Neither is the name of a field that could be
/// misused. Skipping them early keeps the common case fast.
fn is_usual(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}

/// Whether a field has an end-to-end meaning: removing it would change which response is correct,
/// or whether and for how long it may be reused.
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
