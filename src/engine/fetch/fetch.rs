//! One exchange with the origin, from the request to what is stored of the answer.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode, header::SET_COOKIE, response};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use super::{
    call, failure,
    fetched::{Exchanged, Permit, Recording},
    revalidate,
    storability::{self, Assessment, Moments, Verdict},
    storing,
};
use crate::{
    body::CacheBody,
    config::{ConditionalMiss, RangeMiss},
    engine::{
        context::Errand,
        hit_for_miss,
        respond::{self, Label, Live, Shaping},
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
        flights::{Arriving, Flown},
    },
};

/// How the client's own conditions and range are treated on the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Prepared {
    /// They go to the origin as they are.
    AsReceived,
    /// They stay here: the origin is asked for a full response.
    Stripped,
    /// Those of the stored response go in their place.
    Validating,
}

impl Prepared {
    fn shaping(self) -> Shaping {
        match self {
            Self::AsReceived => Shaping::Leave,
            Self::Stripped | Self::Validating => Shaping::Evaluate,
        }
    }
}

/// How a response that is not stored reaches the client that asked for it.
enum Passing {
    AsItCame,
    /// Only the range that was asked for, which the origin was not told of.
    Cut(Option<OwnedSemaphorePermit>),
}

/// Asks the origin for what `errand` needs, and stores what may be stored of the answer but
/// for its body, which is left to [`record`](Self::record).
pub(crate) async fn fetch<S, Q>(
    cache: &Cache,
    inner: S,
    errand: &Errand,
    body: Q,
    permit: Permit,
) -> Exchanged<S::Body, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let mut request = Request::from_parts(errand.asked.parts.clone(), body);
    let prepared = prepare(cache, errand, &mut request);
    let (response, moments) = match call::exchange(cache, inner.clone(), request).await {
        Ok(answer) => answer,
        Err(failure) => return failure::failed(cache, errand, failure),
    };
    if prepared != Prepared::Validating || response.status() != StatusCode::NOT_MODIFIED {
        return arrived(cache, errand, response, moments, prepared, permit).await;
    }
    let (not_modified, _) = response.into_parts();
    if let Some(fetched) = revalidate::refreshed(cache, errand, &not_modified, moments).await {
        return fetched;
    }
    // The 304 is about another representation than the stored one, which is thereby known to
    // be gone: ask once more, without conditions (RFC 9111 §4.3.3).
    storing::remove_selected(cache, errand).await;
    let mut request = Request::from_parts(errand.asked.parts.clone(), Q::default());
    validate::strip(request.headers_mut());
    match call::exchange(cache, inner, request).await {
        Ok((response, moments)) => {
            arrived(cache, errand, response, moments, Prepared::Stripped, permit).await
        }
        Err(failure) => failure::failed(cache, errand, failure),
    }
}

/// Puts the conditions on a request that its purpose needs.
fn prepare<Q>(cache: &Cache, errand: &Errand, request: &mut Request<Q>) -> Prepared {
    if let Some(entry) = &errand.selected {
        let now = cache.shared.clock.wall();
        let stored = entry.unpack().headers;
        return match validate::conditional_request(request.headers_mut(), &stored, now) {
            Validator::Sent => Prepared::Validating,
            Validator::None => Prepared::Stripped,
        };
    }
    let facts = &errand.asked.facts;
    if (facts.conditional() || facts.range()) && !own_question(cache, errand) {
        validate::strip(request.headers_mut());
        return Prepared::Stripped;
    }
    Prepared::AsReceived
}

/// Whether the client's own conditions or range go to the origin, so that the answer may be to
/// them and to nobody else's.
pub(crate) fn own_question(cache: &Cache, errand: &Errand) -> bool {
    let config = &cache.config;
    let facts = &errand.asked.facts;
    let filled = facts.conditional() && config.conditional_miss == ConditionalMiss::Fill
        || facts.range() && config.range_miss == RangeMiss::Fill;
    // With a stored response at hand its conditions go to the origin, not the client's.
    errand.selected.is_none() && !filled && (facts.conditional() || facts.range())
}

/// A full response, or one that goes to the client as it is.
async fn arrived<B: Body, E>(
    cache: &Cache,
    errand: &Errand,
    response: Response<B>,
    moments: Moments,
    prepared: Prepared,
    permit: Permit,
) -> Exchanged<B, E> {
    let status = response.status();
    let failed = Outcome::of(status) == Outcome::Error;
    if failed && errand.selected.is_some() {
        return failure::error_status(cache, errand, response);
    }
    let (parts, body) = response.into_parts();
    let assessment = storability::assess(cache, errand, &parts, moments);
    match assessment.verdict {
        // No error takes the place of a response, whatever lifetime it brings.
        Verdict::Store if status.is_server_error() && errand.selected.is_some() => {
            let response = Response::from_parts(parts, body);
            not_stored(cache, errand, NotStored::ErrorStatus, response).await
        }
        Verdict::Store => match fill_permit(cache, permit) {
            Ok(permit) => arriving(cache, errand, assessment, parts, body, prepared, permit),
            Err(_) => too_many_fills(cache, errand, Response::from_parts(parts, body)),
        },
        Verdict::Refuse(_) if failed => {
            failure::error_status(cache, errand, Response::from_parts(parts, body))
        }
        Verdict::Refuse(reason) => {
            match passing(cache, errand, &parts, &body, reason, prepared, permit) {
                Passing::AsItCame => {
                    let response = Response::from_parts(parts, body);
                    not_stored(cache, errand, reason, response).await
                }
                Passing::Cut(permit) => {
                    refused(cache, errand, status, reason).await;
                    cut(cache, errand, reason, assessment, parts, body, permit)
                }
            }
        }
    }
}

