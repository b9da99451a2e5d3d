//! The words of each outcome, and what counts as a hit.

use http::StatusCode;

use super::*;
use crate::semantics::{classify::Bypass, storable::NotStored};

const TTL: i64 = 5;

fn hit(tier: Tier) -> CacheOutcome {
    CacheOutcome::Hit { tier, ttl: TTL }
}

fn stale(reason: StaleReason) -> CacheOutcome {
    let tier = Tier::Remote;
    let ttl = -TTL;
    CacheOutcome::Stale { reason, tier, ttl }
}

fn fetched(storing: Storing) -> CacheOutcome {
    let forward = ForwardReason::UriMiss;
    CacheOutcome::Fetched { forward, storing }
}

fn failed(status: StatusCode) -> Generated {
    let retry_after = None;
    Generated::FlightFailed {
        status,
        retry_after,
    }
}

#[test]
fn an_outcome_says_what_it_is_and_why() {
    let forward = ForwardReason::VaryMiss;
    let revalidated = CacheOutcome::Revalidated { forward, ttl: TTL };
    let collapsed = CacheOutcome::Collapsed { forward, ttl: TTL };
    let status = Some(StatusCode::BAD_GATEWAY);
    for (outcome, word, reason) in [
        (hit(Tier::Memory), "hit", None),
        (revalidated, "revalidated", Some("vary-miss")),
        (collapsed, "collapsed", Some("vary-miss")),
        (
            fetched(Storing::Begun { ttl: TTL }),
            "miss",
            Some("uri-miss"),
        ),
        (fetched(Storing::Failure), "miss", Some("origin-error")),
        (fetched(Storing::Full), "miss", Some("limit-reached")),
        (
            fetched(Storing::Refused(NotStored::Private)),
            "miss",
            Some("private"),
        ),
        (
            CacheOutcome::Bypassed(Bypass::Content),
            "bypassed",
            Some("request-body"),
        ),
        (CacheOutcome::Forwarded, "bypassed", Some("method")),
        (CacheOutcome::Tunnelled, "bypassed", Some("tunnel")),
        (CacheOutcome::Disabled, "bypassed", Some("disabled")),
        (
            stale(StaleReason::IfError(status)),
            "stale",
            Some("stale-if-error"),
        ),
        (
            CacheOutcome::Generated(failed(StatusCode::GATEWAY_TIMEOUT)),
            "generated",
            Some("origin-timeout"),
        ),
        (
            CacheOutcome::Generated(failed(StatusCode::SERVICE_UNAVAILABLE)),
            "generated",
            Some("origin-failed"),
        ),
    ] {
        assert_eq!(outcome.as_str(), word, "{outcome:?}");
        assert_eq!(outcome.reason(), reason, "{outcome:?}");
    }
}

#[test]
fn only_what_did_not_wait_for_the_origin_is_a_hit() {
    for (reason, is_hit) in [
        (StaleReason::BreakerOpen, true),
        (StaleReason::Client, true),
        (StaleReason::Paused, true),
        (StaleReason::WhileRevalidate, true),
        (StaleReason::IfError(None), false),
        (StaleReason::Slow, false),
    ] {
        assert_eq!(stale(reason).is_hit(), is_hit, "{reason:?}");
    }
    assert!(hit(Tier::Memory).is_hit());
    assert!(!fetched(Storing::Begun { ttl: TTL }).is_hit());
    assert!(!CacheOutcome::Forwarded.is_hit());
}

#[test]
fn only_what_was_stored_has_a_tier() {
    for tier in [Tier::Memory, Tier::Remote] {
        assert_eq!(hit(tier).tier(), Some(tier));
    }
    assert_eq!(stale(StaleReason::Slow).tier(), Some(Tier::Remote));
    assert_eq!(fetched(Storing::Full).tier(), None);
    let generated = CacheOutcome::Generated(Generated::OnlyIfCached);
    assert_eq!(generated.tier(), None);
}
