//! The policy of fixed lifetimes: by path, status and content type, and a default.

use std::time::Duration;

use http::{StatusCode, header::CONTENT_TYPE};

use super::policy::{Fetched, Lifetime, LifetimeReason, TtlPolicy};

/// Gives fixed lifetimes to responses that state none, for services that say nothing about caching.
/// Lifetimes count in whole seconds.
///
/// Unless the response is marked `public`, such a lifetime is not for requests with a cookie that
/// [counts](crate::Cookies), `Authorization` or another field with credentials. Which responses may
/// have one at all is described at [`TtlPolicy`]. Those with the statuses 404, 405,
/// 410, 451 and 501 are among them: [`negative`](Self::negative) sets a shorter lifetime for these.
/// A 404 or 410 without a rule for its status is not fresh for longer than
/// [`negative_ttl`](crate::CacheBuilder::negative_ttl), 10 s by default.
///
/// The first rule that applies decides:
///
/// 1. [`path`](Self::path): the longest prefix of the request's path,
/// 2. [`status`](Self::status),
/// 3. [`negative`](Self::negative), for 404, 405, 410, 451 and 501,
/// 4. [`content_type`](Self::content_type): the longest prefix of the response's content type,
/// 5. the lifetime given to [`new`](Self::new).
///
/// If the same path, status or content type is set twice, the second setting counts.
///
/// ```
/// use cachewarp::{CacheLayer, FixedTtl, Memory};
/// use std::time::Duration;
///
/// let layer = CacheLayer::builder()
///     .memory(Memory::with_capacity(64 << 20))
///     .ttl(
///         FixedTtl::new(Duration::from_secs(60))
///             .content_type("image/", Duration::from_secs(3600))
///             .path("/static/", Duration::from_secs(86_400))
///             .negative(Duration::from_secs(5)),
///     )
///     .build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedTtl {
    default: Duration,
    negative: Option<Duration>,
    statuses: Vec<(u16, Duration)>,
    /// The longest prefix first, so that the first match is the most specific one.
    paths: Vec<(String, Duration)>,
    /// The longest prefix first.
    content_types: Vec<(String, Duration)>,
}

impl FixedTtl {
    /// Responses without a lifetime, and without a more specific rule, are fresh for `fresh`.
    #[must_use]
    pub const fn new(fresh: Duration) -> Self {
        Self {
            default: fresh,
            negative: None,
            statuses: Vec::new(),
            paths: Vec::new(),
            content_types: Vec::new(),
        }
    }

    /// The lifetime of responses whose `Content-Type` begins with `prefix`, in any letter case:
    /// such as `image/` or `application/json`. Defaults to none.
    #[must_use]
    pub fn content_type(mut self, prefix: impl Into<String>, fresh: Duration) -> Self {
        insert(&mut self.content_types, prefix.into(), fresh);
        self
    }

    /// The lifetime of negative responses (404, 405, 410, 451 and 501). Defaults to none: they
    /// are treated like any other, but for 404 and 410, which
    /// [`negative_ttl`](crate::CacheBuilder::negative_ttl) limits.
    #[must_use]
    pub const fn negative(mut self, fresh: Duration) -> Self {
        self.negative = Some(fresh);
        self
    }

    /// The lifetime of responses to requests whose path begins with `prefix`. The path is that of
    /// the requested URI ([`Fetched::uri`]), byte for byte. Defaults to none.
    #[must_use]
    pub fn path(mut self, prefix: impl Into<String>, fresh: Duration) -> Self {
        insert(&mut self.paths, prefix.into(), fresh);
        self
    }

    /// The lifetime of responses with this status. Defaults to none. It has no effect on a status
    /// that never gets a default lifetime (see [`TtlPolicy`]).
    #[must_use]
    pub fn status(mut self, status: u16, fresh: Duration) -> Self {
        self.statuses.retain(|(known, _)| *known != status);
        self.statuses.push((status, fresh));
        self
    }

