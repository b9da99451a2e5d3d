//! Request fields whose names servers take for others: those with `_`, or with `.` and the like.
//!
//! CGI, WSGI and what came after them hand fields to applications as variables, where `X_Api_Key` and
//! `X-Api-Key` have one name. The cache takes them for two fields. So a client could say by the one
//! what the cache looks for in the other: a key, a host, a language.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use cachewarp::CacheLayer;
use clap::ValueEnum;
use http::{HeaderMap, HeaderName, Method, header::CONTENT_TYPE};
use smallvec::SmallVec;

use crate::{
    admit::fields::{self, Tells},
    hop,
};

/// How many names are logged, and how many bytes of each.
const LOGGED: usize = 64;
const LOGGED_BYTES: usize = 64;

/// `--underscore-fields`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// The origin does not get them; each name is logged once
    Drop,
    /// The origin gets them, but for those that it may take for a field with a meaning of its own
    Forward,
    /// 400
    Reject,
}

/// What becomes of the rest of a request with such fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    /// What comes back may depend on a field that the cache does not look for under this name.
    BypassCache,
    Refuse,
}

/// What is done about such fields.
#[derive(Debug)]
pub(crate) struct Underscores {
    /// `None`: they are dropped, but from requests of gRPC, where they are metadata.
    policy: Option<Policy>,
    /// Knows which names count as credentials.
    cache: CacheLayer,
    keyed: Vec<HeaderName>,
    /// They go on whatever the policy is.
    trusted: Box<[HeaderName]>,
    logged: Logged,
}

#[derive(Debug, Default)]
struct Logged {
    names: Mutex<HashSet<String>>,
    /// No further ones are logged.
    full: AtomicBool,
}

/// Whether servers may take a field of this name for another one: letters, digits and hyphens are
/// what all hand on as they are.
#[inline]
pub(crate) fn is_odd(name: &str) -> bool {
    // Without a branch for each byte: every field of every hit is asked about.
    let odd = |byte: u8| ODD[usize::from(byte)];
    let (fours, rest) = name.as_bytes().as_chunks::<4>();
    let fours = fours.iter().fold(false, |any, [a, b, c, d]| {
        any | odd(*a) | odd(*b) | odd(*c) | odd(*d)
    });
    rest.iter().fold(fours, |any, byte| any | odd(*byte))
}

/// All but lower-case letters, in which a `HeaderMap` has names, digits and hyphens.
static ODD: [bool; 256] = {
    let mut odd = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = byte as u8;
        if letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-' {
            odd[byte] = false;
        }
        byte += 1;
    }
    odd
};

impl Underscores {
    pub(crate) fn new(
        policy: Option<Policy>,
        cache: CacheLayer,
        keyed: Vec<HeaderName>,
        trusted: Box<[HeaderName]>,
    ) -> Self {
        Self {
            policy,
            cache,
            keyed,
            trusted,
            logged: Logged::default(),
        }
    }

    /// Applies the policy to a request that has such fields.
    pub(crate) fn apply(&self, method: &Method, headers: &mut HeaderMap) -> Verdict {
        let policy = self.policy.unwrap_or_else(|| {
            if *method == Method::POST && is_grpc(headers) {
                Policy::Forward
            } else {
                Policy::Drop
            }
        });
        let mut verdict = Verdict::GoOn;
        let mut removed = SmallVec::<[HeaderName; 4]>::new();
        for name in headers.keys().filter(|name| is_odd(name.as_str())) {
            // By this very name, the operator has said what it is.
            let is_known = self.keyed.contains(name) || self.cache.is_credential(name);
            if is_known {
                continue;
            }
            let other = folded(name);
            if !self.trusted.contains(name) {
                match policy {
                    Policy::Reject => return Verdict::Refuse,
                    Policy::Forward if !has_meaning(&other) => {}
                    Policy::Forward | Policy::Drop => {
                        removed.push(name.clone());
                        continue;
                    }
                }
            }
            // The cache lets a method that is told go past it, by the names that it knows.
            let is_method = fields::tells(other.as_str()) == Some(Tells::Method);
            if is_method || self.keyed.contains(&other) || self.cache.is_credential(&other) {
                verdict = Verdict::BypassCache;
            }
        }
        for name in &removed {
            headers.remove(name);
            self.log(name.as_str());
        }
        verdict
    }

    fn log(&self, name: &str) {
        if self.logged.full.load(Ordering::Relaxed) || !tracing::enabled!(tracing::Level::WARN) {
            return;
        }
        // A name is ASCII.
        let name = name.get(..LOGGED_BYTES).unwrap_or(name);
        {
            let mut names = self
                .logged
                .names
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if names.contains(name) || names.len() == LOGGED {
                return;
            }
            names.insert(name.to_owned());
            if names.len() == LOGGED {
                self.logged.full.store(true, Ordering::Relaxed);
            }
        }
        tracing::warn!(
            name,
            "a request field is dropped: its name has _ or another character by which servers take it \
             for a field with -; --underscore-fields forward lets such fields through"
        );
    }
}

/// The name that CGI makes of both, with hyphens.
pub(crate) fn folded(name: &HeaderName) -> HeaderName {
    let letters = name.as_str().bytes();
    let plain = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            byte
        } else {
            b'-'
        }
    };
    let folded: SmallVec<[u8; 64]> = letters.map(plain).collect();
    // Letters, digits and hyphens are a name.
    HeaderName::from_bytes(&folded).unwrap_or_else(|_| name.clone())
}

