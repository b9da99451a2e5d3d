//! A full response from the origin: stored while it is delivered, or only delivered.

use std::sync::Arc;

use http::{Response, StatusCode, response};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use super::{
    conditions::Conditions,
    deliver, failure,
    fetched::{Demand, FetchResult, Permit, Recording},
    storability::{self, Evaluation, ExchangeTimes},
    storing,
};
use crate::{
    body::CacheBody,
    engine::{
        context::RequestContext,
        hit_for_miss,
        respond::{self, Shaping, StreamingHead},
    },
    fill::{Beginning, Fill},
    outcome::{Generated, Storing},
    semantics::{
        decide::OriginAnswer,
        fields,
        freshness::Reuse,
        storable::{self, NotStored, Predecessor, Side},
    },
    state::{
        cache::Cache,
        flights::{FlightOutcome, StreamingResponse},
    },
};

/// How a response that is not stored is delivered to its client.
enum Delivery {
    AsReceived,
    /// Only the range that the client asked for, which the origin did not see.
    Range(Option<OwnedSemaphorePermit>),
}

/// Stores the response or not, and builds the answer.
pub(super) async fn receive<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    response: Response<B>,
    times: ExchangeTimes,
    conditions: Conditions,
    permit: Permit,
) -> FetchResult<B, E> {
    let status = response.status();
    let failed = OriginAnswer::of(status) == OriginAnswer::Error;
    if failed && context.selected.is_some() {
        return failure::error_status(cache, context, response);
    }
    let (parts, body) = response.into_parts();
    let evaluation = storability::evaluate(cache, context, &parts, times);
    match evaluation.storable {
        // A server error never replaces a stored response, whatever lifetime it states.
        Ok(()) if status.is_server_error() && context.selected.is_some() => {
            let response = Response::from_parts(parts, body);
            not_stored(cache, context, NotStored::ErrorStatus, conditions, response).await
        }
        Ok(()) => match fill_permit(cache, permit) {
            Ok(permit) => streaming(cache, context, evaluation, parts, body, conditions, permit),
            Err(_) => {
                let response = Response::from_parts(parts, body);
                deliver::deliver(cache, context, Storing::Full, conditions, response)
            }
        },
        Err(_) if failed => {
            failure::error_status(cache, context, Response::from_parts(parts, body))
        }
        Err(reason) => match delivery(cache, context, &parts, &body, reason, conditions, permit) {
            Delivery::AsReceived => {
                let response = Response::from_parts(parts, body);
                not_stored(cache, context, reason, conditions, response).await
            }
            Delivery::Range(permit) => {
                after_refusal(cache, context, status, reason).await;
                cut_range(cache, context, reason, evaluation, parts, body, permit)
            }
        },
    }
}

/// How to deliver a response that is not stored. A range can be cut only from a body whose length
/// is known (RFC 9110 §14.4).
fn delivery<B: Body>(
    cache: &Cache,
    context: &RequestContext,
    parts: &response::Parts,
    body: &B,
    reason: NotStored,
    conditions: Conditions,
    permit: Permit,
) -> Delivery {
    if !context.request.facts.range()
        || conditions.shaping() == Shaping::Leave
        || context.request.is_head()
        || deliver::needs_no_body(cache, context, conditions, parts)
        || parts.status != StatusCode::OK
        || reason.side() == Side::Request
        || storability::declared_length(parts, body).is_none()
    {
        return Delivery::AsReceived;
    }
    fill_permit(cache, permit).map_or(Delivery::AsReceived, Delivery::Range)
}

/// The permit that a fill needs, unless its flight holds one. An error if too many fills are in
/// progress.
fn fill_permit(
    cache: &Cache,
    permit: Permit,
) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
    match permit {
        Permit::OfFlight => Ok(None),
        Permit::Own => Arc::clone(&cache.shared.fills)
            .try_acquire_owned()
            .map(Some),
    }
}

/// The result for a response that is not stored.
async fn not_stored<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    reason: NotStored,
    conditions: Conditions,
    response: Response<B>,
) -> FetchResult<B, E> {
    after_refusal(cache, context, response.status(), reason).await;
    let storing = Storing::Refused(reason);
    deliver::deliver(cache, context, storing, conditions, response)
}

