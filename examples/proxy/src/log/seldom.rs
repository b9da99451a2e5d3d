//! What the log says of failures: clients can cause any number, so each kind is told once a second.

use std::{
    error::Error,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use crate::failure::Failure;

/// A place for each kind; that two share one would do no harm.
const KINDS: usize = 16;

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
static BROKEN: Seldom = Seldom::new();
static TOLD: [Seldom; KINDS] = [const { Seldom::new() }; KINDS];

/// Lets one through a second, and counts the others.
#[derive(Debug)]
struct Seldom {
    /// The last second in which one came through, plus one.
    last: AtomicU64,
    held: AtomicU64,
}

impl Seldom {
    const fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }

    /// In this second since the start: how many were held back before this one, or `None` if it is
    /// held back too.
    fn pass(&self, second: u64) -> Option<u64> {
        let (last, now) = (self.last.load(Ordering::Relaxed), second.saturating_add(1));
        let is_first = last != now
            && self
                .last
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_first {
            return Some(self.held.swap(0, Ordering::Relaxed));
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Tells that a request to `path` got no response, and why. What a client did is no warning.
pub(crate) fn tell(path: &str, failure: &Failure) {
    if failure.is_of_client() {
        tracing::debug!(path, %failure, "no whole request from the client");
        return;
    }
    match TOLD[failure.kind as usize % KINDS].pass(BEGAN.elapsed().as_secs()) {
        Some(0) => tracing::warn!(path, %failure, "no response from the origin"),
        Some(before) => {
            tracing::warn!(path, %failure, before, "no response from the origin, as before");
        }
        None => tracing::debug!(path, %failure, "no response from the origin"),
    }
}

/// Tells that the content of a response broke off. Whose it was is in the request's own line.
pub(crate) fn tell_broken(error: &(dyn Error + 'static)) {
    match BROKEN.pass(BEGAN.elapsed().as_secs()) {
        Some(0) => tracing::warn!(error, "a response of the origin broke off"),
        Some(before) => {
            tracing::warn!(
                error,
                before,
                "a response of the origin broke off, as before"
            );
        }
        None => tracing::debug!(error, "a response of the origin broke off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_comes_through_and_says_how_many_did_not() {
        let seldom = Seldom::new();
        let passed = [0, 0, 0, 1, 2, 2, 9].map(|second| seldom.pass(second));
        assert_eq!(
            passed,
            [Some(0), None, None, Some(2), Some(0), None, Some(1)]
        );
    }
}
