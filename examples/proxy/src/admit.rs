//! A request's way to the cache: checked, put into one canonical form, freed of per-hop fields.
//!
//! Everything the cache keys on is settled here, before the layer sees the request. Whatever only
//! a forwarded request needs (`Via`, `X-Forwarded-*`) is added behind it, so a hit pays nothing.

pub(crate) mod allowed;
pub(crate) mod fields;
pub(crate) mod hosts;
pub(crate) mod identity;
pub(crate) mod target;
pub(crate) mod underscores;

use std::sync::OnceLock;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, MAX_FORWARDS, UPGRADE},
};

use crate::{
    admit::{
        allowed::AllowedHosts,
        identity::Identity,
        underscores::{Underscores, Verdict},
    },
    hop::{self, Coding, Stripped},
};

/// Fields and their bytes that a request may have at most: no more than usual origins take, so
/// that no client can provoke an error of the origin that is then stored (RFC 6585 section 5).
const MAX_FIELDS: usize = 64;
const MAX_FIELD_BYTES: usize = 16 * 1024;

/// What admission goes by.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) identity: Identity,
    pub(crate) hosts: AllowedHosts,
    /// Fields that go on although [`fields`] has them.
    pub(crate) trusted: Box<[HeaderName]>,
    pub(crate) underscores: Underscores,
}

/// Where an admitted request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the cache. Upgrades too: it passes them through.
    Cache,
    /// To the cache, which has to see it but must not store what comes back.
    Unstored,
    /// To the origin directly, as what comes back is for this client alone: its `Connection` took away
    /// a field that the response may depend on, or it sent one under a name that the cache does not
    /// look for.
    Origin(PastCache),
}

/// Why a request goes to the origin directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PastCache {
    Connection,
    FieldName,
}

impl PastCache {
    /// The word for it in `Cache-Status`.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Connection => "connection-header",
            Self::FieldName => "field-name",
        }
    }
}

/// An extension of requests that take [`Route::Unstored`]: what comes back is for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForOneClient;

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400
    Invalid(&'static str),
    /// 421: the host is none of `--allow-host`.
    Misdirected,
    /// 431
    HeadTooLarge,
    /// 501: a reverse proxy opens no connections for its clients (RFC 9110 section 9.3.6).
    Connect,
    /// 501: content in a transfer coding other than chunked (RFC 9112 section 6.1).
    TransferCoding,
    /// 508
    Loop,
    /// `Max-Forwards` has run out: answered here, by the last recipient it allows.
    LastHop,
}

/// What one walk over the fields saw.
#[derive(Default)]
struct Seen {
    bytes: usize,
    hosts: usize,
    lengths: usize,
    cookies: usize,
    hop_by_hop: bool,
    tells: bool,
    odd: bool,
    signatures: bool,
}

impl Seen {
    fn in_fields(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            seen.bytes += name.len() + value.len() + 4;
            match name {
                "host" => seen.hosts += 1,
                "content-length" => seen.lengths += 1,
                "cookie" => seen.cookies += 1,
                "via" | "cdn-loop" => seen.signatures = true,
                name if hop::is_hop_by_hop(name) => seen.hop_by_hop = true,
                name if fields::tells(name).is_some() => seen.tells = true,
                name => seen.odd |= underscores::is_odd(name),
            }
        }
        seen
    }
}

/// The first host that a connection asked for, if it came in the form that is keyed. Nearly every
/// connection has but one, so that it is checked once and not for each request.
#[derive(Debug, Default)]
pub(crate) struct KnownHost(OnceLock<HeaderValue>);

impl KnownHost {
    /// Whether a request names this host and no other, in the form of target that needs no change.
    fn is_asked_for<B>(&self, request: &Request<B>, hosts: usize) -> bool {
        let (Some(known), 1) = (self.0.get(), hosts) else {
            return false;
        };
        let uri = request.uri();
        uri.authority().is_none()
            && uri.path().starts_with('/')
            && request.headers().get(HOST) == Some(known)
    }
}

