//! What flights are keyed by, and how they end.

use std::sync::Arc;

use http::StatusCode;

use crate::{
    entry::{Entry, Head},
    extensions::BodyEnd,
    fill::Fill,
    generation::Generation,
    key::Key,
    outcome::{Generated, StaleReason, Tier},
    purge::PurgeTime,
    semantics::classify::Requester,
};

/// What requests must have in common to share a flight.
///
/// The generation keeps a request that came after a write from joining a fetch that began before
/// it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FlightKey {
    pub(crate) key: Key,
    pub(crate) generation: Generation,
    /// How many changes by other nodes were known.
    pub(crate) changes: u32,
    /// The variant that the request selects, if the resource is known to have variants.
    pub(crate) variant: Option<u128>,
    pub(crate) audience: Audience,
}

/// Which requests share a flight.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Audience {
    /// Those with a cookie too: as long as nothing else is known, the response may be everybody's.
    Everybody,
    /// Only plain ones: the response to another was its own.
    Plain,
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub(crate) enum FlightOutcome {
    /// With a response that may be stored and whose body is being received.
    Streaming(Arc<StreamingResponse>),
    /// With a stored response that is fresh. It is right for whoever began until this time, whatever was
    /// purged since.
    Stored(Arc<Entry>, PurgeTime),
    /// Without an origin call, with a fresh response that another node had stored, as it was read
    /// from this tier.
    FromPeer(Arc<Entry>, Tier),
    /// With a response for the leader's client only. Perhaps because of what its request carried.
    Private(Requester),
    Failed(Failure),
}

/// A response that may be stored, while its body is being received.
#[derive(Debug)]
pub(crate) struct StreamingResponse {
    pub(crate) head: Head,
    pub(crate) fill: Arc<Fill>,
    /// Whether a clean end means that the body is whole, if the service has something to say to it.
    pub(crate) end: Option<BodyEnd>,
}

/// How a fetch failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// The service's error, or a panic.
    Error,
    /// The service's error, after it had sent the request twice: that was the group's second attempt
    /// too.
    Repeated,
    /// The circuit breaker was open, so the origin was not asked. It may close after so many
    /// seconds.
    Open(u32),
    /// 500, 502, 503 or 504; or 429 to a refresh in the background. The origin may have said after
    /// how many seconds it is worth trying again.
    Status {
        status: StatusCode,
        retry_after: Option<u32>,
    },
    Timeout,
}

impl Failure {
    /// The answer for the waiters: no client sees another client's error page.
    pub(crate) fn for_waiters(self) -> Generated {
        let (status, retry_after) = match self {
            Self::Open(retry_after) => return Generated::BreakerOpen { retry_after },
            Self::Status {
                status,
                retry_after,
            } => match status {
                StatusCode::SERVICE_UNAVAILABLE => (status, retry_after),
                _ => (StatusCode::BAD_GATEWAY, retry_after),
            },
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, None),
            Self::Error | Self::Repeated => (StatusCode::BAD_GATEWAY, None),
        };
        Generated::FlightFailed {
            status,
            retry_after,
        }
    }
}

impl From<Failure> for StaleReason {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Open(_) => Self::BreakerOpen,
            Failure::Status { status, .. } => Self::IfError(Some(status)),
            Failure::Error | Failure::Repeated | Failure::Timeout => Self::IfError(None),
        }
    }
}
