//! A node that writes to very many URLs: what that delays, what it leaves behind, and what happens
//! when the shared tier cannot take it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cachewarp::CacheBuilder;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower::ServiceExt;

use super::{
    network::Network,
    node::{Node, Seen, begin, by_tenant, eventually, get_with, request, soon},
    origin::{Origin, fresh, status, version},
};
use crate::remote::in_memory::Fault;

/// What one operation of the tier takes. Sent one after the other, a flood takes very long.
const TAKES: Duration = Duration::from_millis(1);

/// In which a notification is received.
const NOTIFIED: Duration = Duration::from_millis(1);

/// For how long a tombstone is kept where nothing is stored.
const FENCE: Duration = Duration::from_secs(6 * 60);

/// How many may be pending.
const MOST: usize = 4_096;

/// More than that.
const TOO_MANY: usize = MOST + 100;

/// Asks for a response that may take days. Returns its body.
fn begin_long(node: &Node, path: &str) -> JoinHandle<String> {
    let asked = node.service.clone().oneshot(request(Method::GET, path));
    tokio::spawn(async move {
        let Ok(response) = asked.await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    })
}

async fn write(node: &Node, method: Method, path: &str) -> Seen {
    node.send(request(method, path)).await
}

async fn flood(node: &Node, writes: usize) {
    for index in 0..writes {
        write(node, Method::POST, &format!("/flood/{index}")).await;
    }
}

/// A node whose shared tier takes so long for each operation, or fails.
async fn with_fault(network: &Network, origin: &Origin, fault: Fault) -> (Node, impl Fn(Fault)) {
    let store = network.server.node();
    let node = network.over(origin, &store, |it| it);
    node.is_connected().await;
    store.fail(fault);
    (node, move |fault| store.fail(fault))
}

// === What a flood delays ===

