//! What follows a 101 (Switching Protocols): bytes are copied both ways and not interpreted.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};

/// Joins the client's connection with the one this 101 came over, as soon as hyper lets go of
/// both. The tunnel ends with both directions, when no byte has moved for `limit`, or with the
/// runtime.
pub(crate) fn open<B>(client: OnUpgrade, response: &mut Response<B>, limit: Duration) {
    let origin = hyper::upgrade::on(response);
    tokio::spawn(async move {
        let (client, origin) = match tokio::try_join!(client, origin) {
            Ok(sides) => sides,
            Err(error) => {
                tracing::debug!(%error, "no tunnel");
                return;
            }
        };
        match join(TokioIo::new(client), TokioIo::new(origin), limit).await {
            End::Closed { sent, received } => tracing::debug!(sent, received, "tunnel closed"),
            End::Broken(error) => tracing::debug!(%error, "tunnel broken"),
            End::Silent => tracing::debug!("tunnel closed: both ends were silent"),
        }
    });
}

/// What ended a tunnel.
#[derive(Debug)]
enum End {
    Closed { sent: u64, received: u64 },
    Broken(io::Error),
    Silent,
}

async fn join<C, O>(client: C, origin: O, limit: Duration) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite + Unpin,
{
    let clock = Arc::new(Clock::new());
    let (mut client, mut origin) = (
        Timed::new(client, Arc::clone(&clock)),
        Timed::new(origin, Arc::clone(&clock)),
    );
    let copied = tokio::io::copy_bidirectional(&mut client, &mut origin);
    let deadline = sleep_until(clock.opened + limit);
    tokio::pin!(copied, deadline);
    loop {
        tokio::select! {
            biased;
            ended = &mut copied => return match ended {
                Ok((sent, received)) => End::Closed { sent, received },
                Err(error) => End::Broken(error),
            },
            () = &mut deadline => {
                let end = clock.last_moved() + limit;
                if end <= Instant::now() {
                    return End::Silent;
                }
                deadline.as_mut().reset(end);
            }
        }
    }
}

/// When a byte last moved in either direction.
#[derive(Debug)]
struct Clock {
    opened: Instant,
    /// Milliseconds since then, rounded up: no tunnel is closed before its limit.
    moved: AtomicU64,
}

impl Clock {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            moved: AtomicU64::new(0),
        }
    }

    fn moved(&self) {
        let since = self.opened.elapsed().as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.moved.store(since.saturating_add(1), Ordering::Relaxed);
    }

    fn last_moved(&self) -> Instant {
        self.opened + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }
}

/// One side of a tunnel.
#[derive(Debug)]
struct Timed<T> {
    stream: T,
    clock: Arc<Clock>,
}

impl<T> Timed<T> {
    fn new(stream: T, clock: Arc<Clock>) -> Self {
        Self { stream, clock }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.clock.moved();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.clock.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_tunnel_ends_with_both_directions() {
        let (mut client, client_side) = duplex(64);
        let (mut origin, origin_side) = duplex(64);
        let tunnel = tokio::spawn(join(client_side, origin_side, Duration::from_secs(60)));
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut all = Vec::new();
        origin.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"last");
        origin.write_all(b"bye").await.unwrap();
        drop(origin);
        let end = tunnel.await.unwrap();
        assert!(
            matches!(
                end,
                End::Closed {
                    sent: 4,
                    received: 3
                }
            ),
            "{end:?}"
        );
    }
}
