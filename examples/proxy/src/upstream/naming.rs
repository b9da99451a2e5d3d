//! Which host name the origin is asked by: the client's, or its own.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Args;
use http::{HeaderValue, Response, StatusCode, Uri};
use tokio::time::Instant;

use crate::{origin::ORIGIN, upstream::writeback::OriginName};

const HINT_EVERY: Duration = Duration::from_secs(60);

/// The ends of names that mean nothing in public: reserved ones (RFC 6761, 6762, 8375, 9476, and
/// `internal` of the root zone), and those that are usual within one network.
const PRIVATE: [&str; 21] = [
    "alt",
    "cluster",
    "consul",
    "corp",
    "default",
    "docker",
    "example",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "nomad",
    "onion",
    "private",
    "svc",
    "test",
];

/// The flags.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Names {
    /// Send the origin its own name as Host instead of the client's, and write its name back in
    /// Location, Content-Location and Set-Cookie: the default for an origin with a public name
    #[arg(long, help_heading = ORIGIN, conflicts_with = "no_rewrite_host")]
    rewrite_host: bool,

    /// Send the origin the client's Host: the default for an address, a name without dots, and a
    /// private name such as app.internal
    #[arg(long, help_heading = ORIGIN)]
    no_rewrite_host: bool,
}

/// Which host name the origin receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostPolicy {
    /// The one the client used.
    Keep,
    /// The origin's own.
    Rewrite,
}

/// The names of the origin and of its clients.
#[derive(Debug)]
pub(crate) struct Naming {
    pub(crate) policy: HostPolicy,
    origin: OriginName,
    hints: Hints,
}

/// Whether a response is worth a hint about the host name.
#[derive(Debug, Default)]
struct Hints {
    /// The origin has answered in a way that says nothing against the name.
    knows: AtomicBool,
    last: Mutex<Option<Instant>>,
}

impl Names {
    pub(crate) fn policy(self, origin: &Uri) -> HostPolicy {
        let is_public = origin.host().is_some_and(is_public);
        if self.rewrite_host || (is_public && !self.no_rewrite_host) {
            HostPolicy::Rewrite
        } else {
            HostPolicy::Keep
        }
    }
}

impl Naming {
    pub(crate) fn new(names: Names, origin: &Uri) -> Self {
        Self {
            policy: names.policy(origin),
            origin: OriginName::new(origin),
            hints: Hints::default(),
        }
    }

    /// What a client that used `host` is to see in place of the origin's name.
    pub(crate) fn settle<B>(&self, host: Option<&HeaderValue>, response: &mut Response<B>) {
        let Some(host) = host else { return };
        self.hint(host, response.status());
        if self.policy == HostPolicy::Rewrite {
            self.origin.write_back(response.headers_mut(), host);
        }
    }

    fn hint(&self, host: &HeaderValue, status: StatusCode) {
        if !self.hints.say(status, Instant::now) || self.origin.is(host.as_bytes()) {
            return;
        }
        let status = status.as_u16();
        match self.policy {
            HostPolicy::Keep => tracing::warn!(
                status,
                ?host,
                "the origin may not know this host: with --rewrite-host it gets its own name"
            ),
            HostPolicy::Rewrite => tracing::warn!(
                status,
                "the origin may not know its own name: with --no-rewrite-host it gets the client's"
            ),
        }
    }
}

impl Hints {
    /// 421 says that the name is wrong. 403 and 404 may say so, as long as there is nothing else.
    fn say(&self, status: StatusCode, now: impl FnOnce() -> Instant) -> bool {
        match status {
            StatusCode::MISDIRECTED_REQUEST => {}
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                if self.knows.load(Ordering::Relaxed) {
                    return false;
                }
            }
            // What stands before the origin may have said it.
            status if status.is_server_error() => return false,
            _ => {
                // So that many threads do not write where all of them read.
                if !self.knows.load(Ordering::Relaxed) {
                    self.knows.store(true, Ordering::Relaxed);
                }
                return false;
            }
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        if last.is_some_and(|last| now.saturating_duration_since(last) < HINT_EVERY) {
            return false;
        }
        *last = Some(now);
        true
    }
}

/// Whether a name is one of the public DNS. There, one server has many hosts, and answers 403, 404
/// or 421 to a name that it does not have.
fn is_public(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let Some((_, last)) = host.rsplit_once('.') else {
        return false;
    };
    let is_address = host.parse::<Ipv4Addr>().is_ok()
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        // What resolvers take for an address too, such as 127.1 or 0x7f.0.0.1.
        || last.starts_with(|first: char| first.is_ascii_digit());
    let is_private = PRIVATE.iter().any(|end| {
        host.strip_suffix(end)
            .is_some_and(|name| name.ends_with('.'))
    });
    !last.is_empty() && !is_address && !is_private
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_names_are_rewritten_by_default() {
        for (origin, rewritten) in [
            ("https://www.example.com", true),
            ("http://www.example.com:8080", true),
            ("https://EXAMPLE.ORG.", true),
            ("https://local.example.com", true),
            ("https://notlocal.dev", true),
            ("https://xn--bcher-kva.ch", true),
            ("http://127.0.0.1:9000", false),
            ("https://10.0.0.1", false),
            ("https://[::1]", false),
            ("https://[2001:db8::1.2.3.4]:8443", false),
            ("http://127.1", false),
            ("http://localhost:9000", false),
            ("https://backend", false),
            ("http://app.localhost", false),
            ("http://printer.local", false),
            ("http://app.LOCAL.", false),
            ("https://api.internal", false),
            ("http://web.prod.svc", false),
            ("http://web.prod.svc.cluster.local", false),
            ("http://web.default", false),
            ("http://nas.lan", false),
            ("http://nas.home.arpa", false),
            ("http://a.test", false),
            ("http://a.example", false),
        ] {
            let names = |rewrite_host, no_rewrite_host| Names {
                rewrite_host,
                no_rewrite_host,
            };
            let uri: Uri = origin.parse().unwrap();
            let expected = if rewritten {
                HostPolicy::Rewrite
            } else {
                HostPolicy::Keep
            };
            assert_eq!(names(false, false).policy(&uri), expected, "{origin}");
            assert_eq!(names(true, false).policy(&uri), HostPolicy::Rewrite);
            assert_eq!(names(false, true).policy(&uri), HostPolicy::Keep);
        }
    }

    #[test]
    fn a_hint_is_for_an_origin_that_answers_nothing_else_and_for_421() {
        let hints = Hints::default();
        let start = Instant::now();
        for (at, status, said) in [
            (0, 502, false),
            (0, 404, true),
            (1, 404, false),
            (59, 421, false),
            (60, 403, true),
            (61, 200, false),
            (200, 404, false),
            (201, 403, false),
            (202, 421, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let now = || start + Duration::from_secs(at);
            assert_eq!(hints.say(status, now), said, "{status} at {at}");
        }
    }
}
