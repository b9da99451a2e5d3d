//! Requests that are more than a GET, on nodes that know nothing but what is in Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cachewarp::CacheOutcome;
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use crate::{
    nodes::{Node, by_tenant, eventually, get_with, request, soon, told, told_as},
    origin::{Origin, fresh, version},
    support::redis::standalone,
};

/// A node that fetched `path`, and one that never heard of it.
async fn warm_and_cold(origin: &Origin, redis: &crate::support::redis::Server, path: &str) -> Node {
    let warm = Node::new(origin, redis).await;
    assert_eq!(warm.get(path).await.status, StatusCode::OK);
    warm.settle().await;
    Node::new(origin, redis).await
}

#[tokio::test]
async fn what_is_stale_in_redis_is_validated_by_a_node_that_never_had_it() {
    let redis = standalone();
    let validated = Arc::new(AtomicUsize::new(0));
    let origin = Origin::new({
        let validated = Arc::clone(&validated);
        move |request| {
            let mut response = Response::builder().header("etag", "\"v1\"");
            if request
                .headers()
                .get("if-none-match")
                .is_some_and(|it| it == "\"v1\"")
            {
                validated.fetch_add(1, Ordering::SeqCst);
                response = response.status(StatusCode::NOT_MODIFIED);
                let response = response.header("cache-control", "max-age=3600");
                return response.body(Full::default()).unwrap();
            }
            let response = response.header("cache-control", "max-age=1");
            response.body(Full::new("a body".into())).unwrap()
        }
    });
    let cold = warm_and_cold(&origin, &redis, "/a").await;
    // Redis counts real time.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let seen = cold.get("/a").await;
    assert_eq!(
        (seen.status, seen.body.as_str()),
        (StatusCode::OK, "a body")
    );
    assert!(
        matches!(seen.outcome, CacheOutcome::Revalidated { .. }),
        "{seen:?}"
    );
    assert_eq!((origin.calls(), validated.load(Ordering::SeqCst)), (2, 1));
    // And what it confirmed is everybody's.
    cold.settle().await;
    let third = Node::new(&origin, &redis).await.get("/a").await;
    assert!(third.is_hit(), "{third:?}");
    assert_eq!(third.body, "a body");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_range_is_cut_from_what_is_in_redis() {
    let redis = standalone();
    let origin = Origin::new(|_| fresh("0123456789"));
    let cold = warm_and_cold(&origin, &redis, "/a").await;
    let seen = cold.send(get_with("/a", "range", "bytes=2-4")).await;
    assert_eq!(
        (seen.status, seen.body.as_str()),
        (StatusCode::PARTIAL_CONTENT, "234")
    );
    assert_eq!(seen.headers["content-range"], "bytes 2-4/10");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_head_is_answered_from_redis() {
    let redis = standalone();
    let origin = Origin::new(|_| fresh("0123456789"));
    let cold = warm_and_cold(&origin, &redis, "/a").await;
    let seen = cold.send(request(Method::HEAD, "/a")).await;
    assert!(seen.is_hit(), "{seen:?}");
    assert_eq!((seen.status, seen.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(seen.headers["content-length"], "10");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_condition_is_evaluated_on_what_is_in_redis() {
    let redis = standalone();
    let origin = Origin::new(|_| {
        let mut response = fresh("0123456789");
        response
            .headers_mut()
            .insert("etag", "\"v1\"".parse().unwrap());
        response
    });
    let cold = warm_and_cold(&origin, &redis, "/a").await;
    let seen = cold.send(get_with("/a", "if-none-match", "\"v1\"")).await;
    assert_eq!(
        (seen.status, seen.body.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn only_if_cached_finds_what_is_in_redis_and_nothing_else() {
    let redis = standalone();
    let origin = Origin::counting();
    let cold = warm_and_cold(&origin, &redis, "/a").await;
    let only = |path| get_with(path, "cache-control", "only-if-cached");
    let seen = cold.send(only("/a")).await;
    assert!(seen.is_hit(), "{seen:?}");
    assert_eq!(
        cold.send(only("/b")).await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn requests_with_credentials_get_what_is_public_from_redis_and_nothing_else() {
    let redis = standalone();
    let origin = Origin::new(|request| {
        let cache_control = match request.uri().path() {
            "/public" => "public, max-age=3600",
            _ => "max-age=3600",
        };
        Response::builder()
            .header("cache-control", cache_control)
            .body(Full::new("a body".into()))
            .unwrap()
    });
    let asked = |path| get_with(path, "authorization", "Basic dTpw");
    let warm = Node::new(&origin, &redis).await;
    for path in ["/public", "/not"] {
        warm.send(asked(path)).await;
        warm.settle().await;
    }
    let cold = Node::new(&origin, &redis).await;
    assert!(cold.send(asked("/public")).await.is_hit());
    assert_eq!(origin.calls(), 2);
    assert!(!cold.send(asked("/not")).await.is_hit());
    assert!(!cold.get("/not").await.is_hit());
    assert_eq!(origin.calls(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_during_another_nodes_fill_leaves_nothing_older_anywhere() {
    const ROUNDS: usize = 200;
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second, cold] = told(&origin, &redis).await;
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

#[tokio::test]
async fn a_write_invalidates_every_partition_on_every_node() {
    let redis = standalone();
    let origin = Origin::counting();
    let nodes: [Node; 3] =
        told_as(async || Node::with(&origin, &redis.url(), by_tenant).await).await;
    for round in 0..20 {
        let path = format!("/{round}");
        let ask = |tenant: &'static str| get_with(&path, "x-tenant", tenant);
        let mut old = Vec::new();
        for tenant in ["red", "blue"] {
            let seen = nodes[0].send(ask(tenant)).await;
            nodes[0].settle().await;
            assert_eq!(nodes[1].send(ask(tenant)).await.body, seen.body);
            old.push(version(&seen.body));
        }
        assert_eq!(origin.calls_of(&path), 2, "each tenant has its own");
        let mut write = request(Method::POST, &path);
        let tenant = if round % 2 == 0 { "red" } else { "green" };
        write
            .headers_mut()
            .insert("x-tenant", tenant.parse().unwrap());
        nodes[0].send(write).await;
        nodes[0].settle().await;
        let newest = *old.iter().max().unwrap();
        for tenant in ["red", "blue"] {
            // One that holds nothing, the one that wrote, and one that has to hear of it.
            for node in [&nodes[2], &nodes[0]] {
                let seen = node.send(ask(tenant)).await;
                assert!(version(&seen.body) > newest, "{tenant}: {seen:?}");
                node.settle().await;
            }
            eventually("the other node drops it", async || {
                version(&nodes[1].send(ask(tenant)).await.body) > newest
            })
            .await;
        }
    }
}
