//! Decides what to do with a request, given what is stored for it (RFC 9111 §4).

use http::StatusCode;

use crate::semantics::cache_control::{MaxStale, RequestDirectives};
use crate::semantics::classify::{Bypass, Facts};
use crate::semantics::freshness::{Freshness, Reuse};

/// The stored response that a request selects, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StoredMatch<'a> {
    /// A response for this URI and these selecting header fields.
    Selected(Candidate<'a>),
    /// Such a response, which is not for this request ([`withheld`]).
    Withheld(Bypass),
    /// There are responses for the URI, but none matches the selecting header fields.
    NoVariant,
    /// There is no response for the URI.
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

/// Whether a stored response was invalidated (RFC 9111 §4.4). The later ones are stronger.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Validity {
    Valid,
    /// A write was sent and got no answer, so the resource may have changed: the response must be
    /// validated before any use, except in place of an error.
    Unanswered,
    /// The resource was changed since: the response must be validated before any use.
    Invalidated,
}

/// What to do next with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// Answer with the stored response, which is fresh.
    Serve,
    /// Answer with the stored response although it is stale.
    ServeStale(Stale),
    /// Validate the stored response with the origin, then answer.
    Revalidate(ValidationReason),
    /// Fetch a response from the origin.
    Fetch(MissReason),
    /// Forward the request past the cache: what is stored is not for it, and is not to be refreshed
    /// for it.
    Bypass(Bypass),
    /// Answer 504: the request only accepts a stored response (RFC 9111 §5.2.1.7).
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

/// Why a stored response has to be validated before it is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ValidationReason {
    /// It is stale, it was invalidated, or it must always be validated.
    Stale,
    /// The request does not accept it without validation.
    Request,
}

/// What is missing in the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MissReason {
    /// A response for the URI.
    Uri,
    /// A response whose selecting header fields match.
    Vary,
}

/// What to do when the origin failed to answer a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OnError {
    /// Answer with the stored response.
    ServeStale,
    /// Send the error to the client.
    PassOn,
}

/// Whether a stored response may replace an answer from the origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OriginAnswer {
    /// It may not: the answer is no error.
    Usable,
    /// It may, if `stale-if-error` allows it.
    Error,
}

impl OriginAnswer {
    /// RFC 5861 §4 defines 500, 502, 503 and 504 as errors.
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

/// Decides what to do with a request. The order follows from RFC 9111 §4 and §5.2.1: first the
/// demands of the stored response, then those of the request, then freshness, then the permissions
/// to use a stale response.
pub(crate) fn decide(found: StoredMatch<'_>, request: &RequestDirectives) -> Decision {
    let decision = match found {
        StoredMatch::Selected(candidate) => choose(&candidate, request),
        StoredMatch::Withheld(reason) => Decision::Bypass(reason),
        StoredMatch::NoVariant => Decision::Fetch(MissReason::Vary),
        StoredMatch::Nothing => Decision::Fetch(MissReason::Uri),
    };
    match decision {
        Decision::Revalidate(_) | Decision::Fetch(_) | Decision::Bypass(_)
            if request.only_if_cached =>
        {
            Decision::Refuse
        }
        decision => decision,
    }
}

/// Why a stored response must not answer this request in any way, if it must not.
///
/// A lifetime that the origin did not give is no word of the origin's that the response is the same
/// for everybody. With credentials, or with a cookie that counts, a client may get another one. So
/// such a request gets the answer of the origin, fresh or stale, and validates nothing: that a 304
/// to it confirmed the stored response would show nothing about other clients.
pub(crate) fn withheld(freshness: &Freshness, facts: Facts) -> Option<Bypass> {
    if facts.is_plain() || !freshness.is_for_plain_requests() {
        None
    } else if facts.any_credential() {
        Some(Bypass::Credentials)
    } else {
        Some(Bypass::Cookie)
    }
}

/// Decides whether a stored response is served in place of an error: when there is no answer, or
/// when the answer is an [`OriginAnswer::Error`] (RFC 5861 §4).
///
/// A fresh response that was not used because the request wanted a younger one counts as stale by
/// zero seconds. A request that demands validation gets the error, unless it has its own
/// `stale-if-error`.
pub(crate) fn on_error(candidate: &Candidate<'_>, request: &RequestDirectives) -> OnError {
    let freshness = candidate.freshness;
    let fresh = freshness.ttl(candidate.age) > 0;
    let (by_response, by_request) = match (candidate.validity, freshness.reuse) {
        (Validity::Invalidated, _) | (_, Reuse::Validate) => (None, None),
        (_, Reuse::WhileFresh) if !fresh => (None, None),
        (_, Reuse::WithinWindows) if !fresh => (freshness.stale_if_error, None),
        _ => (freshness.stale_if_error, request.stale_if_error),
    };
    let by_response = by_response.filter(|_| !demands_validation(request));
    let staleness = staleness(candidate);
    // A fresh response is within any window, even one of zero seconds.
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
    if candidate.validity != Validity::Valid || freshness.reuse == Reuse::Validate {
        return Decision::Revalidate(ValidationReason::Stale);
    }
    if demands_validation(request)
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
    // A request that limits the age does not accept a stale response (RFC 9111 §5.2.1.1).
    if request.max_age.is_none() && is_within(freshness.stale_while_revalidate, staleness) {
        return Decision::ServeStale(Stale::WhileRevalidate);
    }
    Decision::Revalidate(ValidationReason::Stale)
}

/// Whether a request demands validation of any stored response (RFC 9111 §5.2.1.4). `max-age=0`
/// means the same, even for a response whose age is zero.
fn demands_validation(request: &RequestDirectives) -> bool {
    request.no_cache || request.max_age == Some(0)
}

/// How many seconds ago the response became stale. Zero in the first second after, and for a fresh
/// response.
fn staleness(candidate: &Candidate<'_>) -> u32 {
    candidate.age.saturating_sub(candidate.freshness.lifetime)
}

/// Whether a response that became stale this many seconds ago is within a stale window. The window
/// begins when freshness ends and includes its last second. A window of zero seconds is no window.
fn is_within(window: Option<u32>, staleness: u32) -> bool {
    window.is_some_and(|window| window > 0 && staleness <= window)
}

#[cfg(test)]
mod tests;
