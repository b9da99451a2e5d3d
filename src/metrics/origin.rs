//! How long the origin takes to answer, by how its calls end.

use std::time::Duration;

use http::StatusCode;
use metrics::{Histogram, Unit, describe_histogram, histogram};

use crate::semantics::decide::OriginAnswer;

const ORIGIN_DURATION: &str = "cachewarp_origin_duration_seconds";

/// How a call of the origin ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallEnd {
    /// With the head of a response.
    Answered,
    /// Nobody waited for it any longer.
    Cancelled,
    /// With an error of the service, or a panic.
    Error,
    /// With 500, 502, 503 or 504.
    ErrorStatus,
    /// With a 304: what is stored is confirmed.
    NotModified,
    /// Not within the time limit.
    Timeout,
}

impl CallEnd {
    /// Of a call that brought a response with this status.
    pub(crate) fn of(status: StatusCode) -> Self {
        match OriginAnswer::of(status) {
            OriginAnswer::Error => Self::ErrorStatus,
            OriginAnswer::Usable if status == StatusCode::NOT_MODIFIED => Self::NotModified,
            OriginAnswer::Usable => Self::Answered,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
            Self::ErrorStatus => "error-status",
            Self::NotModified => "not-modified",
            Self::Timeout => "timeout",
        }
    }
}

/// How long calls of the origin take.
#[derive(Debug)]
pub(crate) struct OriginDurations {
    answered: Histogram,
    cancelled: Histogram,
    error: Histogram,
    error_status: Histogram,
    not_modified: Histogram,
    timeout: Histogram,
}

impl OriginDurations {
    pub(super) fn register() -> Self {
        describe_histogram!(
            ORIGIN_DURATION,
            Unit::Seconds,
            "How long calls of the service took until the head of the response, by how they ended"
        );
        let ended = |end: CallEnd| histogram!(ORIGIN_DURATION, "outcome" => end.as_str());
        Self {
            answered: ended(CallEnd::Answered),
            cancelled: ended(CallEnd::Cancelled),
            error: ended(CallEnd::Error),
            error_status: ended(CallEnd::ErrorStatus),
            not_modified: ended(CallEnd::NotModified),
            timeout: ended(CallEnd::Timeout),
        }
    }

    pub(crate) fn record(&self, end: CallEnd, took: Duration) {
        match end {
            CallEnd::Answered => &self.answered,
            CallEnd::Cancelled => &self.cancelled,
            CallEnd::Error => &self.error,
            CallEnd::ErrorStatus => &self.error_status,
            CallEnd::NotModified => &self.not_modified,
            CallEnd::Timeout => &self.timeout,
        }
        .record(took);
    }
}
