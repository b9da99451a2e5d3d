//! The result of one exchange with the origin.

use std::{sync::Arc, time::Duration};

use http::Response;
use tokio::sync::OwnedSemaphorePermit;

use super::lifetime::PendingLifetime;
use crate::{
    body::CacheBody,
    entry::HistoryUpdate,
    state::flights::{FlightOutcome, StreamingResponse},
};

/// How an exchange ended: the answer for the client that caused it, the outcome for the waiters, and
/// a body to record.
pub(crate) struct FetchResult<B, E> {
    pub(crate) answer: Result<Response<CacheBody<B>>, E>,
    pub(crate) outcome: FlightOutcome,
    pub(crate) recording: Option<Recording<B>>,
}

/// A body to receive to its end, and to store.
pub(crate) struct Recording<B> {
    pub(crate) streaming: Arc<StreamingResponse>,
    pub(crate) body: B,
    /// How long the origin took for the head.
    pub(crate) cost: Duration,
    /// What the response adds to the history that a learning policy is given.
    pub(crate) history_update: Option<HistoryUpdate>,
    /// Held until the body ends, if no flight holds a permit for it.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// The lifetime that such a policy decides once the body is complete.
    pub(crate) pending: Option<Box<PendingLifetime>>,
}

/// Where the permit that every fill needs comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permit {
    /// The flight holds it.
    OfFlight,
    /// It is acquired once there is a body to record.
    Own,
}
