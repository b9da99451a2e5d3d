//! The result of one exchange with the origin.

use std::sync::Arc;

use http::Response;
use http_body::Body;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

use super::storability::Completion;
use crate::{
    body::CacheBody,
    engine::{context::RequestContext, respond},
    outcome::Storing,
    state::{
        cache::Cache,
        flights::{FlightOutcome, StreamingResponse},
    },
};

/// How an exchange ended: the answer for the client that caused it, the outcome for the waiters,
/// and a body to record.
pub(crate) struct FetchResult<B, E> {
    pub(crate) answer: Result<Response<CacheBody<B>>, E>,
    pub(crate) outcome: FlightOutcome,
    pub(crate) recording: Option<Recording<B>>,
}

impl<B, E> FetchResult<B, E> {
    /// The result of an exchange whose response is for its own client only.
    pub(super) fn private(context: &RequestContext, answer: Response<CacheBody<B>>) -> Self {
        Self {
            answer: Ok(answer),
            outcome: FlightOutcome::Private(context.request.requester()),
            recording: None,
        }
    }
}

/// A body to receive to its end, and to store.
pub(crate) struct Recording<B> {
    pub(crate) streaming: Arc<StreamingResponse>,
    pub(crate) body: B,
    pub(crate) completion: Completion,
    pub(crate) demand: Demand,
    /// Held until the body ends, or is only passed on. None if the flight has it and keeps it.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// Made as soon as the head is there.
    pub(crate) span: Span,
}

/// Whether the client that caused a fetch reads its body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Demand {
    /// It does, until it disconnects.
    Reader,
    /// Its answer has no body, so it abandons none: the body is fetched to be stored.
    StoreOnly,
}

/// Where the permit that every fill needs comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permit {
    /// The flight holds it.
    OfFlight,
    /// It is acquired once there is a body to record.
    Own,
}

/// The answer with a response of the origin's that is not stored.
pub(super) fn pass_on<B: Body>(
    cache: &Cache,
    context: &RequestContext,
    storing: Storing,
    response: Response<B>,
) -> Response<CacheBody<B>> {
    let label = context.fetched(response.status(), storing);
    respond::from_origin(cache, context.request.client_method(), response, label)
}
