//! How the last calls ended: a window that slides over a number of calls, or over a span of time.

use std::time::Duration;

use super::rules::{Extent, Pace};

/// How a call counts in the window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weight {
    /// It failed.
    Failure(Pace),
    /// It did not fail.
    Other(Pace),
}

/// What the window holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
}

impl Tally {
    pub(crate) fn failure_rate(&self) -> f64 {
        rate(self.failures, self.calls)
    }

    pub(crate) fn slow_rate(&self) -> f64 {
        rate(self.slow, self.calls)
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    /// Takes off what was added before.
    fn take(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// Of no calls, none did.
fn rate(part: u64, calls: u64) -> f64 {
    if calls == 0 {
        return 0.0;
    }
    part as f64 / calls as f64
}

impl From<Weight> for Tally {
    fn from(weight: Weight) -> Self {
        let (failures, pace) = match weight {
            Weight::Failure(pace) => (1, pace),
            Weight::Other(pace) => (0, pace),
        };
        Self {
            calls: 1,
            failures,
            slow: u64::from(pace == Pace::Slow),
        }
    }
}

/// The last calls.
#[derive(Debug)]
pub(crate) enum Window {
    Calls(Ring),
    Time(Buckets),
}

impl Window {
    pub(crate) fn new(extent: Extent) -> Self {
        match extent {
            Extent::Calls(calls) => Self::Calls(Ring::new(calls)),
            Extent::Time { span, buckets } => Self::Time(Buckets::new(span, buckets)),
        }
    }

    pub(crate) fn push(&mut self, weight: Weight, now: Duration) {
        match self {
            Self::Calls(ring) => ring.push(weight),
            Self::Time(buckets) => buckets.push(weight, now),
        }
    }

    pub(crate) fn tally(&mut self, now: Duration) -> Tally {
        match self {
            Self::Calls(ring) => ring.tally,
            Self::Time(buckets) => buckets.tally(now),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Calls(ring) => ring.clear(),
            Self::Time(buckets) => buckets.clear(),
        }
    }
}

/// The last N calls. Each new one pushes out the oldest, so what counts is never more than N calls
/// old, however many came before.
#[derive(Debug)]
pub(crate) struct Ring {
    size: usize,
    /// Grows up to `size` with the first calls, so that a key that is seldom asked for costs little.
    calls: Vec<Weight>,
    /// The oldest, once the ring is full.
    oldest: usize,
    tally: Tally,
}

impl Ring {
    fn new(calls: u32) -> Self {
        Self {
            size: usize::try_from(calls).unwrap_or(usize::MAX),
            calls: Vec::new(),
            oldest: 0,
            tally: Tally::default(),
        }
    }

    fn push(&mut self, weight: Weight) {
        if self.calls.len() < self.size {
            self.calls.push(weight);
        } else if let Some(oldest) = self.calls.get_mut(self.oldest) {
            self.tally.take((*oldest).into());
            *oldest = weight;
            self.oldest = (self.oldest + 1) % self.size;
        }
        self.tally.add(weight.into());
    }

    fn clear(&mut self) {
        self.calls.clear();
        self.oldest = 0;
        self.tally = Tally::default();
    }
}

/// The calls of the last span, in buckets of equal width.
///
/// The newest bucket is still filling, so the window reaches back over at least all but one bucket's
/// width of the span, and never over more than the span.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// Nanoseconds, at least 1.
    width: u64,
    /// The bucket of the time `t` is `t / width`, kept at that number modulo their count.
    buckets: Box<[Tally]>,
    newest: u64,
    tally: Tally,
}

impl Buckets {
    fn new(span: Duration, buckets: u32) -> Self {
        let count = buckets.max(1);
        Self {
            width: (nanos(span) / u64::from(count)).max(1),
            buckets: (0..count).map(|_| Tally::default()).collect(),
            newest: 0,
            tally: Tally::default(),
        }
    }

    fn push(&mut self, weight: Weight, now: Duration) {
        self.slide(now);
        let newest = self.place(self.newest);
        self.buckets[newest].add(weight.into());
        self.tally.add(weight.into());
    }

    fn tally(&mut self, now: Duration) -> Tally {
        self.slide(now);
        self.tally
    }

    /// Empties the buckets that time has passed. A `now` from before the last one changes nothing.
    fn slide(&mut self, now: Duration) {
        let current = nanos(now) / self.width;
        let passed = current.saturating_sub(self.newest);
        for bucket in 1..=passed.min(self.buckets.len() as u64) {
            let place = self.place(self.newest + bucket);
            self.tally.take(std::mem::take(&mut self.buckets[place]));
        }
        self.newest += passed;
    }

    /// The remainder is in range.
    fn place(&self, bucket: u64) -> usize {
        (bucket % self.buckets.len() as u64) as usize
    }

    fn clear(&mut self) {
        self.buckets.fill(Tally::default());
        self.tally = Tally::default();
    }
}

/// Good for 584 years.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

// The models include this file from elsewhere, where only a path leads to its tests.
#[cfg(test)]
#[path = "window/tests.rs"]
mod tests;