/// How a response that is not stored reaches its client. A range is only given of a body whose
/// length is known (RFC 9110 §14.4).
fn passing<B: Body>(
    cache: &Cache,
    errand: &Errand,
    parts: &response::Parts,
    body: &B,
    reason: NotStored,
    prepared: Prepared,
    permit: Permit,
) -> Passing {
    if !errand.asked.facts.range()
        || prepared.shaping() == Shaping::Leave
        || parts.status != StatusCode::OK
        || reason.side() == Side::Request
        || storability::declared_length(parts, body).is_none()
    {
        return Passing::AsItCame;
    }
    fill_permit(cache, permit).map_or(Passing::AsItCame, Passing::Cut)
}

/// The permit that a fill still needs, if it needs one; an error if too many are under way.
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

async fn not_stored<B: Body, E>(
    cache: &Cache,
    errand: &Errand,
    reason: NotStored,
    response: Response<B>,
) -> Exchanged<B, E> {
    refused(cache, errand, response.status(), reason).await;
    Exchanged {
        answer: Ok(respond::pass_on(
            cache,
            errand,
            Storing::Refused(reason),
            response,
        )),
        flown: Flown::Private,
        recording: None,
    }
}

/// What a response that is not stored does to what is.
async fn refused(cache: &Cache, errand: &Errand, status: StatusCode, reason: NotStored) {
    if storable::predecessor(status, reason) == Predecessor::Drop {
        storing::remove_selected(cache, errand).await;
    }
    let about_question = own_question(cache, errand) && storable::answers_question(status);
    if reason.side() == Side::Response && !about_question {
        hit_for_miss::remember_uncacheable(cache, errand);
    }
    tracing::debug!(key = ?errand.asked.key, reason = reason.as_str(), "not stored");
}

/// What could be stored if fewer fills were under way: it ends with its client.
fn too_many_fills<B: Body, E>(
    cache: &Cache,
    errand: &Errand,
    response: Response<B>,
) -> Exchanged<B, E> {
    Exchanged {
        answer: Ok(respond::pass_on(cache, errand, Storing::Full, response)),
        flown: Flown::Private,
        recording: None,
    }
}

/// A response that may be stored: others can read it from here on.
fn arriving<B: Body, E>(
    cache: &Cache,
    errand: &Errand,
    assessment: Assessment,
    parts: response::Parts,
    body: B,
    prepared: Prepared,
    permit: Option<OwnedSemaphorePermit>,
) -> Exchanged<B, E> {
    let shared = &cache.shared;
    let Assessment {
        cost,
        head,
        lesson,
        undecided,
        ..
    } = assessment;
    let age = head.freshness.initial_age;
    let ttl = head.freshness.ttl(age);
    if ttl <= 0 || head.freshness.reuse == Reuse::Validate {
        // Of use after validation only, so those who ask meanwhile have nothing to share.
        hit_for_miss::remember_uncacheable(cache, errand);
    } else {
        shared.uncacheable.clear(errand.asked.key.hash());
    }
    let declared = storability::declared_length(&parts, &body);
    let fill = Fill::new(declared, Arc::clone(&shared.budget));
    let sent = Live {
        parts,
        arrived: head.arrival.wall,
        shaping: prepared.shaping(),
    };
    let answer = live(cache, errand, sent, &fill, Storing::Begun { ttl });
    let arriving = Arc::new(Arriving { head, fill });
    let flown = if sets_cookie(&arriving.head.headers) {
        Flown::Private
    } else {
        Flown::Arriving(Arc::clone(&arriving))
    };
    Exchanged {
        answer: Ok(answer),
        flown,
        recording: Some(Recording {
            arriving,
            body,
            cost,
            lesson,
            permit,
            undecided,
        }),
    }
}

/// The range that the client asked for, of a response that is not stored: its body is let go
/// once the range has been delivered.
fn cut<B: Body, E>(
    cache: &Cache,
    errand: &Errand,
    reason: NotStored,
    assessment: Assessment,
    parts: response::Parts,
    body: B,
    permit: Option<OwnedSemaphorePermit>,
) -> Exchanged<B, E> {
    let Assessment {
        cost,
        head,
        lesson,
        undecided,
        ..
    } = assessment;
    let declared = storability::declared_length(&parts, &body);
    let fill = Fill::passing(declared, Arc::clone(&cache.shared.budget));
    let sent = Live {
        parts,
        arrived: head.arrival.wall,
        shaping: Shaping::Evaluate,
    };
    let answer = live(cache, errand, sent, &fill, Storing::Refused(reason));
    Exchanged {
        answer: Ok(answer),
        flown: Flown::Private,
        recording: Some(Recording {
            arriving: Arc::new(Arriving { head, fill }),
            body,
            cost,
            lesson,
            permit,
            undecided,
        }),
    }
}

/// The answer to the request that caused `fill`, which has not begun.
fn live<B>(
    cache: &Cache,
    errand: &Errand,
    live: Live,
    fill: &Arc<Fill>,
    storing: Storing,
) -> Response<CacheBody<B>> {
    let label = Label {
        received: Some(live.parts.status),
        outcome: CacheOutcome::Fetched {
            forward: errand.forward,
            storing,
        },
    };
    // A fill that has not begun can be read from its beginning.
    respond::from_live(cache, &errand.asked, live, fill, label).unwrap_or_else(|| {
        let failed = Generated::FlightFailed(StatusCode::BAD_GATEWAY);
        respond::generated(cache, failed)
    })
}

/// Whether a head that may be stored has a cookie in it: even then nobody waits for another's.
pub(crate) fn sets_cookie(headers: &HeaderMap) -> bool {
    headers.contains_key(SET_COOKIE) || headers.contains_key("set-cookie2")
}
