//! The history of one stored representation: how often it changed, and how often it was requested.

use std::time::Duration;

/// How many runs of intervals a history holds. Older runs are dropped.
const RUNS: usize = 16;

/// The weight of the newest interval in a smoothed average.
const NEWEST: f32 = 0.1;

/// The history of one stored representation, fetch by fetch: plain data of 88 bytes, dropped with
/// its entry.
///
/// An interval is the time between two fetches. A history records for up to 16 runs of intervals
/// whether the representation changed. Unchanged intervals in a row are one run: if changes are a
/// Poisson process nothing is lost by this, since no change in `a` and no change in `b` is no
/// change in `a + b`. A changed interval had at least one change in it, and is a run of its own.
///
/// Each node has its own histories; they are not stored in the shared tier. A response that another
/// node fetched comes without a history. It replaces the stored response of this node together with
/// its history. So the more nodes take turns in fetching a representation, the less each of them
/// learns of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct History {
    /// The length of each run in seconds, oldest first. Negative if the representation changed.
    runs: [f32; RUNS],
    /// How many of `runs` are in use.
    len: u8,
    /// Whether the representation changed in the last interval.
    last_change: Change,
    /// The length of the last interval in seconds.
    last: f32,
    fetches: u32,
    /// Requests, and seconds, smoothed in the same way, so that their quotient is a rate.
    requests: f32,
    span: f32,
    /// Seconds, smoothed. Negative if unknown.
    cost: f32,
}

/// What one more fetch of a stored representation showed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observation {
    /// The time since the previous fetch. A HEAD does not count as a fetch.
    pub interval: Duration,
    /// Whether the representation changed in the interval.
    pub change: Change,
    /// How many requests were answered from the stored response in the interval.
    pub requests: u32,
    /// How long the fetch took.
    pub cost: Duration,
}

/// Whether a representation changed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// The origin returned another status, another validator or another body.
    Changed,
    /// The origin answered 304, or returned the same status with the same validator or body.
    Unchanged,
    /// There is nothing to compare. The interval counts for the request rate only.
    Unknown,
}

impl Observation {
    /// An interval without requests, and a fetch that took no time.
    #[must_use]
    pub const fn new(interval: Duration, change: Change) -> Self {
        Self {
            interval,
            change,
            requests: 0,
            cost: Duration::ZERO,
        }
    }

    /// The same, with this many requests answered from the stored response.
    #[must_use]
    pub const fn with_requests(self, requests: u32) -> Self {
        Self { requests, ..self }
    }

    /// The same, with a fetch that took this long.
    #[must_use]
    pub const fn with_cost(self, cost: Duration) -> Self {
        Self { cost, ..self }
    }
}

