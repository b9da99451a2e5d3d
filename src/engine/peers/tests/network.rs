//! Nodes over one server in memory. Their clocks are tokio's, so time passes only as tests wait.

use std::time::Duration;

use cachewarp::{CacheBuilder, clock::Clock};
use tokio::time::Instant;

use super::{
    node::{Node, are_connected},
    origin::Origin,
};
use crate::remote::in_memory::{InMemory, InMemoryServer};

/// When every test begins, in seconds since the Unix epoch.
const BEGIN: i64 = 1_700_000_000;

/// A clock whose wall time passes with tokio's.
#[derive(Clone, Copy, Debug)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    fn wall(&self) -> i64 {
        self.wall_millis().div_euclid(1000)
    }

    fn wall_millis(&self) -> i64 {
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap();
        BEGIN * 1000 + elapsed
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A server, and what its nodes have in common.
pub(super) struct Network {
    pub(super) server: InMemoryServer,
    clock: TokioClock,
}

impl Network {
    pub(super) fn new() -> Self {
        Self {
            server: InMemoryServer::new(),
            clock: TokioClock {
                start: Instant::now(),
            },
        }
    }

    /// So many nodes with default settings, all of which are notified of changes.
    pub(super) async fn nodes<const COUNT: usize>(&self, origin: &Origin) -> [Node; COUNT] {
        self.nodes_with(origin, |it| it).await
    }

    /// The same with these settings.
    pub(super) async fn nodes_with<const COUNT: usize>(
        &self,
        origin: &Origin,
        set: impl Fn(CacheBuilder) -> CacheBuilder,
    ) -> [Node; COUNT] {
        let nodes = std::array::from_fn(|_| self.over(origin, &self.server.node(), &set));
        are_connected(&nodes).await;
        nodes
    }

    /// A node with this connection to the server.
    pub(super) fn over(
        &self,
        origin: &Origin,
        store: &InMemory,
        set: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Node {
        let (clock, store) = (self.clock, std::sync::Arc::new(store.clone()));
        Node::over(origin, |it| set(it.clock(clock).remote_store(store)))
    }

    /// In how long the one lease expires that is held.
    pub(super) fn lease_expires_in(&self) -> Duration {
        let mut names = self.server.names();
        names.retain(|name| name.ends_with(":lease"));
        let [name] = &names[..] else {
            panic!("not one lease: {names:?}");
        };
        self.server.expires_in(name).unwrap()
    }
}
