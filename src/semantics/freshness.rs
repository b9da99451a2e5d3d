//! How long a response is fresh, and how old it was when it arrived (RFC 9111 §4.2).

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::semantics::cache_control::{ResponseDirectives, Scope, StaleWindow};
use crate::semantics::fields::{self, Expires};
use crate::semantics::list::MAX_DELTA;
use crate::semantics::rules::{AgePolicy, Heuristics, Rules, SMaxagePolicy};
use crate::semantics::targeted::{DirectiveSource, EffectiveDirectives};

/// What a response says about its reuse, computed once and stored with it.
///
/// All times are in whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Freshness {
    /// The freshness lifetime (RFC 9111 §4.2.1).
    pub(crate) lifetime: u32,
    /// The age on arrival: `corrected_initial_age` (RFC 9111 §4.2.3).
    pub(crate) initial_age: u32,
    /// How long after it became stale the response may be served while it is validated in the
    /// background (RFC 5861 §3). `None` if `reuse` forbids it.
    pub(crate) stale_while_revalidate: Option<u32>,
    /// How long after it became stale the response may be served in place of an error (RFC 5861
    /// §4). `None` if `reuse` forbids it.
    pub(crate) stale_if_error: Option<u32>,
    /// The source of the lifetime.
    pub(crate) source: LifetimeSource,
    /// How the response may be reused without validation.
    pub(crate) reuse: Reuse,
    /// Whether the response is marked `public`.
    pub(crate) public: bool,
}

/// The two times of an exchange from which ages are computed, in Unix seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Times {
    /// Just before the request was forwarded.
    pub(crate) request: i64,
    /// When the head of the response had arrived.
    pub(crate) response: i64,
}

/// Who gave a stored response its freshness lifetime (RFC 9111 §4.2.1).
///
/// A policy that only [shortens](crate::TtlPolicy::shorten) what a response states is not its source.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LifetimeSource {
    /// The origin: the `s-maxage` directive, usable or not.
    SMaxage,
    /// The origin: the `max-age` directive, usable or not.
    MaxAge,
    /// The origin: the `Expires` field, usable or not.
    Expires,
    /// Nobody: it is a share of the time since the last modification
    /// ([`heuristics`](crate::CacheBuilder::heuristics)).
    Heuristic,
    /// The operator: a [`TtlPolicy`](crate::TtlPolicy).
    Policy,
    /// Nobody: the lifetime is zero.
    None,
}

impl LifetimeSource {
    /// The source as a token, such as `max-age`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SMaxage => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "expires",
            Self::Heuristic => "heuristic",
            Self::Policy => "policy",
            Self::None => "none",
        }
    }
}

/// How a response may be reused without validation, the strictest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reuse {
    /// Not at all, not even while it is fresh: `no-cache` without field names (RFC 9111 §5.2.2.4).
    Validate,
    /// While it is fresh: `must-revalidate`, `proxy-revalidate`, and `s-maxage` without a stale
    /// window (RFC 9111 §5.2.2.2, §5.2.2.8, §5.2.2.10).
    WhileFresh,
    /// While it is fresh, and within the stale windows that the response states beside its
    /// `s-maxage`, or opens there for those of the operator. A request cannot extend them.
    WithinWindows,
    /// While it is fresh, within the stale windows, and longer if a request allows it.
    AsRequested,
}

impl Freshness {
    /// The freshness of a response that arrived at `times` with these `effective` directives.
    pub(crate) fn of(
        status: StatusCode,
        response: &HeaderMap,
        effective: &EffectiveDirectives,
        times: Times,
        rules: &Rules,
    ) -> Self {
        let directives = &effective.directives;
        let date = fields::date(response, times.response).unwrap_or(times.response);
        let (lifetime, source) = lifetime(status, response, effective, date, times, rules);
        let window = |stated: Option<StaleWindow>, of_operator: Option<u32>| match stated {
            Some(StaleWindow::Seconds(seconds)) => Some(seconds),
            Some(StaleWindow::OfOperator) => of_operator.filter(|_| lifetime > 0),
            None => None,
        };
        let stated = Self {
            lifetime,
            initial_age: initial_age(response, date, times, rules.age_policy),
            stale_while_revalidate: window(
                directives.stale_while_revalidate,
                rules.stale_while_revalidate,
            ),
            stale_if_error: window(directives.stale_if_error, rules.stale_if_error),
            source,
            reuse: reuse(directives, rules.s_maxage),
            public: directives.public,
        };
        stated.with_defaults(rules).without_forbidden_windows()
    }

