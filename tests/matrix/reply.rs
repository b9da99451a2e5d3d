//! What the origin says: responses, and the lack of one.

use std::{convert::Infallible, error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use cachewarp::BoxError;
use futures_util::{StreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, DATE, ETAG},
};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::watch;

use crate::date::http_date;

/// The body of the first response.
pub(crate) const B1: &str = "0123456789";

/// The body of a later one.
pub(crate) const B2: &str = "what the origin sends when asked again";

/// The origin's own error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unreachable;

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin cannot be reached")
    }
}

impl Error for Unreachable {}

/// Holds an answer, or the rest of one, back until it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        let mut open = self.0.subscribe();
        // The sender is right here, so the wait cannot fail.
        let _ = open.wait_for(|open| *open).await;
    }
}

/// What the origin does with one request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) kind: Kind,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<Piece>,
    date: Stated,
    length: Stated,
    pub(crate) delay: Duration,
    pub(crate) gate: Option<Gate>,
    upgrade: Option<Tunnel>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Response,
    Silence,
    Unreachable,
    Unready,
}

/// Whether a field is added that most responses have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stated {
    Yes,
    No,
}

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Failure,
    Held(Gate),
    Trailers(HeaderMap),
}

/// Stands for the upgraded connection that a server hands over in the extensions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Tunnel(pub(crate) u32);

/// A 200 with body [`B1`], its length, and the `Date` of when it is sent.
pub(crate) fn ok() -> Reply {
    Reply {
        kind: Kind::Response,
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: vec![Piece::Data(B1.into())],
        date: Stated::Yes,
        length: Stated::Yes,
        delay: Duration::ZERO,
        gate: None,
        upgrade: None,
    }
}

/// A 200 with body [`B2`] that says nothing about caching.
pub(crate) fn second() -> Reply {
    ok().body(B2)
}

/// Any status, with body [`B1`] if it may have one.
pub(crate) fn status(code: u16) -> Reply {
    let reply = ok().status(code);
    match code {
        100..=199 | 204 | 304 => reply.without_body(),
        _ => reply,
    }
}

/// An error, with a page of its own.
pub(crate) fn error(code: u16) -> Reply {
    status(code).body("an error page")
}

pub(crate) fn not_modified() -> Reply {
    status(304)
}

/// No answer, but the service's error.
pub(crate) fn down() -> Reply {
    Reply {
        kind: Kind::Unreachable,
        ..ok()
    }
}

/// A service that fails before it can be called.
pub(crate) fn unready() -> Reply {
    Reply {
        kind: Kind::Unready,
        ..ok()
    }
}

/// No answer, ever.
pub(crate) fn silence() -> Reply {
    Reply {
        kind: Kind::Silence,
        ..ok()
    }
}

impl Reply {
    pub(crate) fn status(mut self, code: u16) -> Self {
        self.status = StatusCode::from_u16(code).unwrap();
        self
    }

    /// One more line of a field.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_ref()).unwrap(),
        );
        self
    }

    pub(crate) fn cc(self, directives: &str) -> Self {
        self.with(CACHE_CONTROL.as_str(), directives)
    }

    pub(crate) fn etag(self, tag: &str) -> Self {
        self.with(ETAG.as_str(), tag)
    }

    /// `Last-Modified`, so many seconds after the start.
    pub(crate) fn modified(self, at: i64) -> Self {
        self.with("last-modified", http_date(at))
    }

    /// `Expires`, so many seconds after the start.
    pub(crate) fn expires(self, at: i64) -> Self {
        self.with("expires", http_date(at))
    }

    /// `Date`, so many seconds after the start.
    pub(crate) fn dated(self, at: i64) -> Self {
        self.with(DATE.as_str(), http_date(at))
    }

    pub(crate) fn undated(mut self) -> Self {
        self.date = Stated::No;
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = vec![Piece::Data(body.into())];
        self
    }

    fn without_body(self) -> Self {
        self.body("").chunked()
    }

    /// Leaves `Content-Length` out.
    pub(crate) fn chunked(mut self) -> Self {
        self.length = Stated::No;
        self
    }

    /// More data, after what there is.
    pub(crate) fn then(mut self, data: &'static str) -> Self {
        self.body.push(Piece::Data(data.into()));
        self
    }

    /// The body fails here.
    pub(crate) fn then_fail(mut self) -> Self {
        self.body.push(Piece::Failure);
        self
    }

    /// The body goes on once the gate is open.
    pub(crate) fn then_hold(mut self, gate: &Gate) -> Self {
        self.body.push(Piece::Held(gate.clone()));
        self
    }

    /// A last field, after the body.
    pub(crate) fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        let mut fields = HeaderMap::new();
        fields.insert(name, HeaderValue::from_static(value));
        self.body.push(Piece::Trailers(fields));
        self
    }

    /// Seconds that pass before the head is sent.
    pub(crate) fn after(mut self, seconds: u64) -> Self {
        self.delay = Duration::from_secs(seconds);
        self
    }

    /// The head is sent once the gate is open.
    pub(crate) fn held(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Hands over a connection.
    pub(crate) fn upgrade(mut self, tunnel: Tunnel) -> Self {
        self.upgrade = Some(tunnel);
        self
    }

    /// The fields that were given, without those that are added.
    pub(crate) fn fields(&self) -> &HeaderMap {
        &self.headers
    }

    pub(crate) fn code(&self) -> StatusCode {
        self.status
    }

    /// The bytes of the body.
    pub(crate) fn content(&self) -> Bytes {
        let mut content = Vec::new();
        for piece in &self.body {
            if let Piece::Data(data) = piece {
                content.extend_from_slice(data);
            }
        }
        content.into()
    }

    pub(crate) fn into_response(
        mut self,
        method: &Method,
        now: i64,
    ) -> Response<UnsyncBoxBody<Bytes, BoxError>> {
        if self.date == Stated::Yes && !self.headers.contains_key(DATE) {
            let date = crate::date::format(now);
            self.headers
                .insert(DATE, HeaderValue::from_str(&date).unwrap());
        }
        if self.length == Stated::Yes && !self.headers.contains_key(CONTENT_LENGTH) {
            let length = self.content().len();
            self.headers
                .insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let body = if *method == Method::HEAD {
            Empty::new()
                .map_err(|never: Infallible| match never {})
                .boxed_unsync()
        } else {
            StreamBody::new(stream::iter(self.body).filter_map(frame)).boxed_unsync()
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(tunnel) = self.upgrade {
            response.extensions_mut().insert(tunnel);
        }
        response
    }
}

async fn frame(piece: Piece) -> Option<Result<Frame<Bytes>, BoxError>> {
    match piece {
        Piece::Data(data) => Some(Ok(Frame::data(data))),
        Piece::Failure => Some(Err(Unreachable.into())),
        Piece::Held(gate) => {
            gate.passed().await;
            None
        }
        Piece::Trailers(fields) => Some(Ok(Frame::trailers(fields))),
    }
}
