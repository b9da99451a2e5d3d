//! What nodes do at the same moment, over a real Redis: a write during a fill, and requests while
//! Redis is emptied.

use std::time::Duration;

use bytes::Bytes;
use cachewarp::{CacheOutcome, Generated};
use http::{Method, Request};
use http_body_util::Full;

use crate::{
    nodes::{connected, eventually, get_with, request, soon},
    origin::{Origin, version},
    support::redis::standalone,
};

fn only_if_cached(path: &str) -> Request<Full<Bytes>> {
    get_with(path, "cache-control", "only-if-cached")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_during_another_nodes_fill_leaves_nothing_older_anywhere() {
    const ROUNDS: usize = 200;
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second, cold] = connected(&origin, &redis).await;
    for round in 0..ROUNDS {
        let path = format!("/{round}");
        origin.hold_bodies();
        let filling = tokio::spawn({
            let (node, path) = (first.clone(), path.clone());
            async move { node.get(&path).await }
        });
        eventually("the fill has begun", async || origin.calls_of(&path) > 0).await;
        second.send(request(Method::POST, &path)).await;
        // In half of the rounds the invalidation and the fill race to Redis.
        if round % 2 == 0 {
            second.settle().await;
        }
        origin.release_bodies();
        let old = version(&soon(filling).await.unwrap().body);
        first.settle().await;
        second.settle().await;
        // This one holds nothing of its own.
        let found = cold.get(&path).await;
        assert!(version(&found.body) > old, "round {round}: {found:?}");
        let found = second.get(&path).await;
        assert!(version(&found.body) > old, "round {round}: {found:?}");
        let took = eventually("the filling node drops it", async || {
            version(&first.get(&path).await.body) > old
        })
        .await;
        assert!(took < Duration::from_secs(1), "round {round}: {took:?}");
        let found = first.get(&path).await;
        assert!(version(&found.body) > old, "round {round}: {found:?}");
        for node in [&first, &second, &cold] {
            node.settle().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_if_cached_never_asks_the_origin() {
    let redis = standalone();
    let origin = Origin::counting();
    let [node] = connected(&origin, &redis).await;
    node.get("/a").await;
    node.settle().await;
    assert!(redis.command(&["flushall"]).is_ok());
    // Asked in every state that the node is in until it knows that Redis is empty.
    let answered = eventually("the node knows", async || {
        let seen = node.send(only_if_cached("/a")).await;
        assert_eq!(origin.calls_of("/a"), 1, "{seen:?}");
        seen.outcome == CacheOutcome::Generated(Generated::OnlyIfCached)
    });
    let took = answered.await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    node.settle().await;
    assert_eq!(origin.calls_of("/a"), 1);
}
