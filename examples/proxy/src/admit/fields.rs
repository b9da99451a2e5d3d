//! Request fields by which a client could tell the origin something else than the key says.
//!
//! Applications and the servers in front of them take the scheme, the host, the path, the method or
//! the client from such fields, mostly without naming them in `Vary`. What they make of one would be
//! stored for everybody. So they end here, unless the operator trusts whoever sets them.

use http::{HeaderMap, HeaderName, Method};
use smallvec::SmallVec;

use crate::{admit::underscores, hop};

/// What a field tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tells {
    /// Another scheme, host, port or path, or what the target was elsewhere. It is removed, and a
    /// part of the key if it is trusted.
    Target,
    /// Another method. It is removed, but not from a POST: applications take it from there, and the
    /// cache sees a POST as the write that it may be. A trusted one lets GET bypass the cache.
    Method,
    /// Another client address than the end of `X-Forwarded-For`. It is removed; a trusted one goes
    /// on, as `X-Forwarded-For` does.
    Client,
    /// Who asks, by the word of a proxy that authenticates. It is removed; a trusted one goes on,
    /// and counts as a credential as the cache has it.
    User,
}

/// The fields by their names. `X-Forwarded-For` is not among them: this proxy adds to it.
const NAMES: [(&str, Tells); 69] = [
    // What RFC 7239 made of them all.
    ("forwarded", Tells::Target),
    ("x-forwarded", Tells::Target),
    // The scheme.
    ("cf-visitor", Tells::Target),
    ("cloudfront-forwarded-proto", Tells::Target),
    ("front-end-https", Tells::Target),
    ("https", Tells::Target),
    ("wl-proxy-ssl", Tells::Target),
    ("x-arr-ssl", Tells::Target),
    ("x-client-scheme", Tells::Target),
    ("x-original-proto", Tells::Target),
    ("x-original-scheme", Tells::Target),
    ("x-scheme", Tells::Target),
    ("x-url-scheme", Tells::Target),
    // The host.
    ("disguised-host", Tells::Target),
    ("forwarded-host", Tells::Target),
    ("x-envoy-original-host", Tells::Target),
    ("x-host", Tells::Target),
    ("x-host-override", Tells::Target),
    ("x-http-host-override", Tells::Target),
    ("x-original-host", Tells::Target),
    ("x-proxy-host", Tells::Target),
    ("x-real-host", Tells::Target),
    // The path, all of it or what stands before it.
    ("base-url", Tells::Target),
    ("path-info", Tells::Target),
    ("script-name", Tells::Target),
    ("x-envoy-original-path", Tells::Target),
    ("x-http-destinationurl", Tells::Target),
    ("x-ingress-path", Tells::Target),
    ("x-original-path", Tells::Target),
    ("x-original-uri", Tells::Target),
    ("x-original-url", Tells::Target),
    ("x-override-url", Tells::Target),
    ("x-proxy-url", Tells::Target),
    ("x-replaced-path", Tells::Target),
    ("x-request-uri", Tells::Target),
    ("x-rewrite-uri", Tells::Target),
    ("x-rewrite-url", Tells::Target),
    ("x-script-name", Tells::Target),
    ("x-waws-unencoded-url", Tells::Target),
    // The method as a proxy in front had it. The cache knows it for no override.
    ("x-original-method", Tells::Target),
    // What Next.js tells itself by.
    ("x-invoke-path", Tells::Target),
    ("x-matched-path", Tells::Target),
    ("x-middleware-subrequest", Tells::Target),
    ("x-now-route-matches", Tells::Target),
    // Where a CGI program then sends its own requests to, as it gets this as HTTP_PROXY.
    ("proxy", Tells::Target),
    // The method.
    ("x-http-method", Tells::Method),
    ("x-http-method-override", Tells::Method),
    ("x-method-override", Tells::Method),
    // The address of the client.
    ("cf-connecting-ip", Tells::Client),
    ("cf-connecting-ipv6", Tells::Client),
    ("cf-pseudo-ipv4", Tells::Client),
    ("client-ip", Tells::Client),
    ("cloudfront-viewer-address", Tells::Client),
    ("fastly-client-ip", Tells::Client),
    ("fly-client-ip", Tells::Client),
    ("forwarded-for", Tells::Client),
    ("true-client-ip", Tells::Client),
    ("wl-proxy-client-ip", Tells::Client),
    ("x-azure-clientip", Tells::Client),
    ("x-azure-socketip", Tells::Client),
    ("x-client-ip", Tells::Client),
    ("x-cluster-client-ip", Tells::Client),
    ("x-envoy-external-address", Tells::Client),
    ("x-original-for", Tells::Client),
    ("x-original-forwarded-for", Tells::Client),
    ("x-originating-ip", Tells::Client),
    ("x-proxyuser-ip", Tells::Client),
    ("x-real-ip", Tells::Client),
    ("x-remote-ip", Tells::Client),
];

