//! A shared tier that fails: a request waits for it no longer than the timeout, and is never
//! answered wrongly.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{Instant, sleep};

use super::{
    network::Network,
    node::{eventually, get_with, request},
    origin::{Origin, version},
};
use crate::remote::in_memory::{Fault, READ_TIMEOUT, WRITE_TIMEOUT};

/// In which a notification is received.
const NOTIFIED: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_node_without_the_tier_serves_on_from_memory_and_origin() {
    let network = Network::new();
    let origin = Origin::counting();
    let store = network.server.node();
    let node = network.over(&origin, &store, |it| it);
    node.is_connected().await;
    let kept = node.get("/a").await;
    node.settle().await;
    store.disconnect();
    store.fail(Fault::Unavailable);
    eventually("the node knows", async || {
        !node.layer.handle().stats().remote_connected
    })
    .await;
    let began = Instant::now();
    let seen = node.get("/a").await;
    assert!(seen.is_hit() && seen.body == kept.body, "{seen:?}");
    assert_eq!(node.get("/b").await.status, StatusCode::OK);
    assert!(node.get("/b").await.is_hit());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_not_answered_costs_its_timeout() {
    let network = Network::new();
    let origin = Origin::counting();
    for fault in [Fault::Hang, Fault::LoseAnswers, Fault::Slow(WRITE_TIMEOUT)] {
        let store = network.server.node();
        let node = network.over(&origin, &store, |it| it);
        node.is_connected().await;
        store.fail(fault);
        let began = Instant::now();
        let path = format!("/{fault:?}");
        assert_eq!(node.get(&path).await.status, StatusCode::OK);
        // The lookup. A node that could not look does not ask for a lease.
        assert_eq!(began.elapsed(), READ_TIMEOUT, "{fault:?}");
        assert_eq!(origin.calls_of(&path), 1, "{fault:?}");
        node.settle().await;
        assert!(node.get(&path).await.is_hit(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_tier_is_waited_for_within_its_timeout() {
    const SLOW: Duration = Duration::from_millis(20);
    let network = Network::new();
    let origin = Origin::counting();
    let [warm] = network.nodes(&origin).await;
    let old = warm.get("/a").await;
    warm.settle().await;
    let store = network.server.node();
    let node = network.over(&origin, &store, |it| it);
    node.is_connected().await;
    store.fail(Fault::Slow(SLOW));
    let began = Instant::now();
    let seen = node.get("/a").await;
    assert!(seen.is_hit() && seen.body == old.body, "{seen:?}");
    assert_eq!(began.elapsed(), SLOW);
}

/// A lease whose acquisition was carried out, but not answered, is released all the same.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_acquired_unnoticed_is_released() {
    let network = Network::new();
    let origin = Origin::counting();
    let store = network.server.node();
    let node = network.over(&origin, &store, |it| it);
    node.is_connected().await;
    origin.close();
    const SLOW: Duration = Duration::from_millis(1);
    store.fail(Fault::Slow(SLOW));
    let began = Instant::now();
    let fetching = tokio::spawn({
        let node = node.clone();
        async move { node.get("/a").await }
    });
    // The lookup is answered, and the lease is being acquired.
    sleep(SLOW).await;
    store.fail(Fault::LoseAnswers);
    sleep(READ_TIMEOUT / 2).await;
    assert_eq!(
        network.lease_expires_in(),
        Duration::from_secs(3) - READ_TIMEOUT / 2
    );
    origin.called(1).await;
    assert_eq!(began.elapsed(), SLOW + READ_TIMEOUT);
    assert_eq!(network.server.names(), [""; 0]);
    store.fail(Fault::None);
    origin.open();
    assert_eq!(fetching.await.unwrap().status, StatusCode::OK);
}

/// An invalidation that cannot be sent is sent as soon as that is possible; until then its node
/// uses nothing of the tier that it concerns.
#[tokio::test(start_paused = true)]
async fn an_invalidation_outlasts_an_outage() {
    let network = Network::new();
    let origin = Origin::counting();
    let store = network.server.node();
    let writer = network.over(&origin, &store, |it| it);
    let [reader] = network.nodes(&origin).await;
    writer.is_connected().await;
    let old = writer.get("/a").await;
    writer.settle().await;
    assert_eq!(reader.get("/a").await.body, old.body);
    store.fail(Fault::Hang);
    writer.send(request(Method::POST, "/a")).await;
    let began = Instant::now();
    // The node itself does not even ask.
    let new = writer.get("/a").await;
    assert!(version(&new.body) > version(&old.body));
    // The other one has yet to learn of it.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(reader.get("/a").await.body, old.body);
    store.fail(Fault::None);
    let recovered = Instant::now();
    eventually("the invalidation is sent", async || {
        reader.get("/a").await.body != old.body
    })
    .await;
    let took = recovered.elapsed();
    assert!(took <= Duration::from_millis(500) + NOTIFIED, "{took:?}");
    assert!(began.elapsed() > Duration::from_secs(10));
    let reload = get_with("/a", "cache-control", "only-if-cached");
    assert_eq!(reader.send(reload).await.status, StatusCode::OK);
}
