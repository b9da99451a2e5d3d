//! The metrics of the shared tier.

use std::time::Duration;

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

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

const REMOTE_DURATION: &str = "cachewarp_remote_duration_seconds";

/// An operation of the shared tier that is timed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RemoteOperation {
    Acquire,
    DeleteIf,
    Extend,
    Get,
    GetTwo,
    Head,
    Invalidate,
    Peek,
    Put,
    PutIf,
    Release,
    SyncLog,
    Touch,
}

impl RemoteOperation {
    /// In the order of their declaration, which is that of the histograms.
    const ALL: [Self; 13] = [
        Self::Acquire,
        Self::DeleteIf,
        Self::Extend,
        Self::Get,
        Self::GetTwo,
        Self::Head,
        Self::Invalidate,
        Self::Peek,
        Self::Put,
        Self::PutIf,
        Self::Release,
        Self::SyncLog,
        Self::Touch,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::DeleteIf => "delete-if",
            Self::Extend => "extend",
            Self::Get => "get",
            Self::GetTwo => "get-two",
            Self::Head => "head",
            Self::Invalidate => "invalidate",
            Self::Peek => "peek",
            Self::Put => "put",
            Self::PutIf => "put-if",
            Self::Release => "release",
            Self::SyncLog => "sync-log",
            Self::Touch => "touch",
        }
    }
}

/// How long the operations of the shared tier take.
#[derive(Debug)]
pub(crate) struct RemoteDurations([Histogram; RemoteOperation::ALL.len()]);

impl RemoteDurations {
    pub(crate) fn register() -> Self {
        describe_histogram!(
            REMOTE_DURATION,
            Unit::Seconds,
            "How long operations of the shared tier took, failed ones included"
        );
        let of = |operation: RemoteOperation| histogram!(REMOTE_DURATION, "operation" => operation.as_str());
        Self(RemoteOperation::ALL.map(of))
    }

    pub(crate) fn record(&self, operation: RemoteOperation, took: Duration) {
        if let Some(histogram) = self.0.get(operation as usize) {
            histogram.record(took);
        }
    }
}
