//! Nodes that do the same at the same moment: no node queues without need, and little is left
//! behind.

use std::time::Duration;

use bytes::Bytes;
use cachewarp::{CacheBuilder, FixedTtl};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    network::Network,
    node::{Node, begin, get_with, request, soon},
    origin::{Origin, fresh},
};

/// What the origin takes. Who queues for another takes twice as long.
const TAKES: Duration = Duration::from_secs(1);

/// In which requests that were begun would ask the origin, if they did.
const MOMENT: Duration = Duration::from_millis(300);

/// Sends all of these at once. Returns how long the slowest took.
async fn slowest(requests: impl IntoIterator<Item = (Node, Request<Full<Bytes>>)>) -> Duration {
    let started = Instant::now();
    let mut asked = JoinSet::new();
    for (node, request) in requests {
        asked.spawn(async move {
            let seen = node.send(request).await;
            assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
            started.elapsed()
        });
    }
    let all = soon(asked.join_all()).await;
    all.into_iter().max().expect("something was asked")
}

fn get(path: &str) -> Request<Full<Bytes>> {
    request(Method::GET, path)
}

#[tokio::test(start_paused = true)]
async fn nodes_do_not_queue_to_validate_the_same_response() {
    let network = Network::new();
    let origin = Origin::new(|_| {
        Response::builder()
            .header("cache-control", "no-cache")
            .header("etag", "\"a\"")
            .body(Full::new("a body".into()))
            .unwrap()
    });
    let nodes = network.nodes::<5>(&origin).await;
    origin.slow_bodies(TAKES);
    // First when no node has it, then when all do.
    for round in 0..2 {
        let requests = nodes.iter().map(|it| (it.clone(), get("/a")));
        assert_eq!(slowest(requests).await, TAKES, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_do_not_queue_to_reload_the_same_response() {
    let network = Network::new();
    let origin = Origin::counting();
    let nodes = network.nodes::<5>(&origin).await;
    nodes[0].get("/a").await;
    nodes[0].settle().await;
    origin.slow_bodies(TAKES);
    let reload = || get_with("/a", "cache-control", "no-cache");
    let slowest = slowest(nodes.iter().map(|it| (it.clone(), reload()))).await;
    assert_eq!(slowest, TAKES);
}

#[tokio::test(start_paused = true)]
async fn the_variants_of_a_response_are_fetched_side_by_side() {
    const LANGUAGES: [&str; 8] = ["de", "fr", "it", "es", "pt", "nl", "pl", "sv"];
    let network = Network::new();
    let origin = Origin::new(|_| {
        let mut response = fresh("a body");
        let vary = "accept-language".parse().unwrap();
        response.headers_mut().insert("vary", vary);
        response
    });
    let [node] = network.nodes(&origin).await;
    let variant = |language| get_with("/a", "accept-language", language);
    // From here on it is known that there are variants.
    node.send(variant("en")).await;
    node.settle().await;
    origin.slow_bodies(TAKES);
    let slowest = slowest(LANGUAGES.map(|it| (node.clone(), variant(it)))).await;
    assert_eq!(slowest, TAKES);
    assert_eq!(origin.calls_of("/a"), 9);
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_cookie_does_not_make_those_without_go_alone() {
    fn for_a_minute(builder: CacheBuilder) -> CacheBuilder {
        builder.ttl(FixedTtl::new(Duration::from_secs(60)))
    }
    let network = Network::new();
    let origin = Origin::new(|_| Response::new(Full::new("a body".into())));
    let [first, second] = network.nodes_with(&origin, for_a_minute).await;
    origin.close();
    let with_cookie = begin(&first, get_with("/a", "cookie", "a=b"));
    origin.called(1).await;
    let mut without = vec![begin(&second, get("/a"))];
    sleep(MOMENT).await;
    origin.open();
    soon(with_cookie).await.unwrap();
    origin.close();
    origin.called(2).await;
    without.extend((0..20).map(|_| begin(&second, get("/a"))));
    sleep(MOMENT).await;
    assert_eq!(origin.calls_of("/a"), 2);
    origin.open();
    let opened = Instant::now();
    for asked in without {
        assert_eq!(soon(asked).await.unwrap().body, "a body");
    }
    assert_eq!(opened.elapsed(), Duration::ZERO);
    assert_eq!(origin.calls_of("/a"), 2);
}

#[tokio::test(start_paused = true)]
async fn responses_for_one_client_only_leave_nothing_behind() {
    /// How long the notes for other nodes stay.
    const NOTED: Duration = Duration::from_secs(1);
    let network = Network::new();
    let origin = Origin::new(|_| {
        Response::builder()
            .header("cache-control", "private")
            .body(Full::new("for one client".into()))
            .unwrap()
    });
    let [node] = network.nodes(&origin).await;
    for index in 0..200 {
        node.get(&format!("/{index}")).await;
    }
    for _ in 0..100 {
        node.get("/same").await;
    }
    node.settle().await;
    assert_eq!(origin.calls(), 300);
    let notes = network.server.names();
    assert_eq!(notes.len(), 201, "{notes:?}");
    sleep(NOTED).await;
    assert_eq!(network.server.names(), [""; 0]);
}
