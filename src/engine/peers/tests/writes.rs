//! Writes on one node while others read, fill and refresh: what they replaced or invalidated does
//! not come back, anywhere.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cachewarp::CacheBuilder;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{
    runtime,
    sync::watch,
    time::{Instant, sleep},
};
use tower::ServiceExt;

use super::{
    network::Network,
    node::{begin, by_tenant, get_with, request, soon},
    origin::{Origin, fresh, status, version},
    refreshes::LIFETIME_OVER,
};

/// In which requests that were begun would ask the origin, if they did.
const MOMENT: Duration = Duration::from_millis(300);

/// In which a notification is received.
const NOTIFIED: Duration = Duration::from_millis(1);

fn get(path: &str) -> Request<Full<Bytes>> {
    request(Method::GET, path)
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_another_node_invalidated_is_not_served_again() {
    let network = Network::new();
    let origin = Origin::counting();
    let [first, second] = network.nodes_with(&origin, by_tenant).await;
    let of_red = || get_with("/a", "x-tenant", "red");
    let old = first.send(of_red()).await;
    first.settle().await;
    assert_eq!(second.send(of_red()).await.body, old.body);
    // The write itself is in no partition.
    first.send(request(Method::POST, "/a")).await;
    first.settle().await;
    sleep(NOTIFIED).await;
    let [cold] = network.nodes_with(&origin, by_tenant).await;
    for _ in 0..5 {
        for node in [&second, &first, &cold] {
            let new = node.send(of_red()).await;
            assert!(version(&new.body) > version(&old.body), "{new:?}");
            node.settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_invalidates_every_partition_on_every_node() {
    let network = Network::new();
    let origin = Origin::counting();
    let nodes = network.nodes_with::<3>(&origin, by_tenant).await;
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
        sleep(NOTIFIED).await;
        let newest = *old.iter().max().unwrap();
        for tenant in ["red", "blue"] {
            // One that holds nothing, the one that wrote, and one that has to be notified.
            for node in [&nodes[2], &nodes[0], &nodes[1]] {
                let seen = node.send(ask(tenant)).await;
                assert!(version(&seen.body) > newest, "{tenant}: {seen:?}");
                node.settle().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_variant_never_takes_the_place_of_a_newer_one() {
    let network = Network::new();
    let count = Arc::new(AtomicU64::new(0));
    // One for each node, so that one of them can be slow.
    let origin = || {
        let count = Arc::clone(&count);
        Origin::new(move |_| {
            let mut response = fresh(format!("v {}", count.fetch_add(1, Ordering::SeqCst)));
            let vary = "accept-language".parse().unwrap();
            response.headers_mut().insert("vary", vary);
            response
        })
    };
    let (slow, quick) = (origin(), origin());
    let ask = || get_with("/a", "accept-language", "en");
    let [first] = network.nodes(&slow).await;
    let impatient = |it: CacheBuilder| it.wait_timeout(MOMENT);
    let [second] = network.nodes_with(&quick, impatient).await;
    slow.hold_bodies();
    let filling = begin(&first, ask());
    slow.called(1).await;
    // It waits for the first as long as it may, and then asks by itself.
    let asked = Instant::now();
    let new = second.send(ask()).await;
    assert_eq!(asked.elapsed(), MOMENT);
    second.settle().await;
    assert!(!filling.is_finished());
    let [before] = network.nodes(&quick).await;
    assert_eq!(before.send(ask()).await.body, new.body);
    slow.release_bodies();
    let old = soon(filling).await.unwrap();
    assert!(version(&old.body) < version(&new.body));
    first.settle().await;
    let [after] = network.nodes(&quick).await;
    for node in [&after, &before, &second] {
        let seen = node.send(ask()).await;
        assert!(version(&seen.body) >= version(&new.body), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_write_the_origin_is_asked_once() {
    let network = Network::new();
    let origin = Origin::counting();
    let [node] = network.nodes(&origin).await;
    let old = node.get("/a").await;
    node.settle().await;
    node.send(request(Method::POST, "/a")).await;
    let before = origin.calls_of("/a");
    for index in 0..3 {
        let seen = node.get("/a").await;
        node.settle().await;
        assert!(version(&seen.body) > version(&old.body), "{seen:?}");
        assert_eq!(seen.is_hit(), index > 0, "{seen:?}");
    }
    assert_eq!(origin.calls_of("/a") - before, 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_write_nobody_waits_for_or_joins_a_fill_that_began_before_it() {
    let network = Network::new();
    let origin = Origin::counting();
    let [first, second] = network.nodes(&origin).await;
    origin.hold_bodies();
    let filling = begin(&first, get("/a"));
    origin.called(1).await;
    second.send(request(Method::POST, "/a")).await;
    second.settle().await;
    sleep(NOTIFIED).await;
    let calls = origin.calls();
    let began = Instant::now();
    let reading = [begin(&first, get("/a")), begin(&second, get("/a"))];
    origin.called(calls + 1).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(!filling.is_finished());
    origin.release_bodies();
    let old = soon(filling).await.unwrap();
    for reading in reading {
        let new = soon(reading).await.unwrap();
        assert!(version(&new.body) > version(&old.body), "{new:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_does_not_bring_back_an_older_body() {
    let network = Network::new();
    let count = AtomicU64::new(0);
    let origin = Origin::new(move |request| {
        let response = Response::builder();
        if request.method() == Method::HEAD {
            let response = response.header("cache-control", "max-age=60");
            return response.body(Full::default()).unwrap();
        }
        let body = format!("v {}", count.fetch_add(1, Ordering::SeqCst));
        response
            .header("cache-control", "max-age=1, stale-while-revalidate=600")
            .body(Full::new(body.into()))
            .unwrap()
    });
    let [first, second, cold] = network.nodes(&origin).await;
    let old = first.get("/a").await;
    first.settle().await;
    assert_eq!(second.get("/a").await.body, old.body);
    let reload = get_with("/a", "cache-control", "no-cache");
    let new = first.send(reload).await;
    first.settle().await;
    assert!(version(&new.body) > version(&old.body));
    sleep(LIFETIME_OVER).await;
    let head = second.send(request(Method::HEAD, "/a")).await;
    assert_eq!(head.status, StatusCode::OK);
    second.settle().await;
    for node in [&cold, &second, &first] {
        let seen = node.get("/a").await;
        assert!(version(&seen.body) >= version(&new.body), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stale_if_error_never_serves_what_another_node_invalidated() {
    let network = Network::new();
    let failing = Arc::new(AtomicBool::new(false));
    let origin = Origin::new({
        let failing = Arc::clone(&failing);
        move |_| {
            if failing.load(Ordering::SeqCst) {
                return status(StatusCode::INTERNAL_SERVER_ERROR);
            }
            Response::builder()
                .header("cache-control", "max-age=1, stale-if-error=600")
                .header("etag", "\"a\"")
                .body(Full::new("old".into()))
                .unwrap()
        }
    });
    let [first, second] = network.nodes(&origin).await;
    for path in ["/a", "/kept"] {
        first.get(path).await;
        first.settle().await;
        assert_eq!(second.get(path).await.body, "old");
    }
    sleep(LIFETIME_OVER).await;
    first.send(request(Method::POST, "/a")).await;
    first.settle().await;
    sleep(NOTIFIED).await;
    failing.store(true, Ordering::SeqCst);
    // Without the write it would be served.
    assert_eq!(second.get("/kept").await.body, "old");
    origin.close();
    let calls = origin.calls();
    let asked: Vec<_> = (0..4).map(|_| begin(&second, get("/a"))).collect();
    origin.called(calls + 1).await;
    // In which the others join.
    sleep(MOMENT).await;
    origin.open();
    for asked in asked {
        let seen = soon(asked).await.unwrap();
        assert!(seen.status.is_server_error(), "{seen:?}");
        assert_ne!(seen.body, "old");
    }
}

/// As when a runtime is shut down before what it ran is dropped.
#[test]
fn a_write_may_be_dropped_outside_of_a_runtime() {
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let origin = Origin::counting();
    let node = runtime.block_on(async {
        let [node] = Network::new().nodes(&origin).await;
        node
    });
    origin.close();
    {
        let write = request(Method::POST, "/a");
        let mut write = Box::pin(node.service.clone().oneshot(write));
        runtime.block_on(async {
            tokio::select! {
                _ = &mut write => panic!("the origin does not answer"),
                () = origin.called(1) => {}
            }
        });
        // Here it is dropped, half way.
    }
    origin.open();
    let seen = runtime.block_on(node.get("/a"));
    assert_eq!(seen.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_is_no_more_is_not_found_again() {
    let network = Network::new();
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    let origin = Origin::new(move |_| {
        let mut response = fresh("a variant");
        if is_gone.load(Ordering::SeqCst) {
            response = Response::new(Full::new("no more".into()));
            let private = "no-store".parse().unwrap();
            response.headers_mut().insert("cache-control", private);
        }
        let vary = "accept-language".parse().unwrap();
        response.headers_mut().insert("vary", vary);
        response
    });
    let [node, cold] = network.nodes(&origin).await;
    let ask = || get_with("/a", "accept-language", "en");
    node.send(ask()).await;
    node.settle().await;
    assert!(node.send(ask()).await.is_hit());
    gone.store(true, Ordering::SeqCst);
    let mut reload = ask();
    let no_cache = "no-cache".parse().unwrap();
    reload.headers_mut().insert("cache-control", no_cache);
    assert_eq!(node.send(reload).await.body, "no more");
    node.settle().await;
    assert_eq!(cold.send(ask()).await.body, "no more");
}

/// A response to POST that says it is what a GET would get reaches the other nodes, after the
/// invalidation of what they had.
#[tokio::test(start_paused = true)]
async fn what_a_post_fills_is_found_by_the_other_nodes() {
    let network = Network::new();
    let origin = Origin::new(|request| {
        let mut response = fresh(request.method().to_string());
        let location = http::HeaderValue::from_static("/a");
        response.headers_mut().insert("content-location", location);
        response
    });
    let allowed = |builder: CacheBuilder| builder.post_fills_get("/a");
    let [first, second] = network.nodes_with(&origin, allowed).await;
    for node in [&first, &second] {
        assert_eq!(node.get("/a").await.body, "GET");
        node.settle().await;
    }
    first.send(request(Method::POST, "/a")).await;
    first.settle().await;
    sleep(NOTIFIED).await;
    let calls = origin.calls();
    for node in [&first, &second] {
        let seen = node.get("/a").await;
        assert!(seen.is_hit(), "{seen:?}");
        assert_eq!(seen.body, "POST");
    }
    assert_eq!(origin.calls(), calls);
}

/// Another node writes after the POST, and before this one has asked what it may replace.
#[tokio::test(start_paused = true)]
async fn what_a_post_fills_gives_way_to_a_later_write_of_another_node() {
    let network = Network::new();
    let origin = Origin::new(|request| {
        let mut response = fresh(request.method().to_string());
        let location = http::HeaderValue::from_static("/a");
        response.headers_mut().insert("content-location", location);
        response
    });
    let goes_on = watch::Sender::new(true);
    let held = goes_on.subscribe();
    let executor = move |task: crate::Task| {
        let mut held = held.clone();
        tokio::spawn(async move {
            let _ = held.wait_for(|goes_on| *goes_on).await;
            task.await;
        });
    };
    let allowed = |builder: CacheBuilder| builder.post_fills_get("/a").executor(executor.clone());
    let [first, second] = network.nodes_with(&origin, allowed).await;
    goes_on.send_replace(false);
    let filling = begin(&first, request(Method::POST, "/a"));
    origin.called(1).await;
    // In which the invalidation is sent.
    sleep(MOMENT).await;
    second.send(request(Method::DELETE, "/a")).await;
    sleep(MOMENT).await;
    goes_on.send_replace(true);
    assert_eq!(soon(filling).await.unwrap().body, "POST");
    first.settle().await;
    second.settle().await;
    for node in [&first, &second] {
        assert_eq!(node.get("/a").await.body, "GET");
    }
}
