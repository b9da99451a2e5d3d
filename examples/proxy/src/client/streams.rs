//! The streams of HTTP/2 connections: one whose client takes nothing for too long is reset.
//!
//! hyper gives the future of each stream to an executor. Ours wraps it: when the future is dropped,
//! h2 resets the stream, and the body goes, with its connection to the origin. What the future
//! waits for, the body says that it polls (`sending`): they meet in a thread-local variable, as one
//! call of `poll` runs on one thread and to its end.
//!
//! - The body was polled and had nothing: it waits for the origin, which has timeouts of its own.
//! - The body gave a piece: hyper comes for the next one as soon as the client's window, and what
//!   is kept beside it, have room. Until then it is the client's turn.
//!
//! While the socket takes no bytes, no stream can tell whether its client would read it. Then the
//! clock of the connection runs (`patience`), not that of the streams.

use std::{
    cell::Cell,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::client::Client;

/// Whom a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nobody has polled the body: as before.
    Same,
    /// To bring more of the body.
    Origin,
    /// To take more of it.
    Client,
}

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Same) };
}

/// Said by a body, each time that it is polled.
pub(crate) fn turn(turn: Turn) {
    TURN.set(turn);
}

/// Runs the streams of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) client: Arc<Client>,
    /// How long a client may take nothing.
    pub(crate) limit: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Self { client, limit } = self.clone();
        tokio::spawn(async move {
            let mut stream = pin!(stream);
            let mut wait = Wait::default();
            std::future::poll_fn(|cx| {
                TURN.set(Turn::Same);
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                wait.poll(TURN.get(), &client, limit, cx)
            })
            .await;
        });
    }
}

/// The wait for a client.
#[derive(Default)]
struct Wait {
    since: Option<Instant>,
    /// Made by the first wait. It rings when that one would be over, and may be too early for a
    /// later one.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    /// Completes when the client has taken too long.
    fn poll(
        &mut self,
        turn: Turn,
        client: &Client,
        limit: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        match turn {
            Turn::Same => {}
            Turn::Origin => self.since = None,
            Turn::Client => self.since = Some(Instant::now()),
        }
        let Some(since) = self.since else {
            return Poll::Pending;
        };
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(since + limit)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            let over = since.max(client.refused_until()) + limit;
            if Instant::now() >= over {
                tracing::debug!("stream reset: the client reads nothing of it");
                return Poll::Ready(());
            }
            alarm.as_mut().reset(over);
        }
    }
}
