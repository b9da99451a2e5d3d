//! Recording: drives a body to its end, for its readers and for the store.

use std::{
    future::{pending, poll_fn},
    pin::pin,
    task::Waker,
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::{
    task::consume_budget,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    limits::{Limits, OnAbandoned},
    shared::{Fill, FillPurpose},
    state::{CutOff, FillState, Keeping, SEGMENT},
};
use crate::{
    entry::{Grant, Segments},
    error::{BoxError, FillError},
};

/// How a recording ended.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// The body is complete and was kept whole.
    Whole(Segments),
    /// The last reader was dropped. The body could have been kept.
    Abandoned,
    Failed(FillError),
    /// The body was not kept whole, as the account had no room for it.
    NoRoom,
    /// The body was not kept whole: it was too large.
    NotKept,
}

impl Recorded {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Whole(_) => "whole",
            Self::Abandoned => "abandoned",
            Self::Failed(_) => "failed",
            Self::NoRoom => "no-room",
            Self::NotKept => "not-kept",
        }
    }
}

impl Fill {
    /// Drives `body` to its end, for the readers and, if it may be kept, for the store.
    ///
    /// The readers see the end only when the [`EndGuard`] is dropped. So a client that has read a
    /// body to its end finds it in the store.
    pub(crate) async fn record<B>(&self, body: B, limits: &Limits) -> (Recorded, EndGuard<'_>)
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        // If the recorder is dropped before the end, its readers get an error and do not wait for
        // ever.
        let mut guard = EndGuard {
            fill: self,
            ended: Err(FillError::Origin),
        };
        let recorded = match self.pump(body, limits).await {
            Ok((segments, trailers)) => {
                guard.ended = Ok(trailers);
                segments.map_or_else(|| self.why_not_kept(), Recorded::Whole)
            }
            Err(Stopped::Failed(error)) => {
                guard.ended = Err(error);
                Recorded::Failed(error)
            }
            Err(Stopped::Abandoned) if self.may_be_kept(&self.lock(), limits) => {
                Recorded::Abandoned
            }
            Err(Stopped::Abandoned) => self.why_not_kept(),
        };
        (recorded, guard)
    }

    fn why_not_kept(&self) -> Recorded {
        match self.lock().keeping {
            Keeping::NoRoom => Recorded::NoRoom,
            Keeping::Whole | Keeping::Window => Recorded::NotKept,
        }
    }

