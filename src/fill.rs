//! A body that is recorded while it streams: one recorder, any number of readers.
//!
//! Segments are copied to their exact size as they arrive: a slice kept as received keeps the
//! whole read buffer of its connection alive. Small ones are merged as more arrive, so a body that
//! trickles in costs no more than one that comes at once. Readers keep a position in bytes, not an
//! index, which merging leaves alone.
//!
//! While a body is kept whole, slow readers cost nothing, since the store wants the bytes anyway.
//! One that outgrows what may be kept goes on through a window: then the slowest reader sets the
//! pace, and one that stands still while it holds the others back is cut off.

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

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};
use slab::Slab;
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
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
    /// How long a body may take to arrive when nobody reads it.
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
    /// Bytes taken from the budget.
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
    cut_off: CutOff,
    waker: Option<Waker>,
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
    /// The body was not kept: too large, or nobody was left to read it.
    NotKept,
    Failed(FillError),
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

    /// A reader of the bytes from `first` on, up to `end` if given; `None` once the beginning may
    /// be gone.
    pub(crate) fn read(self: &Arc<Self>, first: u64, end: Option<u64>) -> Option<FillReader> {
        let mut state = self.lock();
        if state.keeping == Keeping::Window || matches!(state.ended, Some(Err(_))) {
            return None;
        }
        let slot = state.readers.insert(Place {
            position: first,
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

    /// Drives `body` to its end, for the readers and, if it may be kept, for the store.
    pub(crate) async fn record<B>(&self, body: B, limits: &Limits) -> Recorded
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        // A recorder that is dropped midway fails its readers instead of leaving them waiting.
        let mut outcome = Outcome {
            fill: self,
            ended: Err(FillError::Origin),
        };
        let recorded = self.pump(body, limits).await;
        outcome.ended = match &recorded {
            Ok((_, trailers)) => Ok(trailers.clone()),
            Err(Stopped::Failed(error)) => Err(*error),
            Err(Stopped::Abandoned) => Err(FillError::Origin),
        };
        match recorded {
            Ok((segments, _)) => segments.map_or(Recorded::NotKept, Recorded::Whole),
            Err(Stopped::Failed(error)) => Recorded::Failed(error),
            Err(Stopped::Abandoned) => Recorded::NotKept,
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
        let mut deadline = Instant::now() + limits.timeout;
        loop {
            self.make_room(limits).await?;
            let next = poll_fn(|cx| body.as_mut().poll_frame(cx));
            let frame = tokio::select! {
                biased;
                frame = timeout_at(deadline, next) => frame,
                () = self.abandoned(limits.on_abandoned) => return Err(Stopped::Abandoned),
            };
            let frame = match frame {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    tracing::debug!(error = %error.into(), "the origin's body failed");
                    return Err(Stopped::Failed(FillError::Origin));
                }
                Err(_) if self.has_readers() => {
                    deadline = Instant::now() + limits.timeout;
                    continue;
                }
                Err(_) => return Err(Stopped::Failed(FillError::Timeout)),
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
            let mut piece = vec![0; data.remaining().min(SEGMENT)];
            data.copy_to_slice(&mut piece);
            state.append(piece.into());
        }
        let wakers: Vec<Waker> = state.wakers().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Waits until the window has room. Returns at once while the body is kept whole.
    async fn make_room(&self, limits: &Limits) -> Result<(), Stopped> {
        loop {
            let slowest = {
                let mut state = self.lock();
                if state.keeping == Keeping::Whole {
                    return Ok(());
                }
                let Some(slowest) = state.slowest() else {
                    return Err(Stopped::Abandoned);
                };
                self.budget.give_back(std::mem::take(&mut state.taken));
                state.release(slowest);
                if state.received - slowest < limits.window {
                    return Ok(());
                }
                slowest
            };
            if timeout(limits.reader_stall, self.moved.notified())
                .await
                .is_err()
            {
                self.cut_off(slowest);
            }
        }
    }

    /// Cuts off the readers that still stand at `position`.
    fn cut_off(&self, position: u64) {
        let mut wakers = Vec::new();
        for (_, place) in &mut self.lock().readers {
            if place.position == position {
                place.cut_off = CutOff::Yes;
                wakers.extend(place.waker.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Resolves once the body is of use to nobody.
    async fn abandoned(&self, policy: OnAbandoned) {
        loop {
            let keeping = self.lock().keeping;
            let stored_anyway = policy == OnAbandoned::Continue && keeping == Keeping::Whole;
            if !stored_anyway && !self.has_readers() {
                return;
            }
            self.moved.notified().await;
        }
    }

    fn has_readers(&self) -> bool {
        !self.lock().readers.is_empty()
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
struct Outcome<'a> {
    fill: &'a Fill,
    ended: Result<Option<HeaderMap>, FillError>,
}

impl Drop for Outcome<'_> {
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

    fn slowest(&self) -> Option<u64> {
        self.readers
            .iter()
            .map(|(_, place)| place)
            .filter(|place| place.cut_off == CutOff::No)
            .map(|place| place.position)
            .min()
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
