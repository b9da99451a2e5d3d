//! The body of a response on its way from the origin, which ends without an error only if it is
//! whole.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

#[derive(Debug)]
pub(crate) struct Arriving {
    body: Incoming,
    end: End,
}

/// What says that a body is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its length, the last chunk or, where there is neither, the end of the connection. hyper
    /// knows.
    Framing,
    /// END_STREAM. For hyper a reset with NO_ERROR or CANCEL is an end too, and so is a GOAWAY.
    Stream,
}

/// Why a body is not whole.
#[derive(Debug)]
pub(crate) enum Broken {
    Transport(hyper::Error),
    /// The stream was closed before END_STREAM.
    NoEnd,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, end: End) -> Self {
        Self { body, end }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(None) if self.end == End::Stream && !self.body.is_end_stream() => {
                // Said once; who asks again gets the same as after any end.
                self.end = End::Framing;
                Poll::Ready(Some(Err(Broken::NoEnd)))
            }
            polled => polled.map_err(Broken::Transport),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::NoEnd => f.write_str("the stream was closed before its end"),
        }
    }
}

impl Error for Broken {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Transport(error) => error.source(),
            Self::NoEnd => None,
        }
    }
}
