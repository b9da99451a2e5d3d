//! Purges across nodes: who asks any node after it heard of a purge never gets what was fetched before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cachewarp::{Purge, PurgeError, PurgedShared};
use http::Response;
use http_body_util::Full;
use tokio::time::sleep;

use super::{
    network::Network,
    node::{Node, eventually},
    origin::Origin,
};
use crate::remote::in_memory::Fault;

/// Pages with a version, tagged, with a validator that never changes.
struct Pages {
    version: Arc<AtomicU64>,
    origin: Origin,
}

impl Pages {
    fn new() -> Self {
        let version = Arc::new(AtomicU64::new(1));
        let now = Arc::clone(&version);
        let origin = Origin::new(move |_| {
            Response::builder()
                .header("cache-control", "max-age=3600, stale-if-error=3600")
                .header("cache-tag", "page")
                .header("cache-groups", "\"g\"")
                .header("etag", "\"same\"")
                .body(Full::new(now.load(Ordering::SeqCst).to_string().into()))
                .unwrap()
        });
        Self { version, origin }
    }

    fn publish(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }
}

/// In which a node hears of a change.
const HEARD: Duration = Duration::from_millis(5);

async fn body(node: &Node, path: &str) -> String {
    let seen = node.get(path).await;
    node.settle().await;
    seen.body
}

