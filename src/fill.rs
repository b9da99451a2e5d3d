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

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};
use slab::Slab;
use tokio::{
    sync::Notify,
    task::consume_budget,
    time::{Instant, timeout_at},
};

use crate::{
    entry::Segments,
    error::{BoxError, FillError},
};

/// The largest segment, in bytes.
const SEGMENT: usize = 64 * 1024;

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

/// The bytes that all fills together may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    allowance: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(allowance: u64) -> Arc<Self> {
        Arc::new(Self {
            allowance,
            used: AtomicU64::new(0),
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Grant {
        if self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.allowance {
            return Grant::Granted;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        Grant::Refused
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Grant {
    Granted,
    Refused,
}

/// The shared state of one body.
#[derive(Debug)]
pub(crate) struct Fill {
    budget: Arc<Budget>,
    /// The length that the head declared.
    declared: Option<u64>,
    /// Wakes the recorder when a reader moved on or went away.
    moved: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ended: Option<Result<Option<HeaderMap>, FillError>>,
    keeping: Keeping,
    /// Trailing segments that may yet be merged, and their bytes.
    loose: usize,
    loose_bytes: usize,
    readers: Slab<Place>,
    received: u64,
    segments: VecDeque<Segment>,
    /// Bytes taken from the budget: all that are held, but for those of a window.
    taken: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keeping {
    /// Every byte, for the store.
    Whole,
    /// What some reader has yet to read.
    Window,
}

#[derive(Debug)]
struct Segment {
    start: u64,
    bytes: Bytes,
}

/// Where a reader stands.
#[derive(Debug)]
struct Place {
    position: u64,
    /// Where it will stop, if that is before the body's end.
    end: Option<u64>,
    cut_off: CutOff,
    waker: Option<Waker>,
}

impl Place {
    /// Whether more bytes are of use to it.
    fn is_reading(&self) -> bool {
        self.cut_off == CutOff::No && self.end.is_none_or(|end| self.position < end)
    }
}

/// The positions of the hindmost and the foremost reader.
#[derive(Clone, Copy, Debug)]
struct Pace {
    slowest: u64,
    fastest: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CutOff {
    No,
    Yes,
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
    pub(crate) fn new(declared: Option<u64>, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            declared,
            moved: Notify::new(),
            state: Mutex::new(State {
                ended: None,
                keeping: Keeping::Whole,
                loose: 0,
                loose_bytes: 0,
                readers: Slab::new(),
                received: 0,
                segments: VecDeque::new(),
                taken: 0,
            }),
        })
    }

    /// The length that the head declared.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// A reader of the bytes from `first` on, up to `end` if given; `None` if the body failed, or
    /// once the window has moved past the first of them.
    pub(crate) fn read(self: &Arc<Self>, first: u64, end: Option<u64>) -> Option<FillReader> {
        let mut state = self.lock();
        if state.beginning() > first || matches!(state.ended, Some(Err(_))) {
            return None;
        }
        let slot = state.readers.insert(Place {
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
        })
    }

    /// Leaves the bytes to the account of the store, which was given them.
    pub(crate) fn settle(&self) {
        let taken = std::mem::take(&mut self.lock().taken);
        self.budget.give_back(taken);
    }

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
            Err(Stopped::Abandoned) if self.lock().keeping == Keeping::Whole => Recorded::Abandoned,
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

    /// Waits until the window has room. Returns at once while the body is kept whole.
    async fn make_room(&self, limits: &Limits) -> Result<(), Stopped> {
        // Where the slowest reader stands, and since when it holds others back.
        let mut held: Option<(u64, Instant)> = None;
        loop {
            let pace = {
                let mut state = self.lock();
                if state.keeping == Keeping::Whole {
                    return Ok(());
                }
                let Some(pace) = state.pace() else {
                    return Err(Stopped::Abandoned);
                };
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
            let (keeping, pace) = {
                let state = self.lock();
                (state.keeping, state.pace())
            };
            let moved = self.moved.notified();
            if pace.is_some() {
                *alone_since = None;
                moved.await;
                continue;
            }
            if limits.on_abandoned == OnAbandoned::Discard || keeping == Keeping::Window {
                return Stopped::Abandoned;
            }
            let since = *alone_since.get_or_insert_with(Instant::now);
            if timeout_at(since + limits.timeout, moved).await.is_err() {
                return Stopped::Failed(FillError::Timeout);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let taken = self.lock().taken;
        self.budget.give_back(taken);
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

// === impl State ===

impl State {
    fn append(&mut self, bytes: Bytes) {
        if self.loose_bytes + bytes.len() > SEGMENT {
            self.merge();
        }
        self.loose += 1;
        self.loose_bytes += bytes.len();
        let start = self.received;
        self.received += bytes.len() as u64;
        self.segments.push_back(Segment { start, bytes });
    }

    /// Makes one segment of the loose ones.
    fn merge(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        let total = std::mem::take(&mut self.loose_bytes);
        // A window may have let go of some of them.
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

    /// Lets go of the segments that end at or before `position`.
    fn release(&mut self, position: u64) {
        while let Some(first) = self.segments.front()
            && first.start + first.bytes.len() as u64 <= position
        {
            self.segments.pop_front();
        }
    }

    /// The bytes at `position`, as many as one segment holds.
    fn at(&self, position: u64) -> Option<Bytes> {
        let after = self.segments.partition_point(|s| s.start <= position);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let offset = usize::try_from(position - segment.start).ok()?;
        (offset < segment.bytes.len()).then(|| segment.bytes.slice(offset..))
    }

    /// The first byte still held.
    fn beginning(&self) -> u64 {
        self.segments.front().map_or(self.received, |it| it.start)
    }

    /// The bytes held.
    fn held(&self) -> u64 {
        self.received - self.beginning()
    }

    /// Between which positions the readers stand, if there are any.
    fn pace(&self) -> Option<Pace> {
        let reading = self.readers.iter().map(|(_, place)| place);
        reading
            .filter(|place| place.is_reading())
            .map(|place| place.position)
            .fold(None, |pace, position| {
                let Pace { slowest, fastest } = pace.unwrap_or(Pace {
                    slowest: position,
                    fastest: position,
                });
                Some(Pace {
                    slowest: slowest.min(position),
                    fastest: fastest.max(position),
                })
            })
    }

    fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.readers
            .iter_mut()
            .filter_map(|(_, place)| place.waker.take())
    }
}

// === impl FillReader ===

/// Reads a fill from its beginning, or a part of it.
#[derive(Debug)]
pub(crate) struct FillReader {
    fill: Arc<Fill>,
    slot: usize,
    end: Option<u64>,
}

impl FillReader {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FillError>>> {
        let mut guard = self.fill.lock();
        let state = &mut *guard;
        // The slot is this reader's own until it is dropped.
        let Some(place) = state.readers.get(self.slot) else {
            return Poll::Ready(None);
        };
        let position = place.position;
        if place.cut_off == CutOff::Yes {
            return Poll::Ready(Some(Err(FillError::TooSlow)));
        }
        if self.end.is_some_and(|end| position >= end) {
            return Poll::Ready(None);
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
                if let Some(place) = state.readers.get_mut(self.slot) {
                    place.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn advance(&self, state: &mut State, position: u64) {
        if let Some(place) = state.readers.get_mut(self.slot) {
            place.position = position;
        }
        if state.keeping == Keeping::Window {
            self.fill.moved.notify_one();
        }
    }

    /// The bytes yet to come, if the head declared how many there are.
    pub(crate) fn remaining(&self) -> Option<u64> {
        let end = self.end.or(self.fill.declared)?;
        let state = self.fill.lock();
        let place = state.readers.get(self.slot)?;
        Some(end.saturating_sub(place.position))
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

/// Reads as a body, for tests and for [`CacheBody`](crate::CacheBody).
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

#[cfg(test)]
mod tests;
