//! The rest of a stored body, as one client reads it.

use bytes::Bytes;

use super::{body::BodyReader, parts::Segments};
use crate::error::FillError;

/// The rest of a stored body, or of a part of it.
#[derive(Debug)]
pub(crate) struct Slices {
    source: SliceSource,
    /// The index of the next segment.
    next: usize,
    /// How many bytes to skip before the first one that is sent.
    skip: u64,
    /// How many bytes are still to be sent.
    left: u64,
}

#[derive(Debug)]
enum SliceSource {
    /// A body that is kept beside its head, too small to be counted.
    Small(Segments),
    Counted(BodyReader),
}

impl Slices {
    pub(super) fn small(body: Segments, first: u64, left: u64) -> Self {
        Self::new(SliceSource::Small(body), first, left)
    }

    pub(crate) fn counted(reader: BodyReader, first: u64, left: u64) -> Self {
        Self::new(SliceSource::Counted(reader), first, left)
    }

    fn new(source: SliceSource, first: u64, left: u64) -> Self {
        Self {
            source,
            next: 0,
            skip: first,
            left,
        }
    }

    /// How many bytes are still to come.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    fn segment(&self) -> Result<Option<Bytes>, FillError> {
        match &self.source {
            SliceSource::Small(body) => Ok(body.as_slice().get(self.next).cloned()),
            SliceSource::Counted(reader) => reader.segment(self.next),
        }
    }
}

impl Iterator for Slices {
    type Item = Result<Bytes, FillError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let segment = match self.segment() {
                Ok(segment) => segment?,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            };
            self.next += 1;
            let len = segment.len() as u64;
            if self.skip >= len {
                self.skip -= len;
                continue;
            }
            // Both ends lie within the segment, so they fit in a `usize`.
            let start = std::mem::take(&mut self.skip);
            let end = len.min(start + self.left);
            self.left -= end - start;
            if self.left == 0 {
                // Whoever has the last bytes reads no more.
                self.source = SliceSource::Small(Segments::Empty);
            }
            return Some(Ok(segment.slice(start as usize..end as usize)));
        }
        None
    }
}
