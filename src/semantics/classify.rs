//! Classifies a request: whether it is looked up, bypasses the cache, or is only forwarded (RFC
//! 9110 §9, RFC 9111 §4).

mod authority;
mod bypass;
mod facts;
mod requester;

use http::{HeaderMap, Method, Uri, header::HOST};

pub(crate) use authority::{Authority, authority, default_port};
pub use bypass::Bypass;
pub(crate) use facts::{FORWARDED_FIELDS, Facts};
pub(crate) use requester::Requester;

use crate::semantics::hop::{self, ConnectionOptions};

/// How the cache handles a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route<'a> {
    /// The connection switches to another protocol: forward the request unchanged.
    Tunnel,
    /// The method is not answered from the store: forward the request, then invalidate what the
    /// response says was changed.
    Forward(Safety),
    /// The method could be answered from the store, but for this reason: forward the request and
    /// store nothing.
    Bypass(Bypass),
    /// Look for a stored response. The authority is that of the request, if it names one.
    Lookup(Option<&'a [u8]>),
}

/// Whether a method is defined as read-only (RFC 9110 §9.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Safety {
    Safe,
    Unsafe,
}

impl Safety {
    /// The safety of a method. An unknown method counts as unsafe.
    ///
    /// Besides those of RFC 9110, these methods are safe: QUERY, and PROPFIND, REPORT and SEARCH of
    /// WebDAV.
    pub(crate) fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE => Self::Safe,
            _ => match method.as_str() {
                "QUERY" | "PROPFIND" | "REPORT" | "SEARCH" => Self::Safe,
                _ => Self::Unsafe,
            },
        }
    }
}

/// Whether a request has content, as far as its body tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// The body has ended, or its exact size is zero.
    Absent,
    Present,
}

/// Decides how to handle a request. The order matters: a tunnel stays a tunnel whatever its other
/// fields say, and an unsafe request must not bypass the cache, since its response may invalidate.
pub(crate) fn classify<'a>(
    method: &Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    facts: &Facts,
    content: Content,
) -> Route<'a> {
    if facts.upgrade() || *method == Method::CONNECT {
        return Route::Tunnel;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Route::Forward(Safety::of(method));
    }
    match keyable(uri, headers, facts, content) {
        Ok(authority) => Route::Lookup(authority),
        Err(reason) => Route::Bypass(reason),
    }
}

/// The authority under which a GET or HEAD is looked up, or the reason why it bypasses the cache.
fn keyable<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
    facts: &Facts,
    content: Content,
) -> Result<Option<&'a [u8]>, Bypass> {
    // Content of a GET or HEAD has no defined meaning, so it cannot be part of the key (RFC 9110
    // §9.3.1). If it was left unread on the connection, it would be taken for the next request.
    if facts.content() || content == Content::Present {
        return Err(Bypass::Content);
    }
    let authority = nameable(uri, headers, facts)?;
    // Only the origin can evaluate these preconditions (RFC 9111 §4.3.2).
    if facts.origin_preconditions() {
        return Err(Bypass::Preconditions);
    }
    Ok(authority)
}

/// The authority under which a POST is looked up that is declared to be a read, and whose content
/// is a part of the key; or the reason why it bypasses the cache.
pub(crate) fn declared_read<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
    facts: &Facts,
) -> Result<Option<&'a [u8]>, Bypass> {
    // With a method other than GET and HEAD, a condition that is not met means 412, and ranges have
    // no meaning (RFC 9110 §13.2.1, §14.2).
    if facts.origin_preconditions() || facts.conditional() || facts.range() {
        return Err(Bypass::Preconditions);
    }
    nameable(uri, headers, facts)
}

/// The authority of a request whose fields agree on what it is for, if it names one.
fn nameable<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
    facts: &Facts,
) -> Result<Option<&'a [u8]>, Bypass> {
    if facts.method_override() {
        return Err(Bypass::MethodOverride);
    }
    if facts.url_override() {
        return Err(Bypass::UrlOverride);
    }
    // The next hop may remove the fields that `Connection` names, and so see other fields than
    // those that are compared here (RFC 9110 §7.6.1).
    if facts.connection() && hop::connection_options(headers) == ConnectionOptions::Abusive {
        return Err(Bypass::ConnectionOptions);
    }
    if !names_resource(uri) {
        return Err(Bypass::Target);
    }
    if facts.repeated_host() {
        return Err(Bypass::RepeatedHost);
    }
    // `Host` is nearly always the first field (RFC 9110 §7.2): a scan finds it faster than a
    // lookup.
    let host = headers.iter().find(|(name, _)| **name == HOST);
    authority::agreed(uri, host.map(|(_, host)| host))
}

/// Whether the request target names a resource. The asterisk form and the authority form do not
/// (RFC 9112 §3.2).
fn names_resource(uri: &Uri) -> bool {
    uri.path_and_query().is_some_and(|target| target != "*")
}

#[cfg(test)]
mod tests;
