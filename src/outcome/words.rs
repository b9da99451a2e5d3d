//! The words for an outcome and its reasons, in `Cache-Status`, metrics and logs.

use http::StatusCode;

use super::{CacheOutcome, ForwardReason, Generated, StaleReason, Storing, Tier};

impl CacheOutcome {
    /// Whether the answer came from the store, without waiting for the origin. `Cache-Status` then
    /// says `hit`.
    ///
    /// True for [`Hit`](Self::Hit), and for [`Stale`](Self::Stale) while it is refreshed, as the
    /// client accepts it, because the circuit breaker is open, or because the origin failed a moment
    /// ago. False for `Stale` after the origin was slow or failed ([`StaleReason::Slow`],
    /// [`StaleReason::IfError`]), for [`Revalidated`](Self::Revalidated) and
    /// [`Collapsed`](Self::Collapsed), which waited for the origin, and for everything else.
    ///
    /// With a tier that nodes share, a hit may have waited for another node that was fetching the
    /// response.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        match self {
            Self::Hit { .. } => true,
            Self::Stale { reason, .. } => match reason {
                StaleReason::BreakerOpen
                | StaleReason::Client
                | StaleReason::Paused
                | StaleReason::WhileRevalidate => true,
                StaleReason::IfError(_) | StaleReason::Slow => false,
            },
            Self::Bypassed(_)
            | Self::Collapsed { .. }
            | Self::Disabled
            | Self::Fetched { .. }
            | Self::Forwarded
            | Self::Generated(_)
            | Self::Revalidated { .. }
            | Self::Tunnelled => false,
        }
    }

    /// The outcome as one of seven words: `hit`, `stale`, `revalidated`, `collapsed`, `miss`,
    /// `bypassed`, `generated`. They are the values of the label `outcome` of the metric
    /// `cachewarp_requests_total`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Bypassed(_) | Self::Disabled | Self::Forwarded | Self::Tunnelled => "bypassed",
            Self::Collapsed { .. } => "collapsed",
            Self::Fetched { .. } => "miss",
            Self::Generated(_) => "generated",
            Self::Hit { .. } => "hit",
            Self::Revalidated { .. } => "revalidated",
            Self::Stale { .. } => "stale",
        }
    }

    /// Why the answer is not a hit, as a token: why it is stale, why it was not stored, why the
    /// request went past the cache, or why the cache made the answer itself. It is what
    /// `Cache-Status` shows as `detail`, and if it shows none, as `fwd`: why the origin was asked.
    /// `None` for [`Hit`](Self::Hit).
    ///
    /// [ANSWERS.md] has all of them, with what to do about each.
    ///
    /// [ANSWERS.md]: https://docs.rs/crate/cachewarp/latest/source/docs/ANSWERS.md
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.detail().or_else(|| self.forward())
    }

    /// The tier that the stored response was read from. `None` if the answer is from elsewhere.
    #[must_use]
    pub fn tier(&self) -> Option<Tier> {
        match self {
            Self::Hit { tier, .. } | Self::Stale { tier, .. } => Some(*tier),
            Self::Bypassed(_)
            | Self::Collapsed { .. }
            | Self::Disabled
            | Self::Fetched { .. }
            | Self::Forwarded
            | Self::Generated(_)
            | Self::Revalidated { .. }
            | Self::Tunnelled => None,
        }
    }

    /// The value of `detail` in `Cache-Status` (RFC 9211 §2.8).
    pub(crate) fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Bypassed(reason) => Some(reason.as_str()),
            Self::Disabled => Some("disabled"),
            Self::Fetched { storing, .. } => storing.detail(),
            Self::Generated(reason) => Some(reason.as_str()),
            Self::Stale { reason, .. } => Some(reason.as_str()),
            Self::Tunnelled => Some("tunnel"),
            Self::Collapsed { .. }
            | Self::Forwarded
            | Self::Hit { .. }
            | Self::Revalidated { .. } => None,
        }
    }

    /// The value of `fwd` in `Cache-Status` (RFC 9211 §2.2).
    pub(crate) fn forward(&self) -> Option<&'static str> {
        match self {
            Self::Bypassed(_) | Self::Disabled | Self::Tunnelled => Some("bypass"),
            Self::Collapsed { forward, .. }
            | Self::Fetched { forward, .. }
            | Self::Revalidated { forward, .. } => Some(forward.as_str()),
            Self::Forwarded => Some("method"),
            // The origin was asked, or was to be.
            Self::Stale { .. } if !self.is_hit() => Some("stale"),
            Self::Generated(_) | Self::Hit { .. } | Self::Stale { .. } => None,
        }
    }
}

impl ForwardReason {
    /// The reason as a token, such as `uri-miss`. `Cache-Status` shows it as `fwd`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Stale => "stale",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
        }
    }
}

impl StaleReason {
    /// The reason as a token, such as `max-stale`. `Cache-Status` shows it as `detail`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker-open",
            Self::Client => "max-stale",
            Self::IfError(_) => "stale-if-error",
            Self::Paused => "origin-failed-recently",
            Self::Slow => "origin-slow",
            Self::WhileRevalidate => "stale-while-revalidate",
        }
    }
}

impl Storing {
    /// Why the response is not stored.
    fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Begun { .. } => None,
            Self::Failure => Some("origin-error"),
            Self::Full => Some("limit-reached"),
            Self::Refused(reason) => Some(reason.as_str()),
        }
    }
}

impl Generated {
    /// The reason as a token, such as `only-if-cached`. `Cache-Status` shows it as `detail`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BreakerOpen { .. } => "breaker-open",
            Self::FlightFailed { status, .. } if *status == StatusCode::GATEWAY_TIMEOUT => {
                "origin-timeout"
            }
            Self::FlightFailed { .. } => "origin-failed",
            Self::OnlyIfCached => "only-if-cached",
            Self::OriginTimeout => "origin-timeout",
            Self::TooManyWaiters => "too-many-waiters",
        }
    }
}

impl Tier {
    /// The tier as a word: `memory` or `remote`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Remote => "remote",
        }
    }
}

#[cfg(test)]
mod tests;
