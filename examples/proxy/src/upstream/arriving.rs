//! The body of a response on its way from the origin, which ends without an error only if it is
//! whole.

use std::{
    error::Error,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{log::seldom, origin::slots::Slot};

#[derive(Debug)]
pub(crate) struct Arriving {
    body: Incoming,
    end: End,
}

/// What says that a body is whole.
#[derive(Debug)]
enum End {
    /// Its length, the last chunk or, where there is neither, the end of the connection. hyper
    /// knows.
    Framing,
    /// END_STREAM. For hyper a reset with NO_ERROR or CANCEL is an end too, and so is a GOAWAY.
    Stream {
        #[expect(dead_code, reason = "the stream counts for as long as this is there")]
        slot: Slot,
    },
}

/// Why a body is not whole.
#[derive(Debug)]
pub(crate) enum Broken {
    Transport(hyper::Error),
    /// The stream was closed before END_STREAM.
    NoEnd,
}

impl Arriving {
    /// That of a response of HTTP/1.
    pub(crate) fn framed(body: Incoming) -> Self {
        let end = End::Framing;
        Self { body, end }
    }

    /// That of a response of HTTP/2.
    pub(crate) fn on_stream(body: Incoming, slot: Slot) -> Self {
        let end = match body.is_end_stream() {
            true => End::Framing,
            false => End::Stream { slot },
        };
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
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let ends = match &frame {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => true,
        };
        if !ends {
            return frame.map_err(Broken::Transport);
        }
        // Said once; who asks again gets the same as after any end.
        let end = mem::replace(&mut self.end, End::Framing);
        let frame = match (frame, end) {
            (Poll::Ready(None), End::Stream { .. }) if !self.body.is_end_stream() => {
                Poll::Ready(Some(Err(Broken::NoEnd)))
            }
            (frame, _) => frame.map_err(Broken::Transport),
        };
        if let Poll::Ready(Some(Err(broken))) = &frame {
            seldom::tell_broken(broken);
        }
        frame
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
