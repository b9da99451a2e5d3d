//! The connection for writes that wait until replicas have them. It is one of their own, as a server
//! answers nothing else on a connection that waits.

use std::{sync::OnceLock, time::Duration};

use fred::{
    clients::{Client, Pool, WithOptions},
    interfaces::ClientLike,
    types::{ConnectHandle, config::Options},
};
use tokio::{runtime::Handle, time::timeout};

/// It is connected for the first such write.
#[derive(Default)]
pub(super) struct Durable {
    connected: OnceLock<(Client, ConnectHandle)>,
}

impl Durable {
    /// Waits until there is a connection, for `most`.
    pub(super) async fn client(
        &self,
        pool: &Pool,
        runtime: &Handle,
        options: &Options,
        most: Duration,
    ) -> WithOptions<Client> {
        let (client, _) = self.connected.get_or_init(|| {
            let _runtime = runtime.enter();
            let client = pool.next().clone_new();
            let task = client.connect();
            (client, task)
        });
        // Without a connection the command fails by itself.
        _ = timeout(most, client.wait_for_connect()).await;
        client.with_options(options)
    }

    /// What has to be ended, if there was such a write.
    pub(super) fn take(&mut self) -> Option<(Client, ConnectHandle)> {
        self.connected.take()
    }
}
