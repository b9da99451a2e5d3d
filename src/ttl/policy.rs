//! The trait of lifetime policies, and the one that leaves lifetimes to the origin.

use std::time::Duration;

use http::{request, response};

/// Gives a lifetime to responses that state none.
///
/// A policy is asked about a response without `max-age`, `s-maxage` or `Expires` only, and only
/// when a default may apply at all: never one that says `no-store`, `private` or `no-cache`, or
/// that sets a cookie (RFC 9111 §4.2.2, §7.3). A response to a request with `Cookie` or
/// `Authorization` that is not marked `public` (RFC 9111 §3.5) is not stored for the lifetime that
/// a policy gives it; what it says tells then whether the answer to others would be.
///
/// Statuses a default can apply to are 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 451 and
/// 501. Of a response that is marked `public` they are all that are no error, so 302 and 307 too,
/// but not 206 and 304, nor 400, 403, 409, 422 and 5xx other than 501, nor those that answer one
/// request only, such as 401, 412, 416 and 429.
///
/// Implemented for closures.
///
/// ```
/// use cachewarp::{CacheLayer, Fetched, Lifetime, Memory};
/// use std::time::Duration;
///
/// let layer = CacheLayer::builder()
///     .memory(Memory::with_capacity(64 << 20))
///     .ttl(|fetched: &Fetched<'_>| {
///         fetched.request.uri.path().starts_with("/static/")
///             .then(|| Lifetime::fresh_for(Duration::from_secs(3600)))
///     })
///     .build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
pub trait TtlPolicy: Send + Sync + 'static {
    /// The lifetime of a response, or `None` to give it none.
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime>;
}

impl<F> TtlPolicy for F
where
    F: Fn(&Fetched<'_>) -> Option<Lifetime> + Send + Sync + 'static,
{
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime> {
        self(fetched)
    }
}

/// A request that went to the origin, and what came back.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched<'a> {
    /// The head of the request, as this cache received it.
    pub request: &'a request::Parts,
    /// The head of the response.
    pub response: &'a response::Parts,
}

/// How long a response is of use. Whole seconds count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lifetime {
    /// How long it is fresh, from its generation at the origin.
    pub fresh: Duration,
    /// For how long after that it may be answered while it is refreshed in the background
    /// (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// For how long after that it may stand in for an error (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

impl Lifetime {
    /// Fresh for that long, and then of no use without validation.
    #[must_use]
    pub fn fresh_for(fresh: Duration) -> Self {
        Self {
            fresh,
            stale_while_revalidate: None,
            stale_if_error: None,
        }
    }
}

/// Gives no lifetime to a response that states none. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct OriginTtl;

impl TtlPolicy for OriginTtl {
    fn lifetime(&self, _: &Fetched<'_>) -> Option<Lifetime> {
        None
    }
}
