//! The content of a client, of which the first piece may have been read already: to find out whether
//! there is any.
//!
//! Over HTTP/1 an empty chunked body, over HTTP/2 an end of the stream that comes after the header
//! look like content until they are read. Without this a GET of that kind would go past the cache.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, header::EXPECT};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{
    admit::fields,
    body::RequestBody,
    failure::{Failure, Kind},
};

#[derive(Debug)]
pub(crate) struct Begun {
    first: Option<Bytes>,
    rest: Incoming,
}

impl From<Incoming> for Begun {
    fn from(rest: Incoming) -> Self {
        Self { first: None, rest }
    }
}

/// What the first piece showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Content,
}

/// Whether a request is only known to have content once some of it has come. Only of methods whose
/// content has no meaning (RFC 9110 section 9.3): they hardly ever have any, so it is worth to wait.
/// A client that waits for a 100 (Continue) does have content, and gets that from the origin.
pub(crate) fn is_open(method: &Method, headers: &HeaderMap, body: &RequestBody) -> bool {
    let RequestBody::Client(body) = body else {
        return false;
    };
    body.size_hint().exact().is_none()
        && !headers.contains_key(EXPECT)
        && matches!(
            *method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::DELETE
        )
}

/// Waits, for `limit` at most, until it is known whether there is content. If there is none, the
/// body is empty afterwards.
pub(crate) async fn settle(body: &mut RequestBody, limit: Duration) -> Result<(), Failure> {
    let RequestBody::Client(begun) = body else {
        return Ok(());
    };
    let found = match timeout(limit, begun.look()).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failure::because(Kind::ContentBroken, error)),
        Err(_) => Err(Kind::ContentTimeout.into()),
    };
    match found.inspect_err(|failure| tracing::debug!(%failure, "no whole request"))? {
        Found::Nothing => *body = RequestBody::Empty,
        Found::Content => {}
    }
    Ok(())
}

impl Begun {
    async fn look(&mut self) -> Result<Found, hyper::Error> {
        while let Some(frame) = self.rest.frame().await {
            match frame?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.first = Some(data);
                    return Ok(Found::Content);
                }
                // Trailers, which end the content and may be left out (RFC 9110 section 6.5.1).
                Err(_) => return Ok(Found::Nothing),
            }
        }
        Ok(Found::Nothing)
    }
}

/// What is not to be told in the header is not to be told behind the content either.
fn with_safe_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            fields::remove_from_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

impl Body for Begun {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest)
                .poll_frame(cx)
                .map_ok(with_safe_trailers),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The length of the rest says nothing of the first piece.
        match self.first {
            Some(_) => SizeHint::default(),
            None => self.rest.size_hint(),
        }
    }
}
