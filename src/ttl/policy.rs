//! The trait of lifetime policies, and its default: lifetimes are left to the origin.

use std::time::Duration;

use http::{Uri, request, response};

use super::history::History;
use crate::key::target_uri;

/// Gives a lifetime to responses that state none, and may shorten one that is stated.
///
/// [`lifetime`](Self::lifetime) is only called for a response without `max-age`, `s-maxage` and
/// `Expires`, unless the policy [overrides](crate::CacheBuilder::override_origin) those, and only if it may have a default lifetime: never for a response with `no-store`,
/// `private` or `no-cache`, or one that sets a cookie (RFC 9111 §4.2.2, §7.3); nor for one with a
/// malformed directive, or with a field for other caches that forbids to store it, such as
/// `Surrogate-Control: no-store`. If the request had
/// a cookie that [counts](crate::Cookies), `Authorization` or another field with credentials
/// ([`policy_credentials`](crate::CacheBuilder::policy_credentials)) and the response is not marked
/// `public` (RFC 9111 §3.5), the response is not stored by the policy's lifetime. The policy is
/// called nevertheless: its answer tells whether the same response to other requests would be
/// stored. Nor is such a request answered from a response that has its lifetime from the policy.
///
/// The statuses that may have a default lifetime are 200, 203, 204, 300, 301, 308, 404, 405, 410,
/// 451 and 501. If the response is marked `public`, all others may have one too, such as 302
/// and 307, except 206, 304, the errors 403, 409, 422 and 5xx other than 501, and those that
/// answer one request only, such as 400, 401, 412, 414, 416 and 429.
///
/// Implemented for closures, and for [`Duration`]: `ttl(Duration::from_secs(60))` gives every response
/// that may have a lifetime this one.
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
    /// The lifetime of a response that states none, or `None` to give it none. If the policy
    /// [overrides](crate::CacheBuilder::override_origin) what the response states, also of one with
    /// an [explicit](Fetched::explicit) lifetime, and `None` keeps that.
    ///
    /// If a response without a validator replaces another, only its body shows whether it changed.
    /// Then a policy that [learns](Self::learns) is called twice: when the head arrives, with
    /// [`Change::Unknown`](crate::Change::Unknown), and when the body is complete, with the same
    /// response and the result of the comparison. The second answer counts. The first one is for
    /// clients that read the response while it arrives. The same applies to
    /// [`shorten`](Self::shorten).
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime>;

    /// A shorter lifetime for a response that states the lifetime `explicit`, or `None` to keep
    /// that.
    ///
    /// A longer lifetime has no effect. With less than one second, the response is validated on
    /// each request, and its stale windows do not apply. Defaults to `None`.
    fn shorten(&self, fetched: &Fetched<'_>, explicit: Duration) -> Option<Duration> {
        let _ = (fetched, explicit);
        None
    }

    /// Whether this policy reads [`Fetched::history`]. Otherwise no history is kept.
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

/// The same lifetime for all. The reason is [`LifetimeReason::Default`].
impl TtlPolicy for Duration {
    fn lifetime(&self, _: &Fetched<'_>) -> Option<Lifetime> {
        let whole = Self::from_secs(self.as_secs());
        Some(Lifetime::fresh_for(whole).because(LifetimeReason::Default))
    }
}

/// A request to the origin, and its response.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Fetched<'a> {
    /// The head of the request, without the [cookies](crate::Cookies) that are ignored.
    pub request: &'a request::Parts,
    /// The URI that the client requested, before a router removed a prefix: with the feature
    /// `axum`, the URI that the outermost axum router received; otherwise that of the request.
    pub uri: &'a Uri,
    /// The head of the response.
    pub response: &'a response::Parts,
    /// The freshness lifetime that the response states (RFC 9111 §4.2.1), if it states one.
    pub explicit: Option<Duration>,
    /// The history of the representation, including this fetch. Empty if it was not stored before,
    /// or if the policy does not [learn](TtlPolicy::learns).
    pub history: &'a History,
}

impl<'a> Fetched<'a> {
    /// A request and a response that states no lifetime, without a history. Tests of a policy start
    /// with it.
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

    /// The same with this history.
    #[must_use]
    pub const fn with_history(self, history: &'a History) -> Self {
        Self { history, ..self }
    }

    /// The same with a response that states this lifetime.
    #[must_use]
    pub const fn with_explicit(self, explicit: Duration) -> Self {
        Self {
            explicit: Some(explicit),
            ..self
        }
    }
}

/// How long a response may be used. The durations count in whole seconds.
///
/// ```
/// use cachewarp::Lifetime;
/// use std::time::Duration;
///
/// let lifetime = Lifetime::fresh_for(Duration::from_secs(60))
///     .with_stale_while_revalidate(Duration::from_secs(30))
///     .with_stale_if_error(Duration::from_secs(86_400));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lifetime {
    /// How long it is fresh, from its generation at the origin.
    pub fresh: Duration,
    /// How long after that it may be served while it is refreshed in the background (RFC 5861 §3).
    /// `None` leaves it to
    /// [`CacheBuilder::stale_while_revalidate`](crate::CacheBuilder::stale_while_revalidate).
    ///
    /// No window opens where the response forbids stale answers: `must-revalidate`,
    /// `proxy-revalidate`, `s-maxage`.
    pub stale_while_revalidate: Option<Duration>,
    /// How long after that it may be served in place of an error (RFC 5861 §4). `None` leaves it to
    /// [`CacheBuilder::stale_if_error`](crate::CacheBuilder::stale_if_error).
    pub stale_if_error: Option<Duration>,
    /// Why the policy chose it.
    pub reason: LifetimeReason,
}

impl Lifetime {
    /// Fresh for this long, without stale windows of its own. The reason is
    /// [`LifetimeReason::Custom`].
    #[must_use]
    pub const fn fresh_for(fresh: Duration) -> Self {
        Self {
            fresh,
            stale_while_revalidate: None,
            stale_if_error: None,
            reason: LifetimeReason::Custom,
        }
    }

    /// The same lifetime with this
    /// [`stale_while_revalidate`](Self::stale_while_revalidate) window. Less than one second means
    /// none.
    #[must_use]
    pub const fn with_stale_while_revalidate(self, window: Duration) -> Self {
        Self {
            stale_while_revalidate: Some(window),
            ..self
        }
    }

    /// The same lifetime with this [`stale_if_error`](Self::stale_if_error) window. Less than one
    /// second means none.
    #[must_use]
    pub const fn with_stale_if_error(self, window: Duration) -> Self {
        Self {
            stale_if_error: Some(window),
            ..self
        }
    }

    /// The same lifetime with another reason.
    #[must_use]
    pub const fn because(self, reason: LifetimeReason) -> Self {
        Self { reason, ..self }
    }
}

/// Why a policy chose a lifetime.
///
/// A lifetime that was chosen for the status of the response ([`Negative`](Self::Negative),
/// [`Status`](Self::Status)) is an express wish:
/// [`CacheBuilder::negative_ttl`](crate::CacheBuilder::negative_ttl) does not shorten it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LifetimeReason {
    /// A rule for the content type.
    ContentType,
    /// The application's own policy.
    Custom,
    /// No more specific rule applied.
    Default,
    /// It was learnt from how often the representation changes and is requested.
    Learned,
    /// A rule for negative responses.
    Negative,
    /// A rule for the path of the request.
    Path,
    /// A rule for the status of the response.
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
