//! The client: connections that recover by themselves, and commands that never hold anyone up.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use fred::{
    clients::{Client, Pool},
    error::Error as FredError,
    interfaces::{ClientLike, EventInterface},
    types::{
        ConnectHandle,
        config::{Config, Server},
    },
};
use tokio::{
    runtime::Handle,
    sync::{
        Semaphore,
        broadcast::{Receiver, error::RecvError},
    },
    time::timeout,
};

use super::{
    ask::{Purpose, UNIT, WRITES},
    health::Health,
    pauses::{Breaker, SECTIONS},
    scripts::Scripts,
    settings::{RedisBuilder, Start},
    tracking::{Notice, Tracking},
    url::servers,
};
use crate::{clock::SystemClock, error::ConfigError};

/// How long `connect` waits for a server that is required.
const START: Duration = Duration::from_secs(3);

/// How long `connect` waits for a server that is not required.
const GRACE: Duration = Duration::from_millis(250);

/// How long connections are given to close in good order.
const QUIT: Duration = Duration::from_secs(1);

/// The tier that nodes share, in Redis (6 or later) or Valkey: one server, Sentinel, or Cluster.
///
/// The tier is never a dependency: a server that is slow, full, or gone is as good as one that
/// holds nothing, and what could not be written is not. After a command that timed out the server
/// is left alone for half a second, then asked by one request at a time until it answers. On
/// Cluster that holds for each server on its own.
///
/// On Cluster fred gives up the connection to a server that hangs or is gone after a third of a
/// second, and then serves none of the others' keys either until the Cluster has replaced it, or
/// it answers again.
///
/// Let the server evict: with `maxmemory` and a policy such as `allkeys-lfu` it keeps what is
/// asked for most, and without them a full server takes nothing new.
///
/// Copies share the connections, which close when the last copy is dropped.
#[derive(Clone)]
pub struct Redis {
    pub(super) inner: Arc<Inner>,
}

/// What all copies share.
pub(super) struct Inner {
    pub(super) breaker: Breaker,
    pub(super) clock: SystemClock,
    pub(super) config: Config,
    pub(super) pool: Pool,
    pub(super) reads: Health,
    pub(super) runtime: Handle,
    pub(super) scripts: Scripts,
    pub(super) settings: RedisBuilder,
    tasks: Vec<ConnectHandle>,
    pub(super) writes: Health,
    pub(super) writing: Semaphore,
}

/// What fred tells of a connection that broke or could not be made, and to which server.
type Failure = (FredError, Option<Server>);

impl Redis {
    /// A tier with default settings: [`builder`](Self::builder), then
    /// [`connect`](RedisBuilder::connect).
    ///
    /// # Errors
    ///
    /// When the URL is not one of Redis. A server that cannot be reached is no error.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder(url).connect().await
    }

    /// Settings for a tier at `url`.
    ///
    /// - `redis://user:password@host:6379/0`: one server. User, password, port and database may be
    ///   left out.
    /// - `redis-cluster://host:6379?node=other:6379`: a Cluster, found through any of its servers.
    /// - `redis-sentinel://host:26379?node=other:26379&sentinelServiceName=name`: the server that
    ///   sentinels name. `sentinelUsername` and `sentinelPassword` are for the sentinels, user and
    ///   password before the host for the server.
    ///
    /// With `rediss` in place of `redis` connections are encrypted, and the servers' certificates
    /// checked against the system's (or those of `SSL_CERT_FILE`). `valkey` and `valkeys` work as
    /// well.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
    }
}

