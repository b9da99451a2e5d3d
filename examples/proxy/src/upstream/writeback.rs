//! The origin's name in its responses, written back to the one that the client used.
//!
//! Runs behind the cache. The key of what is stored has the client's host, so what is stored is right
//! for all who share it. A reference is written without a scheme, `//host/path`: the client's own
//! applies, also behind something that ends TLS for the proxy.

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{CONTENT_LOCATION, Entry, LOCATION, SET_COOKIE},
};

const REFERENCES: [HeaderName; 2] = [LOCATION, CONTENT_LOCATION];

/// Scheme, host and port of the origin.
#[derive(Debug)]
pub(crate) struct OriginName {
    scheme: &'static str,
    host: String,
    port: u16,
    default_port: u16,
}

impl OriginName {
    pub(crate) fn new(origin: &Uri) -> Self {
        let (scheme, default_port) = match origin.scheme_str() {
            Some("https") => ("https:", 443),
            _ => ("http:", 80),
        };
        Self {
            scheme,
            host: origin.host().unwrap_or_default().to_ascii_lowercase(),
            port: origin.port_u16().unwrap_or(default_port),
            default_port,
        }
    }

    /// Whether an authority is the origin's.
    pub(crate) fn is(&self, authority: &[u8]) -> bool {
        let Some((host, port)) = authority.split_at_checked(self.host.len()) else {
            return false;
        };
        let port = match port {
            [] | [b':'] => Some(self.default_port),
            [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => str::from_utf8(digits)
                .ok()
                .and_then(|port| port.parse().ok()),
            _ => None,
        };
        host.eq_ignore_ascii_case(self.host.as_bytes()) && port == Some(self.port)
    }

    pub(crate) fn write_back(&self, headers: &mut HeaderMap, client: &HeaderValue) {
        for name in REFERENCES {
            if let Entry::Occupied(mut lines) = headers.entry(name) {
                for line in lines.iter_mut() {
                    if let Some(written) = self.reference(line.as_bytes(), client) {
                        *line = written;
                    }
                }
            }
        }
        if let Entry::Occupied(mut lines) = headers.entry(SET_COOKIE) {
            for line in lines.iter_mut() {
                if let Some(written) = self.cookie(line.as_bytes(), client) {
                    *line = written;
                }
            }
        }
    }

    /// `//client/path` for `scheme://origin/path` and `//origin/path`. Another scheme or port is
    /// another origin (RFC 6454 section 5): written back, a redirect from http to https would lead
    /// to itself.
    fn reference(&self, reference: &[u8], client: &HeaderValue) -> Option<HeaderValue> {
        let scheme = self.scheme.as_bytes();
        let rest = match reference.split_at_checked(scheme.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => rest,
            _ => reference,
        };
        let rest = rest.strip_prefix(b"//")?;
        let end = rest.iter().position(|byte| b"/?#".contains(byte));
        let (authority, rest) = rest.split_at(end.unwrap_or(rest.len()));
        if !self.is(authority) {
            return None;
        }
        HeaderValue::from_bytes(&[b"//", client.as_bytes(), rest].concat()).ok()
    }

    /// A cookie without a `Domain` that names the origin or a domain above it, which the client
    /// would refuse. It then belongs to the client's host alone (RFC 6265 section 5.3): no more hosts
    /// get it than the origin meant. A `Domain` that is right for the client's host stays.
    fn cookie(&self, cookie: &[u8], client: &HeaderValue) -> Option<HeaderValue> {
        let mut parts = cookie.split(|&byte| byte == b';');
        let pair = parts.next()?;
        // The last one counts.
        let domain = parts.clone().filter_map(domain).next_back()?;
        let is_origin = domain.contains(&b'.') && is_within(self.host.as_bytes(), domain);
        let client = client.as_bytes();
        let port = client.iter().position(|&byte| byte == b':');
        let client = &client[..port.unwrap_or(client.len())];
        if !is_origin || is_within(client, domain) {
            return None;
        }
        let mut written = pair.to_vec();
        for part in parts.filter(|part| domain_value(part).is_none()) {
            written.push(b';');
            written.extend_from_slice(part);
        }
        HeaderValue::from_bytes(&written).ok()
    }
}

/// The value of a `Domain` attribute, and empty ones too.
fn domain_value(attribute: &[u8]) -> Option<&[u8]> {
    let equals = attribute.iter().position(|&byte| byte == b'=')?;
    let (name, value) = attribute.split_at(equals);
    let is_domain = name.trim_ascii().eq_ignore_ascii_case(b"domain");
    is_domain.then(|| value[1..].trim_ascii())
}

fn domain(attribute: &[u8]) -> Option<&[u8]> {
    let value = domain_value(attribute)?;
    let value = value.strip_prefix(b".").unwrap_or(value);
    (!value.is_empty()).then_some(value)
}

/// Whether a host is a domain, or one below it.
fn is_within(host: &[u8], domain: &[u8]) -> bool {
    let Some(start) = host.len().checked_sub(domain.len()) else {
        return false;
    };
    let (above, end) = host.split_at(start);
    end.eq_ignore_ascii_case(domain) && (above.is_empty() || above.ends_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(origin: &str, field: HeaderName, value: &str, client: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(&field, HeaderValue::from_str(value).unwrap());
        let name = OriginName::new(&origin.parse().unwrap());
        name.write_back(&mut headers, &HeaderValue::from_static(client));
        headers[field].to_str().unwrap().to_owned()
    }

    #[test]
    fn references_to_the_origin_become_those_to_the_host_of_the_client() {
        let (secure, plain) = ("https://www.example.com", "http://www.example.com:8080");
        for (origin, value, expected) in [
            (
                secure,
                "https://www.example.com/a?b#c",
                "//c.test:8000/a?b#c",
            ),
            (secure, "HTTPS://WWW.Example.COM/A", "//c.test:8000/A"),
            (secure, "https://www.example.com:443/", "//c.test:8000/"),
            (secure, "https://www.example.com:/", "//c.test:8000/"),
            (secure, "https://www.example.com", "//c.test:8000"),
            (secure, "https://www.example.com?q", "//c.test:8000?q"),
            (secure, "https://www.example.com#f", "//c.test:8000#f"),
            (secure, "//www.example.com/a", "//c.test:8000/a"),
            // No reference to another host comes of it.
            (
                secure,
                "https://www.example.com//evil.test/",
                "//c.test:8000//evil.test/",
            ),
            (plain, "http://www.example.com:8080/a", "//c.test:8000/a"),
            // What names another one stays.
            (secure, "http://www.example.com/", ""),
            (secure, "https://www.example.com:8443/", ""),
            (secure, "https://www.example.com:443443/", ""),
            (secure, "https://example.com/", ""),
            (secure, "https://www.example.com.evil.test/", ""),
            (secure, "https://www.example.community/", ""),
            (secure, "https://www.example.com@evil.test/", ""),
            (secure, "https://user@www.example.com/", ""),
            (secure, r"https://www.example.com\@evil.test/", ""),
            (secure, "https:/www.example.com/", ""),
            (secure, "https:www.example.com", ""),
            (secure, "/www.example.com/a", ""),
            (secure, "/login?next=https://www.example.com/", ""),
            (secure, "", ""),
            (plain, "http://www.example.com/", ""),
            (plain, "https://www.example.com:8080/", ""),
        ] {
            let expected = if expected.is_empty() { value } else { expected };
            for field in REFERENCES {
                assert_eq!(written(origin, field, value, "c.test:8000"), expected);
            }
        }
    }

    #[test]
    fn a_cookie_for_the_domain_of_the_origin_is_one_for_the_host_of_the_client() {
        for (value, expected) in [
            ("a=1; Domain=www.example.com; Path=/", "a=1; Path=/"),
            ("a=1; domain = .Example.com ;Secure", "a=1;Secure"),
            ("a=1;Domain=example.com", "a=1"),
            ("a=1; Domain=other.test; Domain=example.com", "a=1"),
            ("a=Domain=example.com; Path=/", ""),
            ("a=1; Domain=example.com; Domain=other.test", ""),
            // Empty ones count for nothing.
            ("a=1; Domain=; Path=/", ""),
            ("a=1; Domain; Path=/", ""),
            // Not the origin's, or for too many: the client refuses it.
            ("a=1; Domain=com", ""),
            ("a=1; Domain=xample.com", ""),
            ("a=1; Domain=a.www.example.com", ""),
            ("a=1; Domain=other.test", ""),
            ("a=1", ""),
            ("", ""),
        ] {
            let expected = if expected.is_empty() { value } else { expected };
            let origin = "https://www.example.com";
            assert_eq!(
                written(origin, SET_COOKIE, value, "c.test:80"),
                expected,
                "{value}"
            );
        }
        // A host of the same domain is sent such a cookie.
        let shared = "a=1; Domain=example.com";
        for client in ["shop.example.com", "SHOP.EXAMPLE.COM:8000", "example.com"] {
            assert_eq!(
                written("https://www.example.com", SET_COOKIE, shared, client),
                shared
            );
        }
        assert_eq!(
            written(
                "https://www.example.com",
                SET_COOKIE,
                shared,
                "example.community"
            ),
            "a=1"
        );
    }

    #[test]
    fn an_address_is_a_name_too() {
        let origin = "http://[::1]:9000";
        assert_eq!(
            written(origin, LOCATION, "http://[::1]:9000/a", "c.test"),
            "//c.test/a"
        );
        let origin = "http://127.0.0.1:9000";
        assert_eq!(
            written(origin, SET_COOKIE, "a=1; Domain=127.0.0.1", "c.test"),
            "a=1"
        );
    }
}
