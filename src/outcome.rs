//! How a request was answered, and why: [`CacheOutcome`] and the reasons in it.

use http::StatusCode;

use crate::semantics::{
    classify::Bypass,
    decide::{Missing, Why},
    storable::NotStored,
};

/// How the cache answered a request, and why so: an extension of every response.
///
/// ```
/// # fn log(response: &http::Response<()>) {
/// use cachewarp::CacheOutcome;
///
/// if let Some(outcome) = response.extensions().get::<CacheOutcome>() {
///     println!("{outcome:?}");
/// }
/// # }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// The request went around the cache.
    Bypassed(Bypass),
    /// The answer is another request's, which was under way.
    #[non_exhaustive]
    Collapsed {
        /// Why the request was not answered from the store.
        forward: ForwardReason,
        /// The seconds of freshness left.
        ttl: i64,
    },
    /// The answer came from the origin.
    #[non_exhaustive]
    Fetched {
        /// Why the request was not answered from the store.
        forward: ForwardReason,
        /// What became of the response.
        storing: Storing,
    },
    /// The method is not one that a cache answers: the request went to the origin.
    Forwarded,
    /// The cache made the answer itself.
    Generated(Generated),
    /// A fresh stored response.
    #[non_exhaustive]
    Hit {
        /// The seconds of freshness left.
        ttl: i64,
    },
    /// A stored response that the origin just confirmed (RFC 9111 §4.3).
    #[non_exhaustive]
    Revalidated {
        /// Why the stored response did not do.
        forward: ForwardReason,
        /// The seconds of freshness left.
        ttl: i64,
    },
    /// A stored response that is stale.
    #[non_exhaustive]
    Stale {
        /// Who allows that.
        reason: StaleReason,
        /// The seconds of freshness left: zero or less, unless a fresh response stood in for an
        /// error.
        ttl: i64,
    },
    /// The request became a tunnel, or might have.
    Tunnelled,
}

/// Why a request was not answered from the store alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ForwardReason {
    /// Directives of the request refused the stored response.
    Request,
    /// The stored response is stale, invalidated, or always to be validated.
    Stale,
    /// Nothing is stored for the URI.
    UriMiss,
    /// Nothing that is stored for the URI matches the selecting header fields.
    VaryMiss,
}

impl From<Missing> for ForwardReason {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Uri => Self::UriMiss,
            Missing::Vary => Self::VaryMiss,
        }
    }
}

impl From<Why> for ForwardReason {
    fn from(why: Why) -> Self {
        match why {
            Why::Request => Self::Request,
            Why::Stale => Self::Stale,
        }
    }
}

impl ForwardReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Stale => "stale",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
        }
    }
}

/// What became of a response from the origin.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Storing {
    /// It is being stored, and will be if its body ends as it should.
    #[non_exhaustive]
    Begun {
        /// The seconds of freshness left.
        ttl: i64,
    },
    /// It was not stored: an error of the origin's.
    Failure,
    /// It was not stored: as many fills are under way as may be.
    Full,
    /// It was not stored.
    Refused(NotStored),
}

/// Who allows a stale answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StaleReason {
    /// `stale-if-error`: the circuit breaker is open, and the origin was not asked.
    BreakerOpen,
    /// The client, by `max-stale` (RFC 9111 §5.2.1.2).
    Client,
    /// `stale-if-error`: the origin answered with this status, or not at all (RFC 5861 §4).
    IfError(Option<StatusCode>),
    /// `stale-if-error`: the origin failed a moment ago, and was not asked again
    /// (see [`refresh_pause`](crate::CacheBuilder::refresh_pause)).
    Paused,
    /// `stale-if-error`: the origin takes longer than the
    /// [`soft_timeout`](crate::CacheBuilder::soft_timeout), and what it answers will be stored.
    Slow,
    /// `stale-while-revalidate` (RFC 5861 §3).
    WhileRevalidate,
}

/// Why the cache made an answer itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Generated {
    /// 503: the circuit breaker is open, and the origin was not asked.
    #[non_exhaustive]
    BreakerOpen {
        /// The seconds after which it is worth another try, as `Retry-After` says too.
        retry_after: u32,
    },
    /// 503: the flight for this resource has all the waiters it may have.
    Crowded,
    /// 502 or 503: the requests for this resource that were answered together all failed. 504: they
    /// took longer than one may wait.
    FlightFailed(StatusCode),
    /// 504: `only-if-cached`, and nothing stored that may be used (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// 504: the origin did not answer in time.
    OriginTimeout,
}

impl Generated {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BreakerOpen { .. } | Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::FlightFailed(status) => *status,
            Self::OnlyIfCached | Self::OriginTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}
