//! The body of a response: from the store, from a fill in progress, or directly from the origin.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use metrics::Counter;
use pin_project_lite::pin_project;

use crate::{entry::Slices, error::BoxError, fill::FillReader};

pin_project! {
    /// The body of a response of a [`CacheService`](crate::CacheService) whose inner service has
    /// bodies of type `B`.
    ///
    /// Frames of the origin pass through unchanged, including trailers. A hit yields slices of the
    /// stored bytes and copies nothing. An error is a [`FillError`](crate::FillError) if the body is
    /// recorded, and otherwise that of the inner body.
    pub struct CacheBody<B> {
        #[pin]
        source: BodySource<B>,
    }
}

pin_project! {
    #[project = BodySourceProj]
    enum BodySource<B> {
        Empty,
        Omitted,
        Stored { slices: Slices },
        Fill { reader: FillReader, sent: Option<Arc<Counter>> },
        Origin { #[pin] body: B, sent: Option<Arc<Counter>> },
    }
}

impl<B> CacheBody<B> {
    pub(crate) fn empty() -> Self {
        Self::from(BodySource::Empty)
    }

    /// A body that is not sent. Its length is unknown.
    pub(crate) fn omitted() -> Self {
        Self::from(BodySource::Omitted)
    }

    pub(crate) fn stored(slices: Slices) -> Self {
        Self::from(BodySource::Stored { slices })
    }

    pub(crate) fn fill(reader: FillReader) -> Self {
        Self::from(BodySource::Fill { reader, sent: None })
    }

    pub(crate) fn origin(body: B) -> Self {
        Self::from(BodySource::Origin { body, sent: None })
    }

    /// Counts the bytes that the client is given: at once if they are `stored`, else as they are
    /// `arriving`.
    pub(crate) fn count(&mut self, stored: &Counter, arriving: &Arc<Counter>) {
        match &mut self.source {
            BodySource::Empty | BodySource::Omitted => {}
            BodySource::Stored { slices } => stored.increment(slices.left()),
            BodySource::Fill { sent, .. } | BodySource::Origin { sent, .. } => {
                *sent = Some(Arc::clone(arriving));
            }
        }
    }

    fn from(source: BodySource<B>) -> Self {
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
            BodySource::Empty => "CacheBody::Empty",
            BodySource::Omitted => "CacheBody::Omitted",
            BodySource::Stored { .. } => "CacheBody::Stored",
            BodySource::Fill { .. } => "CacheBody::Fill",
            BodySource::Origin { .. } => "CacheBody::Origin",
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
            BodySourceProj::Empty | BodySourceProj::Omitted => Poll::Ready(None),
            BodySourceProj::Stored { slices } => {
                let next = slices.next();
                Poll::Ready(next.map(|bytes| bytes.map(Frame::data).map_err(Into::into)))
            }
            BodySourceProj::Fill { reader, sent } => {
                let frame = ready!(reader.poll_frame(cx));
                count_frame(sent.as_deref(), &frame);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            BodySourceProj::Origin { body, sent } => {
                let frame = ready!(body.poll_frame(cx));
                // If the data is `Bytes`, this copies nothing.
                let copied = |mut data: B::Data| data.copy_to_bytes(data.remaining());
                let frame = frame.map(|frame| frame.map(|frame| frame.map_data(copied)));
                count_frame(sent.as_deref(), &frame);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            BodySource::Empty | BodySource::Omitted => true,
            BodySource::Stored { slices } => slices.left() == 0,
            // Trailers may still follow the last byte.
            BodySource::Fill { .. } => false,
            BodySource::Origin { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            BodySource::Empty => SizeHint::with_exact(0),
            BodySource::Omitted => SizeHint::default(),
            BodySource::Stored { slices } => SizeHint::with_exact(slices.left()),
            BodySource::Fill { reader, .. } => reader
                .remaining()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            BodySource::Origin { body, .. } => body.size_hint(),
        }
    }
}

fn count_frame<E>(sent: Option<&Counter>, frame: &Option<Result<Frame<Bytes>, E>>) {
    if let (Some(sent), Some(Ok(frame))) = (sent, frame)
        && let Some(data) = frame.data_ref()
    {
        sent.increment(data.len() as u64);
    }
}
