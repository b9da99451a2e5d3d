//! How many requests a connection has started and then abandoned: a number that heals with time.
//!
//! A stream that the client resets is gone for HTTP/2, and makes room for the next one at once. The
//! origin has the request all the same. So such a request keeps its place for a while.

use std::time::Duration;

use tokio::time::Instant;

/// After this time one abandoned request is forgotten.
pub(crate) const HEALING: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abandoned {
    count: u32,
    /// When the count was last brought up to date, on a whole number of healings.
    since: Instant,
}

impl Abandoned {
    pub(crate) fn none(now: Instant) -> Self {
        Self {
            count: 0,
            since: now,
        }
    }

    pub(crate) fn add(&mut self, now: Instant) {
        if self.count(now) == 0 {
            self.since = now;
        }
        self.count = self.count.saturating_add(1);
    }

    pub(crate) fn count(&mut self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.since).as_millis() / HEALING.as_millis();
        let healed = u32::try_from(passed).unwrap_or(u32::MAX);
        if healed >= self.count {
            self.count = 0;
            self.since = now;
        } else {
            self.count -= healed;
            self.since += HEALING * healed;
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_forgotten_per_healing() {
        let start = Instant::now();
        let after = |healings: f64| start + HEALING.mul_f64(healings);
        let mut abandoned = Abandoned::none(start);
        for (at, added, count) in [
            (0.0, 3, 3),
            (0.9, 0, 3),
            (1.1, 0, 2),
            (1.9, 0, 2),
            (2.1, 0, 1),
            (2.2, 2, 3),
            (3.1, 0, 2),
            (9.0, 0, 0),
            (9.5, 1, 1),
            // A whole healing from its own beginning.
            (10.4, 0, 1),
            (10.6, 0, 0),
        ] {
            for _ in 0..added {
                abandoned.add(after(at));
            }
            assert_eq!(abandoned.count(after(at)), count, "after {at} healings");
        }
    }

    #[test]
    fn a_moment_before_the_last_one_changes_nothing() {
        let start = Instant::now();
        let mut abandoned = Abandoned::none(start + HEALING);
        abandoned.add(start + HEALING);
        assert_eq!(abandoned.count(start), 1);
    }
}
