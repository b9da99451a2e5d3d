//! Nodes find what others stored, fetch one at a time, and drop what others replaced.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use cachewarp::CacheOutcome;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinHandle;

use crate::{
    node::{Seen, begin},
    nodes::{Node, connected, connected_as, eventually, get_with, request},
    origin::{Origin, fresh},
    support::redis::standalone,
};

#[tokio::test]
async fn a_node_finds_what_another_stored() {
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second] = connected(&origin, &redis).await;
    let fetched = first.get("/a").await;
    assert!(matches!(fetched.outcome, CacheOutcome::Fetched { .. }));
    first.settle().await;
    let found = second.get("/a").await;
    assert!(found.is_hit(), "{found:?}");
    assert_eq!(found.body, fetched.body);
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_restarted_node_asks_the_origin_for_nothing_that_is_fresh() {
    let redis = standalone();
    let origin = Origin::counting();
    let paths: Vec<String> = (0..200).map(|index| format!("/{index}")).collect();
    let before = Node::new(&origin, &redis).await;
    for path in &paths {
        before.get(path).await;
    }
    before.settle().await;
    drop(before);
    let after = Node::new(&origin, &redis).await;
    for path in &paths {
        assert!(after.get(path).await.is_hit(), "{path}");
        // From memory by now.
        assert!(after.get(path).await.is_hit(), "{path}");
    }
    assert_eq!(origin.calls(), 200);
}

#[tokio::test]
async fn variants_are_shared_each_with_those_who_want_it() {
    let redis = standalone();
    let origin = Origin::new(|request| {
        let language = &request.headers()["accept-language"];
        let mut response = fresh(format!("in {}", language.to_str().unwrap()));
        let vary = "accept-language".parse().unwrap();
        response.headers_mut().insert("vary", vary);
        response
    });
    let ask = |language: &'static str| get_with("/a", "accept-language", language);
    let first = Node::new(&origin, &redis).await;
    for language in ["en", "de", "fr"] {
        assert_eq!(
            first.send(ask(language)).await.body,
            format!("in {language}")
        );
        first.settle().await;
    }
    let second = Node::new(&origin, &redis).await;
    for language in ["fr", "en", "de", "en"] {
        let found = second.send(ask(language)).await;
        assert!(found.is_hit(), "{language}: {found:?}");
        assert_eq!(found.body, format!("in {language}"));
    }
    assert_eq!(origin.calls(), 3);
    assert!(!second.send(ask("it")).await.is_hit());
    assert_eq!(origin.calls(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_with_a_cold_key_ask_the_origin_once() {
    let redis = standalone();
    let origin = Origin::counting();
    let nodes: [Node; 4] = connected_as(async || Node::patient(&origin, &redis).await).await;
    origin.close();
    let requests: Vec<_> = (0..1000)
        .map(|index| {
            let node = nodes[index % 4].clone();
            tokio::spawn(async move { node.get("/cold").await })
        })
        .collect();
    origin.called(1).await;
    // Longer than a waiting node takes to read Redis by itself.
    tokio::time::sleep(Duration::from_millis(500)).await;
    origin.open();
    let mut bodies = Vec::new();
    for request in requests {
        bodies.push(request.await.unwrap().body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(origin.calls_of("/cold"), 1);
}

#[tokio::test]
async fn what_a_node_replaces_is_replaced_on_the_others() {
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second] = connected(&origin, &redis).await;
    first.get("/a").await;
    first.settle().await;
    let old = second.get("/a").await;
    assert!(old.is_hit());
    let new = first
        .send(get_with("/a", "cache-control", "no-cache"))
        .await;
    assert_ne!(new.body, old.body);
    first.settle().await;
    eventually("the other node has the new one", async || {
        second.get("/a").await.body == new.body
    })
    .await;
    assert!(second.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_write_on_one_node_invalidates_on_the_others() {
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second] = connected(&origin, &redis).await;
    let old = first.get("/a").await;
    first.settle().await;
    assert_eq!(second.get("/a").await.body, old.body);
    first.send(request(Method::POST, "/a")).await;
    // On the node itself at once, although the invalidation may still be on its way.
    let new = first.get("/a").await;
    assert_ne!(new.body, old.body);
    eventually("the other node drops the old one", async || {
        second.get("/a").await.body != old.body
    })
    .await;
}

#[tokio::test]
async fn a_node_without_redis_serves_on_from_memory_and_origin() {
    let mut redis = standalone();
    let origin = Origin::counting();
    let [node] = connected(&origin, &redis).await;
    node.get("/a").await;
    node.settle().await;
    redis.kill();
    eventually("it is noticed", async || {
        !node.layer.handle().stats().remote_connected
    })
    .await;
    assert!(node.get("/a").await.is_hit());
    let fetched = node.get("/b").await;
    assert_eq!(fetched.status, StatusCode::OK);
    assert!(node.get("/b").await.is_hit());
}

#[tokio::test]
async fn what_is_for_one_client_only_is_not_shared_and_nobody_waits_for_it() {
    const EACH: usize = 4;
    // For how long a node that says nothing would hold the other one up.
    const LEASE: Duration = Duration::from_secs(3);
    let redis = standalone();
    let number = AtomicUsize::new(0);
    let origin = Origin::new(move |_| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        Response::builder()
            .header("cache-control", "private, max-age=60")
            .body(Full::new(number.to_string().into()))
            .unwrap()
    });
    let nodes = connected::<2>(&origin, &redis).await;
    let crowd = || {
        let nodes = nodes.iter().flat_map(|node| [node; EACH]);
        let asked = nodes.map(|node| begin(node, request(Method::GET, "/a")));
        asked.collect::<Vec<_>>()
    };
    let mut bodies = HashSet::new();
    let mut all_differ = async |asked: Vec<JoinHandle<Seen>>| {
        for seen in asked {
            let seen = seen.await.unwrap();
            assert!(!seen.is_hit(), "{seen:?}");
            assert!(bodies.insert(seen.body), "two have the same");
        }
    };

    // Nobody can know before the first answer. Once that is there, nobody waits any more: neither
    // for the node that fetched it nor for the next one to fetch.
    origin.close();
    let asked = crowd();
    eventually("the origin is asked", async || origin.calls() > 0).await;
    origin.open();
    let answered = Instant::now();
    all_differ(asked).await;
    let took = answered.elapsed();
    assert!(took < LEASE, "{took:?}");
    assert_eq!(origin.calls(), 2 * EACH);

    // From then on all ask at once.
    origin.close();
    let asked = crowd();
    eventually("all are at the origin", async || origin.calls() == 4 * EACH).await;
    origin.open();
    all_differ(asked).await;
}