/// What a response that is not stored changes: it may end the stored one, and collapsing for its
/// key.
async fn after_refusal(
    cache: &Cache,
    context: &RequestContext,
    status: StatusCode,
    reason: NotStored,
) {
    let predecessor = storing::end_predecessor(cache, context, status).await;
    // A response that leaves the stored one in place says nothing about what others would get.
    let says_nothing = storable::concerns_form(status)
        || predecessor == Predecessor::Keep && context.selected.is_some();
    if reason.side() == Side::Response && !says_nothing {
        hit_for_miss::remember_uncacheable(cache, context);
    }
    tracing::debug!(key = ?context.request.key, reason = reason.as_str(), "not stored");
}

/// The result for a response that may be stored. Waiters can read its body from now on.
fn streaming<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    evaluation: Evaluation,
    parts: response::Parts,
    body: B,
    conditions: Conditions,
    permit: Option<OwnedSemaphorePermit>,
) -> FetchResult<B, E> {
    let Evaluation {
        completion, head, ..
    } = evaluation;
    let age = head.meta.freshness.initial_age;
    let ttl = head.meta.freshness.ttl(age);
    if ttl <= 0 || head.meta.freshness.reuse == Reuse::Validate {
        // It must be validated before reuse, so waiters could not share it.
        hit_for_miss::remember_uncacheable(cache, context);
    } else {
        hit_for_miss::forget_uncacheable(cache, context);
    }
    let end = parts.extensions.get().cloned();
    let declared = storability::declared_length(&parts, &body);
    let fill = Fill::new(declared, &cache.shared.account, &cache.config.fill);
    let sent = StreamingHead {
        parts,
        arrived: None,
        shaping: conditions.shaping(),
    };
    let storing = match fill.begins() {
        Beginning::Kept => Storing::Begun { ttl },
        Beginning::NotKept => Storing::Full,
    };
    let answer = answer_from_fill(cache, context, sent, &fill, storing);
    let demand = if context.request.is_head() || answer.status() == StatusCode::NOT_MODIFIED {
        Demand::StoreOnly
    } else {
        Demand::Reader
    };
    let streaming = Arc::new(StreamingResponse { head, fill, end });
    let outcome = if fields::sets_cookie(&streaming.head.headers) {
        FlightOutcome::Private(context.request.requester())
    } else {
        FlightOutcome::Streaming(Arc::clone(&streaming))
    };
    FetchResult {
        answer: Ok(answer),
        outcome,
        recording: Some(Recording {
            streaming,
            body,
            completion,
            demand,
            permit,
            span: context.spans.store(),
        }),
    }
}

/// The result for a response that is not stored and of which the client asked for a range. Its body
/// is dropped once the range has been delivered.
fn cut_range<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    reason: NotStored,
    evaluation: Evaluation,
    parts: response::Parts,
    body: B,
    permit: Option<OwnedSemaphorePermit>,
) -> FetchResult<B, E> {
    let Evaluation {
        completion, head, ..
    } = evaluation;
    let declared = storability::declared_length(&parts, &body);
    let fill = Fill::not_kept(declared, &cache.shared.account);
    let sent = StreamingHead {
        parts,
        arrived: None,
        shaping: Shaping::Evaluate,
    };
    let answer = answer_from_fill(cache, context, sent, &fill, Storing::Refused(reason));
    FetchResult {
        answer: Ok(answer),
        outcome: FlightOutcome::Private(context.request.requester()),
        recording: Some(Recording {
            streaming: Arc::new(StreamingResponse {
                head,
                fill,
                end: None,
            }),
            body,
            completion,
            demand: Demand::Reader,
            permit,
            span: context.spans.store(),
        }),
    }
}

/// The answer for the request that caused `fill`, which has not begun.
fn answer_from_fill<B>(
    cache: &Cache,
    context: &RequestContext,
    head: StreamingHead,
    fill: &Arc<Fill>,
    storing: Storing,
) -> Response<CacheBody<B>> {
    let label = context.fetched(head.parts.status, storing);
    // A fill that has not begun can be read from its beginning, so this is never the error.
    respond::from_live(cache, &context.request, head, fill, label)
        .unwrap_or_else(|| respond::generated(cache, Generated::no_result()))
}