impl RedisBuilder {
    /// Checks the settings and connects, for a quarter of a second at the most: then it goes on in
    /// the background, unless [`require_at_start`](Self::require_at_start) is set.
    ///
    /// # Errors
    ///
    /// When a setting is not allowed, when TLS is asked for and the system has no certificates to
    /// trust, and, with `require_at_start`, when there is no connection after three seconds.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect(self) -> Result<Redis, ConfigError> {
        let config = self.check()?;
        let unusable = |error: FredError| ConfigError::Unavailable {
            setting: "url",
            cause: error.to_string(),
        };
        let builder = self.clients(config.clone());
        let pool = builder.build_pool(self.pool_size).map_err(unusable)?;
        let sections = if config.server.is_clustered() {
            SECTIONS
        } else {
            1
        };
        let events: Vec<_> = pool.clients().iter().map(Client::error_rx).collect();
        let tasks = pool.connect_pool();
        let inner = Arc::new(Inner {
            breaker: Breaker::new(sections),
            clock: SystemClock::new(),
            config,
            pool,
            reads: Health::default(),
            runtime: Handle::current(),
            scripts: Scripts::new(),
            tasks,
            writes: Health::default(),
            writing: Semaphore::new(WRITES.max(self.max_value_bytes.div_ceil(UNIT))),
            settings: self,
        });
        let mut first = None;
        for mut errors in events {
            first.get_or_insert_with(|| errors.resubscribe());
            let inner = Arc::downgrade(&inner);
            tokio::spawn(async move {
                loop {
                    match errors.recv().await {
                        Ok((error, _)) => lost(&inner, &error),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return,
                    }
                }
            });
        }
        match inner.settings.start {
            Start::Connected => inner.wait(first).await?,
            // What is in reach is there at once, so that the first requests find what is shared.
            Start::Anyway => {
                let _ = timeout(GRACE, inner.pool.wait_for_connect()).await;
            }
        }
        Ok(Redis { inner })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("settings", &self.inner.settings)
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Waits for every connection; otherwise says what came instead.
    async fn wait(&self, errors: Option<Receiver<Failure>>) -> Result<(), ConfigError> {
        let error = match timeout(START, self.pool.wait_for_connect()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Some(error),
            Err(_) => errors.and_then(|mut errors| errors.try_recv().ok().map(|(error, _)| error)),
        };
        let cause = error.map_or("no answer".to_owned(), |error| error.to_string());
        Err(ConfigError::Unavailable {
            setting: "require_at_start",
            cause: format!("{}: {cause}", servers(&self.config)),
        })
    }
}

// === Asking ===

impl Redis {
    /// Whether it is worth asking: there is a connection, and the server is not being left alone.
    /// On Cluster some servers may be all the same.
    pub(crate) fn available(&self) -> bool {
        let inner = &*self.inner;
        let paused = inner.breaker.sections() == 1 && inner.breaker.refuses(0, inner.now());
        !paused && inner.connected()
    }

    /// The runtime it was connected on.
    pub(crate) fn runtime(&self) -> Handle {
        self.inner.runtime.clone()
    }

    /// Listens to what changes under names that begin with `prefix`.
    pub(crate) fn track(
        &self,
        prefix: String,
        notices: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Tracking {
        let _runtime = self.inner.runtime.enter();
        Tracking::start(self.inner.config.clone(), prefix, notices)
    }

    /// How often reads and how often writes have stopped working so far.
    #[cfg(test)]
    pub(crate) fn outages(&self) -> (u64, u64) {
        (self.inner.reads.outages(), self.inner.writes.outages())
    }
}

/// A connection broke or could not be made. Without any, nobody may ask, so it is told from here.
fn lost(inner: &Weak<Inner>, error: &FredError) {
    if let Some(inner) = inner.upgrade()
        && !inner.connected()
    {
        inner.failed(Purpose::Read, inner.now(), error);
    }
}

// === Ending ===

impl Drop for Inner {
    fn drop(&mut self) {
        // Left to itself fred goes on for ever: its tasks hold what would end them.
        let pool = self.pool.clone();
        let tasks = std::mem::take(&mut self.tasks);
        self.runtime.spawn(async move {
            _ = timeout(QUIT, pool.quit()).await;
            tasks.iter().for_each(ConnectHandle::abort);
        });
    }
}

#[cfg(test)]
mod tests;
