//! Asking: every command passes the breaker, fails fast, ends in time, and tells how it went.

use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use fred::{
    clients::{Client, WithOptions},
    error::{Error as FredError, ErrorKind},
    interfaces::{ClientLike, ClusterInterface, KeysInterface},
    types::config::Options,
    util::redis_keyslot,
};

use super::{
    client::Inner,
    health::{Change, Health},
    pauses::Admission,
    url::servers,
};
use crate::{clock::Clock, error::StoreError, metrics};

/// The bytes of values that may be on their way at once, in units of [`UNIT`], unless one value
/// may be larger. fred holds what it could not send yet without a bound of its own.
pub(super) const WRITES: usize = 64 << 10;
pub(super) const UNIT: usize = 1 << 10;

/// What a command is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Read,
    Write,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl Inner {
    /// Runs one command, or several as one, that concern these names.
    pub(super) async fn ask<T, F>(
        self: &Arc<Self>,
        purpose: Purpose,
        names: &[&str],
        command: impl FnOnce(WithOptions<Client>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, FredError>>,
    {
        let now = self.now();
        let mut admitted = true;
        for name in names {
            match self.breaker.admit(self.section(name), now) {
                Admission::Ask => {}
                Admission::Probe => {
                    self.probe((*name).to_owned());
                    admitted = false;
                }
                Admission::Refuse => admitted = false,
            }
        }
        if !admitted {
            return Err(StoreError::new(Paused));
        }
        // In a box: fred's futures take 7 KiB, several times over in whatever awaits this.
        let result = Box::pin(command(self.client(purpose))).await;
        self.learn(purpose, names, &result);
        result.map_err(StoreError::new)
    }

    /// Sees whether the server that has this name answers again. No request waits for that.
    fn probe(self: &Arc<Self>, name: String) {
        let inner = Arc::clone(self);
        self.runtime.spawn(async move {
            let result: Result<i64, FredError> = inner.client(Purpose::Read).exists(&name).await;
            inner.learn(Purpose::Read, &[&name], &result);
        });
    }

    /// What the end of a command says about its server.
    fn learn<T>(&self, purpose: Purpose, names: &[&str], result: &Result<T, FredError>) {
        let now = self.now();
        let sections = || names.iter().map(|name| self.section(name));
        let Err(error) = result else {
            sections().for_each(|section| self.breaker.answered(section));
            self.worked(purpose, now);
            return;
        };
        match error.kind() {
            ErrorKind::Timeout => {
                for name in names {
                    self.pause(name, now);
                }
            }
            ErrorKind::Canceled | ErrorKind::IO | ErrorKind::Routing => {
                sections().for_each(|section| self.breaker.unconnected(section, now));
            }
            _ => sections().for_each(|section| self.breaker.answered(section)),
        }
        self.failed(purpose, now, error);
    }

    /// Runs a write of this many bytes, unless too much is on its way already.
    pub(super) async fn write<T, F>(
        self: &Arc<Self>,
        bytes: usize,
        names: &[&str],
        command: impl FnOnce(WithOptions<Client>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, FredError>>,
    {
        if bytes > self.settings.max_value_bytes {
            return Err(StoreError::new(TooLarge { bytes }));
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let _permit = self
            .writing
            .try_acquire_many(units)
            .map_err(|_| StoreError::new(Congested))?;
        self.ask(Purpose::Write, names, command).await
    }

    fn client(&self, purpose: Purpose) -> WithOptions<Client> {
        let timeout = match purpose {
            Purpose::Read => self.settings.read_timeout,
            Purpose::Write => self.settings.write_timeout,
        };
        let options = Options {
            fail_fast: true,
            max_attempts: Some(1),
            timeout: Some(timeout),
            ..Options::default()
        };
        self.pool.next_connected().with_options(&options)
    }

    /// Whether names that are asked for together are sure to be on one server.
    pub(super) fn together(&self, first: &str, second: &str) -> bool {
        self.breaker.sections() == 1
            || redis_keyslot(first.as_bytes()) == redis_keyslot(second.as_bytes())
    }

    fn section(&self, name: &str) -> usize {
        match self.breaker.sections() {
            1 => 0,
            sections => section_of(redis_keyslot(name.as_bytes()), sections),
        }
    }

    /// Leaves the server alone that has this name, with all that it has.
    fn pause(&self, name: &str, now: Duration) {
        let sections = self.breaker.sections();
        self.breaker.timed_out(self.section(name), now);
        if sections == 1 {
            return;
        }
        let slot = redis_keyslot(name.as_bytes());
        let routes = self
            .pool
            .clients()
            .first()
            .and_then(Client::cached_cluster_state);
        let Some(routes) = routes else {
            return;
        };
        let Some(server) = routes.get_server(slot) else {
            return;
        };
        for range in routes
            .slots()
            .iter()
            .filter(|range| range.primary == *server)
        {
            for section in section_of(range.start, sections)..=section_of(range.end, sections) {
                self.breaker.timed_out(section, now);
            }
        }
    }

    pub(super) fn connected(&self) -> bool {
        self.pool.clients().iter().any(Client::is_connected)
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// The part of the breaker that a hash slot belongs to.
fn section_of(slot: u16, sections: usize) -> usize {
    usize::from(slot) * sections / 16_384
}

// === Telling ===

impl Inner {
    fn worked(&self, purpose: Purpose, now: Duration) {
        if self.health(purpose).worked(now) == Change::Restored {
            let servers = servers(&self.config);
            match purpose {
                Purpose::Read => tracing::info!(servers, "reading from Redis works again"),
                Purpose::Write => tracing::info!(servers, "writing to Redis works again"),
            }
        }
    }

    pub(super) fn failed(&self, purpose: Purpose, now: Duration, error: &FredError) {
        if self.health(purpose).failed(now) == Change::Broken {
            let servers = servers(&self.config);
            metrics::remote_outages(purpose.as_str()).increment(1);
            match purpose {
                Purpose::Read => tracing::warn!(servers, %error, "reading from Redis fails"),
                Purpose::Write => tracing::warn!(servers, %error, "writing to Redis fails"),
            }
        }
    }

    fn health(&self, purpose: Purpose) -> &Health {
        match purpose {
            Purpose::Read => &self.reads,
            Purpose::Write => &self.writes,
        }
    }
}

// === Errors ===

/// The server did not answer in time a moment ago.
#[derive(Debug)]
struct Paused;

/// As many bytes as may be are on their way already.
#[derive(Debug)]
struct Congested;

/// The value is larger than the settings allow.
#[derive(Debug)]
struct TooLarge {
    bytes: usize,
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server did not answer in time a moment ago")
    }
}

impl fmt::Display for Congested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much is being written already")
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are more than `max_value_bytes`", self.bytes)
    }
}

impl Error for Paused {}
impl Error for Congested {}
impl Error for TooLarge {}
