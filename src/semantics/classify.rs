//! Which road a request takes: past the cache, around it, or through it (RFC 9110 §9, RFC 9111 §4).

mod authority;
mod bypass;
mod facts;

use http::{HeaderMap, Method, Uri, header::HOST};

pub(crate) use authority::{Authority, authority, default_port};
pub use bypass::Bypass;
pub(crate) use facts::{FORWARDED_FIELDS, Facts};

use crate::semantics::hop::{self, ConnectionOptions};

/// The road of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route<'a> {
    /// It becomes something other than HTTP: hand it on untouched.
    Tunnel,
    /// Its method is not one that is answered from the store: hand it on, then see what the
    /// response invalidates.
    Forward(Safety),
    /// It could be answered from the store but for this: hand it on and store nothing.
    Bypass(Bypass),
    /// Look for a stored response, under this authority if the request names one.
    Lookup(Option<&'a [u8]>),
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

/// The authority to look a GET or HEAD up under, or what keeps it from being looked up.
fn keyable<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
    facts: &Facts,
    content: Content,
) -> Result<Option<&'a [u8]>, Bypass> {
    // The content of a GET or HEAD has no meaning that a key could hold (RFC 9110 §9.3.1), and
    // bytes left unread on the connection would be taken for the next request.
    if facts.content() || content == Content::Present {
        return Err(Bypass::Content);
    }
    if facts.method_override() {
        return Err(Bypass::MethodOverride);
    }
    if facts.url_override() {
        return Err(Bypass::UrlOverride);
    }
    // The next hop may act on `Connection` and so see other fields than those compared here
    // (RFC 9110 §7.6.1).
    if facts.connection() && hop::connection_options(headers) == ConnectionOptions::Abusive {
        return Err(Bypass::ConnectionOptions);
    }
    if !names_resource(uri) {
        return Err(Bypass::Target);
    }
    if facts.repeated_host() {
        return Err(Bypass::RepeatedHost);
    }
    // Nearly every request begins with it (RFC 9110 §7.2): a scan finds it sooner than a lookup.
    let host = headers.iter().find(|(name, _)| **name == HOST);
    let authority = authority::agreed(uri, host.map(|(_, host)| host))?;
    // Only the origin can evaluate these (RFC 9111 §4.3.2).
    if facts.origin_preconditions() {
        return Err(Bypass::Preconditions);
    }
    Ok(authority)
}

/// Whether a request target names a resource: the asterisk and the authority form do not
/// (RFC 9112 §3.2).
fn names_resource(uri: &Uri) -> bool {
    uri.path_and_query().is_some_and(|target| target != "*")
}

#[cfg(test)]
mod tests;
