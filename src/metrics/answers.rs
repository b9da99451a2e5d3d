//! How requests were answered: by outcome, and why they were no hits.

use metrics::{Counter, Unit, counter, describe_counter};

use crate::{
    outcome::{CacheOutcome, StaleReason, Storing, Tier},
    semantics::{classify::Bypass, storable::NotStored},
};

const REQUESTS: &str = "cachewarp_requests_total";
const HITS: &str = "cachewarp_hits_total";
const STALE: &str = "cachewarp_stale_total";
const BYPASSED: &str = "cachewarp_bypassed_total";
const NOT_STORED: &str = "cachewarp_not_stored_total";
const COLLAPSED: &str = "cachewarp_collapsed_total";

/// The counters of answers. Each exists from the beginning, so that the first increment is seen.
#[derive(Debug)]
pub(crate) struct AnswerMetrics {
    hit_in_memory: HitCounters,
    hit_in_remote: HitCounters,
    stale: StaleCounters,
    revalidated: Counter,
    collapsed: Counter,
    missed: Counter,
    not_stored: NotStoredCounters,
    bypassed: BypassCounters,
    generated: Counter,
    /// Requests that joined the fetch of another one.
    pub(crate) joined: Counter,
}

/// Of one tier.
#[derive(Debug)]
struct HitCounters {
    /// That of the other tier too.
    all: Counter,
    of_tier: Counter,
}

#[derive(Debug)]
struct StaleCounters {
    all: Counter,
    breaker_open: Counter,
    client: Counter,
    if_error: Counter,
    paused: Counter,
    slow: Counter,
    while_revalidate: Counter,
}

#[derive(Debug)]
struct NotStoredCounters {
    failure: Counter,
    full: Counter,
    /// In the order of [`NotStored::ALL`].
    refused: [Counter; NotStored::ALL.len()],
}

#[derive(Debug)]
struct BypassCounters {
    all: Counter,
    method: Counter,
    tunnel: Counter,
    /// In the order of [`Bypass::ALL`].
    reasons: [Counter; Bypass::ALL.len()],
}

impl AnswerMetrics {
    pub(super) fn register() -> Self {
        describe_counter!(REQUESTS, Unit::Count, "Requests by outcome");
        describe_counter!(
            HITS,
            Unit::Count,
            "Fresh answers from the store, by the tier that they were read from"
        );
        describe_counter!(STALE, Unit::Count, "Stale answers, by why they were used");
        describe_counter!(
            BYPASSED,
            Unit::Count,
            "Requests that went past the cache, by the reason"
        );
        describe_counter!(
            NOT_STORED,
            Unit::Count,
            "Responses of the origin that were not stored, by the reason"
        );
        describe_counter!(
            COLLAPSED,
            Unit::Count,
            "Requests that joined the fetch of another one, however they were answered"
        );
        let answered = |outcome: &'static str| counter!(REQUESTS, "outcome" => outcome);
        let hits = |tier: Tier| HitCounters {
            all: answered("hit"),
            of_tier: counter!(HITS, "tier" => tier.as_str()),
        };
        let stale = |reason: StaleReason| counter!(STALE, "reason" => reason.as_str());
        let bypassed = |reason: &'static str| counter!(BYPASSED, "reason" => reason);
        let not_stored = |reason: &'static str| counter!(NOT_STORED, "reason" => reason);
        Self {
            hit_in_memory: hits(Tier::Memory),
            hit_in_remote: hits(Tier::Remote),
            stale: StaleCounters {
                all: answered("stale"),
                breaker_open: stale(StaleReason::BreakerOpen),
                client: stale(StaleReason::Client),
                if_error: stale(StaleReason::IfError(None)),
                paused: stale(StaleReason::Paused),
                slow: stale(StaleReason::Slow),
                while_revalidate: stale(StaleReason::WhileRevalidate),
            },
            revalidated: answered("revalidated"),
            collapsed: answered("collapsed"),
            missed: answered("miss"),
            not_stored: NotStoredCounters {
                failure: not_stored("origin-error"),
                full: not_stored("limit-reached"),
                refused: NotStored::ALL.map(|reason| not_stored(reason.as_str())),
            },
            bypassed: BypassCounters {
                all: answered("bypassed"),
                method: bypassed("method"),
                tunnel: bypassed("tunnel"),
                reasons: Bypass::ALL.map(|reason| bypassed(reason.as_str())),
            },
            generated: answered("generated"),
            joined: counter!(COLLAPSED),
        }
    }

    /// Counts a request that was answered with this outcome.
    pub(crate) fn answered(&self, outcome: &CacheOutcome) {
        let (all, of_reason) = match outcome {
            CacheOutcome::Hit { tier, .. } => {
                let hits = match tier {
                    Tier::Memory => &self.hit_in_memory,
                    Tier::Remote => &self.hit_in_remote,
                };
                (&hits.all, Some(&hits.of_tier))
            }
            CacheOutcome::Stale { reason, .. } => (&self.stale.all, Some(self.stale.of(*reason))),
            CacheOutcome::Revalidated { .. } => (&self.revalidated, None),
            CacheOutcome::Collapsed { .. } => (&self.collapsed, None),
            CacheOutcome::Fetched { storing, .. } => (&self.missed, self.not_stored.of(storing)),
            CacheOutcome::Bypassed(reason) => {
                let of_reason = self.bypassed.reasons.get(*reason as usize);
                (&self.bypassed.all, of_reason)
            }
            CacheOutcome::Forwarded => (&self.bypassed.all, Some(&self.bypassed.method)),
            CacheOutcome::Tunnelled => (&self.bypassed.all, Some(&self.bypassed.tunnel)),
            CacheOutcome::Generated(_) => (&self.generated, None),
            // There is no cache that could count it.
            CacheOutcome::Disabled => return,
        };
        all.increment(1);
        if let Some(of_reason) = of_reason {
            of_reason.increment(1);
        }
    }
}

impl StaleCounters {
    fn of(&self, reason: StaleReason) -> &Counter {
        match reason {
            StaleReason::BreakerOpen => &self.breaker_open,
            StaleReason::Client => &self.client,
            StaleReason::IfError(_) => &self.if_error,
            StaleReason::Paused => &self.paused,
            StaleReason::Slow => &self.slow,
            StaleReason::WhileRevalidate => &self.while_revalidate,
        }
    }
}

impl NotStoredCounters {
    fn of(&self, storing: &Storing) -> Option<&Counter> {
        match storing {
            Storing::Begun { .. } => None,
            Storing::Failure => Some(&self.failure),
            Storing::Full => Some(&self.full),
            Storing::Refused(reason) => self.refused.get(*reason as usize),
        }
    }
}

#[cfg(test)]
mod tests;
