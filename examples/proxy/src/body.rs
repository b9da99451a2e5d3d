//! The request body: nothing, or the client's, watched on its way to the origin.

pub(crate) mod begun;
pub(crate) mod replay;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use cachewarp::RequestProgress;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::body::{
    begun::Begun,
    replay::{Content, Keep, Spare},
};

/// How long the proxy waits for an origin's answer to `Expect: 100-continue` (RFC 9110 section
/// 10.1.1: a client must not wait for it without limit).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// Has a default, which the cache sends when it asks the origin on its own account.
#[derive(Default)]
pub(crate) enum RequestBody {
    #[default]
    Empty,
    Client(Begun),
    Watched(Watched),
}

/// A body that reports its progress, and may have to wait for the origin's 100 (Continue).
pub(crate) struct Watched {
    body: Content,
    progress: Arc<Progress>,
    hold: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What the cache is told of the request, if it wants to know.
    told: Option<RequestProgress>,
}

/// The other end of a watched body.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    progress: Arc<Progress>,
    go_on: Arc<Notify>,
}

/// Which side the proxy waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// To send more of the content.
    Client,
    /// To take more of it, or to answer.
    Origin,
    /// Neither: the content broke off, or is malformed, so there is no whole request.
    Nobody,
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    client_is_due: AtomicBool,
    /// The content of the client ended in an error.
    is_broken: AtomicBool,
    moved: Notify,
}

impl Progress {
    fn turn(&self) -> Turn {
        if self.is_broken.load(Ordering::Relaxed) {
            Turn::Nobody
        } else if self.client_is_due.load(Ordering::Relaxed) {
            Turn::Client
        } else {
            Turn::Origin
        }
    }

    fn polled<T, E>(&self, outcome: &Poll<Option<Result<T, E>>>) {
        if matches!(outcome, Poll::Ready(Some(Err(_)))) {
            self.is_broken.store(true, Ordering::Relaxed);
        }
        let is_due = outcome.is_pending();
        let was_due = self.client_is_due.swap(is_due, Ordering::Relaxed);
        // Asking once more for what has not come is no progress.
        if !(is_due && was_due) {
            self.moved.notify_one();
        }
    }
}

impl RequestBody {
    pub(crate) fn from_client(body: Incoming) -> Self {
        // Over HTTP/2 the end of the stream may come after a length of zero.
        if body.is_end_stream() || body.size_hint().exact() == Some(0) {
            Self::Empty
        } else {
            Self::Client(body.into())
        }
    }

    /// Puts a watch on a client's body; an empty one needs none. With `hold` no byte is read from
    /// the client before [`Watch::go_on`]: it is hyper's server that sends the client its 100
    /// (Continue), and it does so when the body is first polled.
    pub(crate) fn watch(
        &mut self,
        hold: Hold,
        keep: Keep,
        told: Option<RequestProgress>,
    ) -> Option<Watch> {
        match std::mem::take(self) {
            Self::Client(body) => {
                let watch = Watch {
                    progress: Arc::default(),
                    go_on: Arc::default(),
                };
                *self = Self::Watched(Watched {
                    body: Content::new(body, keep),
                    progress: Arc::clone(&watch.progress),
                    hold: match hold {
                        Hold::UntilContinue => Some(watch.held()),
                        Hold::Nothing => None,
                    },
                    told,
                });
                Some(watch)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// What another attempt needs.
    pub(crate) fn again(&self) -> Again {
        match self {
            Self::Empty => Again::Empty,
            // It has no watch yet, and nobody has asked for it to be kept.
            Self::Client(_) => Again::Never,
            Self::Watched(watched) => Again::Content {
                spare: watched.body.spare(),
                progress: Arc::clone(&watched.progress),
                told: watched.told.clone(),
            },
        }
    }

    /// There is nothing to wait for.
    pub(crate) fn release(&mut self) {
        if let Self::Watched(watched) = self {
            watched.hold = None;
        }
    }
}

impl Watched {
    /// The origin takes the content, and can only act on all of it.
    fn tell<T, E>(&self, frame: &Poll<Option<Result<T, E>>>) {
        let Some(told) = &self.told else { return };
        match frame {
            Poll::Ready(None) => told.sent(),
            // The end is not asked for where the length says it.
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => told.sent(),
            Poll::Ready(Some(_)) | Poll::Pending => told.incomplete(),
        }
    }
}

/// What is needed of a body to send its request again.
pub(crate) enum Again {
    Never,
    Empty,
    Content {
        spare: Spare,
        progress: Arc<Progress>,
        told: Option<RequestProgress>,
    },
}

impl Again {
    /// The body once more, if all of it is there. It waits for nothing: what there is of the content
    /// is on its way from the client.
    pub(crate) fn body(&self) -> Option<RequestBody> {
        match self {
            Self::Never => None,
            Self::Empty => Some(RequestBody::Empty),
            Self::Content {
                spare,
                progress,
                told,
            } => Some(RequestBody::Watched(Watched {
                body: spare.content()?,
                progress: Arc::clone(progress),
                hold: None,
                told: told.clone(),
            })),
        }
    }
}

/// Whether a body waits before its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nothing,
    UntilContinue,
}

impl Watch {
    /// Completes once the body has moved since the last time, and returns whose turn it is.
    pub(crate) async fn moved(&self) -> Turn {
        self.progress.moved.notified().await;
        self.progress.turn()
    }

    pub(crate) fn turn(&self) -> Turn {
        self.progress.turn()
    }

    /// The origin wants the body.
    pub(crate) fn go_on(&self) {
        self.go_on.notify_one();
    }

    fn held(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let go_on = Arc::clone(&self.go_on);
        Box::pin(async move {
            // Either way it is time to send.
            let _ = tokio::time::timeout(CONTINUE_WAIT, go_on.notified()).await;
        })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(body) => Pin::new(body).poll_frame(cx),
            Self::Watched(watched) => {
                if let Some(hold) = &mut watched.hold {
                    ready!(hold.as_mut().poll(cx));
                    watched.hold = None;
                }
                let frame = Pin::new(&mut watched.body).poll_frame(cx);
                watched.progress.polled(&frame);
                watched.tell(&frame);
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body.is_end_stream(),
            Self::Watched(watched) => watched.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body) => body.size_hint(),
            Self::Watched(watched) => watched.body.size_hint(),
        }
    }
}