#[tokio::test(start_paused = true)]
async fn a_purge_on_one_node_is_in_force_on_all() {
    for purge in [
        Purge::tag("page"),
        Purge::group("http://a.test", "g"),
        Purge::url("/x"),
        Purge::prefix("/").validate(),
        Purge::everything(),
    ] {
        let (network, pages) = (Network::new(), Pages::new());
        let [first, second] = network.nodes(&pages.origin).await;
        assert_eq!(body(&first, "/x").await, "1");
        assert_eq!(body(&second, "/x").await, "1");
        assert_eq!(
            pages.origin.calls(),
            1,
            "the second node has it from the tier"
        );
        pages.publish();
        let named = format!("{purge:?}");
        let purged = first.layer.handle().purge(purge).await.unwrap();
        assert!(
            matches!(purged.shared, PurgedShared::Told { .. }),
            "{purged:?}"
        );
        sleep(HEARD).await;
        assert_eq!(body(&second, "/x").await, "2", "{named}");
        assert_eq!(body(&first, "/x").await, "2", "{named}");
        assert!(second.get("/x").await.is_hit());
        assert!(first.get("/x").await.is_hit());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_applies_what_it_missed_before_it_answers() {
    let (network, pages) = (Network::new(), Pages::new());
    let [first] = network.nodes(&pages.origin).await;
    let away = network.server.node();
    let second = network.over(&pages.origin, &away, |it| it);
    second.is_connected().await;
    assert_eq!(body(&first, "/x").await, "1");
    assert_eq!(body(&second, "/x").await, "1");
    away.disconnect();
    away.fail(Fault::Unavailable);
    pages.publish();
    first
        .layer
        .handle()
        .purge(Purge::tag("page"))
        .await
        .unwrap();
    assert_eq!(body(&second, "/x").await, "1", "it hears of nothing");
    away.fail(Fault::None);
    // Not notified yet, but it can ask.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(body(&second, "/x").await, "2");
    away.reconnect();
    assert_eq!(body(&second, "/x").await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_restarts_applies_the_log_before_it_uses_the_tier() {
    let (network, pages) = (Network::new(), Pages::new());
    let [first] = network.nodes(&pages.origin).await;
    assert_eq!(body(&first, "/x").await, "1");
    assert_eq!(body(&first, "/y").await, "1");
    pages.publish();
    first.layer.handle().purge(Purge::url("/x")).await.unwrap();
    let [restarted] = network.nodes(&pages.origin).await;
    assert_eq!(body(&restarted, "/x").await, "2");
    assert_eq!(body(&restarted, "/y").await, "1", "still in the tier");
    assert_eq!(pages.origin.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_the_tier_does_not_record_is_pending_and_told_later() {
    let (network, pages) = (Network::new(), Pages::new());
    let [second] = network.nodes(&pages.origin).await;
    let away = network.server.node();
    let first = network.over(&pages.origin, &away, |it| it);
    first.is_connected().await;
    assert_eq!(body(&second, "/x").await, "1");
    assert_eq!(body(&first, "/x").await, "1");
    pages.publish();
    away.fail(Fault::Unavailable);
    let refused = first
        .layer
        .handle()
        .purge(Purge::tag("page"))
        .await
        .unwrap_err();
    let PurgeError::Pending(purged) = refused else {
        panic!("{refused}");
    };
    assert!(purged.here.in_force);
    assert_eq!(purged.shared, PurgedShared::Pending);
    assert_eq!(body(&first, "/x").await, "2", "in force here");
    assert_eq!(body(&second, "/x").await, "1", "not told yet");
    away.fail(Fault::None);
    eventually("the other node is told", async || {
        body(&second, "/x").await == "2"
    })
    .await;
    assert_eq!(body(&first, "/x").await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_drained_tells_of_its_purges_first() {
    let (network, pages) = (Network::new(), Pages::new());
    let away = network.server.node();
    let node = network.over(&pages.origin, &away, |it| it);
    node.is_connected().await;
    let handle = node.layer.handle();
    away.fail(Fault::Unavailable);
    assert!(handle.purge(Purge::tag("page")).await.is_err());
    assert_eq!(handle.stats().pending_purges, 1);
    let began = tokio::time::Instant::now();
    assert_eq!(handle.drain(Duration::from_secs(9)).await, 0);
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "it waits for no tier that is away"
    );
    assert_eq!(handle.stats().pending_purges, 1);
    away.fail(Fault::None);
    assert_eq!(handle.drain(Duration::from_secs(9)).await, 0);
    assert_eq!(handle.stats().pending_purges, 0);
}

#[tokio::test(start_paused = true)]
async fn what_others_store_while_a_purge_is_pending_is_not_used() {
    let (network, pages) = (Network::new(), Pages::new());
    let [second] = network.nodes(&pages.origin).await;
    let away = network.server.node();
    let first = network.over(&pages.origin, &away, |it| it);
    first.is_connected().await;
    // The other node fetches before the purge, and stores afterwards.
    pages.origin.close();
    let fetching = super::node::begin(&second, super::node::request(http::Method::GET, "/x"));
    pages.origin.called(1).await;
    away.fail(Fault::Unavailable);
    assert!(
        first
            .layer
            .handle()
            .purge(Purge::tag("page"))
            .await
            .is_err()
    );
    pages.origin.open();
    assert_eq!(fetching.await.unwrap().body, "1");
    second.settle().await;
    pages.publish();
    away.fail(Fault::None);
    assert_eq!(body(&first, "/x").await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_lost_costs_fetches_and_brings_nothing_back() {
    type Lose = fn(&Network);
    let losses: [(&str, Lose); 2] = [
        ("flushed", |network| network.server.clear()),
        ("evicted", |network| {
            let names = network.server.names();
            let log = names.iter().find(|name| name.ends_with("purges"));
            network
                .server
                .evict(log.unwrap_or(&"cachewarp:1:purges".to_owned()));
        }),
    ];
    for (how, lose) in losses {
        let (network, pages) = (Network::new(), Pages::new());
        let [first] = network.nodes(&pages.origin).await;
        let away = network.server.node();
        let second = network.over(&pages.origin, &away, |it| it);
        second.is_connected().await;
        assert_eq!(body(&first, "/x").await, "1");
        assert_eq!(body(&second, "/x").await, "1");
        // The second node does not hear of the purge, and the log is lost before it asks.
        away.disconnect();
        away.fail(Fault::Unavailable);
        pages.publish();
        first
            .layer
            .handle()
            .purge(Purge::tag("page"))
            .await
            .unwrap();
        lose(&network);
        away.fail(Fault::None);
        away.reconnect();
        second.is_connected().await;
        assert_eq!(body(&second, "/x").await, "2", "{how}");
        assert_eq!(body(&first, "/x").await, "2", "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn soft_purges_are_soft_on_every_node() {
    let network = Network::new();
    let origin = Origin::new(|_| {
        Response::builder()
            .header("cache-control", "max-age=3600, stale-while-revalidate=60")
            .header("cache-tag", "page")
            .body(Full::new("page".into()))
            .unwrap()
    });
    let [first, second] = network.nodes(&origin).await;
    body(&first, "/x").await;
    body(&second, "/x").await;
    first
        .layer
        .handle()
        .purge(Purge::tag("page").soft())
        .await
        .unwrap();
    sleep(HEARD).await;
    let seen = second.get("/x").await;
    assert!(
        matches!(seen.outcome, cachewarp::CacheOutcome::Stale { .. }),
        "{seen:?}"
    );
    second.settle().await;
    assert_eq!(origin.calls(), 2, "refreshed in the background");
    assert!(second.get("/x").await.is_hit());
}

#[tokio::test(start_paused = true)]
async fn groups_that_a_write_names_are_validated_on_every_node() {
    let network = Network::new();
    let version = Arc::new(AtomicU64::new(1));
    let now = Arc::clone(&version);
    let origin = Origin::new(move |request| {
        let response = Response::builder().header("cache-groups", "\"g\"");
        let response = if request.method() == http::Method::POST {
            now.fetch_add(1, Ordering::SeqCst);
            response.header("cache-group-invalidation", "\"g\"")
        } else {
            response.header("cache-control", "max-age=3600")
        };
        let body = now.load(Ordering::SeqCst).to_string();
        response.body(Full::new(body.into())).unwrap()
    });
    let [first, second] = network.nodes(&origin).await;
    assert_eq!(body(&second, "/x").await, "1");
    first
        .send(super::node::request(http::Method::POST, "/other"))
        .await;
    sleep(HEARD).await;
    assert_eq!(body(&second, "/x").await, "2");
}

/// The notification came, but the log could not be read.
#[tokio::test(start_paused = true)]
async fn a_purge_that_could_not_be_read_is_read_before_memory_is_used_again() {
    let (network, pages) = (Network::new(), Pages::new());
    let [first] = network.nodes(&pages.origin).await;
    let away = network.server.node();
    let second = network.over(&pages.origin, &away, |it| it);
    second.is_connected().await;
    assert_eq!(body(&first, "/x").await, "1");
    assert_eq!(body(&second, "/x").await, "1");
    away.fail(Fault::Unavailable);
    pages.publish();
    first
        .layer
        .handle()
        .purge(Purge::tag("page"))
        .await
        .unwrap();
    sleep(HEARD).await;
    away.fail(Fault::None);
    assert_eq!(body(&second, "/x").await, "2");
}

/// It has something in memory, and what was purged before it could ask is lost.
#[tokio::test(start_paused = true)]
async fn a_node_that_began_without_the_tier_confirms_nothing_by_a_304() {
    let version = Arc::new(AtomicU64::new(1));
    let now = Arc::clone(&version);
    let origin = Origin::new(move |request| {
        let is_known = request.headers().contains_key("if-none-match");
        let body = match is_known {
            true => String::new(),
            false => now.load(Ordering::SeqCst).to_string(),
        };
        Response::builder()
            .status(if is_known { 304 } else { 200 })
            .header("cache-control", "max-age=3600")
            .header("etag", "\"same\"")
            .body(Full::new(body.into()))
            .unwrap()
    });
    let network = Network::new();
    let [first] = network.nodes(&origin).await;
    let away = network.server.node();
    away.fail(Fault::Unavailable);
    let second = network.over(&origin, &away, |it| it);
    assert_eq!(body(&second, "/x").await, "1");
    version.store(2, Ordering::SeqCst);
    let purge = Purge::everything();
    first.layer.handle().purge(purge).await.unwrap();
    network.server.clear();
    away.fail(Fault::None);
    second.is_connected().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(body(&second, "/x").await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_purge_whose_caller_goes_away_is_told_all_the_same() {
    let (network, pages) = (Network::new(), Pages::new());
    let [second] = network.nodes(&pages.origin).await;
    let slow = network.server.node();
    let first = network.over(&pages.origin, &slow, |it| it);
    first.is_connected().await;
    assert_eq!(body(&second, "/x").await, "1");
    pages.publish();
    slow.fail(Fault::Slow(Duration::from_millis(20)));
    let handle = first.layer.handle();
    let purge = handle.purge(Purge::tag("page"));
    assert!(
        tokio::time::timeout(Duration::from_millis(1), purge)
            .await
            .is_err()
    );
    sleep(Duration::from_millis(100)).await;
    assert_eq!(body(&second, "/x").await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_wants_for_replicas_hears_of_others_and_says_that_its_purge_is_pending() {
    let (network, pages) = (Network::new(), Pages::new());
    let [second] = network.nodes(&pages.origin).await;
    let store = network
        .server
        .node_with(crate::remote::store::RemoteLimits {
            namespace: "cachewarp".to_owned(),
            max_value_bytes: 16 << 10,
            compression_threshold: None,
            read_timeout: Duration::from_millis(50),
            purge_replicas: 1,
            max_pending: 4_096,
        });
    let first = network.over(&pages.origin, &store, |it| it);
    first.is_connected().await;
    for path in ["/x", "/y"] {
        assert_eq!(body(&first, path).await, "1");
    }
    network.server.replicate(0);
    assert!(first.layer.handle().purge(Purge::url("/x")).await.is_err());
    pages.publish();
    second.layer.handle().purge(Purge::url("/y")).await.unwrap();
    sleep(HEARD).await;
    assert_eq!(
        body(&first, "/y").await,
        "2",
        "it hears of the other's purge"
    );
    network.server.replicate(1);
    eventually("it is recorded", async || {
        first.layer.handle().stats().pending_purges == 0
    })
    .await;
}
