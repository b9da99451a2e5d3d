//! A connection to the origin, and what the proxy knows of it beside what hyper says.

use std::{
    io::{self, IoSlice},
    mem::{self, MaybeUninit},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit},
};

pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Marks on a connection. Clones are of the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    /// A request follows: nothing may be there to be read.
    looks: AtomicBool,
    /// What was read since, the end included.
    reads: AtomicU32,
    /// Told of every read.
    arrived: Notify,
    /// An interim response told of content, so that some may follow.
    doubtful: AtomicBool,
}

impl Line {
    /// A request follows.
    pub(crate) fn begin(&self) {
        self.0.looks.store(true, Ordering::Relaxed);
        self.0.reads.store(0, Ordering::Relaxed);
    }

    /// Whether anything came since the request began, which then failed with this error.
    pub(crate) fn has_received(&self, error: &hyper::Error) -> bool {
        // This one tells of the end, which is one read.
        let end = u32::from(error.is_incomplete_message());
        self.0.reads.load(Ordering::Relaxed) > end
    }

    /// Something has come, since this was called.
    pub(crate) async fn arrived(&self) {
        self.0.arrived.notified().await;
    }

    /// Where the response ends, the next one does not surely begin.
    pub(crate) fn doubt(&self) {
        self.0.doubtful.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        self.0.doubtful.load(Ordering::Relaxed)
    }
}

/// A connection with its marks.
#[derive(Debug)]
pub(crate) struct Opened {
    stream: Stream,
    line: Line,
    /// What may be there before the first request, and is not HTTP.
    preface: Preface,
    /// Held for as long as this is open, tunnels included.
    _place: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preface {
    Nothing,
    /// Tickets of the session, which follow the handshake (RFC 8446 section 4.6.1). To take them for
    /// the end would make every new connection useless.
    Tickets,
}

impl Opened {
    pub(crate) fn new(stream: Stream) -> Self {
        let preface = match &stream {
            MaybeHttpsStream::Http(_) => Preface::Nothing,
            MaybeHttpsStream::Https(_) => Preface::Tickets,
        };
        Self {
            stream,
            line: Line::default(),
            preface,
            _place: None,
        }
    }

    /// The same, in a place that it keeps.
    pub(crate) fn in_place(self, place: OwnedSemaphorePermit) -> Self {
        Self {
            _place: Some(place),
            ..self
        }
    }

    pub(crate) fn line(&self) -> Line {
        self.line.clone()
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            MaybeHttpsStream::Http(tcp) => tcp.inner(),
            MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
        }
    }

    /// Asks the system itself. The runtime hears of what comes only between the tasks, so a busy
    /// one would send a request after bytes that nobody has asked for, and take these for its
    /// response, or after the end.
    fn is_quiet(&self) -> bool {
        let peeked = SockRef::from(self.tcp()).peek(&mut [MaybeUninit::uninit()]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Connection for Opened {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl Read for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let marks = &self.line.0;
        match &read {
            Poll::Ready(Ok(())) => {
                marks.reads.fetch_add(1, Ordering::Relaxed);
                marks.arrived.notify_waiters();
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                // Read as the end. hyper reads before it writes, and gives the request back.
                if marks.looks.swap(false, Ordering::Relaxed) {
                    let preface = mem::replace(&mut self.preface, Preface::Nothing);
                    if preface == Preface::Nothing && !self.is_quiet() {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
        read
    }
}

impl Write for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use hyper::rt::ReadBuf;
    use tokio::net::TcpListener;

    use super::*;

    fn read(opened: &mut Opened) -> (Poll<()>, usize) {
        let mut space = [0; 16];
        let mut buffer = ReadBuf::new(&mut space);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let read = Pin::new(opened).poll_read(&mut cx, buffer.unfilled());
        (read.map(Result::unwrap), buffer.filled().len())
    }

    #[tokio::test]
    async fn what_came_while_the_runtime_was_busy_is_the_end() {
        for ends in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
            let near = MaybeHttpsStream::Http(TokioIo::new(near.unwrap()));
            let mut far = far.unwrap().0.into_std().unwrap();
            let mut opened = Opened::new(near);
            let line = opened.line();
            line.begin();
            assert_eq!(read(&mut opened), (Poll::Pending, 0));
            // From here on the runtime has no chance to hear of it.
            if ends {
                drop(far);
            } else {
                far.write_all(b"HTTP/1.1 200 OK").unwrap();
            }
            assert_eq!(read(&mut opened), (Poll::Pending, 0));
            line.begin();
            assert_eq!(read(&mut opened), (Poll::Ready(()), 0));
        }
    }
}