    /// The same response with the lifetime and the stale windows of a policy. Where the policy
    /// gives no window, that of the response applies, else the operator's default.
    ///
    /// `reuse` stays as the response has it: a policy cannot allow what the response forbids. So
    /// beside `s-maxage` only the windows apply that the response opens. An explicit lifetime stays
    /// explicit unless it became longer, so it is still a reason to store.
    pub(crate) fn with_policy(
        self,
        lifetime: u32,
        stale_while_revalidate: Option<u32>,
        stale_if_error: Option<u32>,
        rules: &Rules,
    ) -> Self {
        let of_policy = |window: Option<u32>| window.filter(|_| self.reuse == Reuse::AsRequested);
        let given = Self {
            lifetime: lifetime.min(MAX_DELTA),
            stale_while_revalidate: of_policy(stale_while_revalidate)
                .or(self.stale_while_revalidate),
            stale_if_error: of_policy(stale_if_error).or(self.stale_if_error),
            source: if self.is_explicit() && lifetime <= self.lifetime {
                self.source
            } else {
                LifetimeSource::Policy
            },
            ..self
        };
        given.with_defaults(rules).without_forbidden_windows()
    }

    /// The same response with its lifetime limited to this. Without any lifetime left it has no
    /// stale windows either: it is always validated.
    pub(crate) fn at_most(self, lifetime: u32) -> Self {
        if lifetime >= self.lifetime {
            return self;
        }
        let windows = |window: Option<u32>| window.filter(|_| lifetime > 0);
        Self {
            lifetime,
            stale_while_revalidate: windows(self.stale_while_revalidate),
            stale_if_error: windows(self.stale_if_error),
            ..self
        }
    }

    /// The same response with its lifetime shortened by this share, but not to zero.
    pub(crate) fn shortened(self, share: f64) -> Self {
        let off = (f64::from(self.lifetime) * share) as u32;
        let least = self.lifetime.min(1);
        Self {
            lifetime: self.lifetime.saturating_sub(off).max(least),
            ..self
        }
    }

    /// Whether the response itself states its lifetime, even if the value is not usable.
    pub(crate) fn is_explicit(&self) -> bool {
        matches!(
            self.source,
            LifetimeSource::SMaxage | LifetimeSource::MaxAge | LifetimeSource::Expires
        )
    }

    /// Whether the response may answer plain requests only: it was not made for sharing by its
    /// origin, only a policy or a guess gave it a lifetime.
    pub(crate) fn is_for_plain_requests(&self) -> bool {
        let given = matches!(
            self.source,
            LifetimeSource::Heuristic | LifetimeSource::Policy
        );
        given && !self.public
    }

    /// The current age after `resident` seconds in this cache (RFC 9111 §4.2.3).
    pub(crate) fn age(&self, resident: u32) -> u32 {
        self.initial_age.saturating_add(resident).min(MAX_DELTA)
    }

    /// How many seconds of freshness are left at this age. The response is fresh while this is
    /// positive (RFC 9111 §4.2). At zero it is stale, and below zero it has been stale for as many
    /// seconds.
    pub(crate) fn ttl(&self, age: u32) -> i64 {
        i64::from(self.lifetime) - i64::from(age)
    }

    /// Adds the operator's stale windows where the response states none. They do not apply to a
    /// response with `s-maxage`, nor to one without a lifetime.
    fn with_defaults(self, rules: &Rules) -> Self {
        if self.reuse != Reuse::AsRequested || self.lifetime == 0 {
            return self;
        }
        Self {
            stale_while_revalidate: self.stale_while_revalidate.or(rules.stale_while_revalidate),
            stale_if_error: self.stale_if_error.or(rules.stale_if_error),
            ..self
        }
    }

    /// Removes the stale windows of a response that must not be reused when it is stale (RFC 9111
    /// §4.2.4), and of one without a lifetime.
    fn without_forbidden_windows(self) -> Self {
        let stated = self.is_explicit() || self.source == LifetimeSource::Policy;
        match self.reuse {
            Reuse::WithinWindows | Reuse::AsRequested if stated => self,
            _ => Self {
                stale_while_revalidate: None,
                stale_if_error: None,
                ..self
            },
        }
    }
}

