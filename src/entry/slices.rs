//! The rest of a stored body, as one client reads it.

use std::mem;

use bytes::{Buf, Bytes};

use super::body::BodyReader;
use crate::error::FillError;

/// The rest of a stored body, or of a part of it.
#[derive(Debug)]
pub(crate) enum Slices {
    /// Of a body that is kept beside its head, too small to be counted.
    Small(Bytes),
    Counted(CountedSlices),
}

#[derive(Debug)]
pub(crate) struct CountedSlices {
    reader: BodyReader,
    /// The index of the next segment.
    next: usize,
    /// How many bytes to skip before the first one that is sent.
    skip: u64,
    /// How many bytes are still to be sent. More than zero.
    left: u64,
}

impl Slices {
    pub(crate) fn counted(reader: BodyReader, first: u64, left: u64) -> Self {
        if left == 0 {
            return Self::END;
        }
        Self::Counted(CountedSlices {
            reader,
            next: 0,
            skip: first,
            left,
        })
    }

    /// What is left of every body in the end.
    const END: Self = Self::Small(Bytes::new());

    /// How many bytes are still to come.
    pub(crate) fn left(&self) -> u64 {
        match self {
            Self::Small(bytes) => bytes.len() as u64,
            Self::Counted(slices) => slices.left,
        }
    }
}

impl Iterator for Slices {
    type Item = Result<Bytes, FillError>;

    fn next(&mut self) -> Option<Self::Item> {
        let slices = match self {
            Self::Small(bytes) if bytes.is_empty() => return None,
            Self::Small(bytes) => return Some(Ok(mem::take(bytes))),
            Self::Counted(slices) => slices,
        };
        let slice = slices.next();
        if slices.left == 0 || !matches!(slice, Some(Ok(_))) {
            // Whoever has the last bytes reads no more.
            *self = Self::END;
        }
        slice
    }
}

impl CountedSlices {
    fn next(&mut self) -> Option<Result<Bytes, FillError>> {
        loop {
            let mut segment = match self.reader.segment(self.next) {
                Ok(segment) => segment?,
                Err(error) => return Some(Err(error)),
            };
            self.next += 1;
            let length = segment.len() as u64;
            if self.skip >= length {
                self.skip -= length;
                continue;
            }
            // Both ends lie within the segment, so they fit in a `usize`.
            segment.advance(mem::take(&mut self.skip) as usize);
            let taken = self.left.min(segment.len() as u64);
            segment.truncate(taken as usize);
            self.left -= taken;
            return Some(Ok(segment));
        }
    }
}
