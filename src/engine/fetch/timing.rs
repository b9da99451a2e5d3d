//! How long one call of the origin takes, and how it ends, for the metrics.

use std::{thread, time::Duration};

use http::Response;

use crate::{engine::deadline::DeadlinePassed, metrics::CallEnd, state::cache::Shared};

/// A call of the origin that is under way. If it is dropped, the call was cancelled.
pub(super) struct Timing<'a> {
    shared: &'a Shared,
    began: Duration,
    end: CallEnd,
}

impl<'a> Timing<'a> {
    /// Counts the call.
    pub(super) fn begin(shared: &'a Shared) -> Self {
        shared.metrics().origin_calls.increment(1);
        Self {
            shared,
            began: shared.clock.monotonic(),
            end: CallEnd::Cancelled,
        }
    }

    pub(super) fn end<B, E>(mut self, answer: &Result<Result<Response<B>, E>, DeadlinePassed>) {
        self.end = match answer {
            Ok(Ok(response)) => CallEnd::of(response.status()),
            Ok(Err(_)) => CallEnd::Error,
            Err(DeadlinePassed) => CallEnd::Timeout,
        };
    }
}

impl Drop for Timing<'_> {
    fn drop(&mut self) {
        let end = match self.end {
            CallEnd::Cancelled if thread::panicking() => CallEnd::Error,
            end => end,
        };
        let now = self.shared.clock.monotonic();
        let took = now.saturating_sub(self.began);
        self.shared.metrics().origin_durations.record(end, took);
    }
}
