//! Which road a request takes: past the cache, around it, or through it (RFC 9110 §9, RFC 9111 §4).

mod authority;
mod bypass;
mod facts;

use http::{HeaderMap, Method, Uri};

pub(crate) use authority::{Authority, authority, default_port};
pub use bypass::Bypass;
pub(crate) use facts::{FORWARDED_FIELDS, Facts};

use crate::semantics::hop::{self, ConnectionOptions};

/// The road of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Road {
    /// It becomes something other than HTTP: hand it on untouched.
    Tunnel,
    /// Its method is not one that is answered from the store: hand it on, then see what the
    /// response invalidates.
    Forward(Safety),
    /// It could be answered from the store but for this: hand it on and store nothing.
    Bypass(Bypass),
    /// Look for a stored response.
    Lookup,
}

/// Whether a method is defined as essentially read-only (RFC 9110 §9.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Safety {
    Safe,
    Unsafe,
}

impl Safety {
    /// The safety of a method. One that is unknown counts as unsafe.
    ///
    /// Beyond RFC 9110 these are safe: QUERY, and of WebDAV and its kin PROPFIND, REPORT, SEARCH.
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

/// What is known of a request's content from its body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// It ended already, or says that its size is zero.
    Absent,
    Present,
}

/// Decides the road of a request. The order matters: a tunnel is one whatever else is wrong with
/// it, and an unsafe request is to be forwarded and looked at afterwards, not bypassed.
pub(crate) fn classify(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    facts: &Facts,
    content: Content,
) -> Road {
    if facts.upgrade() || *method == Method::CONNECT {
        return Road::Tunnel;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Road::Forward(Safety::of(method));
    }
    match bypass(uri, headers, facts, content) {
        Some(reason) => Road::Bypass(reason),
        None => Road::Lookup,
    }
}

/// What keeps a GET or HEAD from being answered from the store, if anything.
fn bypass(uri: &Uri, headers: &HeaderMap, facts: &Facts, content: Content) -> Option<Bypass> {
    // The content of a GET or HEAD has no meaning that a key could hold (RFC 9110 §9.3.1), and
    // bytes left unread on the connection would be taken for the next request.
    if facts.content() || content == Content::Present {
        return Some(Bypass::Content);
    }
    if facts.method_override() {
        return Some(Bypass::MethodOverride);
    }
    if facts.url_override() {
        return Some(Bypass::UrlOverride);
    }
    // The next hop may act on `Connection` and so see other fields than those compared here
    // (RFC 9110 §7.6.1).
    if facts.connection() && hop::connection_options(headers) == ConnectionOptions::Abusive {
        return Some(Bypass::ConnectionOptions);
    }
    if !names_resource(uri) {
        return Some(Bypass::Target);
    }
    if let Err(reason) = authority(uri, headers) {
        return Some(reason);
    }
    // Only the origin can evaluate these (RFC 9111 §4.3.2).
    if facts.origin_preconditions() {
        return Some(Bypass::Preconditions);
    }
    None
}

/// Whether a request target names a resource: the asterisk and the authority form do not
/// (RFC 9112 §3.2).
fn names_resource(uri: &Uri) -> bool {
    uri.path_and_query().is_some_and(|target| target != "*")
}

#[cfg(test)]
mod tests;
