//! The body of an answer: from the store, from a fill in progress, or straight from the origin.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{entry::Segments, error::BoxError, fill::FillReader};

pin_project! {
    /// The body of a response that passed a [`CacheLayer`](crate::CacheLayer) over a service
    /// whose bodies are `B`.
    ///
    /// Frames of the origin pass through as they are, trailers included. Hits yield slices of the
    /// stored bytes without copying them.
    pub struct CacheBody<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    #[project = SourceProj]
    enum Source<B> {
        Empty,
        Omitted,
        Stored { slices: Slices },
        Fill { reader: FillReader },
        Origin { #[pin] body: B },
    }
}

impl<B> CacheBody<B> {
    pub(crate) fn empty() -> Self {
        Self::from(Source::Empty)
    }

    /// Stands for a body that is not sent, of whatever length.
    pub(crate) fn omitted() -> Self {
        Self::from(Source::Omitted)
    }

    pub(crate) fn stored(body: Segments) -> Self {
        let end = body.len();
        Self::from(Source::Stored {
            slices: Slices {
                body,
                next: 0,
                skip: 0,
                left: end,
            },
        })
    }

    /// The bytes of `body` from `first` to `last`, both included.
    pub(crate) fn part(body: Segments, first: u64, last: u64) -> Self {
        Self::from(Source::Stored {
            slices: Slices {
                body,
                next: 0,
                skip: first,
                left: (last + 1).saturating_sub(first),
            },
        })
    }

    pub(crate) fn fill(reader: FillReader) -> Self {
        Self::from(Source::Fill { reader })
    }

    pub(crate) fn origin(body: B) -> Self {
        Self::from(Source::Origin { body })
    }

    fn from(source: Source<B>) -> Self {
        Self { source }
    }
}

impl<B> Default for CacheBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> fmt::Debug for CacheBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.source {
            Source::Empty => "CacheBody::Empty",
            Source::Omitted => "CacheBody::Omitted",
            Source::Stored { .. } => "CacheBody::Stored",
            Source::Fill { .. } => "CacheBody::Fill",
            Source::Origin { .. } => "CacheBody::Origin",
        })
    }
}

impl<B> Body for CacheBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().source.project() {
            SourceProj::Empty | SourceProj::Omitted => Poll::Ready(None),
            SourceProj::Stored { slices } => {
                Poll::Ready(slices.next().map(|bytes| Ok(Frame::data(bytes))))
            }
            SourceProj::Fill { reader } => {
                let frame = ready!(reader.poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            SourceProj::Origin { body } => {
                let frame = ready!(body.poll_frame(cx));
                Poll::Ready(frame.map(|frame| {
                    frame
                        // For `Bytes` this copies nothing.
                        .map(|frame| {
                            frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
                        })
                        .map_err(Into::into)
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Omitted => true,
            Source::Stored { slices } => slices.left == 0,
            // Trailers may follow the last byte.
            Source::Fill { .. } => false,
            Source::Origin { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Omitted => SizeHint::default(),
            Source::Stored { slices } => SizeHint::with_exact(slices.left),
            Source::Fill { reader } => reader
                .remaining()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Origin { body } => body.size_hint(),
        }
    }
}

/// What is left of a stored body.
#[derive(Debug)]
struct Slices {
    body: Segments,
    /// The segment that comes next.
    next: usize,
    /// The bytes to leave out before the first one.
    skip: u64,
    left: u64,
}

impl Iterator for Slices {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while self.left > 0 {
            let segment = self.body.as_slice().get(self.next)?;
            self.next += 1;
            let len = segment.len() as u64;
            if self.skip >= len {
                self.skip -= len;
                continue;
            }
            // Both ends lie within the segment, whose length is a `usize`.
            let start = std::mem::take(&mut self.skip);
            let end = len.min(start + self.left);
            self.left -= end - start;
            return Some(segment.slice(start as usize..end as usize));
        }
        None
    }
}
