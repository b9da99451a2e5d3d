//! What to do with a request, given what is stored for it (RFC 9111 §4).

use http::StatusCode;

use crate::semantics::cache_control::{MaxStale, RequestDirectives};
use crate::semantics::freshness::{Freshness, Reuse};

/// What the store holds for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StoredMatch<'a> {
    /// A response for this URI and these selecting header fields.
    Selected(Candidate<'a>),
    /// Responses for this URI, none of which matches the selecting header fields.
    NoVariant,
    /// No response for this URI.
    Nothing,
}

/// A stored response that matches a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) freshness: &'a Freshness,
    /// Its current age in seconds ([`Freshness::age`]).
    pub(crate) age: u32,
    pub(crate) validity: Validity,
}

/// Whether a stored response still stands (RFC 9111 §4.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Validity {
    Valid,
    /// Something changed the resource since: to be validated before any use.
    Invalidated,
}

/// What to do next with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// Answer with the stored response, which is fresh.
    Serve,
    /// Answer with the stored response although it is stale.
    ServeStale(Stale),
    /// Ask the origin whether the stored response still holds, then answer.
    Revalidate(ValidationReason),
    /// Get a response from the origin.
    Fetch(MissReason),
    /// Answer 504: the request wants a stored response or nothing (RFC 9111 §5.2.1.7).
    Refuse,
}

/// Who allows a stale answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stale {
    /// The client, by `max-stale`.
    Client,
    /// The response, by `stale-while-revalidate`: start a validation in the background.
    WhileRevalidate,
}

/// Why a stored response has to be validated first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ValidationReason {
    /// It is stale, invalidated, or always to be validated.
    Stale,
    /// The request does not accept it unvalidated.
    Request,
}

/// What the store lacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MissReason {
    /// Any response for this URI.
    Uri,
    /// One whose selecting header fields match.
    Vary,
}

/// What to do with a request whose validation ended in an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OnError {
    /// Answer with the stored response.
    ServeStale,
    /// Deliver the error.
    PassOn,
}

/// What an answer from the origin counts as when a stored response could replace it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OriginAnswer {
    /// The answer is used.
    Usable,
    /// An error that `stale-if-error` covers.
    Error,
}

impl OriginAnswer {
    /// 500, 502, 503 and 504 are the errors of RFC 5861 §4.
    pub(crate) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Error,
            _ => Self::Usable,
        }
    }
}

/// Decides what to do with a request, in the order that RFC 9111 §4 and §5.2.1 imply: what the
/// stored response demands, what the request demands, freshness, then the licences to be stale.
pub(crate) fn decide(found: StoredMatch<'_>, request: &RequestDirectives) -> Decision {
    let decision = match found {
        StoredMatch::Selected(candidate) => choose(&candidate, request),
        StoredMatch::NoVariant => Decision::Fetch(MissReason::Vary),
        StoredMatch::Nothing => Decision::Fetch(MissReason::Uri),
    };
    match decision {
        Decision::Revalidate(_) | Decision::Fetch(_) if request.only_if_cached => Decision::Refuse,
        decision => decision,
    }
}

/// Decides whether a stored response stands in for an error: no usable answer, or one that is an
/// [`OriginAnswer::Error`] (RFC 5861 §4).
///
/// A response that is fresh, and was only refused because the request asked for a younger one,
/// counts as stale by zero seconds. A request that insists on validation gets the error unless it
/// brings its own `stale-if-error`.
pub(crate) fn on_error(candidate: &Candidate<'_>, request: &RequestDirectives) -> OnError {
    let freshness = candidate.freshness;
    let fresh = freshness.ttl(candidate.age) > 0;
    let (by_response, by_request) = match (candidate.validity, freshness.reuse) {
        (Validity::Invalidated, _) | (_, Reuse::Validate) => (None, None),
        (_, Reuse::WhileFresh) if !fresh => (None, None),
        (_, Reuse::WithinWindows) if !fresh => (freshness.stale_if_error, None),
        _ => (freshness.stale_if_error, request.stale_if_error),
    };
    let by_response = by_response.filter(|_| !insists_on_validation(request));
    let staleness = staleness(candidate);
    // What is fresh is stale by less than any window.
    let covers = |window: Option<u32>| fresh && window.is_some() || is_within(window, staleness);
    if covers(by_response) || covers(by_request) {
        OnError::ServeStale
    } else {
        OnError::PassOn
    }
}

fn choose(candidate: &Candidate<'_>, request: &RequestDirectives) -> Decision {
    let freshness = candidate.freshness;
    let ttl = freshness.ttl(candidate.age);
    if candidate.validity == Validity::Invalidated || freshness.reuse == Reuse::Validate {
        return Decision::Revalidate(ValidationReason::Stale);
    }
    if insists_on_validation(request)
        || request.max_age.is_some_and(|most| candidate.age > most)
        || request
            .min_fresh
            .is_some_and(|least| ttl < i64::from(least))
    {
        return Decision::Revalidate(ValidationReason::Request);
    }
    if ttl > 0 {
        return Decision::Serve;
    }
    let staleness = staleness(candidate);
    let tolerated = match request.max_stale {
        Some(MaxStale::Any) => true,
        Some(MaxStale::Within(most)) => staleness <= most,
        None => false,
    };
    if tolerated && freshness.reuse == Reuse::AsRequested {
        return Decision::ServeStale(Stale::Client);
    }
    // A request that limits the age has not agreed to a stale answer (RFC 9111 §5.2.1.1).
    if request.max_age.is_none() && is_within(freshness.stale_while_revalidate, staleness) {
        return Decision::ServeStale(Stale::WhileRevalidate);
    }
    Decision::Revalidate(ValidationReason::Stale)
}

/// Whether a request wants the origin to be asked, whatever is stored (RFC 9111 §5.2.1.4).
/// `max-age=0` says the same, even of a response whose age is zero.
fn insists_on_validation(request: &RequestDirectives) -> bool {
    request.no_cache || request.max_age == Some(0)
}

/// By how many seconds a response outlived its freshness. Zero is the first second it is stale, and
/// what a fresh one counts as.
fn staleness(candidate: &Candidate<'_>) -> u32 {
    candidate.age.saturating_sub(candidate.freshness.lifetime)
}

/// Whether a stale window is open for a response that is stale by so many seconds. It begins where
/// freshness ends, and its last second counts; a window of zero seconds is none.
fn is_within(window: Option<u32>, staleness: u32) -> bool {
    window.is_some_and(|window| window > 0 && staleness <= window)
}

#[cfg(test)]
mod tests;
