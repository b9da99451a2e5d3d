//! What is held of a body, and where its readers stand.

use std::{collections::VecDeque, task::Waker};

use bytes::Bytes;
use http::HeaderMap;
use slab::Slab;

use crate::error::FillError;

/// The largest segment, in bytes.
pub(super) const SEGMENT: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct State {
    pub(super) ended: Option<Result<Option<HeaderMap>, FillError>>,
    pub(super) keeping: Keeping,
    /// Trailing segments that may yet be merged, and their bytes.
    pub(super) loose: usize,
    pub(super) loose_bytes: usize,
    pub(super) readers: Slab<Place>,
    pub(super) received: u64,
    pub(super) segments: VecDeque<Segment>,
    /// Bytes taken from the budget: all that are held, but for those of a window.
    pub(super) taken: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keeping {
    /// Every byte, for the store.
    Whole,
    /// What some reader has yet to read.
    Window,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

/// Where a reader stands.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) position: u64,
    /// Where it will stop, if that is before the body's end.
    pub(super) end: Option<u64>,
    pub(super) cut_off: CutOff,
    pub(super) waker: Option<Waker>,
}

impl Place {
    /// Whether more bytes are of use to it.
    pub(super) fn is_reading(&self) -> bool {
        self.cut_off == CutOff::No && self.end.is_none_or(|end| self.position < end)
    }
}

/// The positions of the hindmost and the foremost reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) slowest: u64,
    pub(super) fastest: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CutOff {
    No,
    Yes,
}

impl State {
    pub(super) fn append(&mut self, bytes: Bytes) {
        if self.loose_bytes + bytes.len() > SEGMENT {
            self.merge();
        }
        self.loose += 1;
        self.loose_bytes += bytes.len();
        let start = self.received;
        self.received += bytes.len() as u64;
        self.segments.push_back(Segment { start, bytes });
    }

    /// Makes one segment of the loose ones.
    pub(super) fn merge(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        let total = std::mem::take(&mut self.loose_bytes);
        // A window may have let go of some of them.
        if loose < 2 || loose > self.segments.len() {
            return;
        }
        let first = self.segments.len() - loose;
        let start = self.segments[first].start;
        let mut merged = Vec::with_capacity(total);
        for segment in self.segments.drain(first..) {
            merged.extend_from_slice(&segment.bytes);
        }
        self.segments.push_back(Segment {
            start,
            bytes: merged.into(),
        });
    }

    /// Lets go of the segments that end at or before `position`.
    pub(super) fn release(&mut self, position: u64) {
        while let Some(first) = self.segments.front()
            && first.start + first.bytes.len() as u64 <= position
        {
            self.segments.pop_front();
        }
    }

    /// The bytes at `position`, as many as one segment holds.
    pub(super) fn at(&self, position: u64) -> Option<Bytes> {
        let after = self.segments.partition_point(|s| s.start <= position);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let offset = usize::try_from(position - segment.start).ok()?;
        (offset < segment.bytes.len()).then(|| segment.bytes.slice(offset..))
    }

    /// The first byte still held.
    pub(super) fn beginning(&self) -> u64 {
        self.segments.front().map_or(self.received, |it| it.start)
    }

    /// The bytes held.
    pub(super) fn held(&self) -> u64 {
        self.received - self.beginning()
    }

    /// Between which positions the readers stand, if there are any.
    pub(super) fn pace(&self) -> Option<Pace> {
        let reading = self.readers.iter().map(|(_, place)| place);
        reading
            .filter(|place| place.is_reading())
            .map(|place| place.position)
            .fold(None, |pace, position| {
                let Pace { slowest, fastest } = pace.unwrap_or(Pace {
                    slowest: position,
                    fastest: position,
                });
                Some(Pace {
                    slowest: slowest.min(position),
                    fastest: fastest.max(position),
                })
            })
    }

    pub(super) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.readers
            .iter_mut()
            .filter_map(|(_, place)| place.waker.take())
    }
}