/// Checks a request and makes it canonical: origin-form target, exactly one `Host`, no hop-by-hop
/// fields, and none that tell the origin otherwise. `default_host` stands in for the `Host` that
/// HTTP/1.0 may omit.
pub(crate) fn admit<B>(
    request: &mut Request<B>,
    rules: &Rules,
    default_host: &HeaderValue,
    known_host: &KnownHost,
) -> Result<Route, Refusal> {
    let seen = Seen::in_fields(request.headers());
    if request.headers().len() > MAX_FIELDS || seen.bytes > MAX_FIELD_BYTES {
        return Err(Refusal::HeadTooLarge);
    }
    if request.method() == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    if seen.lengths > 1 {
        // Of HTTP/2 alone: for HTTP/1, hyper makes one line of equal ones and refuses others.
        return Err(Refusal::Invalid("more than one Content-Length"));
    }
    if !known_host.is_asked_for(request, seen.hosts) {
        target::settle(request, seen.hosts, default_host)?;
        let host = request.headers().get(HOST);
        let allowed = host.filter(|host| host.to_str().is_ok_and(|it| rules.hosts.contain(it)));
        let Some(host) = allowed else {
            return Err(Refusal::Misdirected);
        };
        known_host.0.get_or_init(|| host.clone());
    }
    // Before the cache: a request that came round again would wait there for itself.
    if seen.signatures && rules.identity.signed(request.headers()) {
        return Err(Refusal::Loop);
    }
    count_down(request)?;
    let mut verdict = Verdict::GoOn;
    if seen.odd {
        let method = request.method().clone();
        verdict = rules.underscores.apply(&method, request.headers_mut());
    }
    if verdict == Verdict::Refuse {
        return Err(Refusal::Invalid(
            "the name of a header field has a character other than letters, digits and hyphens",
        ));
    }
    if seen.tells {
        let method = request.method().clone();
        fields::remove(request.headers_mut(), &method, &rules.trusted);
    }
    if seen.cookies > 1 && request.version() == Version::HTTP_2 {
        join_cookies(request.headers_mut());
    }
    let tampered = seen.hop_by_hop && strip(request)? == Stripped::Tampering;
    let past = if tampered {
        Some(PastCache::Connection)
    } else {
        (verdict == Verdict::BypassCache).then_some(PastCache::FieldName)
    };
    // The cache has to see writes, and passes upgrades through.
    Ok(match past {
        None => Route::Cache,
        Some(why) if is_cacheable(request) && !request.headers().contains_key(UPGRADE) => {
            Route::Origin(why)
        }
        Some(_) => Route::Unstored,
    })
}

/// GET and HEAD alone are answered from the cache; others pass it so that it sees writes.
fn is_cacheable<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// `Max-Forwards` bounds OPTIONS and TRACE (RFC 9110 section 7.6.2).
fn count_down<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    if !matches!(*request.method(), Method::OPTIONS | Method::TRACE) {
        return Ok(());
    }
    let field = request.headers().get(MAX_FORWARDS);
    let left = field.and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match left {
        Some(0) => Err(Refusal::LastHop),
        Some(left) => {
            request
                .headers_mut()
                .insert(MAX_FORWARDS, HeaderValue::from(left - 1));
            Ok(())
        }
        None => Ok(()),
    }
}

/// HTTP/2 may send cookies in several lines; other versions expect one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Removes hop-by-hop fields; an upgrade that can be tunnelled keeps the two that ask for it.
fn strip<B>(request: &mut Request<B>) -> Result<Stripped, Refusal> {
    let can_tunnel = can_tunnel(request);
    let headers = request.headers_mut();
    if hop::coding(headers) == Coding::Other {
        return Err(Refusal::TransferCoding);
    }
    let stripped = hop::strip(headers);
    if stripped == Stripped::Upgrade && can_tunnel {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Ok(stripped);
    }
    headers.remove(UPGRADE);
    Ok(stripped)
}

/// WebSocket alone (RFC 6455 section 4.1), whatever else a client would also speak. A tunnelled h2c
/// would carry requests past the cache and its checks, and of other protocols this proxy does not
/// know whether they do. A server may ignore any upgrade (RFC 9110 section 7.8).
fn can_tunnel<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let has_content = hop::coding(headers) != Coding::Plain
        || hop::options(headers, &CONTENT_LENGTH).any(|length| length != b"0");
    request.version() == Version::HTTP_11
        && *request.method() == Method::GET
        && !has_content
        && hop::options(headers, &UPGRADE).any(hop::is_websocket)
}

#[cfg(test)]
mod tests;
