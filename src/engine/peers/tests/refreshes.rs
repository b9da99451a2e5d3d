//! Stale responses while another node refreshes them, and refreshes before a response is stale.

use std::time::Duration;

use bytes::Bytes;
use cachewarp::{CacheOutcome, Generated, StaleReason};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep, timeout};

use super::{
    crowds::switchable,
    network::Network,
    node::{Seen, begin, get_with},
    origin::{Origin, fresh},
};

/// Longer than a lifetime of one second, in the whole seconds that ages are counted in.
pub(super) const LIFETIME_OVER: Duration = Duration::from_millis(2_100);

/// An origin whose answers are stale after a second, and may be served for ten minutes more.
fn revalidated_later() -> Origin {
    Origin::new(|_| {
        Response::builder()
            .header("cache-control", "max-age=1, stale-while-revalidate=600")
            .body(Full::new("a body".into()))
            .unwrap()
    })
}

fn only_if_cached(path: &str) -> Request<Full<Bytes>> {
    get_with(path, "cache-control", "only-if-cached")
}

#[track_caller]
fn assert_stale(seen: &Seen) {
    assert_eq!((seen.status, &*seen.body), (StatusCode::OK, "a body"));
    assert!(
        matches!(
            seen.outcome,
            CacheOutcome::Stale {
                reason: StaleReason::WhileRevalidate,
                ..
            }
        ),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_another_node_refreshes_is_served_without_asking_the_tier_each_time() {
    const FOR: Duration = Duration::from_secs(2);
    let network = Network::new();
    let origin = revalidated_later();
    let [first, second] = network.nodes(&origin).await;
    for node in [&first, &second] {
        node.get("/a").await;
        node.settle().await;
    }
    sleep(LIFETIME_OVER).await;
    origin.close();
    assert_stale(&first.get("/a").await);
    origin.called(2).await;
    let (started, before) = (Instant::now(), network.server.operations());
    let mut served = 0;
    while started.elapsed() < FOR {
        assert_stale(&second.get("/a").await);
        served += 1;
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(served, 400);
    // Three in a second: the lease is asked for and read, and extended by the other node.
    let asked = network.server.operations() - before;
    assert!(asked <= 20, "{asked} operations");
    assert_eq!(origin.calls_of("/a"), 2);
    origin.open();
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_is_answered_with_what_is_stale_but_may_be_served() {
    let network = Network::new();
    let origin = revalidated_later();
    let [warm, cold] = network.nodes(&origin).await;
    warm.get("/a").await;
    warm.settle().await;
    sleep(LIFETIME_OVER).await;
    // A refresh that ended would make it fresh.
    origin.close();
    for node in [&warm, &cold] {
        assert_stale(&node.send(only_if_cached("/a")).await);
    }
    origin.open();
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_asks_the_origin() {
    let network = Network::new();
    let origin = Origin::new(|_| fresh("a body"));
    let store = network.server.node();
    let node = network.over(&origin, &store, |it| it);
    node.is_connected().await;
    node.get("/a").await;
    node.settle().await;
    network.server.clear();
    // In each state that the node is in until it knows that the tier is empty.
    assert!(node.send(only_if_cached("/a")).await.is_hit());
    store.disconnect();
    sleep(Duration::from_millis(1)).await;
    for _ in 0..3 {
        let seen = node.send(only_if_cached("/a")).await;
        assert_eq!(seen.status, StatusCode::GATEWAY_TIMEOUT);
        let refused = CacheOutcome::Generated(Generated::OnlyIfCached);
        assert_eq!(seen.outcome, refused);
        store.reconnect();
    }
    node.settle().await;
    assert_eq!(origin.calls_of("/a"), 1);
}

/// The other node's refresh is slow, but nothing failed: past its window nothing is served stale.
#[tokio::test(start_paused = true)]
async fn past_the_window_nothing_is_stale_while_another_node_refreshes() {
    let network = Network::new();
    let (origin, _) = switchable("max-age=2, stale-while-revalidate=1, stale-if-error=3600");
    let [a, b] = network.nodes(&origin).await;
    a.get("/a").await;
    a.settle().await;
    assert!(b.get("/a").await.is_hit());
    let stored = Instant::now();
    sleep(Duration::from_millis(2300)).await;
    let before = origin.calls();
    origin.close();
    let stale = a.get("/a").await;
    assert!(
        matches!(stale.outcome, CacheOutcome::Stale { .. }),
        "{stale:?}"
    );
    origin.called(before + 1).await;
    let mut outcomes = vec![];
    let waits = loop {
        sleep(Duration::from_millis(50)).await;
        let Ok(seen) = timeout(Duration::from_millis(500), b.get("/a")).await else {
            break stored.elapsed();
        };
        outcomes.push(seen.outcome);
    };
    // Ages are counted in whole seconds.
    let asked = waits - Duration::from_millis(500);
    assert!(
        asked >= Duration::from_secs(3) && asked <= Duration::from_secs(4),
        "{asked:?}"
    );
    let revalidates = |it: &CacheOutcome| {
        let reason = StaleReason::WhileRevalidate;
        matches!(it, CacheOutcome::Stale { reason: it, .. } if *it == reason)
    };
    assert!(outcomes.len() > 10, "{outcomes:?}");
    assert!(
        outcomes.iter().all(revalidates),
        "nothing failed: {outcomes:?}"
    );
    origin.open();
}

/// How long the origin takes goes with the response, so that every node can refresh it in time.
#[tokio::test(start_paused = true)]
async fn what_another_node_fetched_is_refreshed_early_too() {
    const TAKES: Duration = Duration::from_millis(100);
    let network = Network::new();
    let origin = Origin::new(|_| {
        let response = Response::builder().header("cache-control", "max-age=8");
        response.body(Full::from("slow")).unwrap()
    });
    let [a] = network.nodes(&origin).await;
    // So early that it is nearly certain, once half of the lifetime is over.
    let b = network.over(&origin, &network.server.node(), |b| b.early_refresh(100.0));
    b.is_connected().await;
    origin.close();
    let fetching = begin(&a, super::node::request(http::Method::GET, "/a"));
    origin.called(1).await;
    sleep(TAKES).await;
    origin.open();
    fetching.await.unwrap();
    a.settle().await;
    assert!(b.get("/a").await.is_hit());
    sleep(Duration::from_secs(3)).await;
    for _ in 0..100 {
        assert!(b.get("/a").await.is_hit());
    }
    assert_eq!(origin.calls(), 1, "not in the first half of its lifetime");
    sleep(Duration::from_secs(2)).await;
    for _ in 0..100 {
        assert!(b.get("/a").await.is_hit());
    }
    b.settle().await;
    assert_eq!(origin.calls(), 2);
}
