//! Recording: drives a body to its end, for its readers and for the store.

use std::{
    future::{pending, poll_fn},
    pin::pin,
    task::Waker,
    time::Duration,
};

use bytes::{Buf, BufMut};
use http::HeaderMap;
use http_body::Body;
use tokio::{
    task::consume_budget,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    budget::Grant,
    limits::{Limits, OnAbandoned},
    shared::{Fill, FillPurpose},
    state::{CutOff, FillState, Keeping, SEGMENT},
};
use crate::{
    entry::Segments,
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
    /// The body was not kept whole: it was too large, or the budget was used up.
    NotKept,
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
                segments.map_or(Recorded::NotKept, Recorded::Whole)
            }
            Err(Stopped::Failed(error)) => {
                guard.ended = Err(error);
                Recorded::Failed(error)
            }
            Err(Stopped::Abandoned) if self.may_be_kept(&self.lock(), limits) => {
                Recorded::Abandoned
            }
            Err(Stopped::Abandoned) => Recorded::NotKept,
        };
        (recorded, guard)
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
            let next = poll_fn(|cx| body.as_mut().poll_frame(cx));
            let frame = tokio::select! {
                biased;
                frame = next => frame,
                stopped = self.no_longer_wanted(limits, &mut without_reader_since) => {
                    return Err(stopped);
                }
                () = self.idle(waits_since + limits.idle.saturating_sub(silence)) => {
                    return Err(Stopped::Failed(FillError::Idle));
                }
            };
            silence += waits_since.elapsed();
            let frame = match frame {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    tracing::debug!(error = %error.into(), "the origin's body failed");
                    return Err(Stopped::Failed(FillError::Origin));
                }
            };
            match frame.into_data() {
                // An empty frame brings the body no further.
                Ok(data) if !data.has_remaining() => {}
                Ok(data) => {
                    silence = Duration::ZERO;
                    self.push(data, limits)?;
                }
                Err(frame) => {
                    silence = Duration::ZERO;
                    if let Ok(fields) = frame.into_trailers() {
                        trailers = Some(fields);
                    }
                }
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

    /// Appends a frame, copied to its exact size and split into pieces of at most one segment.
    fn push(&self, mut data: impl Buf, limits: &Limits) -> Result<(), Stopped> {
        let mut state = self.lock();
        let received = state.received.saturating_add(data.remaining() as u64);
        if self.declared.is_some_and(|length| received > length) {
            return Err(Stopped::Failed(FillError::Length));
        }
        if state.keeping == Keeping::Whole && received > limits.max_body {
            state.keeping = Keeping::Window;
        }
        if state.keeping == Keeping::Whole {
            let more = data.remaining() as u64;
            match self.budget.take(more) {
                Grant::Granted => state.taken += more,
                Grant::Refused => state.keeping = Keeping::Window,
            }
        }
        while data.has_remaining() {
            let length = data.remaining().min(SEGMENT);
            let mut piece = Vec::with_capacity(length);
            piece.put((&mut data).take(length));
            state.append(piece.into());
        }
        state.moved_at = Some(Instant::now());
        let wakers: Vec<Waker> = state.wakers().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
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
                state.release(span.slowest);
                let freed = state.taken.saturating_sub(state.held());
                state.taken -= freed;
                self.budget.give_back(freed);
                // A reader of a range may start beyond what has arrived, so the difference
                // could be negative.
                if state.received.saturating_sub(span.slowest) < limits.window {
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
        state.ended = Some(std::mem::replace(&mut self.ended, Ok(None)));
        let wakers: Vec<Waker> = state.wakers().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
