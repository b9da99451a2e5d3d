//! One exchange with the origin, from the request to what is stored of the answer.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode, header::SET_COOKIE, response};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use super::{
    call, failure,
    fetched::{FetchResult, Permit, Recording},
    revalidate,
    storability::{self, Evaluation, ExchangeTimes},
    storing,
};
use crate::{
    body::CacheBody,
    config::{ConditionalMiss, RangeMiss},
    engine::{
        context::RequestContext,
        hit_for_miss,
        respond::{self, Label, Shaping, StreamingHead},
    },
    fill::Fill,
    inner::CacheableService,
    outcome::{CacheOutcome, Generated, Storing},
    semantics::{
        decide::Outcome,
        freshness::Reuse,
        storable::{self, NotStored, Predecessor, Side},
        validate::{self, Validator},
    },
    state::{
        cache::Cache,
        flights::{FlightOutcome, StreamingResponse},
    },
};

/// Which conditions the request to the origin carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Conditions {
    /// Those of the client, and its range.
    AsReceived,
    /// None, and no range: the origin is asked for a full response.
    Stripped,
    /// Those of the stored response, to validate it.
    Validating,
}

impl Conditions {
    fn shaping(self) -> Shaping {
        match self {
            Self::AsReceived => Shaping::Leave,
            Self::Stripped | Self::Validating => Shaping::Evaluate,
        }
    }
}

/// How a response that is not stored is delivered to its client.
enum Delivery {
    AsReceived,
    /// Only the range that the client asked for, which the origin did not see.
    Range(Option<OwnedSemaphorePermit>),
}

/// Asks the origin, and judges the response. A body to store is left to
/// [`record`](super::storing::record).
pub(crate) async fn fetch<S, Q>(
    cache: &Cache,
    inner: S,
    context: &RequestContext,
    body: Q,
    permit: Permit,
) -> FetchResult<S::Body, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let mut request = Request::from_parts(context.request.parts.clone(), body);
    let conditions = set_conditions(cache, context, &mut request);
    let (response, times) = match call::call_origin(cache, inner.clone(), request).await {
        Ok(answer) => answer,
        Err(failure) => return failure::failed(cache, context, failure),
    };
    if conditions != Conditions::Validating || response.status() != StatusCode::NOT_MODIFIED {
        return receive(cache, context, response, times, conditions, permit).await;
    }
    let (not_modified, _) = response.into_parts();
    if let Some(fetched) = revalidate::freshen(cache, context, &not_modified, times).await {
        return fetched;
    }
    // The 304 is about another representation, so the stored one is gone: ask once more, without
    // conditions (RFC 9111 §4.3.3).
    storing::remove_selected(cache, context).await;
    let mut request = Request::from_parts(context.request.parts.clone(), Q::default());
    validate::strip(request.headers_mut());
    match call::call_origin(cache, inner, request).await {
        Ok((response, times)) => {
            receive(
                cache,
                context,
                response,
                times,
                Conditions::Stripped,
                permit,
            )
            .await
        }
        Err(failure) => failure::failed(cache, context, failure),
    }
}

/// Sets the conditions of the request to the origin.
fn set_conditions<Q>(
    cache: &Cache,
    context: &RequestContext,
    request: &mut Request<Q>,
) -> Conditions {
    if let Some(entry) = &context.selected {
        let now = cache.shared.clock.wall();
        let stored = entry.unpack().headers;
        return match validate::conditional_request(request.headers_mut(), &stored, now) {
            Validator::Sent => Conditions::Validating,
            Validator::None => Conditions::Stripped,
        };
    }
    let facts = &context.request.facts;
    if (facts.conditional() || facts.range()) && !forwards_conditions(cache, context) {
        validate::strip(request.headers_mut());
        return Conditions::Stripped;
    }
    Conditions::AsReceived
}

/// Whether the client's own conditions or range go to the origin, so that the response may be of use
/// to this client only.
pub(crate) fn forwards_conditions(cache: &Cache, context: &RequestContext) -> bool {
    let config = &cache.config;
    let facts = &context.request.facts;
    let filled = facts.conditional() && config.conditional_miss == ConditionalMiss::Fill
        || facts.range() && config.range_miss == RangeMiss::Fill;
    // With a selected response, its conditions go to the origin, and not the client's.
    context.selected.is_none() && !filled && (facts.conditional() || facts.range())
}

