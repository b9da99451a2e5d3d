//! The body of a response on its way to a client, and the request as long as it is under way.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::Version;
use http_body::{Body, Frame, SizeHint};

use crate::{
    client::{
        Client,
        streams::{Turn, turn},
    },
    edge::{Edge, EdgeBody},
    log::access::Logged,
};

/// What an HTTP/2 stream is given at once. So a client that takes this much within each limit is
/// not cut off, and this is all that waits for its window beside what h2 keeps.
const PIECE: usize = 16 * 1024;

type Inner = Logged<EdgeBody>;
type Outcome<D> = Option<Result<Frame<D>, <Inner as Body>::Error>>;

/// A request that has begun. It ends when its response has been handed over, or before.
#[derive(Debug)]
pub(crate) struct Request {
    edge: Arc<Edge>,
    stage: Stage,
}

/// What it means that a request of an HTTP/2 client ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has been asked anything: nothing.
    Held,
    /// The client has abandoned it.
    Started,
    /// It is complete, or the origin broke it off. All requests over HTTP/1 count as that: there,
    /// only the connection can be abandoned.
    Over,
}

impl Request {
    pub(crate) fn begin(edge: Arc<Edge>, version: Version) -> Self {
        edge.client.request_begins(version);
        let stage = match version {
            Version::HTTP_2 => Stage::Held,
            _ => Stage::Over,
        };
        Self { edge, stage }
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.edge
    }

    pub(crate) fn start(&mut self) {
        if self.stage == Stage::Held {
            self.stage = Stage::Started;
        }
    }

    pub(crate) fn answer(self, body: Inner) -> Sending {
        Sending {
            body,
            rest: Bytes::new(),
            request: self,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let client = &self.edge.client;
        client.request_ends();
        if self.stage == Stage::Started {
            client.abandons();
        }
    }
}

/// Some bytes of a response, until they are written.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    /// Over HTTP/1 the socket alone says whether all is written.
    _unsent: Option<Unsent>,
}

/// Counts a piece that h2 has.
#[derive(Debug)]
struct Unsent(Arc<Client>);

impl Unsent {
    fn new(client: &Arc<Client>) -> Self {
        client.piece_begins();
        Self(Arc::clone(client))
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.piece_ends();
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }
}

pub(crate) struct Sending {
    body: Inner,
    /// What is left of a frame that was too large for one piece.
    rest: Bytes,
    request: Request,
}

impl Sending {
    fn piece(&mut self) -> Piece {
        let end = self.rest.len().min(PIECE);
        Piece {
            bytes: self.rest.split_to(end),
            _unsent: Some(Unsent::new(&self.request.edge.client)),
        }
    }

    /// Notes the result for the stream, and keeps pieces small.
    fn note(&mut self, outcome: Poll<Outcome<Bytes>>) -> Poll<Outcome<Piece>> {
        match outcome {
            Poll::Pending => {
                turn(Turn::Origin);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                turn(Turn::Client);
                Poll::Ready(Some(Ok(frame.map_data(|data| {
                    self.rest = data;
                    self.piece()
                }))))
            }
            Poll::Ready(ended) => {
                self.request.stage = Stage::Over;
                Poll::Ready(ended.map(|frame| frame.map(whole)))
            }
        }
    }
}

/// All of a frame, without a look at when it is written.
fn whole(frame: Frame<Bytes>) -> Frame<Piece> {
    frame.map_data(|bytes| Piece {
        bytes,
        _unsent: None,
    })
}

impl Body for Sending {
    type Data = Piece;
    type Error = <Inner as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<Piece>> {
        if !self.rest.is_empty() {
            turn(Turn::Client);
            let piece = self.piece();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let outcome = Pin::new(&mut self.body).poll_frame(cx);
        if self.request.stage == Stage::Over {
            return outcome.map_ok(whole);
        }
        self.note(outcome)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // The end is not asked for where the length says it.
        if self.request.stage == Stage::Started && self.is_end_stream() {
            self.request.stage = Stage::Over;
        }
    }
}
