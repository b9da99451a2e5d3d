//! The origin as one runtime sees it: pooled HTTP/1.1 connections, or those of HTTP/2.

pub(crate) mod connect;
pub(crate) mod dial;
pub(crate) mod http2;
pub(crate) mod keep;
pub(crate) mod opened;
pub(crate) mod pool;
pub(crate) mod slots;

use std::sync::Arc;

use http::{
    HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, TE, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::body::Incoming;

use crate::{
    body::{RequestBody, Watch},
    failure::Failure,
    heads::ResponseHeads,
    origin::{
        connect::{Attempt, Endpoint},
        dial::Dial,
        http2::{Agreed, Http2, Sent},
        keep::Next,
        opened::Line,
        pool::{Open, Pool},
    },
    upstream::{arriving::Arriving, response},
};

/// The heading of the flags about it.
pub(crate) const ORIGIN: &str = "Origin";

/// One of these per runtime: a pooled connection is served by the runtime that opened it, and
/// waits with that runtime's other work.
#[derive(Debug)]
pub(crate) struct Origin {
    endpoint: Endpoint,
    pool: Arc<Pool>,
    http2: Option<Http2>,
    speaks: Speaks,
    heads: ResponseHeads,
}

/// Connections of the pool that one request tries, if they turn out to have ended.
const MOST_TRIED: usize = 16;

/// A request extension: the body that waits for a 100 (Continue).
#[derive(Clone, Debug)]
pub(crate) struct Continue(pub(crate) Watch);

/// Which HTTP versions the origin understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// http://
    Http1,
    /// http:// and known to speak HTTP/2
    Http2,
    /// https://, where the TLS handshake decides
    Either,
}

/// What a request needs of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// A way to leave HTTP, which HTTP/2 does not have (RFC 9113 section 8.6).
    Upgrade,
}

impl Origin {
    pub(crate) fn new(origin: &Uri, speaks: Speaks, dial: &Dial, heads: ResponseHeads) -> Self {
        Self {
            endpoint: Endpoint::new(origin),
            pool: Arc::new(Pool::new(dial, heads)),
            http2: match speaks {
                Speaks::Http1 => None,
                Speaks::Http2 => Some(Http2::new(Agreed::Beforehand, dial, heads)),
                Speaks::Either => Some(Http2::new(Agreed::InTls, dial, heads)),
            },
            speaks,
            heads,
        }
    }

    /// The origin's own name, as a `Host`.
    pub(crate) fn host(&self) -> &HeaderValue {
        self.endpoint.host()
    }

    /// Whether it may refuse a request that it has, unharmed.
    pub(crate) fn may_refuse(&self) -> bool {
        self.http2.is_some()
    }

    pub(crate) fn can_upgrade(&self) -> bool {
        self.speaks != Speaks::Http2
    }

    /// Sends a request with an origin-form target and a `Host` to the origin.
    pub(crate) async fn send(
        &self,
        request: Request<RequestBody>,
        attempt: Attempt,
        needs: Needs,
    ) -> Result<Response<Arriving>, Failure> {
        let response = self.exchange(request, attempt, needs).await?;
        self.heads.check(response.headers())?;
        Ok(response)
    }

    async fn exchange(
        &self,
        request: Request<RequestBody>,
        attempt: Attempt,
        needs: Needs,
    ) -> Result<Response<Arriving>, Failure> {
        let request = match &self.http2 {
            Some(http2) if needs == Needs::Nothing => {
                match http2.send(&self.endpoint, request, attempt).await? {
                    Sent::Answered(response) => return Ok(response),
                    Sent::Declined(request) => request,
                }
            }
            Some(_) | None => request,
        };
        let response = self.send_http1(request, attempt).await?;
        Ok(response.map(Arriving::framed))
    }

    async fn send_http1(
        &self,
        mut request: Request<RequestBody>,
        attempt: Attempt,
    ) -> Result<Response<Incoming>, Failure> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        *request.version_mut() = Version::HTTP_11;
        if request.body().size_hint().exact().is_none() {
            // Or hyper takes the content of a GET for none.
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(TRANSFER_ENCODING, chunked);
        }
        if request.headers().contains_key(TE) {
            // TE is for the next recipient only; `Connection` says so (RFC 9110 section 10.1.4).
            let te = HeaderValue::from_static("te");
            request.headers_mut().append(CONNECTION, te);
        }
        let method = request.method().clone();
        let go_on = request.extensions_mut().remove::<Continue>();
        let mut resting = match attempt {
            Attempt::Any => MOST_TRIED,
            Attempt::Fresh { .. } => 0,
        };
        let (mut open, response) = loop {
            let mut open = if resting > 0 {
                self.pool.get(&self.endpoint).await?
            } else {
                self.pool.get_new(&self.endpoint).await?
            };
            resting = resting.saturating_sub(1);
            listen(&mut request, &open.line, go_on.clone());
            open.line.begin();
            match open.sender.try_send_request(request).await {
                Ok(response) => break (open, response),
                Err(mut error) => match error.take_message() {
                    // It ended while it rested, and the origin has got nothing.
                    Some(unsent) if open.count.has_answered() => request = unsent,
                    Some(_) => return Err(Failure::exchange(error.into_error()).unsent()),
                    None => return Err(broken(&open, error.into_error())),
                },
            }
        };
        let next = open.count.next(
            &method,
            response.status(),
            response.version(),
            response.headers(),
        );
        let response = response::check_framing(&method, response)?;
        let next = if open.line.is_doubtful() {
            Next::Close
        } else {
            next
        };
        self.pool.give_back(open, next);
        Ok(response)
    }
}

/// Hears the interim responses to a request.
fn listen(request: &mut Request<RequestBody>, line: &Line, go_on: Option<Continue>) {
    let line = line.clone();
    hyper::ext::on_informational(request, move |interim| {
        if keep::declares_content(interim.headers()) {
            line.doubt();
        }
        if let Some(Continue(watch)) = &go_on
            && interim.status() == StatusCode::CONTINUE
        {
            watch.go_on();
        }
    });
}

/// A request that got no response on this connection.
fn broken(open: &Open, error: hyper::Error) -> Failure {
    let received = open.line.has_received(&error);
    let failure = Failure::exchange(error);
    if open.count.has_answered() && !received {
        failure.on_used_connection()
    } else {
        failure
    }
}
