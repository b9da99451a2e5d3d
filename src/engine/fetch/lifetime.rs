//! The lifetime of a response: what the policy makes of its own, and what chance takes off.

use std::time::Duration;

use http::{HeaderMap, response};

use crate::{
    config::Config,
    engine::request::Asked,
    entry::Head,
    semantics::{freshness::Freshness, validate},
    state::cache::{Cache, Shared},
    ttl::{Fetched, History},
};

/// What a policy is asked of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Question {
    /// A lifetime, for one that states none.
    Give,
    /// A shorter one than it states.
    Shorten,
}

impl Question {
    /// What the policy makes of the response's `own` freshness.
    pub(super) fn ask(
        self,
        config: &Config,
        asked: &Asked,
        response: &response::Parts,
        own: Freshness,
        history: Option<&History>,
    ) -> Freshness {
        let fetched = Fetched::new(&asked.parts, response);
        let fetched = match history {
            Some(history) => fetched.with_history(history),
            None => fetched,
        };
        match self {
            Self::Give => given(config, asked, &fetched, own),
            Self::Shorten => shortened(config, &fetched, own),
        }
    }
}

/// A response whose body has to tell whether the representation changed: what it takes to ask the
/// policy about it again.
#[derive(Debug)]
pub(crate) struct Undecided {
    pub(super) question: Question,
    /// As it was received, extensions and all.
    pub(super) response: response::Parts,
    /// Before the policy had its say.
    pub(super) own: Freshness,
    /// The share that chance takes off, the same at both times.
    pub(super) off: f64,
}

/// Gives a head the lifetime that its body speaks for, by what it has shown of the representation.
pub(crate) fn reconsider(
    cache: &Cache,
    asked: &Asked,
    head: &mut Head,
    undecided: &Undecided,
    history: &History,
) {
    let Undecided {
        question,
        response,
        own,
        off,
    } = undecided;
    let config = &cache.config;
    let freshness = question.ask(config, asked, response, *own, Some(history));
    head.freshness = freshness.shortened(*off);
    head.keep = keep(config, head.freshness, &head.headers, head.arrival.wall);
}

/// The share of a lifetime that chance takes off, up to what the operator wants.
pub(super) fn draw(shared: &Shared, config: &Config) -> f64 {
    match config.lifetime_jitter {
        0.0 => 0.0,
        most => most * shared.chance.draw(),
    }
}

/// How long an entry is of use after it arrived: while it is fresh, while it may be served stale,
/// and while it can be validated.
pub(super) fn keep(
    config: &Config,
    freshness: Freshness,
    headers: &HeaderMap,
    arrived: i64,
) -> Duration {
    let fresh = freshness.lifetime.saturating_sub(freshness.initial_age);
    let stale = freshness
        .stale_while_revalidate
        .max(freshness.stale_if_error)
        .unwrap_or(0);
    let beyond = if validate::has_validator(headers, arrived) {
        config.keep_stale
    } else {
        config.keep_stale_without_validator
    };
    Duration::from_secs(fresh.into()) + Duration::from_secs(stale.into()).max(beyond)
}

/// What the policy gives a response that states no lifetime.
fn given(config: &Config, asked: &Asked, fetched: &Fetched<'_>, own: Freshness) -> Freshness {
    let Some(given) = config.ttl.lifetime(fetched) else {
        return own;
    };
    let fresh = given.fresh;
    tracing::debug!(key = ?asked.key, ?fresh, reason = ?given.reason, "lifetime by policy");
    own.with_policy(
        seconds(given.fresh),
        given.stale_while_revalidate.map(seconds),
        given.stale_if_error.map(seconds),
        &config.rules,
    )
}

/// What the policy leaves of a lifetime that a response states.
fn shortened(config: &Config, fetched: &Fetched<'_>, own: Freshness) -> Freshness {
    if !own.is_explicit() || own.lifetime == 0 {
        return own;
    }
    let explicit = Duration::from_secs(own.lifetime.into());
    match config
        .ttl
        .shorten(&fetched.with_explicit(explicit), explicit)
    {
        Some(shorter) => own.at_most(seconds(shorter)),
        None => own,
    }
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
