//! The bytes that are held of a body, and the positions of its readers.

use std::{collections::VecDeque, task::Waker};

use bytes::Bytes;
use http::HeaderMap;
use slab::Slab;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{entry::BodyReader, error::FillError};

/// The largest segment, in bytes.
pub(super) const SEGMENT: usize = 64 * 1024;

/// Up to this size segments are merged as they come, once there are several: each of them holds some
/// dozens of bytes more than the account counts.
const SMALL: usize = 4 * 1024;

const SEVERAL: usize = 16;

#[derive(Debug)]
pub(super) struct FillState {
    pub(super) ended: Option<Result<Option<HeaderMap>, FillError>>,
    pub(super) keeping: Keeping,
    /// How many segments at the end may still be merged, and their total length.
    pub(super) loose: usize,
    pub(super) loose_bytes: usize,
    /// When bytes last arrived, or when the recorder began to wait for the first ones. `None`
    /// before that.
    pub(super) moved_at: Option<Instant>,
    /// Held while the body is kept whole: what is received for its readers alone ends with them.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// When a reader last took something.
    pub(super) read_at: Instant,
    pub(super) readers: Slab<ReaderState>,
    pub(super) received: u64,
    pub(super) segments: VecDeque<Segment>,
    /// The body as it is stored, in place of the segments.
    pub(super) stored: Option<BodyReader>,
    /// How many bytes are taken from the account: all that are held, except the first ones of a
    /// window.
    pub(super) taken: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keeping {
    /// All bytes are kept, for the store.
    Whole,
    /// Only bytes that some reader has not read yet are kept, up to the window of the settings: the
    /// body is too large to be stored.
    Window,
    /// Only such bytes are kept, up to one segment: the account has no room for more.
    NoRoom,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

/// The state of one reader.
#[derive(Debug)]
pub(super) struct ReaderState {
    pub(super) position: u64,
    /// Where its range ends, if it does not read to the end of the body.
    pub(super) end: Option<u64>,
    pub(super) cut_off: CutOff,
    pub(super) waker: Option<Waker>,
}

impl ReaderState {
    /// Whether it needs more bytes.
    pub(super) fn is_reading(&self) -> bool {
        self.cut_off == CutOff::No && self.end.is_none_or(|end| self.position < end)
    }
}

/// The positions of the slowest and the fastest reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReaderSpan {
    pub(super) slowest: u64,
    pub(super) fastest: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CutOff {
    No,
    Yes,
}

impl FillState {
    pub(super) fn append(&mut self, bytes: Bytes) {
        if self.loose_bytes + bytes.len() > SEGMENT {
            self.merge();
        }
        self.loose += 1;
        self.loose_bytes += bytes.len();
        let start = self.received;
        self.received += bytes.len() as u64;
        self.segments.push_back(Segment { start, bytes });
        self.merge_small();
    }

    /// Merges small segments at the end, each with one of half its size at least. So however many
    /// small frames come, few segments are small, and no byte is copied often.
    fn merge_small(&mut self) {
        while self.loose > SEVERAL
            && let Some(last) = self.segments.pop_back()
        {
            match self.segments.back_mut() {
                Some(before)
                    if before.bytes.len() / 2 <= last.bytes.len()
                        && before.bytes.len() + last.bytes.len() <= SMALL =>
                {
                    before.bytes = [&before.bytes[..], &last.bytes[..]].concat().into();
                    self.loose -= 1;
                }
                Some(_) | None => {
                    self.segments.push_back(last);
                    break;
                }
            }
        }
    }

    /// Merges the loose segments into one.
    pub(super) fn merge(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        let total = std::mem::take(&mut self.loose_bytes);
        // Some of them may have been released from a window.
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

    /// Releases the segments that end at or before `position`. Returns how many bytes to give back
    /// to the account.
    pub(super) fn release(&mut self, position: u64) -> u64 {
        while let Some(first) = self.segments.front()
            && first.start + first.bytes.len() as u64 <= position
        {
            self.segments.pop_front();
        }
        let freed = self.taken.saturating_sub(self.held());
        self.taken -= freed;
        freed
    }

    /// Releases all segments.
    pub(super) fn release_all(&mut self) -> VecDeque<Segment> {
        (self.loose, self.loose_bytes) = (0, 0);
        std::mem::take(&mut self.segments)
    }

    /// The bytes from `position` to the end of their segment.
    pub(super) fn at(&self, position: u64) -> Option<Bytes> {
        let after = self.segments.partition_point(|s| s.start <= position);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let offset = usize::try_from(position - segment.start).ok()?;
        (offset < segment.bytes.len()).then(|| segment.bytes.slice(offset..))
    }

    /// The position of the first byte that is still held.
    pub(super) fn beginning(&self) -> u64 {
        if self.stored.is_some() {
            return 0;
        }
        self.segments.front().map_or(self.received, |it| it.start)
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> u64 {
        self.received - self.beginning()
    }

    /// The positions between which the readers are. `None` without readers.
    pub(super) fn reader_span(&self) -> Option<ReaderSpan> {
        let reading = self.readers.iter().map(|(_, reader)| reader);
        reading
            .filter(|reader| reader.is_reading())
            .map(|reader| reader.position)
            .fold(None, |span, position| {
                let ReaderSpan { slowest, fastest } = span.unwrap_or(ReaderSpan {
                    slowest: position,
                    fastest: position,
                });
                Some(ReaderSpan {
                    slowest: slowest.min(position),
                    fastest: fastest.max(position),
                })
            })
    }

    pub(super) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.readers
            .iter_mut()
            .filter_map(|(_, reader)| reader.waker.take())
    }
}
