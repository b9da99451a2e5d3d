//! What flights carry here: how a fetch ended, for those who waited for it.

use std::sync::Arc;

use http::StatusCode;

use crate::{
    entry::{Entry, Head},
    fill::Fill,
    generation::Generation,
    key::Key,
    outcome::{Generated, StaleReason},
};

/// What requests must have in common to share a flight.
///
/// The generation keeps a request that came after a write from joining a fetch that began before.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FlightKey {
    pub(crate) key: Key,
    pub(crate) generation: Generation,
    /// What other nodes had changed.
    pub(crate) changes: u32,
    /// Which variant is wanted, once the resource is known to have several.
    pub(crate) variant: Option<u128>,
}

/// How a fetch ended.
#[derive(Clone, Debug)]
pub(crate) enum Flown {
    /// With a response that may be stored, whose body is arriving.
    Arriving(Arc<Arriving>),
    /// With a stored response that is valid now.
    Entry(Arc<Entry>),
    /// Before it began, with a fresh response that another node had stored.
    Found(Arc<Entry>),
    /// With a response for the one who asked, and nobody else.
    Private,
    Failed(Failure),
}

/// A response that may be stored, while its body arrives.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) head: Head,
    pub(crate) fill: Arc<Fill>,
}

/// How a fetch failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// The service's error, or a panic.
    Error,
    /// The breaker was open, and the origin not asked; another try is worth it after so many
    /// seconds.
    Open(u32),
    /// 500, 502, 503 or 504.
    Status(StatusCode),
    Timeout,
}

impl Failure {
    /// The answer for those who waited: nobody is shown another client's error page.
    pub(crate) fn for_waiters(self) -> Generated {
        Generated::FlightFailed(match self {
            Self::Open(retry_after) => return Generated::BreakerOpen { retry_after },
            Self::Status(StatusCode::SERVICE_UNAVAILABLE) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Error | Self::Status(_) => StatusCode::BAD_GATEWAY,
        })
    }
}

impl From<Failure> for StaleReason {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Open(_) => Self::BreakerOpen,
            Failure::Status(status) => Self::IfError(Some(status)),
            Failure::Error | Failure::Timeout => Self::IfError(None),
        }
    }
}
