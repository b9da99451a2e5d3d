//! The settings of the client: their checks, and what they mean to fred.

use std::{fmt, time::Duration};

use fred::{
    prelude::ReconnectPolicy,
    types::{Builder, config::Config},
};

use super::url::{parse, shown};
use crate::error::{ConfigError, DisplayDuration, in_range};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// How long connecting may take, and each command that sets a connection up.
const CONNECT: Duration = Duration::from_millis(500);

/// After how long without an answer a connection is closed, and how often that is checked. The
/// longer of the timeouts may raise the first: a slow command must not look like a dead connection.
const UNRESPONSIVE: Duration = Duration::from_millis(300);
const UNRESPONSIVE_LOOK: Duration = Duration::from_millis(100);

/// The pause between two attempts to connect, in milliseconds.
const RECONNECT_MIN: u32 = 50;
const RECONNECT_MAX: u32 = 500;

/// The settings of a [`Redis`](crate::Redis), from [`Redis::builder`](crate::Redis::builder).
///
/// The setters accept every value; [`connect`](Self::connect) refuses those that are not allowed.
#[derive(Clone)]
#[must_use]
pub struct RedisBuilder {
    pub(super) compression_threshold: Option<usize>,
    pub(super) max_value_bytes: usize,
    pub(super) namespace: String,
    password: Option<String>,
    pub(super) pool_size: usize,
    pub(super) purge_replicas: u32,
    pub(super) read_timeout: Duration,
    pub(super) start: Start,
    url: String,
    username: Option<String>,
    pub(super) write_timeout: Duration,
}

/// What `connect` does when no server can be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// Succeed.
    Anyway,
    /// Fail.
    Connected,
}

impl RedisBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            compression_threshold: Some(KIB),
            max_value_bytes: 8 * MIB,
            namespace: "cachewarp".to_owned(),
            password: None,
            pool_size: 2,
            purge_replicas: 0,
            read_timeout: Duration::from_millis(50),
            start: Start::Anyway,
            url,
            username: None,
            write_timeout: Duration::from_millis(250),
        }
    }

    /// The number of connections to each server, 1 to 64. Commands are pipelined, so a few serve
    /// any number of requests.
    ///
    /// Defaults to: 2.
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// What the name of every key begins with, 1 to 64 visible ASCII characters without `{`, `}`,
    /// `*`, `?`, `[`, `]`, and `\`. Caches with the same namespace share what they store.
    ///
    /// Defaults to: `cachewarp`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The ACL user to connect as, in place of the URL's.
    ///
    /// Defaults to: the URL's, or the server's default user.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password to connect with, in place of the URL's. No log and no error repeats it.
    ///
    /// Defaults to: the URL's, or none.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// How many replicas must have a purge before it counts as recorded, at most 16 (`WAIT`). With none, a
    /// purge is recorded as soon as the master has it. It can be lost then with a master that had already
    /// been replaced, or with the master and the node that purged together where nodes may not read `INFO`.
    /// With more than there are, purges stay pending.
    ///
    /// Defaults to: 0.
    pub fn purge_wait_replicas(mut self, replicas: u32) -> Self {
        self.purge_replicas = replicas;
        self
    }

    /// How long a read may take, 1 ms to 10 s. A read that takes longer counts as a miss, and the
    /// server is left alone for half a second.
    ///
    /// Defaults to: 50 ms.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long a write may take, 1 ms to 10 s. No request waits for a write.
    ///
    /// Defaults to: 250 ms.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// The largest value to store, encoded and compressed, 1 KiB to 512 MiB. A larger response is
    /// stored in memory only.
    ///
    /// Defaults to: 8 MiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// The size in bytes from which on bodies are compressed, or `None` for never. Without the
    /// feature `redis-zstd` none is, and responses that other nodes compressed are not used.
    ///
    /// Defaults to: 1 KiB.
    pub fn compression_threshold(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.compression_threshold = bytes.into();
        self
    }

    /// Whether `connect` fails when there is no connection after three seconds. Otherwise it
    /// succeeds, and a server that cannot be reached counts as one that holds nothing.
    ///
    /// Defaults to: `false`.
    pub fn require_at_start(mut self, require: bool) -> Self {
        self.start = if require {
            Start::Connected
        } else {
            Start::Anyway
        };
        self
    }

    /// Checks every setting. Returns fred's configuration.
    pub(super) fn check(&self) -> Result<Config, ConfigError> {
        in_range("pool_size", &self.pool_size, 1..=64, "1 to 64")?;
        let allowed = "at most 16";
        in_range("purge_wait_replicas", &self.purge_replicas, ..=16, allowed)?;
        in_range(
            "max_value_bytes",
            &self.max_value_bytes,
            KIB..=512 * MIB,
            "1 KiB to 512 MiB",
        )?;
        let allowed =
            DisplayDuration(Duration::from_millis(1))..=DisplayDuration(Duration::from_secs(10));
        for (setting, timeout) in [
            ("read_timeout", self.read_timeout),
            ("write_timeout", self.write_timeout),
        ] {
            in_range(
                setting,
                &DisplayDuration(timeout),
                allowed.clone(),
                "1 ms to 10 s",
            )?;
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && !br"{}*?[]\".contains(&byte);
        if self.namespace.is_empty()
            || self.namespace.len() > 64
            || !self.namespace.bytes().all(plain)
        {
            return Err(ConfigError::Malformed {
                setting: "namespace",
                value: self.namespace.clone(),
                allowed: r"1 to 64 visible ASCII characters without {, }, *, ?, [, ] and \",
            });
        }
        let mut config = parse(&self.url)?;
        config.username = self.username.clone().or(config.username);
        config.password = self.password.clone().or(config.password);
        Ok(config)
    }

    /// A builder of clients that fail fast and reconnect by themselves.
    pub(super) fn clients(&self, config: Config) -> Builder {
        let slowest = self.read_timeout.max(self.write_timeout);
        let mut builder = Builder::from_config(config);
        builder
            // Without a policy, or with `fail_fast` here, fred would never find a server that is
            // not there at the start. Commands fail fast by options of their own.
            .with_config(|config| config.fail_fast = false)
            .set_policy(ReconnectPolicy::new_exponential(
                0,
                RECONNECT_MIN,
                RECONNECT_MAX,
                2,
            ))
            .with_performance_config(|config| config.default_command_timeout = slowest)
            .with_connection_config(|config| {
                config.connection_timeout = CONNECT;
                config.internal_command_timeout = CONNECT;
                config.max_command_attempts = 1;
                config.tcp.nodelay = Some(true);
                config.unresponsive.max_timeout =
                    Some(UNRESPONSIVE.max(slowest + UNRESPONSIVE_LOOK));
                config.unresponsive.interval = UNRESPONSIVE_LOOK;
                // `max_command_buffer_len` must stay unset: its counter leaks in fred 10.1, until
                // every command is refused.
            });
        builder
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("compression_threshold", &self.compression_threshold)
            .field("max_value_bytes", &self.max_value_bytes)
            .field("namespace", &self.namespace)
            .field("pool_size", &self.pool_size)
            .field("purge_replicas", &self.purge_replicas)
            .field("read_timeout", &self.read_timeout)
            .field("start", &self.start)
            .field("url", &shown(&self.url))
            .field("write_timeout", &self.write_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
