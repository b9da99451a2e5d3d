//! The header fields that describe how a request was answered: `Cache-Status` (RFC 9211), `X-Cache`
//! and `Age`.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CACHE_STATUS};
use smallvec::SmallVec;

use crate::outcome::{CacheOutcome, StaleReason, Storing};

/// The name of the field `X-Cache`.
pub(crate) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Which of the fields to add to responses.
#[derive(Clone, Debug)]
pub(crate) struct StatusFields {
    /// The name of this cache in `Cache-Status`, serialised as a token. `None` omits the field.
    pub(crate) cache_status: Option<Box<str>>,
    pub(crate) own_answers: OwnAnswers,
    pub(crate) x_cache: XCache,
}

/// Whether the answers that the cache makes itself have `Cache-Status`. A cache should add none to
/// them (RFC 9211 §2), but operators need to see why there was no other answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OwnAnswers {
    Marked,
    Unmarked,
}

/// Whether responses get the field `X-Cache`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum XCache {
    Off,
    On,
}

impl StatusFields {
    /// Adds the fields for `outcome`. `sent` is the status of the response to the client,
    /// `received` the status that the origin answered with, if it was called.
    pub(crate) fn stamp(
        &self,
        headers: &mut HeaderMap,
        outcome: &CacheOutcome,
        sent: StatusCode,
        received: Option<StatusCode>,
    ) {
        if self.x_cache == XCache::On {
            headers.insert(X_CACHE, HeaderValue::from_static(x_cache(outcome)));
        }
        let is_own = matches!(outcome, CacheOutcome::Generated(_));
        if let Some(name) = &self.cache_status
            && !(is_own && self.own_answers == OwnAnswers::Unmarked)
        {
            // Our member comes last: the members before are from caches nearer to the origin.
            headers.append(CACHE_STATUS, cache_status(name, outcome, sent, received));
        }
    }
}

/// The value of `Age` (RFC 9111 §5.1).
pub(crate) fn age_value(age: u32) -> HeaderValue {
    let mut digits: SmallVec<[u8; 10]> = SmallVec::new();
    push_number(&mut digits, i64::from(age));
    value(&digits)
}

fn x_cache(outcome: &CacheOutcome) -> &'static str {
    match outcome {
        CacheOutcome::Bypassed(_)
        | CacheOutcome::Disabled
        | CacheOutcome::Forwarded
        | CacheOutcome::Tunnelled => "BYPASS",
        CacheOutcome::Collapsed { .. } | CacheOutcome::Fetched { .. } => "MISS",
        CacheOutcome::Generated(_) => "ERROR",
        CacheOutcome::Hit { .. } => "HIT",
        CacheOutcome::Revalidated { .. } => "REVALIDATED",
        CacheOutcome::Stale { .. } => "STALE",
    }
}

/// The value of this cache's member of `Cache-Status` (RFC 9211 §2).
fn cache_status(
    name: &str,
    outcome: &CacheOutcome,
    sent: StatusCode,
    received: Option<StatusCode>,
) -> HeaderValue {
    let mut member = Member::new(name);
    if outcome.is_hit() {
        member.flag("hit");
    } else if let Some(forward) = outcome.forward() {
        member.token("fwd", forward);
    }
    match outcome {
        CacheOutcome::Stale {
            reason: StaleReason::IfError(status),
            ..
        } => member.fwd_status(*status),
        _ => member.fwd_status(received.filter(|received| *received != sent)),
    }
    match outcome {
        CacheOutcome::Collapsed { ttl, .. } => {
            member.flag("collapsed");
            member.number("ttl", *ttl);
        }
        CacheOutcome::Fetched {
            storing: Storing::Begun { ttl },
            ..
        } => {
            member.flag("stored");
            member.number("ttl", *ttl);
        }
        CacheOutcome::Hit { ttl, .. }
        | CacheOutcome::Revalidated { ttl, .. }
        | CacheOutcome::Stale { ttl, .. } => member.number("ttl", *ttl),
        CacheOutcome::Bypassed(_)
        | CacheOutcome::Disabled
        | CacheOutcome::Fetched { .. }
        | CacheOutcome::Forwarded
        | CacheOutcome::Generated(_)
        | CacheOutcome::Tunnelled => {}
    }
    if let Some(detail) = outcome.detail() {
        member.token("detail", detail);
    }
    value(&member.0)
}

/// A list member, which serialises parameters as they are added (RFC 9651 §4.1).
struct Member(SmallVec<[u8; 96]>);

impl Member {
    fn new(name: &str) -> Self {
        Self(SmallVec::from_slice(name.as_bytes()))
    }

    fn flag(&mut self, key: &str) {
        self.0.extend_from_slice(b"; ");
        self.0.extend_from_slice(key.as_bytes());
    }

    fn token(&mut self, key: &str, token: &str) {
        self.flag(key);
        self.0.push(b'=');
        self.0.extend_from_slice(token.as_bytes());
    }

    fn number(&mut self, key: &str, number: i64) {
        self.flag(key);
        self.0.push(b'=');
        push_number(&mut self.0, number);
    }

    /// Adds the status that the origin answered with, where the client gets another one.
    fn fwd_status(&mut self, received: Option<StatusCode>) {
        if let Some(received) = received {
            self.number("fwd-status", received.as_u16().into());
        }
    }
}

fn push_number<A: smallvec::Array<Item = u8>>(to: &mut SmallVec<A>, number: i64) {
    if number < 0 {
        to.push(b'-');
    }
    let mut rest = number.unsigned_abs();
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        // The remainder is below ten.
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[first..]);
}

fn value(bytes: &[u8]) -> HeaderValue {
    // The bytes are valid: a name that `build` validated, tokens and digits.
    HeaderValue::from_bytes(bytes).unwrap_or_else(|_| HeaderValue::from_static(""))
}