#[tokio::test(start_paused = true)]
async fn a_write_to_something_stored_does_not_wait_for_a_flood() {
    type Write = fn(&str) -> Request<Full<bytes::Bytes>>;
    let table: [(&str, Write); 5] = [
        ("POST", |path| request(Method::POST, path)),
        ("PUT", |path| request(Method::PUT, path)),
        ("DELETE", |path| request(Method::DELETE, path)),
        ("PATCH", |path| request(Method::PATCH, path)),
        ("an unknown method", |path| {
            request(Method::from_bytes(b"FROB").unwrap(), path)
        }),
    ];
    for stored_by in ["the node that writes", "the other node"] {
        for (what, write) in &table {
            let network = Network::new();
            let origin = Origin::counting();
            let (first, _) = with_fault(&network, &origin, Fault::Slow(TAKES)).await;
            let [second] = network.nodes(&origin).await;
            let one = if stored_by == "the other node" {
                &second
            } else {
                &first
            };
            let old = one.get("/a").await;
            one.settle().await;
            second.get("/a").await;
            sleep(NOTIFIED).await;
            flood(&first, 1_000).await;
            first.send(write("/a")).await;
            sleep(2 * TAKES + NOTIFIED).await;
            let new = second.get("/a").await;
            let newer = version(&new.body) > version(&old.body);
            assert!(newer, "{what}, stored by {stored_by}: {new:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_to_a_partition_does_not_wait_for_a_flood() {
    let network = Network::new();
    let origin = Origin::counting();
    let store = network.server.node();
    let first = network.over(&origin, &store, by_tenant);
    let [second] = network.nodes_with(&origin, by_tenant).await;
    first.is_connected().await;
    let of_red = || get_with("/a", "x-tenant", "red");
    let old = first.send(of_red()).await;
    first.settle().await;
    assert_eq!(second.send(of_red()).await.body, old.body);
    store.fail(Fault::Slow(TAKES));
    flood(&first, 1_000).await;
    write(&first, Method::POST, "/a").await;
    sleep(2 * TAKES + NOTIFIED).await;
    let new = second.send(of_red()).await;
    assert!(version(&new.body) > version(&old.body), "{new:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_write_names_does_not_wait_for_a_flood() {
    let network = Network::new();
    let count = AtomicU64::new(0);
    let origin = Origin::new(move |request| {
        let mut response = fresh(format!("v {}", count.fetch_add(1, Ordering::SeqCst)));
        if request.uri().path() == "/names" {
            let location = "/a".parse().unwrap();
            response.headers_mut().insert("location", location);
        }
        response
    });
    let (first, _) = with_fault(&network, &origin, Fault::Slow(TAKES)).await;
    let [second] = network.nodes(&origin).await;
    let old = first.get("/a").await;
    first.settle().await;
    assert_eq!(second.get("/a").await.body, old.body);
    flood(&first, 1_000).await;
    write(&first, Method::POST, "/names").await;
    sleep(2 * TAKES + NOTIFIED).await;
    let new = second.get("/a").await;
    assert!(version(&new.body) > version(&old.body), "{new:?}");
}

/// Nobody knows that it is stored: neither is it in memory, nor was the node there when it was
/// stored.
#[tokio::test(start_paused = true)]
async fn a_write_to_what_is_not_known_to_be_stored_waits_for_batches_only() {
    const WRITES: usize = 1_000;
    let network = Network::new();
    let origin = Origin::counting();
    let [second] = network.nodes(&origin).await;
    let old = second.get("/a").await;
    second.settle().await;
    let (first, _) = with_fault(&network, &origin, Fault::Slow(TAKES)).await;
    flood(&first, WRITES).await;
    write(&first, Method::POST, "/a").await;
    sleep(10 * TAKES + NOTIFIED).await;
    let new = second.get("/a").await;
    assert!(version(&new.body) > version(&old.body), "{new:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_was_away_is_told_of_what_is_stored_first() {
    let network = Network::new();
    let origin = Origin::counting();
    let (first, fail) = with_fault(&network, &origin, Fault::None).await;
    let [second] = network.nodes(&origin).await;
    let old = first.get("/a").await;
    first.settle().await;
    assert_eq!(second.get("/a").await.body, old.body);
    fail(Fault::Unavailable);
    flood(&first, 1_000).await;
    write(&first, Method::POST, "/a").await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(second.get("/a").await.body, old.body, "it cannot know");
    fail(Fault::Slow(TAKES));
    // The pause before it is tried again.
    sleep(Duration::from_millis(500) + 2 * TAKES + NOTIFIED).await;
    let new = second.get("/a").await;
    assert!(version(&new.body) > version(&old.body), "{new:?}");
}

// === What a flood leaves behind ===

#[tokio::test(start_paused = true)]
async fn a_write_to_what_nobody_stored_leaves_one_value_for_some_minutes() {
    let network = Network::new();
    let origin = Origin::counting();
    let [node] = network.nodes(&origin).await;
    flood(&node, 1_000).await;
    node.settle().await;
    // Again, to some of them.
    flood(&node, 10).await;
    write(&node, Method::DELETE, "/flood/11").await;
    node.settle().await;
    let names = network.server.names();
    assert_eq!(names.len(), 1_000);
    for name in names {
        let expires_in = network.server.expires_in(&name).unwrap();
        assert!(expires_in <= FENCE, "{name}: {expires_in:?}");
    }
    sleep(FENCE).await;
    assert_eq!(network.server.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_write_to_a_resource_with_partitions_leaves_no_more() {
    let network = Network::new();
    let origin = Origin::counting();
    let [node] = network.nodes_with(&origin, by_tenant).await;
    flood(&node, 100).await;
    node.settle().await;
    assert_eq!(network.server.names().len(), 100);
    // One partition was stored. It is not found any more, and what it was compared with is gone.
    node.send(get_with("/a", "x-tenant", "red")).await;
    node.settle().await;
    write(&node, Method::POST, "/a").await;
    node.settle().await;
    let names = network.server.names();
    let fences = names.iter().filter(|name| name.ends_with(":fence"));
    assert_eq!(fences.count(), 0, "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_lives_as_long_as_what_it_replaces() {
    let network = Network::new();
    let origin = Origin::new(|request| {
        let mut response = fresh("a body");
        if request.method() == Method::GET {
            let lifetime = format!("max-age={}", &request.uri().path()[1..]);
            let lifetime = lifetime.parse().unwrap();
            response.headers_mut().insert("cache-control", lifetime);
        }
        response
    });
    let set = |it: CacheBuilder| it.keep_stale_without_validator(Duration::ZERO);
    let [node] = network.nodes_with(&origin, set).await;
    for lifetime in [10, 300, 360, 1_000, 86_400] {
        let path = format!("/{lifetime}");
        node.get(&path).await;
        node.settle().await;
        write(&node, Method::POST, &path).await;
        write(&node, Method::POST, &path).await;
        node.settle().await;
        let names = network.server.names();
        let [name] = &names[..] else {
            panic!("not one value: {names:?}");
        };
        let expires_in = network.server.expires_in(name).unwrap();
        // What is stale is kept as well for a while.
        let expected = Duration::from_secs(lifetime).max(FENCE);
        let most = expected + Duration::from_secs(60);
        assert!(
            expires_in >= expected && expires_in <= most,
            "{expires_in:?}"
        );
        network.server.clear();
    }
}

// === What a fence is for ===

/// The second node has other settings than the first, and waits for its origin for days.
#[tokio::test(start_paused = true)]
async fn what_was_fetched_before_a_write_is_not_shared_after_it() {
    let seconds = Duration::from_secs;
    for takes in [1, 60, 299, 301, 359, 361, 500, 3_600, 86_400].map(seconds) {
        for stored in [true, false] {
            let network = Network::new();
            let count = Arc::new(AtomicU64::new(0));
            let origin = || {
                let count = Arc::clone(&count);
                Origin::new(move |_| {
                    Response::builder()
                        .header("cache-control", "max-age=600000")
                        .body(Full::new(
                            format!("v {}", count.fetch_add(1, Ordering::SeqCst)).into(),
                        ))
                        .unwrap()
                })
            };
            let (quick, slow) = (origin(), origin());
            let [first] = network
                .nodes_with(&quick, |it| it.origin_timeout(seconds(1)))
                .await;
            let patient = |it: CacheBuilder| it.origin_timeout(seconds(1_000_000));
            let [second] = network.nodes_with(&slow, patient).await;
            if stored {
                first.get("/a").await;
                first.settle().await;
                // Gone, so that there is something to fetch, and no tombstone that lives longer.
                network.server.clear();
            }
            slow.close();
            let fetching = begin_long(&second, "/a");
            slow.called(1).await;
            let old = count.load(Ordering::SeqCst) - 1;
            write(&first, Method::POST, "/a").await;
            first.settle().await;
            sleep(takes).await;
            slow.open();
            assert_eq!(version(&soon(fetching).await.unwrap()), old);
            second.settle().await;
            let [third] = network.nodes(&quick).await;
            for node in [&third, &first] {
                let seen = node.get("/a").await;
                assert!(version(&seen.body) > old, "{takes:?}: {seen:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_long_stays_in_the_memory_of_its_node() {
    for (takes, shared) in [(1, true), (299, true), (301, false), (3_000, false)] {
        let network = Network::new();
        let origin = Origin::counting();
        let day = Duration::from_secs(86_400);
        let [first, second] = network
            .nodes_with(&origin, |it| it.origin_timeout(day))
            .await;
        origin.close();
        let fetching = begin_long(&first, "/a");
        origin.called(1).await;
        sleep(Duration::from_secs(takes)).await;
        origin.open();
        let seen = soon(fetching).await.unwrap();
        first.settle().await;
        assert_eq!(first.get("/a").await.body, seen, "{takes}");
        let other = second.get("/a").await;
        assert_eq!(other.body == seen, shared, "{takes}: {other:?}");
    }
}

/// The tier has nothing of it, so what the write leaves there is gone after some minutes.
#[tokio::test(start_paused = true)]
async fn stale_if_error_never_serves_what_was_invalidated_long_ago() {
    let network = Network::new();
    let failing = Arc::new(AtomicBool::new(false));
    let origin = Origin::new({
        let failing = Arc::clone(&failing);
        move |_| {
            if failing.load(Ordering::SeqCst) {
                return status(StatusCode::INTERNAL_SERVER_ERROR);
            }
            Response::builder()
                .header("cache-control", "max-age=1, stale-if-error=600000")
                .header("etag", "\"a\"")
                .body(Full::new("old".into()))
                .unwrap()
        }
    });
    let [first] = network.nodes(&origin).await;
    let (told, away) = (network.server.node(), network.server.node());
    let told = network.over(&origin, &told, |it| it);
    let absent = network.over(&origin, &away, |it| it);
    told.is_connected().await;
    absent.is_connected().await;
    for path in ["/a", "/kept", "/late"] {
        first.get(path).await;
        first.settle().await;
        for node in [&told, &absent] {
            assert_eq!(node.get(path).await.body, "old");
        }
    }
    // It is evicted. Nodes are notified of that, but ask only when they need it.
    network.server.evict_responses();
    away.disconnect();
    sleep(Duration::from_secs(10)).await;
    write(&first, Method::POST, "/a").await;
    first.settle().await;
    sleep(2 * FENCE).await;
    away.reconnect();
    absent.is_connected().await;
    assert_eq!(network.server.names(), [""; 0]);
    failing.store(true, Ordering::SeqCst);
    for (node, path, expected) in [
        (&told, "/a", StatusCode::INTERNAL_SERVER_ERROR),
        (&absent, "/a", StatusCode::INTERNAL_SERVER_ERROR),
        // Nothing was invalidated: it is only gone from the tier.
        (&told, "/kept", StatusCode::OK),
        // This node cannot know.
        (&absent, "/kept", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let seen = node.get(path).await;
        assert_eq!(seen.status, expected, "{path}: {seen:?}");
    }
}

// === What is too much ===

#[tokio::test(start_paused = true)]
async fn if_too_many_are_pending_nothing_older_is_served() {
    let network = Network::new();
    let origin = Origin::counting();
    let (first, fail) = with_fault(&network, &origin, Fault::None).await;
    let [second] = network.nodes(&origin).await;
    let mut old = Vec::new();
    for path in ["/a", "/b"] {
        old.push(first.get(path).await);
        first.settle().await;
        assert!(second.get(path).await.is_hit());
    }
    fail(Fault::Unavailable);
    write(&first, Method::POST, "/a").await;
    flood(&first, TOO_MANY).await;
    assert_eq!(second.get("/a").await.body, old[0].body, "it cannot know");
    let before = network.server.operations();
    fail(Fault::None);
    // It is told before the rest is sent.
    sleep(Duration::from_millis(500) + NOTIFIED).await;
    // One that has nothing in memory finds it in the tier.
    let [third] = network.nodes(&origin).await;
    for node in [&second, &third, &first] {
        for (path, old) in ["/a", "/b"].iter().zip(&old) {
            let new = node.get(path).await;
            assert!(version(&new.body) > version(&old.body), "{new:?}");
        }
    }
    for node in [&first, &second, &third] {
        node.settle().await;
    }
    // Not one operation for each of those that were given up.
    let operations = network.server.operations() - before;
    assert!(operations < 200, "{operations} operations");
    // When clocks that differ cannot matter any more, nodes share again.
    sleep(Duration::from_secs(6)).await;
    let shared = first.get("/new").await;
    first.settle().await;
    assert_eq!(second.get("/new").await.body, shared.body);
    assert!(second.get("/new").await.is_hit());
}

#[tokio::test(start_paused = true)]
async fn others_are_told_at_most_once_a_second() {
    let network = Network::new();
    let origin = Origin::counting();
    let (first, fail) = with_fault(&network, &origin, Fault::Unavailable).await;
    // When they were told last.
    let told = || {
        let expires_in = network.server.expires_in("cachewarp:v1:everything")?;
        Some(Instant::now() + expires_in)
    };
    let told_after = async |before| {
        eventually("the others are told", async || told() > before).await;
        told()
    };
    flood(&first, TOO_MANY).await;
    assert_eq!(told(), None, "the tier is away");
    fail(Fault::Slow(TAKES));
    let mut last = told_after(None).await;
    for _ in 0..2 {
        // All of this takes no time, so that the tier cannot have taken any of it.
        flood(&first, TOO_MANY).await;
        let next = told_after(last).await;
        let pause = next.unwrap() - last.unwrap();
        let second = Duration::from_secs(1);
        assert!(pause >= second && pause <= second + 10 * TAKES, "{pause:?}");
        last = next;
    }
    first.settle().await;
    assert_eq!(told(), last);
}

/// What a node fetched before it was told is not shared after that: nobody knows whether it was
/// invalidated.
#[tokio::test(start_paused = true)]
async fn what_was_fetched_before_too_many_were_pending_is_not_shared() {
    let network = Network::new();
    let count = Arc::new(AtomicU64::new(0));
    let origin = || {
        let count = Arc::clone(&count);
        Origin::new(move |_| fresh(format!("v {}", count.fetch_add(1, Ordering::SeqCst))))
    };
    let (quick, slow) = (origin(), origin());
    let (first, fail) = with_fault(&network, &quick, Fault::Unavailable).await;
    let [second] = network.nodes(&slow).await;
    slow.close();
    let fetching = begin(&second, request(Method::GET, "/a"));
    slow.called(1).await;
    flood(&first, MOST).await;
    // This one is too many.
    write(&first, Method::POST, "/a").await;
    fail(Fault::None);
    // Longer than what clocks may differ by.
    sleep(Duration::from_secs(10)).await;
    slow.open();
    let old = soon(fetching).await.unwrap();
    second.settle().await;
    let [third] = network.nodes(&quick).await;
    for node in [&third, &second] {
        let new = node.get("/a").await;
        assert!(version(&new.body) > version(&old.body), "{new:?}");
    }
}
