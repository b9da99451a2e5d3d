//! Writes on one node while others read, fill and refresh: what they replaced or invalidated does
//! not come back, anywhere.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cachewarp::CacheBuilder;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tokio::{runtime, time::sleep};
use tower::ServiceExt;

use crate::{
    interleavings::{LIFETIME_OVER, MOMENT, get},
    nodes::{Node, begin, by_tenant, eventually, get_with, request, soon, told, told_as},
    origin::{Origin, fresh, status, version},
    support::redis::standalone,
};

/// Within which a node does what it does without waiting for anybody. By right that is
/// milliseconds; the rest is for a machine that others use as well.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What [`heard`] writes to. A node that will be asked has it.
const WITNESS: &str = "/witness";

/// Waits until a node has heard of all that another one wrote. What is told comes in order, so it
/// is enough that it heard of one more write.
async fn heard(node: &Node, writer: &Node) {
    let found = || get_with(WITNESS, "cache-control", "only-if-cached, max-stale=600");
    assert_eq!(node.send(found()).await.status, StatusCode::OK);
    writer.send(request(Method::POST, WITNESS)).await;
    writer.settle().await;
    eventually("a node hears of a write", async || {
        node.send(found()).await.status == StatusCode::GATEWAY_TIMEOUT
    })
    .await;
}

#[tokio::test]
async fn a_partition_that_another_node_invalidated_is_not_served_again() {
    let redis = standalone();
    let origin = Origin::counting();
    let node = async || Node::with(&origin, &redis.url(), by_tenant).await;
    let [first, second] = told_as(node).await;
    let of_red = || get_with("/a", "x-tenant", "red");
    let old = first.send(of_red()).await;
    first.settle().await;
    assert_eq!(second.send(of_red()).await.body, old.body);
    // The write itself is in no partition.
    first.send(request(Method::POST, "/a")).await;
    first.settle().await;
    let is_new = async |node: &Node| version(&node.send(of_red()).await.body) > version(&old.body);
    let took = eventually("the second hears", async || is_new(&second).await).await;
    assert!(took < AT_ONCE, "{took:?}");
    let cold = node().await;
    for _ in 0..5 {
        for node in [&first, &second, &cold] {
            assert!(is_new(node).await);
            node.settle().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_variant_never_takes_the_place_of_a_newer_one() {
    let redis = standalone();
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
    let [first] = told(&slow, &redis).await;
    let impatient = |it: CacheBuilder| it.wait_timeout(MOMENT);
    let second = Node::with(&quick, &redis.url(), impatient).await;
    second.is_told().await;
    slow.hold_bodies();
    let filling = begin(&first, ask());
    eventually("the first asks", async || slow.calls_of("/a") > 0).await;
    // It waits for the first as long as it may, and then asks by itself.
    let new = second.send(ask()).await;
    second.settle().await;
    assert!(!filling.is_finished());
    let [before] = told(&quick, &redis).await;
    assert_eq!(before.send(ask()).await.body, new.body);
    slow.release_bodies();
    let old = soon(filling).await.unwrap();
    assert!(version(&old.body) < version(&new.body));
    first.settle().await;
    let [after] = told(&quick, &redis).await;
    for node in [&after, &before, &second] {
        let seen = node.send(ask()).await;
        assert!(version(&seen.body) >= version(&new.body), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_write_the_origin_is_asked_once() {
    let redis = standalone();
    let origin = Origin::counting();
    let [node] = told(&origin, &redis).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_write_nobody_waits_for_or_joins_a_fill_that_began_before_it() {
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second] = told(&origin, &redis).await;
    first.get(WITNESS).await;
    first.settle().await;
    origin.hold_bodies();
    let filling = begin(&first, get("/a"));
    eventually("the first asks", async || origin.calls_of("/a") > 0).await;
    second.send(request(Method::POST, "/a")).await;
    second.settle().await;
    heard(&first, &second).await;
    let calls = origin.calls_of("/a");
    let reading = [begin(&first, get("/a")), begin(&second, get("/a"))];
    let asked = eventually("the origin is asked", async || {
        origin.calls_of("/a") > calls
    });
    let took = asked.await;
    assert!(took < AT_ONCE, "{took:?}");
    assert!(!filling.is_finished());
    origin.release_bodies();
    let old = soon(filling).await.unwrap();
    for reading in reading {
        let new = soon(reading).await.unwrap();
        assert!(version(&new.body) > version(&old.body), "{new:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_does_not_bring_back_an_older_body() {
    let redis = standalone();
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
    let [first, second, cold] = told(&origin, &redis).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_if_error_never_serves_what_another_node_invalidated() {
    let redis = standalone();
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
    let [first, second] = told(&origin, &redis).await;
    for path in ["/a", "/kept", WITNESS] {
        first.get(path).await;
        first.settle().await;
        assert_eq!(second.get(path).await.body, "old");
    }
    sleep(LIFETIME_OVER).await;
    first.send(request(Method::POST, "/a")).await;
    first.settle().await;
    heard(&second, &first).await;
    failing.store(true, Ordering::SeqCst);
    // Without the write it would be served.
    assert_eq!(second.get("/kept").await.body, "old");
    origin.close();
    let calls = origin.calls_of("/a");
    let asked: Vec<_> = (0..4).map(|_| begin(&second, get("/a"))).collect();
    eventually("the origin is asked", async || {
        origin.calls_of("/a") > calls
    })
    .await;
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
    let redis = standalone();
    let origin = Origin::counting();
    let node = runtime.block_on(async {
        let [node] = told(&origin, &redis).await;
        node
    });
    origin.close();
    {
        let write = request(Method::POST, "/a");
        let mut write = Box::pin(node.service.clone().oneshot(write));
        runtime.block_on(async {
            tokio::select! {
                _ = &mut write => panic!("the origin does not answer"),
                _ = eventually("the write is sent", async || origin.calls_of("/a") > 0) => {}
            }
        });
        // Here it is dropped, half way.
    }
    origin.open();
    let seen = runtime.block_on(node.get("/a"));
    assert_eq!(seen.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_that_is_no_more_is_not_found_again() {
    let redis = standalone();
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
    let [node, cold] = told(&origin, &redis).await;
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
