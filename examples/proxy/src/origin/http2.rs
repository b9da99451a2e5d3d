//! The few multiplexed connections to an origin that speaks HTTP/2.
//!
//! Not hyper-util's pool: that one keeps a connection for every `:authority`, and here every
//! `Host` of every client goes to the same place.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, Version,
    header::{CONNECTION, EXPECT, HOST},
};
use hyper::client::conn::TrySendError;
use hyper_util::client::legacy::connect::Connection;
use tokio::{sync::Notify, time::Instant};

use crate::{
    body::RequestBody,
    failure::{Failure, Kind},
    heads::ResponseHeads,
    origin::{
        connect::{Attempt, Connector, Endpoint, Offer},
        dial::Dial,
        slots::{Open, Slot},
    },
    upstream::arriving::Arriving,
};

/// Connections of each runtime. A second one is opened when the first has no stream left.
const MOST: usize = 4;

/// How long no further connection is tried after one that failed, if there are others.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Http2 {
    agreed: Agreed,
    connector: Connector,
    connections: Mutex<Connections>,
    /// A stream has ended, or an attempt to connect.
    freed: Arc<Notify>,
    /// The origin would rather speak HTTP/1.1.
    refused: AtomicBool,
    heads: ResponseHeads,
    limit: Duration,
}

#[derive(Default)]
struct Connections {
    open: Vec<Open>,
    /// One at a time: the others wait for it, or for a stream.
    connecting: bool,
    failed: Option<Instant>,
}

/// How both ends know that they speak HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreed {
    /// RFC 9113 section 3.3
    Beforehand,
    /// RFC 9113 section 3.2
    InTls,
}

/// What became of a request.
pub(crate) enum Sent {
    Answered(Response<Arriving>),
    /// Nothing: the origin would rather have it over HTTP/1.1.
    Declined(Request<RequestBody>),
}

/// What the connections that there are mean for the next request.
enum Choice {
    Use(Open, Slot),
    Connect,
    Wait,
}

impl Http2 {
    pub(crate) fn new(agreed: Agreed, dial: &Dial, heads: ResponseHeads) -> Self {
        Self {
            agreed,
            connector: Connector::new(Offer::All, dial),
            connections: Mutex::default(),
            freed: Arc::default(),
            refused: AtomicBool::new(false),
            heads,
            limit: dial.limit,
        }
    }

    /// Sends a request with an origin-form target and a `Host`.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        mut request: Request<RequestBody>,
        attempt: Attempt,
    ) -> Result<Sent, Failure> {
        let mut left = MOST;
        loop {
            let Some((mut open, slot)) = self.open(endpoint, attempt).await? else {
                return Ok(Sent::Declined(request));
            };
            let host = prepare(&mut request, endpoint)?;
            let error = match open.sender.try_send_request(request).await {
                Ok(response) => {
                    open.has_answered();
                    let response = response.map(|body| Arriving::on_stream(body, slot));
                    return Ok(Sent::Answered(response));
                }
                Err(error) => error,
            };
            request = match unsent(error) {
                Ok(unsent) => unsent,
                Err(error) => return Err(broken(&open, error)),
            };
            // The origin takes no more on this connection, and has got nothing of this request.
            open.end();
            if left == 0 {
                let why = "every connection ended before the request began";
                return Err(Failure::because(Kind::Broken, why).unsent());
            }
            left -= 1;
            if let Some(host) = host {
                request.headers_mut().insert(HOST, host);
            }
        }
    }

    /// A connection with a stream on it; `None` if the origin would rather speak HTTP/1.1.
    async fn open(
        &self,
        endpoint: &Endpoint,
        attempt: Attempt,
    ) -> Result<Option<(Open, Slot)>, Failure> {
        loop {
            if self.refused.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let freed = self.freed.notified();
            tokio::pin!(freed);
            match self.choose(attempt) {
                Choice::Use(open, slot) => return Ok(Some((open, slot))),
                Choice::Wait => freed.await,
                Choice::Connect => {
                    let connecting = Connecting(self);
                    match self.connect(endpoint).await {
                        Ok(Some(open)) => {
                            let slot = open.slot();
                            self.lock().open.push(open.clone());
                            drop(connecting);
                            if let Some(slot) = slot {
                                return Ok(Some((open, slot)));
                            }
                        }
                        // It was opened to find out; from now on the pool is used.
                        Ok(None) => self.refused.store(true, Ordering::Relaxed),
                        Err(failure) => {
                            let mut connections = self.lock();
                            connections.failed = Some(Instant::now());
                            if connections.open.iter().all(Open::has_ended) {
                                return Err(failure);
                            }
                            tracing::debug!(%failure, "no further connection to the origin");
                        }
                    }
                }
            }
        }
    }

    /// The first connection that has a stream left, and better one that refuses nothing.
    fn choose(&self, attempt: Attempt) -> Choice {
        let mut connections = self.lock();
        connections.open.retain(|open| !open.has_ended());
        let serving = |open: &&Open| match attempt {
            Attempt::Any => !open.refuses(),
            Attempt::Fresh { since } => !open.refuses() && open.is_since(since),
        };
        let usable = |open: &Open| open.slot().map(|slot| Choice::Use(open.clone(), slot));
        let open = &connections.open;
        if let Some(choice) = open.iter().filter(serving).find_map(usable) {
            return choice;
        }
        let failed = connections.failed.is_some_and(|at| at.elapsed() < PAUSE);
        let full = open.len() >= MOST || (failed && !open.is_empty());
        if full && let Some(choice) = open.iter().find_map(usable) {
            return choice;
        }
        if full || connections.connecting {
            return Choice::Wait;
        }
        connections.connecting = true;
        Choice::Connect
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Option<Open>, Failure> {
        let stream = self.connector.open(endpoint).await?;
        if self.agreed == Agreed::InTls && !stream.connected().is_negotiated_h2() {
            return Ok(None);
        }
        let freed = Arc::clone(&self.freed);
        let open = Open::new(stream, self.heads, self.limit, freed).await?;
        Ok(Some(open))
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        // What it guards is whole after every statement.
        let connections = self.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt to connect. Whoever waited for it looks again once this is dropped.
struct Connecting<'h>(&'h Http2);

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.lock().connecting = false;
        self.0.freed.notify_waiters();
    }
}

/// Makes a request fit for HTTP/2, and returns its `Host`.
fn prepare(
    request: &mut Request<RequestBody>,
    endpoint: &Endpoint,
) -> Result<Option<HeaderValue>, Failure> {
    // Host becomes :authority; both at once may be refused (RFC 9113 section 8.3.1).
    let host = request.headers_mut().remove(HOST);
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = endpoint.uri_as(host.as_ref(), path)?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(CONNECTION);
    // hyper does not report interim responses over HTTP/2: there is no 100 to wait for.
    request.headers_mut().remove(EXPECT);
    request.body_mut().release();
    Ok(host)
}

/// The request that failed, if nothing of it went out.
fn unsent(
    mut error: TrySendError<Request<RequestBody>>,
) -> Result<Request<RequestBody>, hyper::Error> {
    error.take_message().ok_or_else(|| error.into_error())
}

/// A request that got no response on this connection.
fn broken(open: &Open, error: hyper::Error) -> Failure {
    let failure = Failure::exchange(error);
    if failure.is_refused() {
        open.has_refused();
        failure
    } else if open.is_used() && !failure.is_reset() {
        failure.on_used_connection()
    } else {
        failure
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
