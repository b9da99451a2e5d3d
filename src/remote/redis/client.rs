//! The client: how it connects, and what its copies share.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use fred::{
    clients::Client,
    error::Error as FredError,
    interfaces::{ClientLike, EventInterface},
    types::config::Server,
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
    connection::{Connections, OPTIONAL_WAIT, REQUIRED_WAIT, WRITE_UNIT, WRITE_UNITS},
    durable::Durable,
    execute::Purpose,
    health::Health,
    pauses::{Pauses, SECTIONS},
    scripts::Scripts,
    settings::{RedisBuilder, Start},
    url::servers,
};
use crate::{
    clock::{ElapsedClock, SystemClock},
    error::ConfigError,
    remote::store::RemoteLimits,
};

/// How many invalidations may wait to be sent: about 5 MiB of them.
const MAX_PENDING: usize = 1 << 16;

/// A second tier that nodes share, in Redis (6 or later) or Valkey: one server, Sentinel, or
/// Cluster.
///
/// The cache never depends on it. A server that is slow, full or gone counts as one that holds
/// nothing, and what cannot be written is dropped. After a command that timed out the server is
/// left alone for half a second, then probed in the background until it answers. On Cluster that
/// holds for each server independently.
///
/// On Cluster fred closes the connection to a server that hangs or is gone after a third of a
/// second. Then it serves none of the other servers' keys either, until the Cluster has replaced
/// the server or it answers again.
///
/// Let the server evict: with `maxmemory` and the policy `volatile-lfu` it keeps what is asked for
/// most, and the log of purges, which does not expire. With `allkeys-lfu` it may evict the log too: no
/// purge is undone, but everything is fetched anew. Without them a full server stores nothing new.
///
/// Clones share the connections, which close when the last clone is dropped.
#[derive(Clone)]
pub struct Redis {
    pub(super) connections: Arc<Connections>,
}

/// An error of a connection that broke or could not be made, and its server.
type ConnectionError = (FredError, Option<Server>);

impl Redis {
    /// Connects with default settings: [`builder`](Self::builder), then
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

    /// Settings for the servers at `url`:
    ///
    /// - `redis://user:password@host:6379/0`: one server. User, password, port and database may be
    ///   left out.
    /// - `redis-cluster://host:6379?node=other:6379`: a Cluster, found through any of its servers.
    /// - `redis-sentinel://host:26379?node=other:26379&sentinelServiceName=name`: the server that
    ///   the sentinels name. `sentinelUsername` and `sentinelPassword` are for the sentinels, user
    ///   and password before the host for the server.
    ///
    /// With `rediss` in place of `redis` connections are encrypted, and the servers' certificates
    /// checked against the system's (or those of `SSL_CERT_FILE`). That takes the feature
    /// `redis-tls`. `valkey` and `valkeys` work as well.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
    }

    /// How often reads and how often writes have stopped working so far.
    #[cfg(test)]
    pub(crate) fn outages(&self) -> (u64, u64) {
        let connections = &self.connections;
        (connections.reads.outages(), connections.writes.outages())
    }
}

impl RedisBuilder {
    /// Checks the settings and connects. It waits a quarter of a second at most, then connecting
    /// goes on in the background, unless [`require_at_start`](Self::require_at_start) is set.
    ///
    /// # Errors
    ///
    /// When a setting is not allowed, when TLS is asked for and the feature `redis-tls` is off or the
    /// system has no certificates to trust, and, with `require_at_start`, when there is no connection
    /// after three seconds.
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
        let connections = Arc::new(Connections {
            clock: ElapsedClock::new(SystemClock::new()),
            config,
            durable: Durable::default(),
            limits: RemoteLimits {
                namespace: self.namespace.clone(),
                max_value_bytes: self.max_value_bytes,
                compression_threshold: self.compression_threshold,
                read_timeout: self.read_timeout,
                purge_replicas: self.purge_replicas,
                max_pending: MAX_PENDING,
            },
            pauses: Pauses::new(sections),
            pool,
            reads: Health::default(),
            runtime: Handle::current(),
            scripts: Scripts::new(),
            tasks,
            writes: Health::default(),
            writing: Semaphore::new(WRITE_UNITS.max(self.max_value_bytes.div_ceil(WRITE_UNIT))),
            settings: self,
        });
        let mut first = None;
        for mut errors in events {
            first.get_or_insert_with(|| errors.resubscribe());
            let connections = Arc::downgrade(&connections);
            tokio::spawn(async move {
                loop {
                    match errors.recv().await {
                        Ok((error, _)) => connection_lost(&connections, &error),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return,
                    }
                }
            });
        }
        match connections.settings.start {
            Start::Connected => connections.connected(first).await?,
            // A server in reach is connected at once, so the first requests already use it.
            Start::Anyway => {
                let _ = timeout(OPTIONAL_WAIT, connections.pool.wait_for_connect()).await;
            }
        }
        Ok(Redis { connections })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("settings", &self.connections.settings)
            .field("available", &self.connections.is_available())
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// Waits for every connection.
    async fn connected(
        &self,
        errors: Option<Receiver<ConnectionError>>,
    ) -> Result<(), ConfigError> {
        let error = match timeout(REQUIRED_WAIT, self.pool.wait_for_connect()).await {
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

/// A connection broke or could not be made. If it was the last one no command is sent any more, so
/// the outage is reported here.
fn connection_lost(connections: &Weak<Connections>, error: &FredError) {
    if let Some(connections) = connections.upgrade()
        && !connections.is_connected()
    {
        connections.failed(Purpose::Read, connections.now(), error);
    }
}

#[cfg(test)]
mod tests;
