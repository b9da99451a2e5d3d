//! What a request alone says about storing its response, before there is one.

use std::fmt;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{DefaultLifetime, Exchange, NotStored, Storable, default_lifetime, storable};
use crate::semantics::{
    cache_control::RequestDirectives,
    classify::Facts,
    freshness::{Freshness, Times},
    rules::Rules,
    targeted,
    vary::Vary,
};

/// Whether the response to a request would be stored, as far as the request is concerned. The response
/// has to be storable too (RFC 9111 §3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Prospect {
    /// The request does not forbid it.
    Open,
    /// Only if the response states a lifetime, or `public`. What only a policy would give a lifetime is
    /// not stored, for this reason.
    IfStated(NotStored),
    /// Only if the response is marked for sharing by `public`, `s-maxage` or `must-revalidate`
    /// (RFC 9111 §3.5). Otherwise it is not stored, for this reason.
    IfShared(NotStored),
    /// Not in any case, for this reason.
    Never(NotStored),
}

impl Prospect {
    /// Asks the rules of storing about responses that could be stored for anybody.
    pub(crate) fn of(
        method: &Method,
        facts: &Facts,
        directives: &RequestDirectives,
        rules: &Rules,
    ) -> Self {
        let imagined = Imagined {
            method,
            facts,
            directives,
            rules,
        };
        if let Err(reason) = imagined.about("public, max-age=60") {
            return Self::Never(reason);
        }
        if let Err(reason) = imagined.about("max-age=60") {
            return Self::IfShared(reason);
        }
        match imagined.about("") {
            Err(reason) => Self::IfStated(reason),
            Ok(()) => Self::Open,
        }
    }

    /// Why the response may not be stored.
    #[must_use]
    pub fn reason(self) -> Option<NotStored> {
        match self {
            Self::Open => None,
            Self::IfStated(reason) | Self::IfShared(reason) | Self::Never(reason) => Some(reason),
        }
    }
}

impl fmt::Display for Prospect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason().map_or("", NotStored::as_str);
        match self {
            Self::Open => f.write_str("if the response allows it"),
            Self::IfStated(_) => write!(
                f,
                "only if the response states a lifetime or `public` (`{reason}` in the request)"
            ),
            Self::IfShared(_) => write!(
                f,
                "only if the response has `public`, `s-maxage` or `must-revalidate` (`{reason}` in \
                 the request)"
            ),
            Self::Never(_) => write!(f, "not in any case (`{reason}`)"),
        }
    }
}

/// A request whose response is imagined.
struct Imagined<'a> {
    method: &'a Method,
    facts: &'a Facts,
    directives: &'a RequestDirectives,
    rules: &'a Rules,
}

impl Imagined<'_> {
    /// Whether a 200 with this `Cache-Control` would be stored, or got a lifetime if it has none.
    fn about(&self, cache_control: &'static str) -> Result<(), NotStored> {
        let mut response = HeaderMap::new();
        response.insert(header::ETAG, HeaderValue::from_static("\"\""));
        if !cache_control.is_empty() {
            let value = HeaderValue::from_static(cache_control);
            response.insert(header::CACHE_CONTROL, value);
        }
        let times = Times {
            request: 0,
            response: 0,
        };
        let effective = targeted::effective(&response, self.rules);
        let freshness = Freshness::of(StatusCode::OK, &response, &effective, times, self.rules);
        let exchange = Exchange {
            method: self.method,
            facts: self.facts,
            request_directives: self.directives,
            status: StatusCode::OK,
            response: &response,
            effective: &effective,
            freshness: &freshness,
            vary: &Vary::Absent,
        };
        if cache_control.is_empty()
            && let DefaultLifetime::Withheld(reason) = default_lifetime(&exchange, self.rules)
        {
            return Err(reason);
        }
        match storable(&exchange, self.rules) {
            Storable::Store(_) => Ok(()),
            Storable::Refuse(reason) => Err(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prospect(method: &Method, fields: &[(&str, &str)]) -> Prospect {
        let rules = Rules::default();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: header::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let facts = Facts::scan(&headers, &rules);
        let directives = RequestDirectives::parse(&headers, &rules.ignored_request);
        Prospect::of(method, &facts, &directives, &rules)
    }

    #[test]
    fn a_request_says_what_its_response_needs_to_be_stored() {
        let of_cookie = Prospect::IfStated(NotStored::Cookie);
        let of_key = Prospect::IfStated(NotStored::Authorization);
        for (fields, expected) in [
            (&[][..], Prospect::Open),
            (&[("cookie", "_ga=1")], Prospect::Open),
            (&[("cookie", "session=1")], of_cookie),
            (&[("x-api-key", "1")], of_key),
            (
                &[("authorization", "Basic x")],
                Prospect::IfShared(NotStored::Authorization),
            ),
            (&[("cache-control", "no-cache")], Prospect::Open),
            (
                &[("cache-control", "no-store")],
                Prospect::Never(NotStored::RequestNoStore),
            ),
        ] {
            assert_eq!(prospect(&Method::GET, fields), expected, "{fields:?}");
        }
        let head = prospect(&Method::HEAD, &[]);
        assert_eq!(head, Prospect::Never(NotStored::Method));
        assert_eq!(head.reason(), Some(NotStored::Method));
    }
}
