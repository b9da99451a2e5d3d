//! The connections to the server or servers, and what is known of their state.

use std::time::Duration;

use fred::{
    clients::{Client, Pool},
    interfaces::ClientLike,
    types::{ConnectHandle, config::Config},
};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use super::{
    durable::Durable, health::Health, pauses::Pauses, scripts::Scripts, settings::RedisBuilder,
};
use crate::{clock::ElapsedClock, remote::store::RemoteLimits};

/// How long `connect` waits for a server that is required.
pub(super) const REQUIRED_WAIT: Duration = Duration::from_secs(3);

/// How long `connect` waits for a server that is not required.
pub(super) const OPTIONAL_WAIT: Duration = Duration::from_millis(250);

/// How long connections are given to close in good order.
const QUIT: Duration = Duration::from_secs(1);

/// How many bytes of values may be written at once, in units of [`WRITE_UNIT`], unless one value
/// may be larger. fred holds what it could not send yet without a bound of its own.
pub(super) const WRITE_UNITS: usize = 64 << 10;
pub(super) const WRITE_UNIT: usize = 1 << 10;

/// The connections that all copies of a [`Redis`](crate::Redis) share.
pub(super) struct Connections {
    pub(super) clock: ElapsedClock,
    pub(super) config: Config,
    pub(super) durable: Durable,
    pub(super) limits: RemoteLimits,
    pub(super) pauses: Pauses,
    pub(super) pool: Pool,
    pub(super) reads: Health,
    pub(super) runtime: Handle,
    pub(super) scripts: Scripts,
    pub(super) settings: RedisBuilder,
    pub(super) tasks: Vec<ConnectHandle>,
    pub(super) writes: Health,
    /// Bounds the bytes of values that are being written.
    pub(super) writing: Semaphore,
}

impl Connections {
    pub(super) fn is_connected(&self) -> bool {
        self.pool.clients().iter().any(Client::is_connected)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // fred's tasks hold what would end them, so without this they would never end.
        let pool = self.pool.clone();
        let mut tasks = std::mem::take(&mut self.tasks);
        let durable = self.durable.take();
        self.runtime.spawn(async move {
            _ = timeout(QUIT, pool.quit()).await;
            if let Some((client, task)) = durable {
                _ = timeout(QUIT, client.quit()).await;
                tasks.push(task);
            }
            tasks.iter().for_each(ConnectHandle::abort);
        });
    }
}
