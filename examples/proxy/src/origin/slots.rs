//! One connection of HTTP/2 to the origin, and how many streams it has.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::{
    body::RequestBody,
    failure::{Failure, Kind},
    heads::ResponseHeads,
    origin::{
        connect::KEEPALIVE,
        opened::{Line, Opened},
    },
};

/// An origin that has refused a stream gets the next ones elsewhere for as long as this.
const REFUSAL: Duration = Duration::from_secs(1);

/// How long until it is looked at again whether the settings have come. hyper tells nobody; what
/// arrives on the connection does, unless the answer to it has to wait.
const LOOK: Duration = Duration::from_millis(100);

type Driven = Connection<Opened, RequestBody, TokioExecutor>;

/// A connection that is open. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) sender: SendRequest<RequestBody>,
    since: Instant,
    state: Arc<State>,
}

struct State {
    /// Until it ends.
    connection: Mutex<Option<Driven>>,
    /// Whether it has brought a response. Only then may the origin have closed it while it was
    /// idle, so that a request on it is worth another try.
    used: AtomicBool,
    /// It takes no more requests.
    ended: AtomicBool,
    streams: AtomicUsize,
    refused: Mutex<Option<Instant>>,
    /// Told of every stream that ends, on whichever connection.
    freed: Arc<Notify>,
}

/// A stream that counts until this is dropped.
pub(crate) struct Slot(Arc<State>);

impl Open {
    /// Begins to speak, and waits for the origin's settings: they say how many streams there may be
    /// from the first one on (RFC 9113 section 5.1.2).
    pub(crate) async fn new(
        stream: Opened,
        heads: ResponseHeads,
        limit: Duration,
        freed: Arc<Notify>,
    ) -> Result<Self, Failure> {
        let since = Instant::now();
        let line = stream.line();
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .initial_max_send_streams(0_usize)
            .max_header_list_size(heads.http2_size())
            .handshake(stream)
            .await
            .map_err(Failure::connect)?;
        let state = Arc::new(State {
            connection: Mutex::new(Some(connection)),
            used: AtomicBool::default(),
            ended: AtomicBool::default(),
            streams: AtomicUsize::default(),
            refused: Mutex::default(),
            freed,
        });
        tokio::spawn(Driver(Arc::clone(&state)));
        let open = Self {
            sender,
            since,
            state,
        };
        match timeout(limit, open.has_settings(&line)).await {
            Ok(outcome) => outcome.map(|()| open),
            Err(_) => Err(Kind::ConnectTimeout.into()),
        }
    }

    async fn has_settings(&self, line: &Line) -> Result<(), Failure> {
        while self.most() == 0 {
            if self.has_ended() {
                return Err(Failure::because(Kind::Unreachable, "it speaks no HTTP/2"));
            }
            // Either way it is time to look.
            let _ = timeout(LOOK, line.arrived()).await;
        }
        Ok(())
    }

    /// How many streams there may be at once. Nothing is known before the settings have come.
    fn most(&self) -> usize {
        let connection = lock(&self.state.connection);
        connection
            .as_ref()
            .map_or(0, Driven::current_max_send_streams)
    }

    /// A stream, if there is room for one more.
    pub(crate) fn slot(&self) -> Option<Slot> {
        if self.state.streams.load(Ordering::Relaxed) >= self.most() {
            return None;
        }
        self.state.streams.fetch_add(1, Ordering::Relaxed);
        Some(Slot(Arc::clone(&self.state)))
    }

    pub(crate) fn is_since(&self, since: Instant) -> bool {
        self.since >= since
    }

    pub(crate) fn is_used(&self) -> bool {
        self.state.used.load(Ordering::Relaxed)
    }

    pub(crate) fn has_answered(&self) {
        self.state.used.store(true, Ordering::Relaxed);
    }

    /// It takes no more requests; those that it has go on.
    pub(crate) fn end(&self) {
        self.state.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.ended.load(Ordering::Relaxed) || self.sender.is_closed()
    }

    pub(crate) fn has_refused(&self) {
        *lock(&self.state.refused) = Some(Instant::now());
    }

    /// Whether the origin refused a stream just now.
    pub(crate) fn refuses(&self) -> bool {
        let refused = *lock(&self.state.refused);
        refused.is_some_and(|refused| refused.elapsed() < REFUSAL)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A connection that panicked is not polled again, and the rest is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves a connection until it ends.
struct Driver(Arc<State>);

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut connection = lock(&self.0.connection);
        let Some(driven) = connection.as_mut() else {
            return Poll::Ready(());
        };
        let Poll::Ready(outcome) = Pin::new(driven).poll(cx) else {
            return Poll::Pending;
        };
        *connection = None;
        drop(connection);
        self.0.ended.store(true, Ordering::Relaxed);
        // Who waits for a stream may open another connection now.
        self.0.freed.notify_waiters();
        if let Err(error) = outcome {
            tracing::debug!(%error, "the connection to the origin ended");
        }
        Poll::Ready(())
    }
}
