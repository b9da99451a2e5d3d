//! What nodes do at the same moment: nobody stands in line without need, nothing is asked for
//! twice, and little is left behind.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cachewarp::{CacheBuilder, CacheOutcome, FixedTtl, Generated, StaleReason};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    nodes::{Node, Seen, begin, eventually, get_with, request, soon, told, told_as},
    origin::{Origin, fresh},
    support::redis::{Reply, standalone},
};

/// What the origin takes. Who stands in line for another takes twice as long; what is less than
/// that is slack for a machine that others use as well.
const TAKES: Duration = Duration::from_secs(1);

/// Longer than a lifetime of one second, in the whole seconds that ages are counted in.
pub(crate) const LIFETIME_OVER: Duration = Duration::from_millis(2_100);

/// In which requests that were begun would ask the origin, if they did.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

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

/// An origin whose answers are stale after a second, and may be served for ten minutes more.
fn revalidated_later() -> Origin {
    Origin::new(|_| {
        Response::builder()
            .header("cache-control", "max-age=1, stale-while-revalidate=600")
            .body(Full::new("a body".into()))
            .unwrap()
    })
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    request(Method::GET, path)
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

// === Nobody stands in line ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_do_not_queue_to_validate_the_same_response() {
    let redis = standalone();
    let origin = Origin::new(|_| {
        Response::builder()
            .header("cache-control", "no-cache")
            .header("etag", "\"a\"")
            .body(Full::new("a body".into()))
            .unwrap()
    });
    let nodes = told::<5>(&origin, &redis).await;
    origin.slow_bodies(TAKES);
    // First when nobody has it, then when all do.
    for round in 0..2 {
        let requests = nodes.iter().map(|it| (it.clone(), get("/a")));
        let slowest = slowest(requests).await;
        assert!(slowest < 2 * TAKES, "round {round}: {slowest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_do_not_queue_to_reload_the_same_response() {
    let redis = standalone();
    let origin = Origin::counting();
    let nodes = told::<5>(&origin, &redis).await;
    nodes[0].get("/a").await;
    nodes[0].settle().await;
    origin.slow_bodies(TAKES);
    let reload = || get_with("/a", "cache-control", "no-cache");
    let slowest = slowest(nodes.iter().map(|it| (it.clone(), reload()))).await;
    assert!(slowest < 2 * TAKES, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variants_of_a_response_are_fetched_side_by_side() {
    const LANGUAGES: [&str; 8] = ["de", "fr", "it", "es", "pt", "nl", "pl", "sv"];
    let redis = standalone();
    let origin = Origin::new(|_| {
        let mut response = fresh("a body");
        let vary = "accept-language".parse().unwrap();
        response.headers_mut().insert("vary", vary);
        response
    });
    let [node] = told(&origin, &redis).await;
    let variant = |language| get_with("/a", "accept-language", language);
    // From here on it is known that there are variants.
    node.send(variant("en")).await;
    node.settle().await;
    origin.slow_bodies(TAKES);
    let slowest = slowest(LANGUAGES.map(|it| (node.clone(), variant(it)))).await;
    assert!(slowest < 2 * TAKES, "{slowest:?}");
    assert_eq!(origin.calls_of("/a"), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_a_cookie_does_not_make_those_without_go_alone() {
    fn for_a_minute(builder: CacheBuilder) -> CacheBuilder {
        builder.ttl(FixedTtl::new(Duration::from_secs(60)))
    }
    let redis = standalone();
    let origin = Origin::new(|_| Response::new(Full::new("a body".into())));
    let [first, second] =
        told_as(async || Node::with(&origin, &redis.url(), for_a_minute).await).await;
    origin.close();
    let with_cookie = begin(&first, get_with("/a", "cookie", "a=b"));
    eventually("the first asks", async || origin.calls_of("/a") > 0).await;
    let mut without = vec![begin(&second, get("/a"))];
    sleep(MOMENT).await;
    origin.open();
    soon(with_cookie).await.unwrap();
    origin.close();
    eventually("the second asks", async || origin.calls_of("/a") > 1).await;
    without.extend((0..20).map(|_| begin(&second, get("/a"))));
    sleep(MOMENT).await;
    assert_eq!(origin.calls_of("/a"), 2);
    origin.open();
    for asked in without {
        assert_eq!(soon(asked).await.unwrap().body, "a body");
    }
    assert_eq!(origin.calls_of("/a"), 2);
}

// === What is stale, and may be served ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_refreshes_is_served_without_asking_redis_each_time() {
    const FOR: Duration = Duration::from_secs(2);
    let redis = standalone();
    let origin = revalidated_later();
    let [first, second] = told(&origin, &redis).await;
    for node in [&first, &second] {
        node.get("/a").await;
        node.settle().await;
    }
    sleep(LIFETIME_OVER).await;
    origin.close();
    assert_stale(&first.get("/a").await);
    eventually("the first refreshes", async || origin.calls_of("/a") > 1).await;
    assert!(redis.command(&["config", "resetstat"]).is_ok());
    let started = Instant::now();
    let mut served = 0;
    while started.elapsed() < FOR {
        assert_stale(&second.get("/a").await);
        served += 1;
        tokio::task::yield_now().await;
    }
    let stats = redis.command(&["info", "commandstats"]).text();
    // The masters' own keys are among what is read with `get`, once a second.
    assert!(served > 200, "{served} answers show nothing");
    assert!(calls(&stats, "get") <= 20, "{served} answers, {stats}");
    assert!(calls(&stats, "getrange") <= 20, "{served} answers, {stats}");
    assert_eq!(origin.calls_of("/a"), 2);
    origin.open();
}

/// How often Redis was given a command, by its statistics.
fn calls(stats: &str, command: &str) -> u64 {
    let begin = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&*begin));
    let number = line.and_then(|it| it.split(',').next());
    number.map_or(0, |it| it.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_if_cached_is_answered_with_what_is_stale_but_may_be_served() {
    let redis = standalone();
    let origin = revalidated_later();
    let [warm, cold] = told(&origin, &redis).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_if_cached_never_asks_the_origin() {
    let redis = standalone();
    let origin = Origin::counting();
    let [node] = told(&origin, &redis).await;
    node.get("/a").await;
    node.settle().await;
    assert!(redis.command(&["flushall"]).is_ok());
    // Asked in every state that the node is in until it knows that Redis is empty.
    let answered = eventually("the node knows", async || {
        let seen = node.send(only_if_cached("/a")).await;
        assert_eq!(origin.calls_of("/a"), 1, "{seen:?}");
        seen.outcome == CacheOutcome::Generated(Generated::OnlyIfCached)
    });
    let took = answered.await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    node.settle().await;
    assert_eq!(origin.calls_of("/a"), 1);
}

// === What is left behind ===

#[tokio::test]
async fn responses_for_one_client_only_leave_nothing_in_redis() {
    /// By right 1.5 s.
    const GONE: Duration = Duration::from_secs(5);
    let redis = standalone();
    let origin = Origin::new(|_| {
        Response::builder()
            .header("cache-control", "private")
            .body(Full::new("for one client".into()))
            .unwrap()
    });
    let [node] = told(&origin, &redis).await;
    for index in 0..200 {
        node.get(&format!("/{index}")).await;
    }
    for _ in 0..100 {
        node.get("/same").await;
    }
    node.settle().await;
    assert_eq!(origin.calls(), 300);
    let left = || match redis.command(&["keys", "*"]) {
        Reply::Array(keys) => keys.iter().map(Reply::text).collect::<Vec<_>>(),
        other => panic!("not keys: {other:?}"),
    };
    let took = eventually("the keys are gone", async || left().len() <= 1).await;
    assert!(took < GONE, "{took:?}");
    // That one is the master's own.
    let left = left();
    assert!(left.iter().all(|it| it.ends_with(":alive")), "{left:?}");
    assert_eq!(left.len(), 1);
}
