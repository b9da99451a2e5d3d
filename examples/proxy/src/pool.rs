//! Connections of HTTP/1 to the origin, kept for the next request.
//!
//! Not hyper-util's pool: that one has one idle timeout for all connections, and no way to keep a
//! connection out for a while.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    body::RequestBody,
    connect::{Connector, Endpoint, Offer},
    dial::Dial,
    failure::Failure,
    heads::ResponseHeads,
    keep::{Count, Next, SILENCE},
    opened::Line,
};

/// Connections kept after a burst, in each runtime.
const MAX_IDLE: usize = 256;

/// At least this long between two looks for connections that have rested too long.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Pool {
    connector: Connector,
    heads: ResponseHeads,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that was used last is used first.
    resting: Vec<Resting>,
    /// Somebody closes what has rested too long.
    swept: bool,
}

#[derive(Debug)]
struct Resting {
    open: Open,
    until: Instant,
}

impl Resting {
    fn is_usable(&self, now: Instant) -> bool {
        now < self.until && self.open.sender.is_ready()
    }
}

/// A connection that is open. Whoever has it sends one request at a time.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) sender: SendRequest<RequestBody>,
    pub(crate) line: Line,
    pub(crate) count: Count,
}

impl Pool {
    pub(crate) fn new(dial: &Dial, heads: ResponseHeads) -> Self {
        Self {
            connector: Connector::new(Offer::Http1, dial),
            heads,
            idle: Mutex::default(),
        }
    }

    /// A connection that rests, and is out of the pool from now on.
    pub(crate) fn take(&self) -> Option<Open> {
        let now = Instant::now();
        let mut idle = self.lock();
        while let Some(resting) = idle.resting.pop() {
            if resting.is_usable(now) {
                return Some(resting.open);
            }
        }
        None
    }

    /// A new connection.
    pub(crate) async fn open(&self, endpoint: &Endpoint) -> Result<Open, Failure> {
        let opened = self.connector.open(endpoint).await?;
        let line = opened.line();
        let (mut sender, connection) = Builder::new()
            .max_buf_size(self.heads.buffer())
            .max_headers(self.heads.fields())
            // And it is not passed on (RFC 9112 section 5.1). Folded lines stay refused, as they may
            // be (section 5.2): what a recipient makes of them differs.
            .allow_spaces_after_header_name_in_responses(true)
            .handshake(opened)
            .await
            .map_err(Failure::exchange)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "the connection to the origin ended");
            }
        });
        sender.ready().await.map_err(Failure::exchange)?;
        let count = Count::default();
        Ok(Open {
            sender,
            line,
            count,
        })
    }

    /// What becomes of a connection that has brought the head of a response.
    pub(crate) fn give_back(self: &Arc<Self>, mut open: Open, next: Next) {
        let (idle, silence) = match next {
            // hyper closes it after the response.
            Next::Close => return,
            Next::Reuse(idle) if open.sender.is_ready() => return self.put(open, idle),
            Next::Reuse(idle) => (idle, Duration::ZERO),
            Next::Listen(idle) => (idle, SILENCE),
        };
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            // Once the body is whole, which may be never.
            if open.sender.ready().await.is_err() {
                return;
            }
            if !silence.is_zero() {
                sleep(silence).await;
            }
            if open.sender.is_ready() && !open.line.is_doubtful() {
                pool.put(open, idle);
            }
        });
    }

    fn put(self: &Arc<Self>, open: Open, rest: Duration) {
        let until = Instant::now() + rest;
        let mut idle = self.lock();
        if idle.resting.len() >= MAX_IDLE {
            return;
        }
        idle.resting.push(Resting { open, until });
        if !idle.swept {
            idle.swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // What it guards is whole after every statement.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what has rested too long, until nothing rests any more.
async fn sweep(pool: Weak<Pool>) {
    loop {
        let next = {
            let Some(pool) = pool.upgrade() else { return };
            let now = Instant::now();
            let mut idle = pool.lock();
            idle.resting.retain(|resting| resting.is_usable(now));
            match idle.resting.iter().map(|resting| resting.until).min() {
                Some(next) => next.max(now + SWEEP),
                None => {
                    idle.swept = false;
                    return;
                }
            }
        };
        sleep_until(next).await;
    }
}
