//! The outcomes of the last calls: a sliding window over a number of calls or a span of time.

use std::time::Duration;

use super::rules::{Extent, Pace};

/// A call, as the window counts it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WindowCall {
    /// It failed.
    Failure(Pace),
    /// It did not fail: it succeeded, or was cancelled after a long time.
    Other(Pace),
}

/// The number of calls in a window, and how many of them failed or were slow.
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

    /// Subtracts what was added before.
    fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// The share of calls. Zero if there were none.
fn rate(part: u64, calls: u64) -> f64 {
    if calls == 0 {
        return 0.0;
    }
    part as f64 / calls as f64
}

impl From<WindowCall> for Tally {
    fn from(call: WindowCall) -> Self {
        let (failures, pace) = match call {
            WindowCall::Failure(pace) => (1, pace),
            WindowCall::Other(pace) => (0, pace),
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

    pub(crate) fn push(&mut self, call: WindowCall, now: Duration) {
        match self {
            Self::Calls(ring) => ring.push(call),
            Self::Time(buckets) => buckets.push(call, now),
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

/// The last N calls. Each new call replaces the oldest one.
#[derive(Debug)]
pub(crate) struct Ring {
    size: usize,
    /// Grows up to `size` with the first calls, so that a key with few calls costs little memory.
    calls: Vec<WindowCall>,
    /// The index of the oldest call, once the ring is full.
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

    fn push(&mut self, call: WindowCall) {
        if self.calls.len() < self.size {
            self.calls.push(call);
        } else if let Some(oldest) = self.calls.get_mut(self.oldest) {
            self.tally.subtract((*oldest).into());
            *oldest = call;
            self.oldest = (self.oldest + 1) % self.size;
        }
        self.tally.add(call.into());
    }

    fn clear(&mut self) {
        self.calls.clear();
        self.oldest = 0;
        self.tally = Tally::default();
    }
}

/// The calls of the last span, in buckets of equal width.
///
/// The newest bucket is still being filled. So the window reaches back over the span, or over up to
/// one bucket's width less.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// The width of a bucket in nanoseconds, at least 1.
    width: u64,
    /// A time `t` belongs to bucket number `t / width`, kept at this number modulo the count.
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

    fn push(&mut self, call: WindowCall, now: Duration) {
        self.slide(now);
        let newest = self.index(self.newest);
        self.buckets[newest].add(call.into());
        self.tally.add(call.into());
    }

    fn tally(&mut self, now: Duration) -> Tally {
        self.slide(now);
        self.tally
    }

    /// Empties the buckets that are older than the span. A `now` before the previous one changes
    /// nothing.
    fn slide(&mut self, now: Duration) {
        let current = nanos(now) / self.width;
        let passed = current.saturating_sub(self.newest);
        for bucket in 1..=passed.min(self.buckets.len() as u64) {
            let index = self.index(self.newest + bucket);
            self.tally
                .subtract(std::mem::take(&mut self.buckets[index]));
        }
        self.newest += passed;
    }

    /// The index of a bucket. The remainder is in range.
    fn index(&self, bucket: u64) -> usize {
        (bucket % self.buckets.len() as u64) as usize
    }

    fn clear(&mut self) {
        self.buckets.fill(Tally::default());
        self.tally = Tally::default();
    }
}

/// In nanoseconds, which last for 584 years.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

// The models include this file from elsewhere, where only a path leads to its tests.
#[cfg(test)]
#[path = "window/tests.rs"]
mod tests;
