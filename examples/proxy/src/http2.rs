//! The one multiplexed connection to an origin that speaks HTTP/2.
//!
//! Not hyper-util's pool: that one keeps a connection for every `:authority`, and here every
//! `Host` of every client goes to the same place.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{
    Request, Response, Version,
    header::{CONNECTION, EXPECT, HOST},
};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::{
    client::legacy::connect::Connection,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    body::RequestBody,
    connect::{Attempt, Connector, Endpoint, KEEPALIVE, Offer},
    failure::Failure,
    heads::ResponseHeads,
};

pub(crate) struct Http2 {
    agreed: Agreed,
    connector: Connector,
    /// Held while connecting: all other requests wait for that one connection.
    current: Mutex<Option<Open>>,
    /// The origin would rather speak HTTP/1.1.
    refused: AtomicBool,
    heads: ResponseHeads,
}

/// How both ends know that they speak HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreed {
    /// RFC 9113 section 3.3
    Beforehand,
    /// RFC 9113 section 3.2
    InTls,
}

/// Whether a connection has brought a response. Only then may the origin have closed it while it
/// was idle, so that a request on it is worth another try.
#[derive(Clone, Debug, Default)]
struct Used(Arc<AtomicBool>);

impl Used {
    fn has_answered(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_used(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

type Sender = http2::SendRequest<RequestBody>;

/// A connection that is open.
#[derive(Clone)]
pub(crate) struct Open {
    sender: Sender,
    since: Instant,
    used: Used,
}

impl Open {
    fn serves(&self, attempt: Attempt) -> bool {
        let recent = match attempt {
            Attempt::Any => true,
            Attempt::Fresh { since } => self.since >= since,
        };
        recent && !self.sender.is_closed()
    }
}

impl Http2 {
    pub(crate) fn new(agreed: Agreed, limit: Duration, heads: ResponseHeads) -> Self {
        Self {
            agreed,
            connector: Connector::new(Offer::All, limit),
            current: Mutex::new(None),
            refused: AtomicBool::new(false),
            heads,
        }
    }

    /// The connection to use; `None` if the origin would rather speak HTTP/1.1.
    pub(crate) async fn open(
        &self,
        endpoint: &Endpoint,
        attempt: Attempt,
    ) -> Result<Option<Open>, Failure> {
        if self.refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut current = self.current.lock().await;
        if let Some(open) = current.as_ref().filter(|open| open.serves(attempt)) {
            return Ok(Some(open.clone()));
        }
        *current = None;
        // Again: the request that held the lock may have found out.
        if self.refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let since = Instant::now();
        let open = self.connect(endpoint).await?.map(|sender| Open {
            sender,
            since,
            used: Used::default(),
        });
        match &open {
            Some(open) => *current = Some(open.clone()),
            // The connection was opened to find out; from now on the pool is used.
            None => self.refused.store(true, Ordering::Relaxed),
        }
        Ok(open)
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Option<Sender>, Failure> {
        let stream = self.connector.open(endpoint).await?;
        if self.agreed == Agreed::InTls && !stream.connected().is_negotiated_h2() {
            return Ok(None);
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .max_header_list_size(self.heads.http2_size())
            .handshake(stream)
            .await
            .map_err(Failure::connect)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the origin ended");
            }
        });
        Ok(Some(sender))
    }
}

/// Sends a request with an origin-form target and a `Host`.
pub(crate) async fn send(
    open: Open,
    endpoint: &Endpoint,
    mut request: Request<RequestBody>,
) -> Result<Response<Incoming>, Failure> {
    // Host becomes :authority; both at once may be refused (RFC 9113 section 8.3.1).
    let host = request.headers_mut().remove(HOST);
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = endpoint.uri_as(host.as_ref(), path)?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(CONNECTION);
    // hyper does not report interim responses over HTTP/2: there is no 100 to wait for.
    request.headers_mut().remove(EXPECT);
    request.body_mut().release();
    let Open {
        mut sender, used, ..
    } = open;
    let exchange = async {
        sender.ready().await?;
        sender.send_request(request).await
    };
    match exchange.await {
        Ok(response) => {
            used.has_answered();
            Ok(response)
        }
        Err(error) => {
            let failure = Failure::exchange(error);
            Err(if used.is_used() {
                failure.on_used_connection()
            } else {
                failure
            })
        }
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agreed = &self.agreed;
        f.debug_struct("Http2")
            .field("agreed", agreed)
            .finish_non_exhaustive()
    }
}
