//! A body that is recorded while it streams: one recorder, any number of readers.
//!
//! Segments are copied to their exact size as they arrive: a slice kept as received keeps the
//! whole read buffer of its connection alive. Small ones are merged once they amount to a segment,
//! so a body that trickles in is stored like one that comes at once. Readers keep a position in bytes, not an
//! index, which merging leaves alone.
//!
//! While a body is kept whole, slow readers cost nothing, since the store wants the bytes anyway.
//! One that outgrows what may be kept goes on through a window: then the slowest reader sets the
//! pace, and one that stands still while it holds others back is cut off. A reader that is alone
//! may take all the time it likes, as it could without a cache.

mod budget;
mod reader;
mod shared;
mod state;

use std::{future::poll_fn, pin::pin, task::Waker, time::Duration};

use bytes::{Buf, BufMut};
use http::HeaderMap;
use http_body::Body;
use tokio::{
    task::consume_budget,
    time::{Instant, timeout_at},
};

pub(crate) use self::{budget::Budget, reader::FillReader, shared::Fill};
use self::{
    budget::Grant,
    state::{CutOff, Keeping, SEGMENT, State},
};
use crate::{
    entry::Segments,
    error::{BoxError, FillError},
};

/// How the bytes of one body are bounded.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The largest body that is kept, in bytes.
    pub(crate) max_body: u64,
    /// The bytes held at once for readers of a body that is not kept.
    pub(crate) window: u64,
    /// How long a reader may stand still while it holds the others back.
    pub(crate) reader_stall: Duration,
    /// How long a body may take to arrive once nobody reads it.
    pub(crate) timeout: Duration,
    pub(crate) on_abandoned: OnAbandoned,
}

impl Limits {
    /// The same for a body that is fetched to be stored, whoever reads it meanwhile.
    pub(crate) fn going_on(&self) -> Self {
        Self {
            on_abandoned: OnAbandoned::Continue,
            ..self.clone()
        }
    }
}

/// What becomes of a response that could be stored when its last reader goes away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OnAbandoned {
    /// It is fetched to its end and stored, within the bounds on size and time. The default.
    #[default]
    Continue,
    /// The origin's body is dropped and nothing is stored.
    Discard,
}

/// How a recording ended.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// The body ended as it should and all of it was kept.
    Whole(Segments),
    /// Nobody was left to read the body, which could have been kept.
    Abandoned,
    Failed(FillError),
    /// The body was too large to be kept.
    NotKept,
}

impl Fill {
    /// Drives `body` to its end, for the readers and, if it may be kept, for the store.
    ///
    /// The readers see the end once the [`Ending`] is dropped, so that who has read a body to its
    /// end finds it stored.
    pub(crate) async fn record<B>(&self, body: B, limits: &Limits) -> (Recorded, Ending<'_>)
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        // A recorder that is dropped midway fails its readers instead of leaving them waiting.
        let mut ending = Ending {
            fill: self,
            ended: Err(FillError::Origin),
        };
        let recorded = match self.pump(body, limits).await {
            Ok((segments, trailers)) => {
                ending.ended = Ok(trailers);
                segments.map_or(Recorded::NotKept, Recorded::Whole)
            }
            Err(Stopped::Failed(error)) => {
                ending.ended = Err(error);
                Recorded::Failed(error)
            }
            Err(Stopped::Abandoned) if self.may_be_kept(&self.lock(), limits) => {
                Recorded::Abandoned
            }
            Err(Stopped::Abandoned) => Recorded::NotKept,
        };
        (recorded, ending)
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
        let mut alone_since = None;
        loop {
            self.make_room(limits).await?;
            // A body that is always ready lets its readers have their turn.
            consume_budget().await;
            let next = poll_fn(|cx| body.as_mut().poll_frame(cx));
            let frame = tokio::select! {
                biased;
                frame = next => frame,
                stopped = self.deserted(limits, &mut alone_since) => return Err(stopped),
            };
            let frame = match frame {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    tracing::debug!(error = %error.into(), "the origin's body failed");
                    return Err(Stopped::Failed(FillError::Origin));
                }
            };
            match frame.into_data() {
                Ok(data) => self.push(data, limits)?,
                Err(frame) => {
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

    /// Takes a frame in: copied to its exact size, in pieces of one segment at the most.
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
        let wakers: Vec<Waker> = state.wakers().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Whether the store may yet get the body. One that is declared too long is held like others
    /// for as long as somebody reads it, so that those who come meanwhile can share it.
    fn may_be_kept(&self, state: &State, limits: &Limits) -> bool {
        let fits = self.declared.is_none_or(|length| length <= limits.max_body);
        fits && state.keeping == Keeping::Whole
    }

    /// Waits until the window has room. Returns at once while the body is kept whole.
    async fn make_room(&self, limits: &Limits) -> Result<(), Stopped> {
        // Where the slowest reader stands, and since when it holds others back.
        let mut held: Option<(u64, Instant)> = None;
        loop {
            let pace = {
                let mut state = self.lock();
                if self.may_be_kept(&state, limits) {
                    return Ok(());
                }
                let Some(pace) = state.pace() else {
                    return Err(Stopped::Abandoned);
                };
                if state.keeping == Keeping::Whole {
                    return Ok(());
                }
                state.release(pace.slowest);
                let freed = state.taken.saturating_sub(state.held());
                state.taken -= freed;
                self.budget.give_back(freed);
                // A part may begin beyond what has arrived.
                if state.received.saturating_sub(pace.slowest) < limits.window {
                    return Ok(());
                }
                pace
            };
            if pace.fastest == pace.slowest {
                held = None;
                self.moved.notified().await;
                continue;
            }
            let since = match held {
                Some((position, since)) if position == pace.slowest => since,
                _ => Instant::now(),
            };
            held = Some((pace.slowest, since));
            let moved = timeout_at(since + limits.reader_stall, self.moved.notified());
            if moved.await.is_err() {
                self.cut_off(pace.slowest);
            }
        }
    }

    /// Cuts off the readers that still stand at `position`.
    fn cut_off(&self, position: u64) {
        let mut wakers = Vec::new();
        for (_, place) in &mut self.lock().readers {
            if place.is_reading() && place.position == position {
                place.cut_off = CutOff::Yes;
                wakers.extend(place.waker.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Resolves once nobody reads the body and it will not be stored either, or has taken too long
    /// since they left.
    async fn deserted(&self, limits: &Limits, alone_since: &mut Option<Instant>) -> Stopped {
        loop {
            let (may_be_kept, pace) = {
                let state = self.lock();
                (self.may_be_kept(&state, limits), state.pace())
            };
            let moved = self.moved.notified();
            if pace.is_some() {
                *alone_since = None;
                moved.await;
                continue;
            }
            if limits.on_abandoned == OnAbandoned::Discard || !may_be_kept {
                return Stopped::Abandoned;
            }
            let since = *alone_since.get_or_insert_with(Instant::now);
            if timeout_at(since + limits.timeout, moved).await.is_err() {
                return Stopped::Failed(FillError::Timeout);
            }
        }
    }
}

/// Why a recording stopped before the body's end.
#[derive(Debug)]
enum Stopped {
    Abandoned,
    Failed(FillError),
}

/// Tells the readers how the body ended, whatever ends the recorder.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    fill: &'a Fill,
    ended: Result<Option<HeaderMap>, FillError>,
}

impl Drop for Ending<'_> {
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