    fn find(&self, fetched: &Fetched<'_>) -> (Duration, LifetimeReason) {
        let path = fetched.uri.path();
        let of_path = self
            .paths
            .iter()
            .find(|(prefix, _)| path.starts_with(prefix.as_str()));
        if let Some((_, fresh)) = of_path {
            return (*fresh, LifetimeReason::Path);
        }
        let status = fetched.response.status;
        let of_status = self.statuses.iter().find(|(known, _)| status == *known);
        if let Some((_, fresh)) = of_status {
            return (*fresh, LifetimeReason::Status);
        }
        if let Some(fresh) = self.negative.filter(|_| is_negative(status)) {
            return (fresh, LifetimeReason::Negative);
        }
        let content_type = fetched
            .response
            .headers
            .get(CONTENT_TYPE)
            .map_or(&[][..], |value| value.as_bytes());
        let of_type = self.content_types.iter().find(|(prefix, _)| {
            content_type
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        });
        if let Some((_, fresh)) = of_type {
            return (*fresh, LifetimeReason::ContentType);
        }
        (self.default, LifetimeReason::Default)
    }
}

impl TtlPolicy for FixedTtl {
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime> {
        let (fresh, reason) = self.find(fetched);
        let whole = Duration::from_secs(fresh.as_secs());
        Some(Lifetime::fresh_for(whole).because(reason))
    }
}

/// The error statuses that may get a default lifetime.
fn is_negative(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 410 | 451 | 501)
}

fn insert(rules: &mut Vec<(String, Duration)>, prefix: String, fresh: Duration) {
    rules.retain(|(known, _)| *known != prefix);
    let at = rules.partition_point(|(known, _)| known.len() >= prefix.len());
    rules.insert(at, (prefix, fresh));
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn given(
        policy: &FixedTtl,
        path: &str,
        status: u16,
        content_type: &str,
    ) -> (u64, LifetimeReason) {
        let (request, ()) = Request::get(path).body(()).unwrap().into_parts();
        let (response, ()) = Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(())
            .unwrap()
            .into_parts();
        let lifetime = policy.lifetime(&Fetched::new(&request, &response)).unwrap();
        assert_eq!(lifetime.fresh.subsec_nanos(), 0);
        (lifetime.fresh.as_secs(), lifetime.reason)
    }

    #[test]
    fn the_most_specific_rule_decides() {
        use LifetimeReason::{ContentType, Default, Negative, Path, Status};
        let policy = FixedTtl::new(Duration::from_millis(60_900))
            .content_type("image/", secs(1))
            .content_type("image/svg+xml", secs(2))
            .path("/a/", secs(3))
            .path("/a/b/", secs(4))
            .status(410, secs(5))
            .negative(secs(6))
            .path("/a/", secs(7))
            .status(410, secs(8));
        let cases = [
            ("/", 200, "text/html", (60, Default)),
            ("/", 200, "image/png", (1, ContentType)),
            ("/", 200, "IMAGE/SVG+XML; charset=utf-8", (2, ContentType)),
            ("/", 200, "image", (60, Default)),
            ("/a/x", 200, "image/png", (7, Path)),
            ("/a/b/x", 404, "image/png", (4, Path)),
            ("/a", 200, "text/html", (60, Default)),
            ("/", 410, "image/png", (8, Status)),
            ("/", 404, "image/png", (6, Negative)),
            ("/", 501, "image/png", (6, Negative)),
            ("/", 301, "text/html", (60, Default)),
        ];
        for (path, status, content_type, expected) in cases {
            let found = given(&policy, path, status, content_type);
            assert_eq!(found, expected, "{path} {status} {content_type}");
        }
    }

    #[test]
    fn errors_get_the_default_lifetime_without_a_rule_of_their_own() {
        let policy = FixedTtl::new(secs(60));
        assert_eq!(given(&policy, "/", 404, ""), (60, LifetimeReason::Default));
    }
}
