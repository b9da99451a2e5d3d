//! The names, descriptions and handles of all metrics of the crate.
//!
//! The cache registers its metrics at the first request. A recorder must be installed before that:
//! a metric that was registered without a recorder stays silent.

mod answers;
mod memory;
mod origin;
mod part;
mod purges;
mod readable;
mod remote;
mod requests;
mod sent;

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

#[cfg(feature = "redis")]
pub(crate) use self::remote::remote_outages;
use self::{
    answers::AnswerMetrics, part::GaugePart, readable::ReadableCounter, requests::RequestCounts,
};
pub(crate) use self::{
    memory::MemoryMetrics,
    origin::{CallEnd, OriginDurations},
    purges::{PurgeLogMetrics, PurgeMetrics},
    remote::{RemoteDurations, RemoteMetrics, RemoteOperation},
    requests::AnswerKind,
    sent::SentBytes,
};
use crate::outcome::CacheOutcome;

const ORIGIN_CALLS: &str = "cachewarp_origin_calls_total";
const ORIGIN_FAILURES: &str = "cachewarp_origin_failures_total";
const STORED: &str = "cachewarp_stored_total";
const STORE_ERRORS: &str = "cachewarp_store_errors_total";
const INVALIDATIONS: &str = "cachewarp_invalidations_total";
const FILL_BYTES: &str = "cachewarp_fill_bytes";
const BUILD_INFO: &str = "cachewarp_build_info";

/// The metrics of a cache.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) answers: AnswerMetrics,
    pub(crate) requests: RequestCounts,
    pub(crate) fill_bytes: GaugePart,
    pub(crate) invalidations: Counter,
    pub(crate) origin_calls: ReadableCounter,
    pub(crate) origin_durations: OriginDurations,
    pub(crate) origin_failures: ReadableCounter,
    pub(crate) purges: PurgeMetrics,
    pub(crate) sent: SentBytes,
    pub(crate) store_errors: Counter,
    pub(crate) stored: ReadableCounter,
}

impl Metrics {
    pub(crate) fn register() -> Self {
        describe_counter!(
            ORIGIN_CALLS,
            Unit::Count,
            "Calls of the service that the cache wraps"
        );
        describe_counter!(
            ORIGIN_FAILURES,
            Unit::Count,
            "Calls that ended with an error, a timeout, or status 500, 502, 503 or 504"
        );
        describe_counter!(STORED, Unit::Count, "Responses written to the memory tier");
        describe_counter!(
            STORE_ERRORS,
            Unit::Count,
            "Operations of the store that failed"
        );
        describe_counter!(
            INVALIDATIONS,
            Unit::Count,
            "URIs invalidated by unsafe requests"
        );
        describe_gauge!(
            FILL_BYTES,
            Unit::Bytes,
            "Bytes held by bodies that are still being received or read"
        );
        describe_gauge!(
            BUILD_INFO,
            Unit::Count,
            "Always 1; the label is the version of the crate"
        );
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1);
        Self {
            answers: AnswerMetrics::register(),
            requests: RequestCounts::default(),
            fill_bytes: GaugePart::new(gauge!(FILL_BYTES)),
            invalidations: counter!(INVALIDATIONS),
            origin_calls: ReadableCounter::new(counter!(ORIGIN_CALLS)),
            origin_durations: OriginDurations::register(),
            origin_failures: ReadableCounter::new(counter!(ORIGIN_FAILURES)),
            purges: PurgeMetrics::register(),
            sent: SentBytes::register(),
            store_errors: counter!(STORE_ERRORS),
            stored: ReadableCounter::new(counter!(STORED)),
        }
    }

    /// Counts a request that was answered with this outcome.
    pub(crate) fn answered(&self, outcome: &CacheOutcome) {
        self.requests.count(AnswerKind::of(outcome));
        self.answers.answered(outcome);
    }
}

const BREAKER_CALLS: &str = "cachewarp_breaker_calls_total";
const BREAKER_SLOW_CALLS: &str = "cachewarp_breaker_slow_calls_total";
const BREAKER_REFUSED: &str = "cachewarp_breaker_refused_total";
const BREAKER_CHANGES: &str = "cachewarp_breaker_changes_total";
const BREAKER_REFUSING: &str = "cachewarp_breaker_refusing";

/// The metrics of a circuit breaker.
#[derive(Debug)]
pub(crate) struct BreakerMetrics {
    pub(crate) cancelled: Counter,
    pub(crate) failed: Counter,
    pub(crate) ignored: Counter,
    pub(crate) refused: Counter,
    pub(crate) refusing: Gauge,
    pub(crate) slow: Counter,
    pub(crate) succeeded: Counter,
}

impl BreakerMetrics {
    pub(crate) fn register() -> Self {
        describe_counter!(
            BREAKER_CALLS,
            Unit::Count,
            "Calls that circuit breakers let through, by result"
        );
        describe_counter!(
            BREAKER_SLOW_CALLS,
            Unit::Count,
            "Calls that circuit breakers let through and that were slow"
        );
        describe_counter!(
            BREAKER_REFUSED,
            Unit::Count,
            "Calls that circuit breakers refused"
        );
        describe_counter!(
            BREAKER_CHANGES,
            Unit::Count,
            "Changes of circuits, by the state that they changed to"
        );
        describe_gauge!(
            BREAKER_REFUSING,
            Unit::Count,
            "Circuits that currently refuse calls"
        );
        let calls = |outcome: &'static str| counter!(BREAKER_CALLS, "outcome" => outcome);
        Self {
            cancelled: calls("cancelled"),
            failed: calls("failure"),
            ignored: calls("ignored"),
            refused: counter!(BREAKER_REFUSED),
            refusing: gauge!(BREAKER_REFUSING),
            slow: counter!(BREAKER_SLOW_CALLS),
            succeeded: calls("success"),
        }
    }

    /// Counts a change of a circuit to the state `to`.
    pub(crate) fn changed(&self, to: &'static str) {
        counter!(BREAKER_CHANGES, "to" => to).increment(1);
    }
}