/// Stores the response or not, and builds the answer.
async fn receive<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    response: Response<B>,
    times: ExchangeTimes,
    conditions: Conditions,
    permit: Permit,
) -> FetchResult<B, E> {
    let status = response.status();
    let failed = Outcome::of(status) == Outcome::Error;
    if failed && context.selected.is_some() {
        return failure::error_status(cache, context, response);
    }
    let (parts, body) = response.into_parts();
    let evaluation = storability::evaluate(cache, context, &parts, times);
    match evaluation.storable {
        // A server error never replaces a stored response, whatever lifetime it states.
        Ok(()) if status.is_server_error() && context.selected.is_some() => {
            let response = Response::from_parts(parts, body);
            not_stored(cache, context, NotStored::ErrorStatus, response).await
        }
        Ok(()) => match fill_permit(cache, permit) {
            Ok(permit) => streaming(cache, context, evaluation, parts, body, conditions, permit),
            Err(_) => too_many_fills(cache, context, Response::from_parts(parts, body)),
        },
        Err(_) if failed => {
            failure::error_status(cache, context, Response::from_parts(parts, body))
        }
        Err(reason) => match delivery(cache, context, &parts, &body, reason, conditions, permit) {
            Delivery::AsReceived => {
                let response = Response::from_parts(parts, body);
                not_stored(cache, context, reason, response).await
            }
            Delivery::Range(permit) => {
                after_refusal(cache, context, status, reason).await;
                cut_range(cache, context, reason, evaluation, parts, body, permit)
            }
        },
    }
}

/// How to deliver a response that is not stored. A range can be cut only from a body whose length is
/// known (RFC 9110 §14.4).
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
    response: Response<B>,
) -> FetchResult<B, E> {
    after_refusal(cache, context, response.status(), reason).await;
    FetchResult {
        answer: Ok(respond::pass_on(
            cache,
            context,
            Storing::Refused(reason),
            response,
        )),
        outcome: FlightOutcome::Private,
        recording: None,
    }
}

/// What a response that is not stored changes: it may end the stored one, and collapsing for its key.
async fn after_refusal(
    cache: &Cache,
    context: &RequestContext,
    status: StatusCode,
    reason: NotStored,
) {
    if storable::predecessor(status, reason) == Predecessor::Drop {
        storing::remove_selected(cache, context).await;
    }
    let about_conditions =
        forwards_conditions(cache, context) && storable::answers_question(status);
    if reason.side() == Side::Response && !about_conditions {
        hit_for_miss::remember_uncacheable(cache, context);
    }
    tracing::debug!(key = ?context.request.key, reason = reason.as_str(), "not stored");
}

/// The result for a response that is not stored because too many fills are in progress.
fn too_many_fills<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    response: Response<B>,
) -> FetchResult<B, E> {
    FetchResult {
        answer: Ok(respond::pass_on(cache, context, Storing::Full, response)),
        outcome: FlightOutcome::Private,
        recording: None,
    }
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
    let shared = &cache.shared;
    let Evaluation {
        cost,
        head,
        history_update,
        pending,
        ..
    } = evaluation;
    let age = head.freshness.initial_age;
    let ttl = head.freshness.ttl(age);
    if ttl <= 0 || head.freshness.reuse == Reuse::Validate {
        // It must be validated before reuse, so waiters could not share it.
        hit_for_miss::remember_uncacheable(cache, context);
    } else {
        shared.hit_for_miss.remove(context.request.key.hash());
    }
    let declared = storability::declared_length(&parts, &body);
    let fill = Fill::new(declared, Arc::clone(&shared.budget));
    let sent = StreamingHead {
        parts,
        arrived: head.arrival.wall,
        shaping: conditions.shaping(),
    };
    let answer = answer_from_fill(cache, context, sent, &fill, Storing::Begun { ttl });
    let streaming = Arc::new(StreamingResponse { head, fill });
    let outcome = if sets_cookie(&streaming.head.headers) {
        FlightOutcome::Private
    } else {
        FlightOutcome::Streaming(Arc::clone(&streaming))
    };
    FetchResult {
        answer: Ok(answer),
        outcome,
        recording: Some(Recording {
            streaming,
            body,
            cost,
            history_update,
            permit,
            pending,
        }),
    }
}

/// The result for a response that is not stored and of which the client asked for a range. Its body is
/// dropped once the range has been delivered.
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
        cost,
        head,
        history_update,
        pending,
        ..
    } = evaluation;
    let declared = storability::declared_length(&parts, &body);
    let fill = Fill::passing(declared, Arc::clone(&cache.shared.budget));
    let sent = StreamingHead {
        parts,
        arrived: head.arrival.wall,
        shaping: Shaping::Evaluate,
    };
    let answer = answer_from_fill(cache, context, sent, &fill, Storing::Refused(reason));
    FetchResult {
        answer: Ok(answer),
        outcome: FlightOutcome::Private,
        recording: Some(Recording {
            streaming: Arc::new(StreamingResponse { head, fill }),
            body,
            cost,
            history_update,
            permit,
            pending,
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
    let label = Label {
        received: Some(head.parts.status),
        outcome: CacheOutcome::Fetched {
            forward: context.forward,
            storing,
        },
    };
    // A fill that has not begun can be read from its beginning, so this is never the error.
    respond::from_live(cache, &context.request, head, fill, label).unwrap_or_else(|| {
        let failed = Generated::FlightFailed(StatusCode::BAD_GATEWAY);
        respond::generated(cache, failed)
    })
}

/// Whether a head sets a cookie. Even if it is stored, no waiter shares it.
pub(crate) fn sets_cookie(headers: &HeaderMap) -> bool {
    headers.contains_key(SET_COOKIE) || headers.contains_key("set-cookie2")
}
