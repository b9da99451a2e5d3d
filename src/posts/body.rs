//! The body of a request after the cache has read it, or a part of it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::BoxError;

/// The body of a request after the cache has read it, or a part of it: first the bytes that it has
/// read, then what is left of the body of type `Q`.
///
/// See [`CacheBuilder::request_bodies`](crate::CacheBuilder::request_bodies).
pub struct ReadBody<Q> {
    pub(super) read: Bytes,
    /// The bytes that came last and were too many.
    pub(super) beyond: Bytes,
    /// What followed the bytes: trailers, or the failure of the body.
    pub(super) next: Option<Result<HeaderMap, BoxError>>,
    pub(super) rest: Option<Pin<Box<Q>>>,
    /// Accounts for the bytes that were read, until they are taken.
    pub(super) held: Option<OwnedSemaphorePermit>,
}

impl<Q> ReadBody<Q> {
    /// A body that was read to its end.
    pub(super) fn whole(read: Bytes) -> Self {
        Self {
            read,
            beyond: Bytes::new(),
            next: None,
            rest: None,
            held: None,
        }
    }
}

impl<Q> fmt::Debug for ReadBody<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBody")
            .field("read", &self.read.len())
            .finish_non_exhaustive()
    }
}

impl<Q> Body for ReadBody<Q>
where
    Q: Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        for bytes in [&mut this.read, &mut this.beyond] {
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
            }
        }
        this.held = None;
        if let Some(next) = this.next.take() {
            return Poll::Ready(Some(next.map(Frame::trailers)));
        }
        let Some(rest) = &mut this.rest else {
            return Poll::Ready(None);
        };
        let frame = ready!(rest.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame
                .map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
                .map_err(Into::into)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty()
            && self.beyond.is_empty()
            && self.next.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let read = (self.read.len() + self.beyond.len()) as u64;
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(read.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(read.saturating_add(upper));
        }
        hint
    }
}
