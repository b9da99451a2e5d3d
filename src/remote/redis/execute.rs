//! Executes commands: each passes the pauses, fails fast, ends in bounded time, and its end is
//! recorded.

use std::{
    collections::BTreeMap,
    future::{Future, ready},
    sync::Arc,
    time::Duration,
};

use fred::{
    clients::{Client, WithOptions},
    error::{Error as FredError, ErrorKind},
    interfaces::{ClientLike, ClusterInterface, KeysInterface},
    types::config::Options,
    util::redis_keyslot,
};

use super::{
    connection::{Connections, WRITE_UNIT},
    health::{Health, HealthChange},
    pauses::PauseCheck,
    refusals::{Congested, Paused, TooLarge},
    url::servers,
};
use crate::{clock::Clock, error::StoreError, metrics, remote::store::RemoteFuture};

/// What a command is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Read,
    Write,
    /// The log of purges: as long as a write, and no outage of its own, as it is read while Redis is away too.
    Log,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write | Self::Log => "write",
        }
    }
}

impl Connections {
    /// Executes one command, or several as one, that concern these names.
    pub(super) fn execute<'a, T, F, const NAMES: usize>(
        self: &'a Arc<Self>,
        purpose: Purpose,
        names: [&'a str; NAMES],
        command: impl FnOnce(WithOptions<Client>) -> F + Send + 'a,
    ) -> RemoteFuture<'a, T>
    where
        F: Future<Output = Result<T, FredError>> + Send + 'a,
        T: Send + 'a,
    {
        if let Err(error) = self.admit(names) {
            return Box::pin(ready(Err(error)));
        }
        // The one box of a command. fred's futures take 7 KiB, and in a future that is not boxed
        // they would take that in everything that awaits it.
        Box::pin(async move {
            let result = command(self.client(purpose)).await;
            self.record(purpose, &names, &result);
            result.map_err(StoreError::new)
        })
    }

    /// Executes a write of this many bytes, unless too much is being written already.
    pub(super) fn write<'a, T, F>(
        self: &'a Arc<Self>,
        bytes: usize,
        name: &'a str,
        command: impl FnOnce(WithOptions<Client>) -> F + Send + 'a,
    ) -> RemoteFuture<'a, T>
    where
        F: Future<Output = Result<T, FredError>> + Send + 'a,
        T: Send + 'a,
    {
        if bytes > self.limits.max_value_bytes {
            return Box::pin(ready(Err(StoreError::new(TooLarge { bytes }))));
        }
        let units = u32::try_from(bytes.div_ceil(WRITE_UNIT)).unwrap_or(u32::MAX);
        let Ok(permit) = self.writing.try_acquire_many(units) else {
            return Box::pin(ready(Err(StoreError::new(Congested))));
        };
        self.execute(Purpose::Write, [name], async move |client| {
            let _held_until_the_end = permit;
            command(client).await
        })
    }

    /// Refuses a command if a server that it concerns is being left alone.
    fn admit<const NAMES: usize>(self: &Arc<Self>, names: [&str; NAMES]) -> Result<(), StoreError> {
        let now = self.now();
        let mut admitted = Ok(());
        for name in names {
            match self.pauses.check(self.section(name), now) {
                PauseCheck::Send => {}
                PauseCheck::Probe => {
                    self.probe(name.to_owned());
                    admitted = Err(StoreError::new(Paused));
                }
                PauseCheck::Refuse => admitted = Err(StoreError::new(Paused)),
            }
        }
        admitted
    }

    /// Asks whether the server that has this name answers again. No request waits for that.
    fn probe(self: &Arc<Self>, name: String) {
        let connections = Arc::clone(self);
        self.runtime.spawn(async move {
            let client = connections.client(Purpose::Read);
            let result: Result<i64, FredError> = client.exists(&name).await;
            connections.record(Purpose::Read, &[&name], &result);
        });
    }

    /// Records what the end of a command says about its server.
    fn record<T>(&self, purpose: Purpose, names: &[&str], result: &Result<T, FredError>) {
        let now = self.now();
        let sections = || names.iter().map(|name| self.section(name));
        let Err(error) = result else {
            sections().for_each(|section| self.pauses.answered(section));
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
                sections().for_each(|section| self.pauses.unconnected(section, now));
            }
            _ => sections().for_each(|section| self.pauses.answered(section)),
        }
        self.failed(purpose, now, error);
    }

    fn client(&self, purpose: Purpose) -> WithOptions<Client> {
        let timeout = match purpose {
            Purpose::Read => self.settings.read_timeout,
            Purpose::Write | Purpose::Log => self.settings.write_timeout,
        };
        let options = Options {
            fail_fast: true,
            max_attempts: Some(1),
            timeout: Some(timeout),
            ..Options::default()
        };
        self.pool.next_connected().with_options(&options)
    }

    /// Whether all names are on the same server.
    pub(super) fn is_one_server(&self) -> bool {
        self.pauses.sections() == 1
    }

    /// The names by the section of the key space that they are in: those of one section are on one
    /// server, but while a Cluster changes.
    pub(super) fn by_section<'n>(&self, names: &'n [String]) -> Vec<Vec<&'n str>> {
        let mut sections: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for name in names {
            sections.entry(self.section(name)).or_default().push(name);
        }
        sections.into_values().collect()
    }

    fn section(&self, name: &str) -> usize {
        match self.pauses.sections() {
            1 => 0,
            sections => section_of(redis_keyslot(name.as_bytes()), sections),
        }
    }

    /// Leaves the server alone that has this name: nothing that it has is asked for.
    fn pause(&self, name: &str, now: Duration) {
        let sections = self.pauses.sections();
        self.pauses.timed_out(self.section(name), now);
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
                self.pauses.timed_out(section, now);
            }
        }
    }

    /// Whether a command would be sent. On Cluster that depends on its name, so this only says
    /// whether there is a connection.
    pub(super) fn is_available(&self) -> bool {
        let is_paused = self.pauses.sections() == 1 && self.pauses.refuses(0, self.now());
        !is_paused && self.is_connected()
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// The section of the key space that a hash slot belongs to.
fn section_of(slot: u16, sections: usize) -> usize {
    usize::from(slot) * sections / 16_384
}

// === Logs and metrics ===

impl Connections {
    fn worked(&self, purpose: Purpose, now: Duration) {
        if purpose == Purpose::Log {
            return;
        }
        if self.health(purpose).worked(now) == HealthChange::Restored {
            let servers = servers(&self.config);
            match purpose {
                Purpose::Read => tracing::info!(servers, "reading from Redis works again"),
                Purpose::Write | Purpose::Log => {
                    tracing::info!(servers, "writing to Redis works again");
                }
            }
        }
    }

    pub(super) fn failed(&self, purpose: Purpose, now: Duration, error: &FredError) {
        if purpose == Purpose::Log {
            return;
        }
        if self.health(purpose).failed(now) == HealthChange::Broken {
            let servers = servers(&self.config);
            metrics::remote_outages(purpose.as_str()).increment(1);
            match purpose {
                Purpose::Read => tracing::warn!(servers, %error, "reading from Redis fails"),
                Purpose::Write | Purpose::Log => {
                    tracing::warn!(servers, %error, "writing to Redis fails");
                }
            }
        }
    }

    fn health(&self, purpose: Purpose) -> &Health {
        match purpose {
            Purpose::Read => &self.reads,
            Purpose::Write | Purpose::Log => &self.writes,
        }
    }
}