/// Whether a cache may guess a lifetime for a response with this status (RFC 9110 §15.1, and
/// RFC 7725 for 451).
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 451 | 501
    )
}

/// The freshness lifetime. The first source that is present decides: if its value is not usable,
/// the lifetime is zero (RFC 9111 §4.2.1, §5.3).
fn lifetime(
    status: StatusCode,
    response: &HeaderMap,
    effective: &EffectiveDirectives,
    date: i64,
    times: Times,
    rules: &Rules,
) -> (u32, LifetimeSource) {
    let directives = &effective.directives;
    if let Some(s_maxage) = directives.s_maxage {
        return (s_maxage.seconds(), LifetimeSource::SMaxage);
    }
    if let Some(max_age) = directives.max_age {
        return (max_age.seconds(), LifetimeSource::MaxAge);
    }
    // A selected targeted field replaces `Expires` as well (RFC 9213 §2.2).
    if effective.source == DirectiveSource::CacheControl {
        match fields::expires(response, times.response) {
            Expires::At(at) => return (clamped(at.saturating_sub(date)), LifetimeSource::Expires),
            Expires::Past => return (0, LifetimeSource::Expires),
            Expires::Absent => {}
        }
    }
    let guess = rules
        .heuristics
        .filter(|_| effective.leave_lifetime_open())
        .filter(|_| directives.public || is_heuristically_cacheable(status))
        .map(|heuristics| {
            let modified = fields::last_modified(response, times.response);
            heuristic_lifetime(&heuristics, directives, modified, date)
        });
    match guess {
        None | Some(0) => (0, LifetimeSource::None),
        Some(lifetime) => (lifetime, LifetimeSource::Heuristic),
    }
}

/// A guess at the lifetime of a response without explicit freshness (RFC 9111 §4.2.2).
fn heuristic_lifetime(
    heuristics: &Heuristics,
    directives: &ResponseDirectives,
    modified: Option<i64>,
    date: i64,
) -> u32 {
    match modified {
        Some(modified) => {
            let unchanged = date.saturating_sub(modified).max(0);
            let share = unchanged.saturating_mul(i64::from(heuristics.percent)) / 100;
            clamped(share).min(whole_seconds(heuristics.cap))
        }
        None if directives.public => whole_seconds(heuristics.public),
        None => 0,
    }
}

/// `corrected_initial_age` (RFC 9111 §4.2.3).
fn initial_age(response: &HeaderMap, date: i64, times: Times, policy: AgePolicy) -> u32 {
    let delay = clamped(times.response.saturating_sub(times.request));
    let corrected = fields::age(response).saturating_add(delay).min(MAX_DELTA);
    match policy {
        AgePolicy::Conservative => corrected.max(clamped(times.response.saturating_sub(date))),
        AgePolicy::AgeFieldOnly => corrected,
    }
}

fn reuse(directives: &ResponseDirectives, s_maxage: SMaxagePolicy) -> Reuse {
    if matches!(directives.no_cache, Some(Scope::Whole)) {
        return Reuse::Validate;
    }
    if directives.must_revalidate || directives.proxy_revalidate {
        return Reuse::WhileFresh;
    }
    if directives.s_maxage.is_none() {
        return Reuse::AsRequested;
    }
    // `s-maxage` implies `proxy-revalidate` (RFC 9111 §5.2.2.10). If the response states a stale
    // window beside it, the origin means to allow that window; without a value, the operator's.
    let window = directives
        .stale_while_revalidate
        .or(directives.stale_if_error);
    match (s_maxage, window) {
        (SMaxagePolicy::AllowExplicitStale, Some(_)) => Reuse::WithinWindows,
        (SMaxagePolicy::AllowExplicitStale, None) | (SMaxagePolicy::Strict, _) => Reuse::WhileFresh,
    }
}

/// A setting in whole seconds, at most 2^31.
fn whole_seconds(span: Duration) -> u32 {
    clamped(i64::try_from(span.as_secs()).unwrap_or(i64::MAX))
}

/// A span of seconds as an unsigned number between zero and 2^31 (RFC 9111 §1.2.2).
fn clamped(span: i64) -> u32 {
    u32::try_from(span.max(0)).map_or(MAX_DELTA, |span| span.min(MAX_DELTA))
}

#[cfg(test)]
mod tests;