/// All that begin with this are removed, but one: applications have many of them.
const FORWARDED: &str = "x-forwarded-";

/// Those of them that say who asks.
const USERS: [&str; 7] = [
    "x-forwarded-access-token",
    "x-forwarded-authorization",
    "x-forwarded-client-cert",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
];

/// What a field tells that is not to be believed.
#[inline]
pub(crate) fn tells(name: &str) -> Option<Tells> {
    // Nearly all that clients send ends here.
    match name.as_bytes() {
        [b'x', b'-', ..] | [b'f', ..] | [b'c', b'f' | b'l', ..] | [b'w', b'l', ..] => {}
        [b'b', b'a', ..] | [b'd', b'i', ..] | [b'h', b't', ..] => {}
        [b'p', b'a', ..] | b"proxy" | [b's', b'c', ..] | [b't', b'r', ..] => {}
        _ => return None,
    }
    find(name)
}

fn find(name: &str) -> Option<Tells> {
    match name.strip_prefix(FORWARDED) {
        Some("for") => None,
        Some(_) if USERS.contains(&name) => Some(Tells::User),
        Some(_) => Some(Tells::Target),
        None => {
            let known = NAMES.iter().find(|(known, _)| *known == name);
            known.map(|(_, tells)| *tells)
        }
    }
}

/// Removes all of them from a request with this method, but those that are trusted.
pub(crate) fn remove(headers: &mut HeaderMap, method: &Method, trusted: &[HeaderName]) {
    let mut removed = SmallVec::<[HeaderName; 4]>::new();
    for name in headers.keys() {
        match tells(name.as_str()) {
            None => {}
            Some(_) if trusted.contains(name) => {}
            Some(Tells::Method) if *method == Method::POST => {}
            Some(_) => removed.push(name.clone()),
        }
    }
    for name in &removed {
        headers.remove(name);
    }
}

/// Removes from the trailers of a request what has no place there (RFC 9110 section 6.5.1): some
/// servers make one section of both. Nobody is trusted with it.
pub(crate) fn remove_from_trailers(trailers: &mut HeaderMap) {
    let unsafe_ones: SmallVec<[HeaderName; 4]> = trailers
        .keys()
        .filter(|name| is_unsafe(name))
        .cloned()
        .collect();
    for name in &unsafe_ones {
        trailers.remove(name);
    }
}

fn is_unsafe(trailer: &HeaderName) -> bool {
    let name = trailer.as_str();
    tells(name).is_some()
        || underscores::is_odd(name)
        || hop::is_hop_by_hop(name)
        || name.starts_with("if-")
        || matches!(
            name,
            "authorization"
                | "cache-control"
                | "cdn-loop"
                | "content-encoding"
                | "content-length"
                | "content-range"
                | "content-type"
                | "cookie"
                | "expect"
                | "host"
                | "max-forwards"
                | "origin"
                | "pragma"
                | "range"
                | "via"
                | "x-forwarded-for"
        )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn all() -> impl Iterator<Item = (&'static str, Tells)> {
        let users = USERS.into_iter().map(|name| (name, Tells::User));
        NAMES.into_iter().chain(users)
    }

    #[test]
    fn each_name_is_found_and_no_other() {
        for (name, what) in all() {
            assert_eq!(tells(name), Some(what), "{name}");
            // As the field names of requests are.
            assert_eq!(HeaderName::from_static(name).as_str(), name);
        }
        for name in [
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-ssl",
            "x-forwarded-uri",
            "x-forwarded-",
            "x-forwarded-for-original",
        ] {
            assert_eq!(tells(name), Some(Tells::Target), "{name}");
        }
        for name in [
            "x-forwarded-for",
            "host",
            "via",
            "x-wap-profile",
            "x-request-id",
            "x-requested-with",
            "x-api-key",
            "from",
            "cookie",
            "cf-ray",
            "traceparent",
            "",
            "x-",
        ] {
            assert_eq!(tells(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_trusted_stays_and_so_does_the_method_of_a_post() {
        let trusted = [HeaderName::from_static("x-real-ip")];
        for (name, what) in all() {
            for (method, stays) in [
                (Method::GET, false),
                (Method::HEAD, false),
                (Method::OPTIONS, false),
                (Method::POST, what == Tells::Method),
                (Method::PUT, false),
            ] {
                let mut headers = HeaderMap::new();
                headers.append(name, HeaderValue::from_static("1"));
                headers.append(name, HeaderValue::from_static("2"));
                headers.append("x-forwarded-for", HeaderValue::from_static("1"));
                remove(&mut headers, &method, &trusted);
                let stays = stays || name == "x-real-ip";
                assert_eq!(headers.contains_key(name), stays, "{method} {name}");
                assert!(headers.contains_key("x-forwarded-for"));
            }
        }
    }
}
