//! What becomes of a request that hyper refuses: an answer with a reason, and a way for it to arrive.
//!
//! hyper answers a head that it cannot read before there is a request for the service, with a status
//! and nothing else, and closes at once, so that a client that is still sending may see a reset
//! instead. It says in its own error what it did not like, but only when the connection is over.
//! So this holds that answer back, recognised by its form, and gives the socket back when hyper lets
//! go of it. What only looks like it goes on as it is.

use std::{
    error::Error,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::answer::{self, Asked, Cause, Signature};

/// hyper's own answer is shorter.
const LONGEST: usize = 256;

/// How long a client may take to read its answer and to stop sending, and how much it may still send.
/// A client that reads the answer closes; one that does not may be reset.
const LINGER: Duration = Duration::from_secs(2);
const LEFTOVER: usize = 256 * 1024;

/// A client's socket under hyper.
#[derive(Debug)]
pub(crate) struct Refusing<T> {
    /// `None` only once it has been given back.
    stream: Option<T>,
    held: Held,
    back: Back<T>,
}

/// What was written and is not yet on its way.
#[derive(Debug)]
enum Held {
    /// Nothing was ever written.
    Fresh,
    Nothing,
    /// hyper's answer to what is no request.
    Refusal(Bytes),
    /// It was something else, and goes first.
    Other(Bytes),
    /// This is no HTTP/1, or not any more.
    Never,
}

/// Where a socket comes back to, with the answer that was held.
#[derive(Debug)]
pub(crate) struct Back<T>(Arc<Mutex<Option<(T, Bytes)>>>);

impl<T> Refusing<T> {
    pub(crate) fn new(stream: T) -> (Self, Back<T>) {
        let back = Arc::new(Mutex::new(None));
        let refusing = Self {
            stream: Some(stream),
            held: Held::Fresh,
            back: Back(Arc::clone(&back)),
        };
        (refusing, Back(back))
    }

    fn stream(&mut self) -> io::Result<&mut T> {
        self.stream
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T: Write + Unpin> Refusing<T> {
    /// Sends what was held and is no refusal.
    fn release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Held::Other(bytes) = &mut self.held {
            if bytes.is_empty() {
                self.held = Held::Nothing;
                break;
            }
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            match ready!(Pin::new(stream).poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => bytes.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// hyper goes on, so this was no refusal.
    fn goes_on(&mut self) {
        if let Held::Refusal(bytes) = &mut self.held {
            self.held = Held::Other(mem::take(bytes));
        }
    }

    /// Whether to hold back what is to be written next, if `bytes` is `all` of it.
    fn holds(&mut self, bytes: &[u8], all: bool) -> bool {
        match self.held {
            Held::Fresh if !bytes.starts_with(b"HTTP/1.") => self.held = Held::Never,
            Held::Fresh | Held::Nothing if bytes.starts_with(b"HTTP/1.1 101 ") => {
                self.held = Held::Never;
            }
            Held::Fresh | Held::Nothing if all && is_refusal(bytes) => {
                self.held = Held::Refusal(Bytes::copy_from_slice(bytes));
                return true;
            }
            Held::Fresh => self.held = Held::Nothing,
            Held::Nothing | Held::Refusal(_) | Held::Other(_) | Held::Never => {}
        }
        false
    }
}

/// A client's error without content, and without any other field than hyper's own.
fn is_refusal(bytes: &[u8]) -> bool {
    if bytes.len() > LONGEST || bytes.get(8..10) != Some(b" 4") {
        return false;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Some(head) = text.strip_suffix("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.split("\r\n");
    let is_status = lines.next().is_some_and(|line| line.starts_with("HTTP/1."));
    let mut is_empty = false;
    let are_hypers = lines.all(|line| {
        is_empty |= line == "content-length: 0";
        line == "content-length: 0" || line == "connection: close" || line.starts_with("date: ")
    });
    is_status && are_hypers && is_empty
}

impl<T> Drop for Refusing<T> {
    fn drop(&mut self) {
        let (Some(stream), Held::Refusal(bytes)) = (self.stream.take(), &mut self.held) else {
            return;
        };
        let bytes = mem::take(bytes);
        // Nothing panics while it is locked.
        let mut back = self.back.0.lock().unwrap_or_else(PoisonError::into_inner);
        *back = Some((stream, bytes));
    }
}

impl<T: Read + Write + Unpin> Back<T> {
    /// Answers what hyper refused, if it did, and closes. `error` is what its connection ended with.
    pub(crate) async fn settle(
        self,
        signature: &Signature,
        error: Option<&(dyn Error + Send + Sync + 'static)>,
    ) {
        let back = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((stream, held)) = back else { return };
        let error = error.and_then(|error| error.downcast_ref::<hyper::Error>());
        let closing = async {
            let bytes = match error.filter(|error| error.is_parse()) {
                Some(error) => explained(signature, &held, error).await.into(),
                None => held,
            };
            close(TokioIo::new(stream), &bytes).await
        };
        // It is over either way. Boxed, as it is rare and would make every connection larger.
        let _ = timeout(LINGER, Box::pin(closing)).await;
    }
}

/// Sends the last bytes of a connection, so that they arrive.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, last: &[u8]) -> io::Result<()> {
    stream.write_all(last).await?;
    stream.shutdown().await?;
    // What the client still sends is answered with a reset once the socket is closed, and that may
    // overtake the answer.
    let mut left = LEFTOVER;
    let mut scrap = vec![0; 8 * 1024];
    while left > 0 {
        match stream.read(&mut scrap).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

/// hyper's answer with a body that says why. A HEAD gets it too: what was not read has no method.
async fn explained(signature: &Signature, held: &[u8], error: &hyper::Error) -> Vec<u8> {
    let status = held
        .get(9..12)
        .and_then(|status| StatusCode::from_bytes(status).ok());
    let status = status.unwrap_or(StatusCode::BAD_REQUEST);
    let (detail, text) = match status {
        StatusCode::URI_TOO_LONG => (
            "request-target-too-long",
            "The target of this request is too long. Send a shorter one.".to_owned(),
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "request-header-too-large",
            "The header of this request is too large. Send less, for example fewer cookies."
                .to_owned(),
        ),
        // hyper's words, and none of the client's.
        _ => (
            "request-invalid",
            format!("This request is not valid: {error}. Correct it before you send it again."),
        ),
    };
    // What the request accepts is not known.
    let asked = Asked::default();
    let cause = Cause::new("http_request_error", detail);
    let answer = answer::own(signature, &asked, status, cause, &text);
    let (parts, body) = answer.into_parts();
    let head = String::from_utf8_lossy(held);
    let mut bytes = Vec::with_capacity(1024);
    for line in head.lines() {
        if line.is_empty() || line == "content-length: 0" {
            continue;
        }
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    match body.collect().await {
        Ok(body) => bytes.extend_from_slice(&body.to_bytes()),
        Err(never) => match never {},
    }
    bytes
}

impl<T: Read + Write + Unpin> Read for Refusing<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.goes_on();
        if let Poll::Ready(Err(error)) = self.release(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(self.stream()?).poll_read(cx, buffer)
    }
}

impl<T: Write + Unpin> Write for Refusing<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.goes_on();
        ready!(self.release(cx))?;
        if self.holds(bytes, true) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(self.stream()?).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.release(cx))?;
        Pin::new(self.stream()?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Held::Refusal(_) = self.held {
            // After the answer.
            return Poll::Ready(Ok(()));
        }
        ready!(self.release(cx))?;
        Pin::new(self.stream()?).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(Write::is_write_vectored)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.goes_on();
        ready!(self.release(cx))?;
        let first = slices.first().map_or(&b""[..], |slice| slice);
        if self.holds(first, slices.len() == 1) {
            return Poll::Ready(Ok(first.len()));
        }
        Pin::new(self.stream()?).poll_write_vectored(cx, slices)
    }
}