impl History {
    /// The empty history, where none is kept.
    pub(crate) const fn none() -> &'static Self {
        const NONE: &History = &History::new();
        NONE
    }

    /// The history of a representation that is fetched for the first time.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            runs: [0.0; RUNS],
            len: 0,
            last_change: Change::Unknown,
            last: 0.0,
            fetches: 0,
            requests: 0.0,
            span: 0.0,
            cost: -1.0,
        }
    }

    /// The same after one more fetch.
    #[must_use]
    pub fn observe(mut self, observation: Observation) -> Self {
        let Observation {
            interval,
            change,
            requests,
            cost,
        } = observation;
        let seconds = interval.as_secs_f32();
        match change {
            Change::Changed => self.push(-seconds),
            Change::Unchanged => match self.newest() {
                Some(newest) if newest.is_sign_positive() => *newest += seconds,
                _ => self.push(seconds),
            },
            Change::Unknown => {}
        }
        self.last_change = change;
        self.last = seconds;
        self.fetches = self.fetches.saturating_add(1);
        // The request that led to the fetch counts too.
        self.requests = self.requests * (1.0 - NEWEST) + requests as f32 + 1.0;
        self.span = self.span * (1.0 - NEWEST) + seconds;
        self.paid(cost)
    }

    /// The same after a fetch of which only the duration is known: the first one, or one that
    /// another node made.
    #[must_use]
    pub fn paid(mut self, cost: Duration) -> Self {
        let cost = cost.as_secs_f32();
        self.cost = if self.cost < 0.0 {
            cost
        } else {
            self.cost + (cost - self.cost) * NEWEST
        };
        self
    }

    /// How often the representation was fetched after the first time.
    #[must_use]
    pub fn fetches(&self) -> u32 {
        self.fetches
    }

    /// How long a fetch takes, smoothed. `None` before the first.
    #[must_use]
    pub fn cost(&self) -> Option<Duration> {
        Duration::try_from_secs_f32(self.cost).ok()
    }

    /// Requests per second, smoothed. `None` before the first interval ends.
    #[must_use]
    pub fn request_rate(&self) -> Option<f64> {
        (self.span > 0.0).then(|| f64::from(self.requests) / f64::from(self.span))
    }

    /// The last interval, and whether the representation changed in it. `None` before the first
    /// interval ends.
    #[must_use]
    pub fn last(&self) -> Option<(Duration, Change)> {
        (self.fetches > 0).then(|| (span(self.last), self.last_change))
    }

    /// The runs of intervals, oldest first: the length of each, and whether the representation
    /// changed in it.
    pub fn runs(&self) -> impl Iterator<Item = (Duration, Change)> {
        self.seconds().iter().map(|seconds| {
            let change = if seconds.is_sign_negative() {
                Change::Changed
            } else {
                Change::Unchanged
            };
            (span(seconds.abs()), change)
        })
    }

    /// The runs in seconds, as they are kept: negative if the representation changed.
    pub(crate) fn seconds(&self) -> &[f32] {
        self.runs.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// The requests and the seconds whose quotient is the request rate.
    pub(crate) fn traffic(&self) -> (f32, f32) {
        (self.requests, self.span)
    }

    fn newest(&mut self) -> Option<&mut f32> {
        let at = usize::from(self.len).checked_sub(1)?;
        self.runs.get_mut(at)
    }

    fn push(&mut self, seconds: f32) {
        if usize::from(self.len) == RUNS {
            self.runs.rotate_left(1);
        } else {
            self.len += 1;
        }
        if let Some(newest) = self.newest() {
            *newest = seconds;
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

fn span(seconds: f32) -> Duration {
    Duration::try_from_secs_f32(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(observations: &[(f32, Change, u32)]) -> History {
        observations
            .iter()
            .fold(History::new(), |history, (seconds, change, requests)| {
                history.observe(Observation {
                    interval: Duration::from_secs_f32(*seconds),
                    change: *change,
                    requests: *requests,
                    cost: Duration::from_millis(50),
                })
            })
    }

    #[test]
    fn a_history_takes_88_bytes() {
        assert_eq!(size_of::<History>(), 88);
    }

    #[test]
    fn unchanged_intervals_in_a_row_are_one_run() {
        use Change::{Changed, Unchanged, Unknown};
        type Intervals<'a> = &'a [(f32, Change)];
        let cases: &[(Intervals<'_>, &[f32])] = &[
            (&[], &[]),
            (&[(5.0, Unchanged), (7.0, Unchanged)], &[12.0]),
            (&[(5.0, Changed), (7.0, Changed)], &[-5.0, -7.0]),
            (
                &[(1.0, Unchanged), (2.0, Changed), (3.0, Unchanged)],
                &[1.0, -2.0, 3.0],
            ),
            (
                &[(1.0, Unchanged), (9.0, Unknown), (2.0, Unchanged)],
                &[3.0],
            ),
            (&[(9.0, Unknown)], &[]),
        ];
        for (observations, expected) in cases {
            let observations: Vec<_> = observations.iter().map(|(s, c)| (*s, *c, 0)).collect();
            assert_eq!(after(&observations).seconds(), *expected);
        }
    }

    #[test]
    fn the_oldest_run_is_dropped_first() {
        let many: Vec<_> = (1_u16..=20)
            .map(|n| (f32::from(n), Change::Changed, 0))
            .collect();
        let history = after(&many);
        let kept: Vec<f32> = (5_u16..=20).map(|n| -f32::from(n)).collect();
        assert_eq!(history.seconds(), kept);
        assert_eq!(history.fetches(), 20);
        assert_eq!(history.runs().count(), 16);
        assert_eq!(
            history.last(),
            Some((Duration::from_secs(20), Change::Changed))
        );
    }

    #[test]
    fn rate_and_cost_follow_the_observations() {
        assert_eq!(History::new().request_rate(), None);
        assert_eq!(History::new().cost(), None);
        let once = after(&[(10.0, Change::Unknown, 19)]);
        assert_eq!(once.request_rate(), Some(2.0));
        let steady: Vec<_> = (0..50).map(|_| (4.0, Change::Unchanged, 7)).collect();
        let rate = after(&steady).request_rate().unwrap();
        assert!((rate - 2.0).abs() < 1e-3, "{rate}");
        let mut slower = steady.clone();
        slower.extend([(40.0, Change::Unchanged, 3); 30]);
        let rate = after(&slower).request_rate().unwrap();
        assert!((rate - 0.1).abs() < 1e-2, "{rate}");
        let cost = after(&steady).cost().unwrap();
        assert!(cost.abs_diff(Duration::from_millis(50)) < Duration::from_micros(1));
    }
}