/// Whether HTTP, the cache or the table of [`fields`] has a meaning for this name, so that nobody sends
/// another spelling of it for an honest purpose.
fn has_meaning(name: &HeaderName) -> bool {
    let name = name.as_str();
    fields::tells(name).is_some()
        || hop::is_hop_by_hop(name)
        || [
            "accept-",
            "access-control-",
            "cache-",
            "cdn-",
            "content-",
            "if-",
            "sec-",
            "x-forwarded-",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(name, "max-forwards" | "user-agent" | "early-data")
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    let start = kind.and_then(|kind| kind.get(..b"application/grpc".len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn apply(
        policy: Option<Policy>,
        method: &Method,
        names: &[&'static str],
    ) -> (Verdict, Vec<String>) {
        let cache = CacheLayer::builder().credential_headers(["x-own-*", "own_key"]);
        let name = HeaderName::from_static;
        let keyed = vec![name("x-tenant"), name("own_unit")];
        let trusted = ["own_name", "x_token", "own_unit", "x_http_method"].map(name);
        let trusted = Box::new(trusted);
        let underscores = Underscores::new(policy, cache.build().unwrap(), keyed, trusted);
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(*name, HeaderValue::from_static("application/grpc+proto"));
        }
        let verdict = underscores.apply(method, &mut headers);
        let mut left: Vec<_> = headers.keys().map(ToString::to_string).collect();
        left.sort_unstable();
        (verdict, left)
    }

    #[test]
    fn odd_names_are_those_that_servers_fold() {
        for name in ["x_a", "_", "a.b", "a!b", "a~", "x-a_b", "a|b", "a+b", "$a"] {
            assert!(is_odd(HeaderName::from_static(name).as_str()), "{name}");
        }
        for name in [
            "x-a",
            "a",
            "host",
            "-",
            "sec-ch-ua-platform-version",
            "x1-2",
        ] {
            assert!(!is_odd(name), "{name}");
        }
    }

    #[test]
    fn the_policy_decides_what_goes_on() {
        let go_on = Verdict::GoOn;
        let bypass = Verdict::BypassCache;
        let (get, post) = (Method::GET, Method::POST);
        for (policy, method, sent, verdict, left) in [
            (None, &get, &["x_a", "x-b", "c.d"][..], go_on, &["x-b"][..]),
            (None, &post, &["x_a", "x-b"], go_on, &["x-b"]),
            (
                None,
                &post,
                &["x_a", "content-type"],
                go_on,
                &["content-type", "x_a"],
            ),
            (
                None,
                &get,
                &["x_a", "content-type"],
                go_on,
                &["content-type"],
            ),
            (
                Some(Policy::Drop),
                &post,
                &["x_a", "content-type"],
                go_on,
                &["content-type"],
            ),
            (
                Some(Policy::Forward),
                &get,
                &["x_a", "c.d"],
                go_on,
                &["c.d", "x_a"],
            ),
            (
                Some(Policy::Forward),
                &get,
                &["x_api_key"],
                bypass,
                &["x_api_key"],
            ),
            (
                Some(Policy::Forward),
                &get,
                &["x-api_key"],
                bypass,
                &["x-api_key"],
            ),
            (
                Some(Policy::Forward),
                &get,
                &["x.api.key"],
                bypass,
                &["x.api.key"],
            ),
            (
                Some(Policy::Forward),
                &get,
                &["x_own_key"],
                bypass,
                &["x_own_key"],
            ),
            (
                Some(Policy::Forward),
                &get,
                &["x_tenant"],
                bypass,
                &["x_tenant"],
            ),
            (
                Some(Policy::Forward),
                &get,
                &[
                    "x_forwarded_host",
                    "x_forwarded_for",
                    "x-original_url",
                    "x_http_method_override",
                    "accept_language",
                    "if_none_match",
                    "content_length",
                    "transfer_encoding",
                    "cache_control",
                    "user_agent",
                ],
                go_on,
                &[],
            ),
            (
                Some(Policy::Drop),
                &get,
                &["own_unit", "own_key", "own_name"],
                go_on,
                &["own_key", "own_name", "own_unit"],
            ),
            (
                Some(Policy::Reject),
                &get,
                &["own_unit", "own_key", "own_name"],
                go_on,
                &["own_key", "own_name", "own_unit"],
            ),
            (None, &get, &["x_token"], bypass, &["x_token"]),
            (None, &get, &["x_http_method"], bypass, &["x_http_method"]),
            (
                Some(Policy::Reject),
                &get,
                &["x_a"],
                Verdict::Refuse,
                &["x_a"],
            ),
        ] {
            let (said, stays) = apply(policy, method, sent);
            assert_eq!(said, verdict, "{policy:?} {method} {sent:?}");
            assert_eq!(stays, left, "{policy:?} {method} {sent:?}");
        }
    }

    #[test]
    fn what_is_logged_is_bounded() {
        let cache = CacheLayer::builder().build().unwrap();
        let underscores = Underscores::new(None, cache, Vec::new(), Box::default());
        let subscriber = tracing_subscriber::fmt()
            .with_writer(std::io::sink)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            for index in 0..200 {
                underscores.log(&format!("x_{index}"));
                underscores.log(&"x_".repeat(10_000));
            }
        });
        let names = underscores.logged.names.lock().unwrap();
        assert_eq!(names.len(), LOGGED);
        assert!(names.iter().all(|name| name.len() <= LOGGED_BYTES));
    }
}
