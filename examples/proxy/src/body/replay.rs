//! The content of a request, kept for a second attempt as long as it is small.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::body::begun::Begun;

/// What was taken of the content is kept up to here.
const MOST_KEPT: usize = 64 * 1024;

/// Whether content is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    Small,
}

/// The content for one attempt. Once there is another one, this one gets nothing more.
pub(crate) struct Content {
    source: Arc<Mutex<Source>>,
    attempt: u32,
    /// What the attempts before took.
    again: Bytes,
}

/// From which another attempt gets its content.
pub(crate) struct Spare(Arc<Mutex<Source>>);

struct Source {
    body: Begun,
    kept: Kept,
    attempt: u32,
}

enum Kept {
    /// All that was taken.
    All(Vec<u8>),
    /// Something is missing.
    Lost,
}

impl Kept {
    fn take(&mut self, frame: &Frame<Bytes>) {
        let Self::All(kept) = self else { return };
        match frame.data_ref() {
            Some(data) if data.len() <= MOST_KEPT - kept.len() => kept.extend_from_slice(data),
            // Too much, or a trailer.
            _ => *self = Self::Lost,
        }
    }
}

impl Content {
    pub(crate) fn new(body: Begun, keep: Keep) -> Self {
        let kept = match keep {
            Keep::Small => Kept::All(Vec::new()),
            Keep::Nothing => Kept::Lost,
        };
        Self {
            source: Arc::new(Mutex::new(Source {
                body,
                kept,
                attempt: 0,
            })),
            attempt: 0,
            again: Bytes::new(),
        }
    }

    pub(crate) fn spare(&self) -> Spare {
        Spare(Arc::clone(&self.source))
    }
}

impl Spare {
    /// The content for one more attempt, if it is whole.
    pub(crate) fn content(&self) -> Option<Content> {
        let mut source = lock(&self.0);
        let Kept::All(kept) = &source.kept else {
            return None;
        };
        let again = Bytes::copy_from_slice(kept);
        source.attempt += 1;
        Some(Content {
            source: Arc::clone(&self.0),
            attempt: source.attempt,
            again,
        })
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    // A panic within hyper's body leaves nothing half done here.
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Body for Content {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let me = self.get_mut();
        let mut source = lock(&me.source);
        if source.attempt != me.attempt {
            // Its connection or stream has failed, and nobody waits for it.
            return Poll::Pending;
        }
        if !me.again.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut me.again)))));
        }
        let frame = Pin::new(&mut source.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => source.kept.take(frame),
            // After it the body looks like one that has ended.
            Poll::Ready(Some(Err(_))) => source.kept = Kept::Lost,
            Poll::Ready(None) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_empty() && lock(&self.source).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = lock(&self.source).body.size_hint();
        let again = self.again.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(again));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(again));
        }
        hint
    }
}
