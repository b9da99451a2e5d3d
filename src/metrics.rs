//! The names, descriptions and handles of all metrics of the crate.
//!
//! The cache registers its metrics at the first request. A recorder must be installed before that:
//! a metric that was registered without a recorder stays silent.

mod answers;

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use self::answers::AnswerMetrics;
use crate::outcome::CacheOutcome;

const ORIGIN_CALLS: &str = "cachewarp_origin_calls_total";
const ORIGIN_FAILURES: &str = "cachewarp_origin_failures_total";
const STORED: &str = "cachewarp_stored_total";
const STORE_ERRORS: &str = "cachewarp_store_errors_total";
const INVALIDATIONS: &str = "cachewarp_invalidations_total";
const FILL_BYTES: &str = "cachewarp_fill_bytes";
const MEMORY_BYTES: &str = "cachewarp_memory_bytes";

/// The metrics of a cache.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) answers: AnswerMetrics,
    pub(crate) fill_bytes: Gauge,
    pub(crate) invalidations: Counter,
    pub(crate) memory_bytes: Gauge,
    pub(crate) origin_calls: Counter,
    pub(crate) origin_failures: Counter,
    pub(crate) store_errors: Counter,
    pub(crate) stored: Counter,
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
            MEMORY_BYTES,
            Unit::Bytes,
            "Bytes held by the memory tier, as of its last maintenance"
        );
        Self {
            answers: AnswerMetrics::register(),
            fill_bytes: gauge!(FILL_BYTES),
            invalidations: counter!(INVALIDATIONS),
            memory_bytes: gauge!(MEMORY_BYTES),
            origin_calls: counter!(ORIGIN_CALLS),
            origin_failures: counter!(ORIGIN_FAILURES),
            store_errors: counter!(STORE_ERRORS),
            stored: counter!(STORED),
        }
    }

    /// Counts a request that was answered with this outcome.
    pub(crate) fn answered(&self, outcome: &CacheOutcome) {
        self.answers.answered(outcome);
    }
}

const REMOTE_LOOKUPS: &str = "cachewarp_remote_lookups_total";
const REMOTE_WRITES: &str = "cachewarp_remote_writes_total";
const REMOTE_ERRORS: &str = "cachewarp_remote_errors_total";
const REMOTE_UNDECODABLE: &str = "cachewarp_remote_undecodable_total";
const REMOTE_REFUSED: &str = "cachewarp_remote_refused_total";
const REMOTE_OUTAGES: &str = "cachewarp_remote_outages_total";
const REMOTE_DISTRUSTS: &str = "cachewarp_remote_distrusts_total";

/// The metrics of the shared tier.
#[derive(Debug)]
pub(crate) struct RemoteMetrics {
    pub(crate) distrusts: Counter,
    pub(crate) errors: Counter,
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) refused_ahead: Counter,
    pub(crate) refused_compressed: Counter,
    pub(crate) refused_fields: Counter,
    pub(crate) refused_forged: Counter,
    pub(crate) undecodable: Counter,
    pub(crate) writes: Counter,
    pub(crate) writes_dropped: Counter,
}

impl RemoteMetrics {
    pub(crate) fn register() -> Self {
        describe_counter!(
            REMOTE_LOOKUPS,
            Unit::Count,
            "Lookups in the shared tier, by what they found"
        );
        describe_counter!(
            REMOTE_WRITES,
            Unit::Count,
            "Responses to be written to the shared tier, by whether they were"
        );
        describe_counter!(
            REMOTE_ERRORS,
            Unit::Count,
            "Operations of the shared tier that failed"
        );
        describe_counter!(
            REMOTE_UNDECODABLE,
            Unit::Count,
            "Values in the shared tier that did not decode and were deleted"
        );
        describe_counter!(
            REMOTE_REFUSED,
            Unit::Count,
            "Values in the shared tier that decoded and were not used as they are, by the reason"
        );
        describe_counter!(
            REMOTE_OUTAGES,
            Unit::Count,
            "How often reads from or writes to the shared tier stopped working"
        );
        describe_counter!(
            REMOTE_DISTRUSTS,
            Unit::Count,
            "How often the other nodes were told to distrust everything that was stored"
        );
        let lookups = |found: &'static str| counter!(REMOTE_LOOKUPS, "found" => found);
        let refused = |because: &'static str| counter!(REMOTE_REFUSED, "because" => because);
        let writes = |became: &'static str| counter!(REMOTE_WRITES, "became" => became);
        Self {
            distrusts: counter!(REMOTE_DISTRUSTS),
            errors: counter!(REMOTE_ERRORS),
            hits: lookups("hit"),
            misses: lookups("miss"),
            refused_ahead: refused("ahead"),
            refused_compressed: refused("compressed"),
            refused_fields: refused("fields"),
            refused_forged: refused("forged"),
            undecodable: counter!(REMOTE_UNDECODABLE),
            writes: writes("stored"),
            writes_dropped: writes("dropped"),
        }
    }
}

/// Not one of the handles: it counts outages of connections, which belong to no cache.
#[cfg(feature = "redis")]
pub(crate) fn remote_outages(of: &'static str) -> Counter {
    counter!(REMOTE_OUTAGES, "of" => of)
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
