//! One node fetches and the others wait: what they wait for, and when they stop.

use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    network::Network,
    node::{Node, Seen, connected_as, soon},
    origin::{Origin, fresh, status},
};
use crate::remote::{in_memory::Fault, store::RemoteLimits};

/// How long a node may be silent before the others stop waiting for it.
const LEASE: Duration = Duration::from_secs(3);

/// A node waits long enough for another's fetch.
async fn nodes<const COUNT: usize>(network: &Network, origin: &Origin) -> [Node; COUNT] {
    let wait = Duration::from_secs(20);
    network.nodes_with(origin, |it| it.wait_timeout(wait)).await
}

/// Asks each of the nodes for the same, so many times at once.
fn ask_all(nodes: &[Node], each: usize, path: &'static str) -> JoinSet<(Seen, Instant)> {
    let mut asked = JoinSet::new();
    for node in nodes {
        for _ in 0..each {
            let node = node.clone();
            asked.spawn(async move { (node.get(path).await, Instant::now()) });
        }
    }
    asked
}

// === A holder that dies ===

#[tokio::test(start_paused = true)]
async fn a_holder_that_dies_costs_the_others_what_is_left_of_its_lease() {
    let network = Network::new();
    let never = Origin::new(|_| fresh("never sent"));
    never.close();
    let store = network.server.node();
    let holder = network.over(&never, &store, |it| it);
    let origin = Origin::counting();
    let nodes = nodes::<3>(&network, &origin).await;
    let began = Instant::now();
    let holding = tokio::spawn({
        let holder = holder.clone();
        async move { holder.get("/a").await }
    });
    never.called(1).await;
    let mut asked = ask_all(&nodes, 20, "/a");
    // They wait for the holder, as long as it lives: longer than its lease.
    sleep(LEASE + Duration::from_secs(1) - began.elapsed()).await;
    assert!(asked.try_join_next().is_none());
    assert_eq!(origin.calls_of("/a"), 0);
    // It extends its lease every second, and did so just now. From here on it sends nothing.
    sleep(Duration::from_millis(1)).await;
    let left = network.lease_expires_in();
    assert_eq!(left, LEASE - Duration::from_millis(1));
    store.fail(Fault::Unavailable);
    let killed = Instant::now();
    holding.abort();
    let mut slowest = Duration::ZERO;
    let mut bodies = Vec::new();
    while let Some(answer) = soon(asked.join_next()).await {
        let (seen, at) = answer.unwrap();
        assert_eq!(seen.status, StatusCode::OK);
        slowest = slowest.max(at - killed);
        bodies.push(seen.body);
    }
    assert_eq!(slowest, left, "as soon as the lease expires");
    assert_eq!(bodies.len(), 60);
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    // Beside the holder's own call, one by the nodes that waited.
    assert_eq!(origin.calls_of("/a"), 1);
}

// === What a holder's fetch comes to ===

