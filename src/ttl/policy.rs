//! The trait of lifetime policies, and the one that leaves lifetimes to the origin.

use std::time::Duration;

use http::{Uri, request, response};

use super::history::History;
use crate::key::target_uri;

/// Gives a lifetime to responses that state none, and may shorten one that is stated.
///
/// [`lifetime`](Self::lifetime) is asked about a response without `max-age`, `s-maxage` or
/// `Expires` only, and only when a default may apply at all: never one that says `no-store`,
/// `private` or `no-cache`, or that sets a cookie (RFC 9111 §4.2.2, §7.3). A response to a request
/// with `Cookie` or `Authorization` that is not marked `public` (RFC 9111 §3.5) is not stored for
/// the lifetime that a policy gives it; what it says tells then whether the answer to others would
/// be.
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
///         fetched.uri.path().starts_with("/static/")
///             .then(|| Lifetime::fresh_for(Duration::from_secs(3600)))
///     })
///     .build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
pub trait TtlPolicy: Send + Sync + 'static {
    /// The lifetime of a response that states none, or `None` to give it none.
    ///
    /// A policy that [learns](Self::learns) is asked twice about a response that takes the place
    /// of another when its body has to tell whether it changed, since it has no validator: at the
    /// head, with [`Change::Unknown`](crate::Change::Unknown), and once the body is stored, with
    /// the same response and what it told. The last answer counts; the first is for those who read
    /// the response while it arrives. The same goes for [`shorten`](Self::shorten).
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime>;

    /// A shorter lifetime for a response that states `explicit`, or `None` to leave it as it is.
    ///
    /// A longer one than `explicit` counts for nothing. With less than a second it is validated on
    /// each request: none of its stale windows applies then. Defaults to `None`.
    fn shorten(&self, fetched: &Fetched<'_>, explicit: Duration) -> Option<Duration> {
        let _ = (fetched, explicit);
        None
    }

    /// Whether this policy looks at [`Fetched::history`]. Where none does, none is kept.
    ///
    /// Defaults to `false`.
    fn learns(&self) -> bool {
        false
    }
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
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Fetched<'a> {
    /// The head of the request, as this cache received it.
    pub request: &'a request::Parts,
    /// The URI that was asked for, before a router took a prefix off: in a nested axum router,
    /// with the feature `axum`, that of the outermost one; else that of the request.
    pub uri: &'a Uri,
    /// The head of the response.
    pub response: &'a response::Parts,
    /// The freshness lifetime that the response states (RFC 9111 §4.2.1), if it does.
    pub explicit: Option<Duration>,
    /// What was seen of this representation up to now, this fetch included. Empty when it was not
    /// stored before, or when the policy does not [learn](TtlPolicy::learns).
    pub history: &'a History,
}

impl<'a> Fetched<'a> {
    /// An exchange whose response states no lifetime, and before which nothing was known: what
    /// tests of a policy begin with.
    #[must_use]
    pub fn new(request: &'a request::Parts, response: &'a response::Parts) -> Self {
        Self {
            request,
            uri: target_uri(request),
            response,
            explicit: None,
            history: History::none(),
        }
    }

    /// The same exchange after all this.
    #[must_use]
    pub const fn with_history(self, history: &'a History) -> Self {
        Self { history, ..self }
    }

    /// The same exchange with a response that states this lifetime.
    #[must_use]
    pub const fn with_explicit(self, explicit: Duration) -> Self {
        Self {
            explicit: Some(explicit),
            ..self
        }
    }
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
    /// What the policy had it from.
    pub reason: Reason,
}

impl Lifetime {
    /// Fresh for that long, and then of no use without validation. The reason is
    /// [`Reason::Custom`].
    #[must_use]
    pub const fn fresh_for(fresh: Duration) -> Self {
        Self {
            fresh,
            stale_while_revalidate: None,
            stale_if_error: None,
            reason: Reason::Custom,
        }
    }

    /// The same lifetime, for another reason.
    #[must_use]
    pub const fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }
}

/// Why a response got the lifetime that it has from a policy.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The type of its content has one.
    ContentType,
    /// A policy of the application's own gave it.
    Custom,
    /// Nothing more special applied.
    Default,
    /// It was learnt from how often the representation changes and is asked for.
    Learned,
    /// The response says that there is nothing, and such responses have one.
    Negative,
    /// The path of the request has one.
    Path,
    /// The status of the response has one.
    Status,
}

/// Gives no lifetime to a response that states none. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct OriginTtl;

impl TtlPolicy for OriginTtl {
    fn lifetime(&self, _: &Fetched<'_>) -> Option<Lifetime> {
        None
    }
}
