//! Nodes over a real Redis.

use std::time::Duration;

use cachewarp::{CacheBuilder, Redis};
use http::StatusCode;
use tokio::time::sleep;

pub(crate) use crate::node::{
    Node, are_connected, connected_as, eventually, get_with, request, soon,
};
use crate::{origin::Origin, support::redis::Server};

impl Node {
    pub(crate) async fn new(origin: &Origin, redis: &Server) -> Self {
        Self::with(origin, &redis.url(), |builder| builder).await
    }

    /// One that waits for Redis however slow it is: for tests of something else, on a machine that
    /// others use as well.
    pub(crate) async fn patient(origin: &Origin, redis: &Server) -> Self {
        let redis = Redis::builder(redis.url())
            .read_timeout(Duration::from_secs(10))
            .write_timeout(Duration::from_secs(10))
            .require_at_start(true);
        let redis = redis.connect().await.unwrap();
        let wait = Duration::from_secs(20);
        Self::over(origin, |it| it.remote(redis).wait_timeout(wait))
    }

    pub(crate) async fn with(
        origin: &Origin,
        url: &str,
        set: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Self {
        let redis = Redis::builder(url).require_at_start(true);
        let redis = redis.connect().await.unwrap();
        Self::over(origin, |it| set(it.remote(redis)))
    }

    /// Whether this node finds what another one stored or is about to, within a moment.
    pub(crate) async fn finds(&self, path: &str) -> bool {
        for _ in 0..10 {
            sleep(Duration::from_millis(10)).await;
            let asked = get_with(path, "cache-control", "only-if-cached");
            if self.send(asked).await.status == StatusCode::OK {
                return true;
            }
        }
        false
    }
}

/// So many nodes, all of which are notified of changes.
pub(crate) async fn connected<const COUNT: usize>(
    origin: &Origin,
    redis: &Server,
) -> [Node; COUNT] {
    connected_as(async || Node::new(origin, redis).await).await
}
