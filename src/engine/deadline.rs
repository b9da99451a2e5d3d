//! Until when a request waits for the origin: one moment, which every wait on its way keeps to.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout_at};

/// The moment until which a request waits for the origin.
///
/// It is fixed when the request begins. So waits that follow each other do not add up: for a leader
/// and for its successor, for a lease, for a 304 and the call that may follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

/// The deadline came first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadlinePassed;

impl Deadline {
    /// So long from now on.
    pub(crate) fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// A moment later.
    pub(crate) fn plus(self, moment: Duration) -> Self {
        Self(self.0 + moment)
    }

    pub(crate) fn instant(self) -> Instant {
        self.0
    }

    pub(crate) fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// What comes of `work`, if it comes in time.
    pub(crate) async fn limit<F: Future>(self, work: F) -> Result<F::Output, DeadlinePassed> {
        timeout_at(self.0, work).await.map_err(|_| DeadlinePassed)
    }
}
