//! A Redis that refuses: the nodes serve on, each for itself.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use cachewarp::Redis;
use http::{Method, StatusCode};

use crate::{
    nodes::{Node, connected_as, eventually, request},
    origin::{Origin, version},
    support::redis::{Server, standalone, standalone_with},
};

async fn node(origin: &Origin, url: String) -> Node {
    let redis = Redis::connect(url).await.unwrap();
    Node::over(origin, |it| it.remote(redis))
}

/// Whatever Redis says, each node answers, fetches once, and answers from memory then.
async fn serves_on(origin: &Origin, nodes: &[Node], what: &str) {
    for (index, node) in nodes.iter().enumerate() {
        for key in 0..20 {
            let path = format!("/{what}/{index}/{key}");
            let began = Instant::now();
            let fetched = node.get(&path).await;
            let took = began.elapsed();
            assert_eq!(fetched.status, StatusCode::OK, "{what}");
            assert!(took < Duration::from_millis(500), "{what}: {took:?}");
            let again = node.get(&path).await;
            assert!(again.is_hit(), "{what}: {again:?}");
            assert_eq!(again.body, fetched.body);
            assert_eq!(origin.calls_of(&path), 1, "{what}");
            // What the node wrote itself it does not serve any more.
            node.send(request(Method::POST, &path)).await;
            let new = node.get(&path).await;
            assert!(
                version(&new.body) > version(&fetched.body),
                "{what}: {new:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_password() {
    let redis = standalone_with(&["--requirepass", "right"]);
    let origin = Origin::counting();
    let url = |password| redis.url().replace("://", &format!("://:{password}@"));
    let nodes = [
        node(&origin, url("wrong")).await,
        node(&origin, url("wrong")).await,
    ];
    serves_on(&origin, &nodes, "wrong").await;
    // The right one works, so it was this that was refused.
    let (first, second) = (
        Node::with(&origin, &url("right"), |it| it).await,
        Node::with(&origin, &url("right"), |it| it).await,
    );
    first.get("/right").await;
    first.settle().await;
    assert!(second.get("/right").await.is_hit());
}

#[tokio::test]
async fn a_replica_that_takes_no_writes() {
    let redis = standalone();
    let origin = Origin::counting();
    let nodes: [Node; 2] = connected_as(async || node(&origin, redis.url()).await).await;
    let before = nodes[0].get("/before").await;
    nodes[0].settle().await;
    assert!(redis.command(&["replicaof", "127.0.0.1", "1"]).is_ok());
    // What is in it can still be read.
    assert_eq!(nodes[1].get("/before").await.body, before.body);
    serves_on(&origin, &nodes, "readonly").await;
    assert!(redis.command(&["replicaof", "no", "one"]).is_ok());
    works_again(&nodes).await;
}

#[tokio::test]
async fn a_redis_that_is_full() {
    let redis = standalone();
    let origin = Origin::counting();
    let nodes: [Node; 2] = connected_as(async || node(&origin, redis.url()).await).await;
    let before = nodes[0].get("/before").await;
    nodes[0].settle().await;
    assert_eq!(nodes[1].get("/before").await.body, before.body);
    fill(&redis);
    assert!(nodes[1].get("/before").await.is_hit());
    serves_on(&origin, &nodes, "full").await;
    assert!(redis.command(&["config", "set", "maxmemory", "0"]).is_ok());
    works_again(&nodes).await;
}

/// A full Redis refuses what takes room, not what makes some.
#[tokio::test]
async fn a_full_redis_is_no_reason_to_serve_what_was_invalidated() {
    let redis = standalone();
    let origin = Origin::counting();
    let nodes: [Node; 2] = connected_as(async || node(&origin, redis.url()).await).await;
    let old = nodes[0].get("/a").await;
    nodes[0].settle().await;
    assert_eq!(nodes[1].get("/a").await.body, old.body);
    fill(&redis);
    nodes[0].send(request(Method::POST, "/a")).await;
    let began = Instant::now();
    while nodes[1].get("/a").await.body == old.body {
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "the other node serves it on"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Without notifications, memory is never believed: every request asks, so nothing old is served.
#[tokio::test]
async fn a_redis_that_does_not_notify() {
    let redis = standalone();
    let rules = ["on", ">word", "~*", "+@all", "-client|tracking"];
    let command: Vec<_> = ["acl", "setuser", "quiet"]
        .into_iter()
        .chain(rules)
        .collect();
    assert!(redis.command(&command).is_ok());
    let url = redis.url().replace("://", "://quiet:word@");
    let origin = Origin::counting();
    let (first, second) = (
        Node::with(&origin, &url, |it| it).await,
        Node::with(&origin, &url, |it| it).await,
    );
    let mut slowest = Duration::ZERO;
    for key in 0..5 {
        let path = format!("/{key}");
        let fetched = first.get(&path).await;
        let began = Instant::now();
        first.settle().await;
        slowest = slowest.max(began.elapsed());
        for node in [&first, &second] {
            let found = node.get(&path).await;
            assert!(found.is_hit() && found.body == fetched.body, "{found:?}");
        }
        second.send(request(Method::POST, &path)).await;
        second.settle().await;
        // At once, since it asks.
        let new = first.get(&path).await;
        assert!(version(&new.body) > version(&fetched.body), "{new:?}");
    }
    assert!(!first.layer.handle().stats().remote_connected);
    println!("it took {slowest:?} at the most until nothing was on its way");
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}

fn fill(redis: &Server) {
    assert!(redis.command(&["config", "set", "maxmemory", "1"]).is_ok());
    let refused = redis.command(&["set", "a", "b"]);
    assert!(format!("{refused:?}").contains("OOM"), "{refused:?}");
}

async fn works_again(nodes: &[Node; 2]) {
    let count = AtomicU64::new(0);
    eventually("what one stores the other finds", async || {
        let path = format!("/again/{}", count.fetch_add(1, Ordering::SeqCst));
        nodes[0].get(&path).await;
        nodes[0].layer.handle().drain(Duration::from_secs(5)).await;
        nodes[1].get(&path).await.is_hit()
    })
    .await;
}
