//! How soon a node stops serving what another node replaced, and in which order it serves.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{Instant, sleep};

use super::{
    network::Network,
    node::{eventually, get_with, request},
    origin::{Origin, version},
};

#[tokio::test(start_paused = true)]
async fn what_a_node_replaces_is_gone_from_the_others_as_soon_as_they_are_notified() {
    const ROUNDS: usize = 1_000;
    const DELAY: Duration = Duration::from_millis(7);
    /// How often it is asked, and what tokio's timers are exact to.
    const TICK: Duration = Duration::from_millis(1);
    let network = Network::new();
    let origin = Origin::counting();
    let [first] = network.nodes(&origin).await;
    let store = network.server.node();
    let second = network.over(&origin, &store, |it| it);
    second.is_connected().await;
    store.delay_events(DELAY);
    // Of two that are fetched at once, by two nodes, either may be the later one.
    first.get("/a").await;
    first.settle().await;
    assert!(second.get("/a").await.is_hit());
    let mut last = 0;
    for _ in 0..ROUNDS {
        let asked = get_with("/a", "cache-control", "no-cache");
        let new = version(&first.send(asked).await.body);
        let answered = Instant::now();
        while last < new {
            let now = version(&second.get("/a").await.body);
            assert!(now >= last, "{now} after {last}");
            last = now;
            if last < new {
                sleep(TICK).await;
            }
        }
        let took = answered.elapsed();
        assert!(took <= DELAY + TICK, "{took:?}");
        first.settle().await;
    }
    // The other node has them from the tier, but for what it fetched before there was anything.
    assert!(origin.calls_of("/a") <= ROUNDS + 1);
}

/// A question to the tier is for what may have changed: what a node just fetched has not.
#[tokio::test(start_paused = true)]
async fn what_a_node_fetched_or_found_it_serves_from_memory_without_a_question() {
    let network = Network::new();
    let origin = Origin::counting();
    let [first, second] = network.nodes(&origin).await;
    for index in 0..20 {
        let path = format!("/{index}");
        first.get(&path).await;
        first.settle().await;
        assert!(second.get(&path).await.is_hit());
    }
    // All notifications have been received.
    sleep(Duration::from_millis(200)).await;
    let before = network.server.operations();
    for index in 0..20 {
        for node in [&first, &second] {
            assert!(node.get(&format!("/{index}")).await.is_hit());
        }
    }
    assert_eq!(network.server.operations(), before);
}

/// While a node is not notified, memory is not believed: every request asks, so all is as current
/// as before.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_notified_asks_each_time() {
    let network = Network::new();
    let origin = Origin::counting();
    let [first] = network.nodes(&origin).await;
    let store = network.server.node();
    let second = network.over(&origin, &store, |it| it);
    second.is_connected().await;
    let old = first.get("/a").await;
    first.settle().await;
    assert_eq!(second.get("/a").await.body, old.body);
    second.settle().await;
    store.disconnect();
    eventually("the node knows", async || {
        !second.layer.handle().stats().remote_connected
    })
    .await;
    let before = network.server.operations();
    for _ in 0..3 {
        assert_eq!(second.get("/a").await.body, old.body);
    }
    // And each asks what was purged.
    assert_eq!(network.server.operations(), before + 6);
    first.send(request(Method::POST, "/a")).await;
    first.settle().await;
    // At once, since it asks.
    let new = second.get("/a").await;
    assert!(version(&new.body) > version(&old.body), "{new:?}");
    second.settle().await;
    // What it missed meanwhile makes it ask once more, and no more than that.
    store.reconnect();
    second.is_connected().await;
    let before = network.server.operations();
    for _ in 0..3 {
        assert_eq!(second.get("/a").await.body, new.body);
    }
    assert_eq!(network.server.operations(), before + 1);
    assert_eq!(second.get("/a").await.status, StatusCode::OK);
    assert_eq!(origin.calls_of("/a"), 3);
}
