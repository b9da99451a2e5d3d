//! A reader of a body that is being recorded.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::{
    shared::Fill,
    state::{CutOff, FillState, Keeping, ReaderState},
};
use crate::{
    entry::{Account, Slices},
    error::FillError,
};

impl Fill {
    /// A reader of the bytes from `first` on, up to `end` if given. `None` if the body failed, or
    /// if the window has moved past `first`.
    pub(crate) fn read(self: &Arc<Self>, first: u64, end: Option<u64>) -> Option<FillReader> {
        let mut state = self.lock();
        if state.beginning() > first || matches!(state.ended, Some(Err(_))) {
            return None;
        }
        let slot = state.readers.insert(ReaderState {
            position: first,
            end,
            cut_off: CutOff::No,
            waker: None,
        });
        drop(state);
        Some(FillReader {
            fill: Arc::clone(self),
            slot,
            end,
            stored: None,
        })
    }
}

/// Reads a body, or a range of it, while it is recorded.
#[derive(Debug)]
pub(crate) struct FillReader {
    pub(super) fill: Arc<Fill>,
    pub(super) slot: usize,
    end: Option<u64>,
    /// The rest of the body, once it is stored. In a box, so that the bodies of hits stay small.
    stored: Option<Box<Slices>>,
}

impl FillReader {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FillError>>> {
        let mut guard = self.fill.lock();
        let state = &mut *guard;
        // The slot belongs to this reader until it is dropped, so it is always there.
        let Some(own) = state.readers.get(self.slot) else {
            return Poll::Ready(None);
        };
        let position = own.position;
        if own.cut_off == CutOff::Yes {
            return Poll::Ready(Some(Err(FillError::TooSlow)));
        }
        if self.end.is_some_and(|end| position >= end) {
            return Poll::Ready(None);
        }
        if let Some(stored) = &state.stored
            && self.stored.is_none()
        {
            let Some(reader) = stored.another() else {
                return Poll::Ready(Some(Err(FillError::TooSlow)));
            };
            let end = self
                .end
                .map_or(state.received, |end| end.min(state.received));
            let left = end.saturating_sub(position);
            self.stored = Some(Box::new(Slices::counted(reader, position, left)));
        }
        if let Some(bytes) = self.stored.as_mut().and_then(Iterator::next) {
            if let Ok(bytes) = &bytes {
                self.advance(state, position + bytes.len() as u64);
            }
            return Poll::Ready(Some(bytes.map(Frame::data)));
        }
        if let Some(mut bytes) = state.at(position) {
            if let Some(end) = self.end {
                let left = usize::try_from(end - position).unwrap_or(usize::MAX);
                bytes.truncate(left);
            }
            self.advance(state, position + bytes.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let ended = state.ended.clone();
        match ended {
            Some(Ok(Some(trailers))) if self.end.is_none() => {
                self.end = Some(position);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Ok(_)) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                if let Some(own) = state.readers.get_mut(self.slot) {
                    own.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn advance(&self, state: &mut FillState, position: u64) {
        if let Some(own) = state.readers.get_mut(self.slot) {
            own.position = position;
        }
        state.read_at = Account::now();
        if state.keeping != Keeping::Whole {
            self.fill.moved.notify_one();
        }
    }

    /// How many bytes are still to come, if the head declared the length.
    pub(crate) fn remaining(&self) -> Option<u64> {
        let end = self.end.or(self.fill.declared)?;
        let state = self.fill.lock();
        let own = state.readers.get(self.slot)?;
        Some(end.saturating_sub(own.position))
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        let mut state = self.fill.lock();
        state.readers.try_remove(self.slot);
        drop(state);
        self.fill.moved.notify_one();
    }
}

/// For tests; [`CacheBody`](crate::CacheBody) calls `poll_frame` directly.
impl Body for FillReader {
    type Data = Bytes;
    type Error = FillError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FillError>>> {
        Self::poll_frame(self.get_mut(), cx)
    }
}
