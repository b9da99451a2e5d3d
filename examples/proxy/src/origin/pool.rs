//! Connections of HTTP/1 to the origin, kept for the next request.
//!
//! Not hyper-util's pool: that one has one idle timeout for all connections, and no way to keep a
//! connection out for a while.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    body::RequestBody,
    failure::{Failure, Kind},
    heads::ResponseHeads,
    origin::{
        connect::{Connector, Endpoint, Offer},
        dial::Dial,
        keep::{Count, Next, SILENCE},
        opened::Line,
    },
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
    /// Each connection has one, from before it is opened until it is closed.
    places: Arc<Semaphore>,
    /// A connection that was used rests.
    returned: Notify,
    /// How long a request waits for a connection when there may be no more.
    wait: Duration,
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

/// What a request waited for.
enum Got {
    Resting(Open),
    /// `None`: there will be none any more.
    Place(Option<OwnedSemaphorePermit>),
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
            places: Arc::new(Semaphore::new(dial.places as usize)),
            returned: Notify::new(),
            // A request that waited for longer would hardly be answered in time.
            wait: dial.limit / 2,
        }
    }

    /// A connection that rests, or a new one. While all that there may be are in use, it waits.
    pub(crate) async fn get(&self, endpoint: &Endpoint) -> Result<Open, Failure> {
        let place = async {
            loop {
                if let Some(open) = self.take() {
                    return Got::Resting(open);
                }
                tokio::select! {
                    biased;
                    place = Arc::clone(&self.places).acquire_owned() => return Got::Place(place.ok()),
                    () = self.returned.notified() => {}
                }
            }
        };
        match timeout(self.wait, place).await {
            Ok(Got::Resting(open)) => Ok(open),
            Ok(Got::Place(Some(place))) => self.open(endpoint, place).await,
            Ok(Got::Place(None)) | Err(_) => Err(Kind::NoPlace.into()),
        }
    }

    /// A new connection, and if need be one that rests makes room for it.
    pub(crate) async fn get_new(&self, endpoint: &Endpoint) -> Result<Open, Failure> {
        let place = async {
            loop {
                let free = Arc::clone(&self.places).try_acquire_owned();
                if let Ok(place) = free {
                    return Some(place);
                }
                drop(self.take());
                tokio::select! {
                    biased;
                    place = Arc::clone(&self.places).acquire_owned() => return place.ok(),
                    () = self.returned.notified() => {}
                }
            }
        };
        match timeout(self.wait, place).await {
            Ok(Some(place)) => self.open(endpoint, place).await,
            Ok(None) | Err(_) => Err(Kind::NoPlace.into()),
        }
    }

    /// A connection that rests, and is out of the pool from now on.
    fn take(&self) -> Option<Open> {
        let now = Instant::now();
        let mut idle = self.lock();
        while let Some(resting) = idle.resting.pop() {
            if resting.is_usable(now) {
                return Some(resting.open);
            }
        }
        None
    }

    async fn open(
        &self,
        endpoint: &Endpoint,
        place: OwnedSemaphorePermit,
    ) -> Result<Open, Failure> {
        let opened = self.connector.open(endpoint).await?.in_place(place);
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
        self.returned.notify_one();
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