#[tokio::test(start_paused = true)]
async fn when_the_origin_fails_each_node_asks_it_twice_at_most() {
    let network = Network::new();
    let origin = Origin::new(|request| match request.uri().path() {
        "/a" => status(StatusCode::INTERNAL_SERVER_ERROR),
        _ => fresh("well"),
    });
    let nodes = nodes::<4>(&network, &origin).await;
    origin.close();
    let mut asked = ask_all(&nodes, 25, "/a");
    origin.called(1).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(origin.calls_of("/a"), 1);
    origin.open();
    let opened = Instant::now();
    let mut failed = 0;
    while let Some(answer) = soon(asked.join_next()).await {
        let (seen, _) = answer.unwrap();
        assert!(seen.status.is_server_error(), "{seen:?}");
        failed += 1;
    }
    assert_eq!(failed, 100);
    assert_eq!(opened.elapsed(), Duration::ZERO);
    assert!(
        origin.calls_of("/a") <= 8,
        "{} calls",
        origin.calls_of("/a")
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_more_than_the_head_of_a_response_that_is_for_one_only() {
    let network = Network::new();
    let origin = Origin::new(|request| match request.uri().path() {
        "/a" => Response::builder()
            .header("cache-control", "private, max-age=60")
            .body(Full::new("for one client".into()))
            .unwrap(),
        _ => fresh("for all"),
    });
    let nodes = nodes::<4>(&network, &origin).await;
    // The body of the first stays half sent while the others, who come later, ask for theirs.
    origin.hold_bodies();
    origin.close();
    let first = tokio::spawn({
        let node = nodes[0].clone();
        async move { node.get("/a").await }
    });
    origin.called(1).await;
    let mut asked = ask_all(&nodes[1..], 10, "/a");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(origin.calls_of("/a"), 1);
    origin.open();
    let opened = Instant::now();
    origin.called(2).await;
    assert_eq!(opened.elapsed(), Duration::ZERO);
    assert!(!first.is_finished());
    origin.release_bodies();
    while let Some(answer) = soon(asked.join_next()).await {
        assert_eq!(answer.unwrap().0.status, StatusCode::OK);
    }
    assert_eq!(opened.elapsed(), Duration::ZERO);
    assert_eq!(soon(first).await.unwrap().body, "for one client");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_takes_longer_than_the_lease_is_still_fetched_once() {
    const TAKES: Duration = Duration::from_secs(5);
    let network = Network::new();
    let origin = Origin::counting();
    let nodes = nodes::<4>(&network, &origin).await;
    origin.hold_bodies();
    let mut asked = ask_all(&nodes, 25, "/a");
    sleep(TAKES).await;
    origin.release_bodies();
    let released = Instant::now();
    let mut bodies = Vec::new();
    while let Some(answer) = soon(asked.join_next()).await {
        bodies.push(answer.unwrap().0.body);
    }
    assert_eq!(released.elapsed(), Duration::ZERO);
    assert_eq!(bodies.len(), 100);
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(origin.calls_of("/a"), 1);
}

/// What is too large for the shared tier stays on the node that fetched it.
#[tokio::test(start_paused = true)]
async fn nodes_do_not_queue_for_what_cannot_be_shared() {
    const TAKES: Duration = Duration::from_secs(2);
    let network = Network::new();
    let origin = Origin::new(|request| match request.uri().path() {
        "/a" => fresh(".".repeat(64 << 10)),
        _ => fresh("small"),
    });
    let limits = RemoteLimits {
        namespace: "cachewarp".to_owned(),
        max_value_bytes: 16 << 10,
        compression_threshold: None,
        read_timeout: Duration::from_millis(50),
        purge_replicas: 0,
        max_pending: 4_096,
    };
    let node = async || {
        let store = network.server.node_with(limits.clone());
        network.over(&origin, &store, |it| it)
    };
    let nodes: [Node; 4] = connected_as(node).await;
    // How long a body is shows only at its end: all wait for the first, then each for its own.
    origin.slow_bodies(TAKES);
    let asked = Instant::now();
    let mut answers = ask_all(&nodes, 5, "/a");
    let mut slowest = Duration::ZERO;
    while let Some(answer) = soon(answers.join_next()).await {
        slowest = slowest.max(answer.unwrap().1 - asked);
    }
    assert_eq!(slowest, 2 * TAKES, "not one after the other");
    assert!(origin.calls_of("/a") <= 4);
}

#[tokio::test(start_paused = true)]
async fn four_nodes_with_a_cold_key_ask_the_origin_once() {
    let network = Network::new();
    let origin = Origin::counting();
    let nodes = nodes::<4>(&network, &origin).await;
    origin.close();
    let mut asked = ask_all(&nodes, 250, "/cold");
    origin.called(1).await;
    // Longer than the pause after which waiting nodes look again by themselves.
    sleep(Duration::from_millis(500)).await;
    origin.open();
    let opened = Instant::now();
    let mut bodies = Vec::new();
    while let Some(answer) = soon(asked.join_next()).await {
        bodies.push(answer.unwrap().0.body);
    }
    assert_eq!(opened.elapsed(), Duration::ZERO);
    assert_eq!(bodies.len(), 1000);
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(origin.calls_of("/cold"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_for_one_client_only_nobody_waits_for() {
    let network = Network::new();
    let origin = Origin::new(|_| {
        Response::builder()
            .header("cache-control", "private, max-age=60")
            .body(Full::new("mine".into()))
            .unwrap()
    });
    let [first, second] = nodes(&network, &origin).await;
    origin.close();
    let fetching = tokio::spawn(async move { first.get("/a").await });
    origin.called(1).await;
    let waiting = tokio::spawn({
        let second = second.clone();
        async move { second.get("/a").await }
    });
    sleep(Duration::from_millis(100)).await;
    assert_eq!(origin.calls(), 1, "until the head says whose it is");
    origin.open();
    let opened = Instant::now();
    for answer in [fetching, waiting] {
        assert!(!soon(answer).await.unwrap().is_hit());
    }
    assert_eq!(opened.elapsed(), Duration::ZERO);
    assert_eq!(origin.calls(), 2);
    // From then on no request even waits for the head.
    origin.close();
    let asked = [(); 2].map(|()| {
        let second = second.clone();
        tokio::spawn(async move { second.get("/a").await })
    });
    origin.called(4).await;
    assert_eq!(opened.elapsed(), Duration::ZERO);
    origin.open();
    for answer in asked {
        assert!(!soon(answer).await.unwrap().is_hit());
    }
}
