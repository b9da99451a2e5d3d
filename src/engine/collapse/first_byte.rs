//! The first byte of a body: an error before it is an error of the call, for which a stored response
//! may be served (`stale-if-error`, RFC 5861 §4).

use std::{future::poll_fn, sync::Arc};

use http_body::Body;

use crate::{
    engine::{
        context::RequestContext,
        fetch::{failure, fetched::FetchResult},
        stale,
    },
    fill::{Fill, FillReader},
    state::{
        cache::Cache,
        flights::{Failure, FlightOutcome},
    },
};

/// A body that begins to arrive, if its first byte is to be waited for.
#[derive(Debug)]
pub(super) struct FirstByte(FillReader);

impl FirstByte {
    /// The first byte of what was fetched. `None` if nothing stored may be served in place of an
    /// error, so that the head is not to be held back.
    pub(super) fn of(cache: &Cache, context: &RequestContext, fill: &Arc<Fill>) -> Option<Self> {
        let awaited = stale::has_fallback(cache, context);
        awaited.then(|| fill.read(0, None)).flatten().map(Self)
    }

    /// Waits until there is a byte, until the body ends, or until the deadline. Another task, or
    /// another branch of this one, has to receive the body meanwhile.
    pub(super) async fn wait(mut self, context: &RequestContext) -> Result<(), Failure> {
        let next = poll_fn(|cx| self.0.poll_frame(cx));
        match context.deadline.limit(next).await {
            Ok(Some(Ok(_)) | None) => Ok(()),
            Ok(Some(Err(_))) => Err(Failure::Error),
            Err(_) => Err(Failure::Timeout),
        }
    }
}

/// What was fetched, if the body began, else the stored response and the failure.
pub(super) fn judged<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    fetched: FetchResult<B, E>,
    begun: Result<(), Failure>,
) -> FetchResult<B, E> {
    let Err(failure) = begun else {
        return fetched;
    };
    cache.shared.metrics().origin_failures.increment(1);
    match failure::stale_on_error(cache, context, failure) {
        Some(stale) => FetchResult {
            answer: Ok(stale),
            outcome: FlightOutcome::Failed(failure),
            recording: fetched.recording,
        },
        None => fetched,
    }
}
