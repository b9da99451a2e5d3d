//! The lifetime of a response: its own, what the policy makes of it, and the random jitter.

use std::time::Duration;

use http::{HeaderMap, StatusCode, response};

use crate::{
    config::Config,
    engine::request::CacheRequest,
    entry::Head,
    semantics::{freshness::Freshness, validate},
    state::cache::{Cache, Shared},
    ttl::{Fetched, History, Lifetime, LifetimeReason},
};

/// What to ask a policy about a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PolicyCall {
    /// To give a lifetime: the response states none, or the policy overrides it.
    Give,
    /// To give a lifetime that counts if it is shorter than the one that the response states.
    Lower,
    /// To shorten the lifetime that the response states.
    Shorten,
}

impl PolicyCall {
    /// The freshness that the policy makes of the response's `own`.
    pub(super) fn ask(
        self,
        config: &Config,
        request: &CacheRequest,
        response: &response::Parts,
        own: Freshness,
        history: Option<&History>,
    ) -> Freshness {
        let fetched = Fetched::new(&request.parts, response);
        let fetched = match history {
            Some(history) => fetched.with_history(history),
            None => fetched,
        };
        let fetched = if own.is_explicit() {
            fetched.with_explicit(Duration::from_secs(own.lifetime.into()))
        } else {
            fetched
        };
        let given = match self {
            Self::Give | Self::Lower => give(config, request, &fetched),
            Self::Shorten => None,
        };
        match given {
            Some(given) if self == Self::Lower => own.at_most(seconds(given.fresh)),
            Some(given) => own.with_policy(
                seconds(given.fresh),
                given.stale_while_revalidate.map(seconds),
                given.stale_if_error.map(seconds),
                &config.rules,
            ),
            None => shortened(config, &fetched, own),
        }
    }
}

/// A lifetime that is decided once the body is complete, because only the body tells whether the
/// representation changed: what it takes to ask the policy again.
#[derive(Debug)]
pub(crate) struct PendingLifetime {
    pub(super) call: PolicyCall,
    /// The head as it was received, with its extensions.
    pub(super) response: response::Parts,
    /// The freshness before the policy was asked.
    pub(super) own: Freshness,
    /// The share that jitter takes off the lifetime, the same both times.
    pub(super) off: f64,
}

/// Asks the policy again, with a history that includes the body, and gives the head that lifetime.
pub(crate) fn finalize(
    cache: &Cache,
    request: &CacheRequest,
    head: &mut Head,
    pending: &PendingLifetime,
    history: &History,
) {
    let PendingLifetime {
        call,
        response,
        own,
        off,
    } = pending;
    let config = &cache.config;
    let freshness = call.ask(config, request, response, *own, Some(history));
    head.meta.freshness = freshness.shortened(*off);
    head.meta.keep = retention(config, head.meta.freshness, &head.headers);
}

/// The random share to take off a lifetime, up to the configured jitter.
pub(super) fn jitter(shared: &Shared, config: &Config) -> f64 {
    match config.lifetime_jitter {
        0.0 => 0.0,
        most => most * shared.random.fraction(),
    }
}

/// How long to keep an entry after it arrived: while it is fresh, may be served stale, or can be
/// validated.
pub(super) fn retention(config: &Config, freshness: Freshness, headers: &HeaderMap) -> Duration {
    let fresh = freshness.lifetime.saturating_sub(freshness.initial_age);
    let stale = freshness
        .stale_while_revalidate
        .max(freshness.stale_if_error)
        .unwrap_or(0);
    let beyond = if validate::has_validator(headers) {
        config.keep_stale
    } else {
        config.keep_stale_without_validator
    };
    Duration::from_secs(fresh.into()) + Duration::from_secs(stale.into()).max(beyond)
}

/// What the policy gives.
fn give(config: &Config, request: &CacheRequest, fetched: &Fetched<'_>) -> Option<Lifetime> {
    let given = config.ttl.lifetime(fetched)?;
    let given = limited(config, fetched.response.status, given);
    let fresh = given.fresh;
    tracing::debug!(key = ?request.key, ?fresh, reason = ?given.reason, "lifetime by policy");
    Some(given)
}

/// What a policy gives, but not for long if it is told that something is not there, unless it means
/// this very case.
fn limited(config: &Config, status: StatusCode, given: Lifetime) -> Lifetime {
    let Some(longest) = config.negative_ttl else {
        return given;
    };
    let missing = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    let express = matches!(
        given.reason,
        LifetimeReason::Negative | LifetimeReason::Status
    );
    if !missing || express {
        return given;
    }
    let fresh = given.fresh.min(longest);
    // The operator's window follows only a lifetime.
    let by_default = config
        .rules
        .stale_while_revalidate
        .filter(|_| seconds(fresh) > 0)
        .map(|window| Duration::from_secs(window.into()));
    let refreshed = given.stale_while_revalidate.or(by_default);
    Lifetime {
        fresh,
        stale_while_revalidate: refreshed.map(|window| window.min(longest)),
        ..given
    }
}

/// The freshness that the policy leaves of a stated lifetime.
fn shortened(config: &Config, fetched: &Fetched<'_>, own: Freshness) -> Freshness {
    if !own.is_explicit() || own.lifetime == 0 {
        return own;
    }
    let explicit = Duration::from_secs(own.lifetime.into());
    match config.ttl.shorten(fetched, explicit) {
        Some(shorter) => own.at_most(seconds(shorter)),
        None => own,
    }
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