    async fn pump<B>(
        &self,
        body: B,
        limits: &Limits,
    ) -> Result<(Option<Segments>, Option<HeaderMap>), Stopped>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let mut body = pin!(body);
        let mut trailers = None;
        let mut without_reader_since = None;
        // How long the origin has been silent. Readers that hold the body back do not add to it.
        let mut silence = Duration::ZERO;
        self.lock().moved_at = Some(Instant::now());
        loop {
            self.make_room(limits).await?;
            let waits_since = Instant::now();
            // Without this, a body that is always ready would keep its readers from running.
            consume_budget().await;
            let next = poll_fn(|cx| {
                body.as_mut()
                    .poll_frame(cx)
                    .map(|next| next.map(FramePart::of))
            });
            let part = tokio::select! {
                biased;
                part = next => part,
                stopped = self.no_longer_wanted(limits, &mut without_reader_since) => {
                    return Err(stopped);
                }
                () = self.idle(waits_since + limits.idle.saturating_sub(silence)) => {
                    return Err(Stopped::Failed(FillError::Idle));
                }
            };
            silence += waits_since.elapsed();
            let Some(part) = part else {
                break;
            };
            match part {
                // An empty frame brings the body no further.
                FramePart::Data(data) if data.is_empty() => {}
                FramePart::Data(data) => {
                    silence = Duration::ZERO;
                    self.take_in(data, limits).await?;
                }
                FramePart::Trailers(fields) => {
                    // Only the end can follow them, so more of them bring the body no further.
                    if trailers.replace(fields).is_none() {
                        silence = Duration::ZERO;
                    }
                }
                FramePart::Failure => return Err(Stopped::Failed(FillError::Origin)),
                FramePart::Unknown => {}
            }
        }
        let mut state = self.lock();
        if self.declared.is_some_and(|length| length != state.received) {
            return Err(Stopped::Failed(FillError::Length));
        }
        state.merge();
        let segments = (state.keeping == Keeping::Whole)
            .then(|| state.segments.iter().map(|s| s.bytes.clone()).collect());
        Ok((segments, trailers))
    }

    /// Takes in a frame, in pieces of at most one segment: however large it is, a window takes no
    /// more of it than there is room for.
    async fn take_in(&self, mut frame: Bytes, limits: &Limits) -> Result<(), Stopped> {
        self.check_length(&frame, limits)?;
        loop {
            let piece = frame.split_to(frame.len().min(SEGMENT));
            self.push(&piece, limits);
            if frame.is_empty() {
                return Ok(());
            }
            self.make_room(limits).await?;
        }
    }

    /// Whether the body is not longer than declared with this frame. From the first byte on that is
    /// too much to be stored, only a window is kept.
    fn check_length(&self, frame: &Bytes, limits: &Limits) -> Result<(), Stopped> {
        let mut state = self.lock();
        let received = state.received.saturating_add(frame.len() as u64);
        if self.declared.is_some_and(|length| received > length) {
            return Err(Stopped::Failed(FillError::Length));
        }
        if state.keeping == Keeping::Whole && received > limits.max_body {
            state.keeping = Keeping::Window;
        }
        Ok(())
    }

    /// Appends a piece, copied to its exact size.
    fn push(&self, piece: &Bytes, limits: &Limits) {
        let bytes = piece.len() as u64;
        // Only the recorder changes this.
        let whole = self.lock().keeping == Keeping::Whole;
        // Not while the state is locked: making room locks the state of others.
        let granted = whole && self.take(bytes, limits) == Grant::Granted;
        let mut state = self.lock();
        if granted {
            state.taken += bytes;
        } else if whole {
            state.keeping = Keeping::NoRoom;
        }
        state.append(Bytes::copy_from_slice(piece));
        state.moved_at = Some(Instant::now());
        let wakers: Vec<Waker> = state.wakers().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes bytes from the account. If there is no room, readers that stand still make it.
    fn take(&self, bytes: u64, limits: &Limits) -> Grant {
        if self.account.take(bytes) == Grant::Granted {
            return Grant::Granted;
        }
        match self.account.make_room(bytes, limits.reader_stall) {
            Grant::Granted => self.account.take(bytes),
            Grant::Refused => Grant::Refused,
        }
    }

    /// Whether the store may still get the body. A body whose declared length is too large is held
    /// like any other while it has a reader, so that later requests can share it.
    fn may_be_kept(&self, state: &FillState, limits: &Limits) -> bool {
        let fits = self.declared.is_none_or(|length| length <= limits.max_body);
        fits && state.keeping == Keeping::Whole
    }

    /// Waits until the window has room. Returns at once while the body is kept whole.
    async fn make_room(&self, limits: &Limits) -> Result<(), Stopped> {
        // The position of the slowest reader, and since when it holds others back.
        let mut stalled: Option<(u64, Instant)> = None;
        loop {
            let span = {
                let mut state = self.lock();
                if self.may_be_kept(&state, limits) {
                    return Ok(());
                }
                let Some(span) = state.reader_span() else {
                    return Err(Stopped::Abandoned);
                };
                if state.keeping == Keeping::Whole {
                    return Ok(());
                }
                // From here on the body ends with its last reader, like one that is passed on.
                state.permit = None;
                self.account.give_back(state.release(span.slowest));
                if self.has_room(&mut state, span.slowest, limits) {
                    return Ok(());
                }
                span
            };
            if span.fastest == span.slowest {
                stalled = None;
                self.moved.notified().await;
                continue;
            }
            let since = match stalled {
                Some((position, since)) if position == span.slowest => since,
                _ => Instant::now(),
            };
            stalled = Some((span.slowest, since));
            let moved = timeout_at(since + limits.reader_stall, self.moved.notified());
            if moved.await.is_err() {
                self.cut_off(span.slowest);
            }
        }
    }

    /// Whether a window has room for more: for one segment in any case, and for what the settings
    /// allow if the account has room for that.
    fn has_room(&self, state: &mut FillState, slowest: u64, limits: &Limits) -> bool {
        let segment = SEGMENT as u64;
        // A reader of a range may start beyond what has arrived, so the difference could be
        // negative.
        let behind = state.received.saturating_sub(slowest);
        if behind < limits.window.min(segment) {
            return true;
        }
        let more = state.keeping == Keeping::Window && behind < limits.window;
        if more && self.account.take(segment) == Grant::Granted {
            state.taken += segment;
            return true;
        }
        false
    }

    /// Cuts off the readers that are still at `position`.
    fn cut_off(&self, position: u64) {
        let mut wakers = Vec::new();
        for (_, reader) in &mut self.lock().readers {
            if reader.is_reading() && reader.position == position {
                reader.cut_off = CutOff::Yes;
                wakers.extend(reader.waker.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Resolves at the moment until which the origin may be silent. Never for a body that is for its
    /// readers only, as without a cache.
    async fn idle(&self, until: Instant) {
        match self.purpose {
            FillPurpose::Store => sleep_until(until).await,
            FillPurpose::Deliver => pending().await,
        }
    }

    /// Whether no bytes have arrived for `patience`, and the end has not come either.
    pub(crate) fn stands_still(&self, patience: Duration) -> bool {
        let state = self.lock();
        state.ended.is_none() && state.moved_at.is_some_and(|at| at.elapsed() >= patience)
    }

    /// Resolves when the body has no reader and will not be stored either, or has had no reader for
    /// too long.
    async fn no_longer_wanted(
        &self,
        limits: &Limits,
        without_reader_since: &mut Option<Instant>,
    ) -> Stopped {
        loop {
            let (may_be_kept, span) = {
                let state = self.lock();
                (self.may_be_kept(&state, limits), state.reader_span())
            };
            let moved = self.moved.notified();
            if span.is_some() {
                *without_reader_since = None;
                moved.await;
                continue;
            }
            if limits.on_abandoned == OnAbandoned::Discard || !may_be_kept {
                return Stopped::Abandoned;
            }
            let since = *without_reader_since.get_or_insert_with(Instant::now);
            if timeout_at(since + limits.timeout, moved).await.is_err() {
                return Stopped::Failed(FillError::Timeout);
            }
        }
    }
}

/// What the body brought next.
enum FramePart {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The body failed.
    Failure,
    Unknown,
}

impl FramePart {
    /// If the data is `Bytes`, this copies nothing.
    fn of(next: Result<Frame<impl Buf>, impl Into<BoxError>>) -> Self {
        let frame = match next {
            Ok(frame) => frame,
            Err(error) => {
                tracing::debug!(error = %error.into(), "the origin's body failed");
                return Self::Failure;
            }
        };
        match frame.into_data() {
            Ok(mut data) => Self::Data(data.copy_to_bytes(data.remaining())),
            Err(frame) => frame.into_trailers().map_or(Self::Unknown, Self::Trailers),
        }
    }
}

/// Why a recording stopped before the end of the body.
#[derive(Debug)]
enum Stopped {
    Abandoned,
    Failed(FillError),
}

/// Shows the readers how the body ended, when it is dropped: also if the recorder is dropped early.
#[derive(Debug)]
pub(crate) struct EndGuard<'a> {
    fill: &'a Fill,
    ended: Result<Option<HeaderMap>, FillError>,
}

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.fill.lock();
        state.permit = None;
        state.ended = Some(std::mem::replace(&mut self.ended, Ok(None)));
        let wakers: Vec<Waker> = state.wakers().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
