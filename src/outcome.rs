//! [`CacheOutcome`]: how the cache answered a request, with the reasons.

mod words;

use http::StatusCode;

use crate::semantics::{
    classify::Bypass,
    decide::{MissReason, ValidationReason},
    storable::NotStored,
};

/// How the cache answered a request, and why. The cache adds it to the extensions of every
/// response.
///
/// ```
/// # fn log(response: &http::Response<()>) {
/// use cachewarp::CacheOutcome;
///
/// if let Some(outcome) = response.extensions().get::<CacheOutcome>() {
///     println!("{} because of {:?}", outcome.as_str(), outcome.reason());
/// }
/// # }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// The request bypassed the cache and went to the origin.
    Bypassed(Bypass),
    /// The request waited for a concurrent request, and got the response that this one fetched.
    #[non_exhaustive]
    Collapsed {
        /// Why the request was not answered from the store.
        forward: ForwardReason,
        /// The remaining freshness lifetime, in seconds.
        ttl: i64,
    },
    /// The layer is [`disabled`](crate::CacheLayer::disabled), or is in a router of an axum that it
    /// does not know: the request went to the origin, and the response is as it came, without
    /// `X-Cache` and `Cache-Status`.
    Disabled,
    /// The response came from the origin.
    #[non_exhaustive]
    Fetched {
        /// Why the request was not answered from the store.
        forward: ForwardReason,
        /// Whether the response is being stored.
        storing: Storing,
    },
    /// The request went to the origin because caches do not answer its method.
    Forwarded,
    /// The cache generated the response itself.
    Generated(Generated),
    /// The response is stored and fresh.
    #[non_exhaustive]
    Hit {
        /// The tier that the response was read from, for this request.
        tier: Tier,
        /// The remaining freshness lifetime, in seconds.
        ttl: i64,
    },
    /// The response is stored, and the origin has just validated it (RFC 9111 §4.3).
    #[non_exhaustive]
    Revalidated {
        /// Why the stored response had to be validated.
        forward: ForwardReason,
        /// The remaining freshness lifetime, in seconds.
        ttl: i64,
    },
    /// The response is stored and stale.
    #[non_exhaustive]
    Stale {
        /// Why a stale response may be used.
        reason: StaleReason,
        /// The tier that the response was read from, for this request. What stands in for an error or
        /// a slow answer is read from memory, as what the shared tier has is put there before the
        /// origin is called.
        tier: Tier,
        /// The remaining freshness lifetime, in seconds. Zero or negative, unless a response that
        /// is still fresh replaces an error.
        ttl: i64,
    },
    /// The request asked for a tunnel or a protocol upgrade, and went to the origin. The response that
    /// opens the tunnel is as it came, without `X-Cache` and `Cache-Status`; any other has both.
    Tunnelled,
}

/// Why the cache could not answer a request from the store alone. Each is a value of `fwd` in
/// `Cache-Status` (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ForwardReason {
    /// A directive of the request, such as `no-cache`, forbids to use the stored response.
    Request,
    /// The stored response is stale, was invalidated, or must be validated before every use.
    Stale,
    /// No response is stored for the URI.
    UriMiss,
    /// Responses are stored for the URI, but none of these variants matches the request's selecting
    /// header fields.
    VaryMiss,
}

impl From<MissReason> for ForwardReason {
    fn from(missing: MissReason) -> Self {
        match missing {
            MissReason::Uri => Self::UriMiss,
            MissReason::Vary => Self::VaryMiss,
        }
    }
}

impl From<ValidationReason> for ForwardReason {
    fn from(why: ValidationReason) -> Self {
        match why {
            ValidationReason::Request => Self::Request,
            ValidationReason::Stale => Self::Stale,
        }
    }
}

/// Where stored responses are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Tier {
    /// The memory of this process.
    Memory,
    /// The tier that nodes share: Redis.
    Remote,
}

/// Whether a response from the origin is being stored, and if not, why.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Storing {
    /// The response is being stored: it will be in the cache if its body arrives completely.
    #[non_exhaustive]
    Begun {
        /// The remaining freshness lifetime, in seconds.
        ttl: i64,
    },
    /// The response is not stored because it is an error of the origin: 500, 502, 503 or 504.
    Failure,
    /// The response is not stored because of a limit: [`max_fills`] fetches and fills are in
    /// progress, or bodies that arrive and bodies that are read [hold] as much as they may.
    ///
    /// [`max_fills`]: crate::CacheBuilder::max_fills
    /// [hold]: crate::Memory#what-all-of-it-holds
    Full,
    /// The response is not stored, for this reason.
    Refused(NotStored),
}

/// Why a stale response may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StaleReason {
    /// `stale-if-error`: the circuit breaker is open, so the origin was not called.
    BreakerOpen,
    /// The client accepts it, by `max-stale` (RFC 9111 §5.2.1.2).
    Client,
    /// `stale-if-error`: the origin answered with this error status, or `None`: it did not answer
    /// (RFC 5861 §4).
    IfError(Option<StatusCode>),
    /// `stale-if-error`: the origin failed within the last
    /// [`refresh_pause`](crate::CacheBuilder::refresh_pause), so it was not called again.
    Paused,
    /// `stale-if-error`: the origin did not answer within the
    /// [`soft_timeout`](crate::CacheBuilder::soft_timeout). The cache keeps waiting for its
    /// response, to store it.
    Slow,
    /// `stale-while-revalidate`: the cache refreshes the response in the background (RFC 5861 §3).
    WhileRevalidate,
}

/// Why the cache generated a response itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Generated {
    /// 503: the circuit breaker is open, so the origin was not called.
    #[non_exhaustive]
    BreakerOpen {
        /// After how many seconds the client should try again. `Retry-After` has the same value.
        retry_after: u32,
    },
    /// 503: [`max_waiters`](crate::CacheBuilder::max_waiters) requests wait for this response
    /// already.
    TooManyWaiters,
    /// The fetch that this request shared with concurrent ones failed (502 or 503), or took longer
    /// than a request may wait (504).
    #[non_exhaustive]
    FlightFailed {
        /// The status of this answer.
        status: StatusCode,
        /// What the origin said with `Retry-After` in the failed response, in seconds. The answer
        /// says the same.
        retry_after: Option<u32>,
    },
    /// 504: the client sent `only-if-cached`, and no stored response may be used
    /// (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// 504: the origin did not answer within the
    /// [`origin_timeout`](crate::CacheBuilder::origin_timeout).
    OriginTimeout,
}

impl Generated {
    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BreakerOpen { .. } | Self::TooManyWaiters => StatusCode::SERVICE_UNAVAILABLE,
            Self::FlightFailed { status, .. } => *status,
            Self::OnlyIfCached | Self::OriginTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// After how many seconds the client should try again, as far as that is known.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::BreakerOpen { retry_after } => Some(*retry_after),
            Self::FlightFailed { retry_after, .. } => *retry_after,
            Self::TooManyWaiters | Self::OnlyIfCached | Self::OriginTimeout => None,
        }
    }

    /// 502, for a fetch that ended without a result.
    pub(crate) fn no_result() -> Self {
        Self::FlightFailed {
            status: StatusCode::BAD_GATEWAY,
            retry_after: None,
        }
    }
}
