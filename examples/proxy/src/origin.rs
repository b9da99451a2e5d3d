//! The origin as one runtime sees it: pooled HTTP/1.1 connections, or one of HTTP/2.

use std::time::Duration;

use http::{
    HeaderValue, Request, Response, Uri, Version,
    header::{CONNECTION, TE, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::capture_connection},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{
    body::RequestBody,
    connect::{self, Attempt, Connector, Endpoint, Offer},
    failure::Failure,
    heads::ResponseHeads,
    http2::{self, Agreed, Http2},
    opened::Used,
    response,
};

/// The heading of the flags about it.
pub(crate) const ORIGIN: &str = "Origin";

const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections kept after a burst, in each runtime.
const MAX_IDLE: usize = 256;

/// One of these per runtime: a pooled connection is served by the runtime that opened it, and
/// waits with that runtime's other work.
#[derive(Debug)]
pub(crate) struct Origin {
    endpoint: Endpoint,
    pooled: Http1,
    /// Never pools, for the one retry that must not meet a second dead connection.
    fresh: Http1,
    http2: Option<Http2>,
    speaks: Speaks,
    heads: ResponseHeads,
}

type Http1 = Client<Connector, RequestBody>;

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
    pub(crate) fn new(origin: &Uri, speaks: Speaks, limit: Duration, heads: ResponseHeads) -> Self {
        let client = |idle| {
            Client::builder(TokioExecutor::new())
                // The client's Host is sent, and there always is one.
                .set_host(false)
                .http1_max_buf_size(heads.buffer())
                .http1_max_headers(heads.fields())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(idle)
                .build(connect::connector(Offer::Http1, limit))
        };
        Self {
            endpoint: Endpoint::new(origin),
            pooled: client(MAX_IDLE),
            fresh: client(0),
            http2: match speaks {
                Speaks::Http1 => None,
                Speaks::Http2 => Some(Http2::new(Agreed::Beforehand, limit, heads)),
                Speaks::Either => Some(Http2::new(Agreed::InTls, limit, heads)),
            },
            speaks,
            heads,
        }
    }

    /// The origin's own name, as a `Host`.
    pub(crate) fn host(&self) -> &HeaderValue {
        self.endpoint.host()
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
    ) -> Result<Response<Incoming>, Failure> {
        let response = self.exchange(request, attempt, needs).await?;
        self.heads.check(response.headers())?;
        Ok(response)
    }

    async fn exchange(
        &self,
        request: Request<RequestBody>,
        attempt: Attempt,
        needs: Needs,
    ) -> Result<Response<Incoming>, Failure> {
        if let Some(http2) = &self.http2
            && needs == Needs::Nothing
            && let Some(open) = http2.open(&self.endpoint, attempt).await?
        {
            return http2::send(open, &self.endpoint, request).await;
        }
        self.send_http1(request, attempt).await
    }

    async fn send_http1(
        &self,
        mut request: Request<RequestBody>,
        attempt: Attempt,
    ) -> Result<Response<Incoming>, Failure> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = self.endpoint.uri(path)?;
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
        let connection = capture_connection(&mut request);
        let client = match attempt {
            Attempt::Any => &self.pooled,
            Attempt::Fresh { .. } => &self.fresh,
        };
        let response = client.request(request).await;
        let used = Used::of(&connection);
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                let failure = Failure::from(error);
                return Err(match used {
                    Some(used) if used.is_used() => failure.on_used_connection(),
                    Some(_) | None => failure,
                });
            }
        };
        if let Some(used) = used {
            used.has_answered();
        }
        response::check_framing(&method, response).inspect_err(|_| {
            // Where this response ends, the next one does not surely begin.
            if let Some(connected) = connection.connection_metadata().as_ref() {
                connected.poison();
            }
        })
    }
}
