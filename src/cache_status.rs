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
    pub(crate) x_cache: XCache,
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
        if self.x_cache == XCache::On
            && let Some(value) = x_cache(outcome)
        {
            headers.insert(X_CACHE, HeaderValue::from_static(value));
        }
        if let Some(name) = &self.cache_status
            && let Some(value) = cache_status(name, outcome, sent, received)
        {
            // Our member comes last: the members before are from caches nearer to the origin.
            headers.append(CACHE_STATUS, value);
        }
    }
}

/// The value of `Age` (RFC 9111 §5.1).
pub(crate) fn age_value(age: u32) -> HeaderValue {
    let mut digits: SmallVec<[u8; 10]> = SmallVec::new();
    push_number(&mut digits, i64::from(age));
    value(&digits)
}

fn x_cache(outcome: &CacheOutcome) -> Option<&'static str> {
    match outcome {
        CacheOutcome::Bypassed(_) | CacheOutcome::Forwarded => Some("BYPASS"),
        CacheOutcome::Collapsed { .. } | CacheOutcome::Fetched { .. } => Some("MISS"),
        CacheOutcome::Hit { .. } => Some("HIT"),
        CacheOutcome::Revalidated { .. } => Some("REVALIDATED"),
        CacheOutcome::Stale { .. } => Some("STALE"),
        CacheOutcome::Disabled | CacheOutcome::Generated(_) | CacheOutcome::Tunnelled => None,
    }
}

/// The value of this cache's member of `Cache-Status` (RFC 9211 §2).
fn cache_status(
    name: &str,
    outcome: &CacheOutcome,
    sent: StatusCode,
    received: Option<StatusCode>,
) -> Option<HeaderValue> {
    let mut member = Member::new(name);
    match outcome {
        CacheOutcome::Disabled | CacheOutcome::Generated(_) | CacheOutcome::Tunnelled => {
            return None;
        }
        CacheOutcome::Hit { ttl } => {
            member.flag("hit");
            member.number("ttl", *ttl);
        }
        CacheOutcome::Stale { reason, ttl } => match reason {
            StaleReason::Client => {
                member.flag("hit");
                member.number("ttl", *ttl);
                member.token("detail", "max-stale");
            }
            StaleReason::WhileRevalidate => {
                member.flag("hit");
                member.number("ttl", *ttl);
                member.token("detail", "swr");
            }
            StaleReason::BreakerOpen => {
                member.flag("hit");
                member.number("ttl", *ttl);
                member.token("detail", "breaker-open");
            }
            StaleReason::Paused => {
                member.flag("hit");
                member.number("ttl", *ttl);
                member.token("detail", "paused");
            }
            StaleReason::Slow => {
                member.token("fwd", "stale");
                member.number("ttl", *ttl);
                member.token("detail", "slow");
            }
            StaleReason::IfError(status) => {
                member.token("fwd", "stale");
                if let Some(status) = status {
                    member.number("fwd-status", status.as_u16().into());
                }
                member.number("ttl", *ttl);
                member.token("detail", "stale-if-error");
            }
        },
        CacheOutcome::Bypassed(reason) => {
            member.token("fwd", "bypass");
            member.token("detail", reason.as_str());
        }
        CacheOutcome::Forwarded => member.token("fwd", "method"),
        CacheOutcome::Collapsed { forward, ttl } => {
            member.token("fwd", forward.as_str());
            member.flag("collapsed");
            member.number("ttl", *ttl);
        }
        CacheOutcome::Revalidated { forward, ttl } => {
            member.token("fwd", forward.as_str());
            member.fwd_status(sent, received);
            member.number("ttl", *ttl);
        }
        CacheOutcome::Fetched { forward, storing } => {
            member.token("fwd", forward.as_str());
            member.fwd_status(sent, received);
            match storing {
                Storing::Begun { ttl } => {
                    member.flag("stored");
                    member.number("ttl", *ttl);
                }
                Storing::Failure => {}
                Storing::Full => member.token("detail", "full"),
                Storing::Refused(reason) => member.token("detail", reason.as_str()),
            }
        }
    }
    Some(value(&member.0))
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

    /// Adds the status that the origin answered with, if the client gets another one.
    fn fwd_status(&mut self, sent: StatusCode, received: Option<StatusCode>) {
        if let Some(received) = received.filter(|received| *received != sent) {
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
