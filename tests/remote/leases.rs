//! One node fetches and the others wait: what they wait for, and when they stop.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;

use crate::{
    nodes::{Node, Seen, eventually, soon, told_as},
    origin::{Origin, fresh, status},
    support::redis::{Server, standalone},
};

/// For how long a node may be silent before the others stop waiting for it.
const LEASE: Duration = Duration::from_secs(3);

/// What steps take on a machine that others use as well.
const SLACK: Duration = Duration::from_secs(1);

async fn nodes<const COUNT: usize>(origin: &Origin, redis: &Server) -> [Node; COUNT] {
    told_as(async || Node::patient(origin, redis).await).await
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

/// Where the holder finds Redis. Its presence makes this process the holder.
const HOLDER: &str = "CACHEWARP_TEST_HOLDER";

/// What the holder says once its origin was asked.
const ASKED: &str = "the origin was asked";

/// A node in a process of its own, whose origin never answers.
struct Holder(Child);

impl Holder {
    fn begin(redis: &Server, test: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(HOLDER, redis.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let asked = output.lines().any(|line| line.unwrap().contains(ASKED));
        assert!(asked, "the holder ended");
        Self(child)
    }

    /// What the process does.
    async fn act(url: &str) {
        let origin = Origin::new(|_| {
            println!("{ASKED}");
            fresh("never sent")
        });
        origin.close();
        let node = Node::with(&origin, url, |builder| builder).await;
        node.get("/a").await;
    }

    /// Ends the process as it is: it tells nobody.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_dies_costs_the_others_what_is_left_of_its_lease() {
    if let Ok(url) = env::var(HOLDER) {
        return Holder::act(&url).await;
    }
    let redis = standalone();
    let origin = Origin::counting();
    let nodes = nodes::<3>(&origin, &redis).await;
    let test = "leases::a_holder_that_dies_costs_the_others_what_is_left_of_its_lease";
    let mut holder = Holder::begin(&redis, test);
    let mut asked = ask_all(&nodes, 20, "/a");
    // They wait for the holder, as long as it lives: longer than its lease.
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    assert!(asked.try_join_next().is_none());
    assert_eq!(origin.calls_of("/a"), 0);
    holder.kill();
    let killed = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut bodies = Vec::new();
    while let Some(answer) = soon(asked.join_next()).await {
        let (seen, at) = answer.unwrap();
        assert_eq!(seen.status, StatusCode::OK);
        slowest = slowest.max(at - killed);
        bodies.push(seen.body);
    }
    println!(
        "all answered {slowest:?} after the holder died, with {} calls",
        origin.calls_of("/a")
    );
    assert!(slowest < LEASE + SLACK, "{slowest:?}");
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    // The holder's own, and one by those who waited.
    assert_eq!(origin.calls_of("/a"), 1);
}

// === What a holder's fetch comes to ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_origin_fails_each_node_asks_it_twice_at_most() {
    let redis = standalone();
    let origin = Origin::new(|request| match request.uri().path() {
        "/a" => status(StatusCode::INTERNAL_SERVER_ERROR),
        _ => fresh("well"),
    });
    let nodes = nodes::<4>(&origin, &redis).await;
    origin.close();
    let mut asked = ask_all(&nodes, 25, "/a");
    eventually("the origin is asked", async || origin.calls_of("/a") > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(origin.calls_of("/a"), 1);
    origin.open();
    let opened = Instant::now();
    let mut failed = 0;
    while let Some(answer) = soon(asked.join_next()).await {
        let (seen, _) = answer.unwrap();
        assert!(seen.status.is_server_error(), "{seen:?}");
        failed += 1;
    }
    println!(
        "{failed} answers after {:?}, with {} calls",
        opened.elapsed(),
        origin.calls_of("/a")
    );
    assert_eq!(failed, 100);
    assert!(opened.elapsed() < SLACK, "{:?}", opened.elapsed());
    assert!(
        origin.calls_of("/a") <= 8,
        "{} calls",
        origin.calls_of("/a")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_more_than_the_head_of_a_response_that_is_for_one_only() {
    let redis = standalone();
    let origin = Origin::new(|request| match request.uri().path() {
        "/a" => Response::builder()
            .header("cache-control", "private, max-age=60")
            .body(Full::new("for one client".into()))
            .unwrap(),
        _ => fresh("for all"),
    });
    let nodes = nodes::<4>(&origin, &redis).await;
    origin.close();
    let first = tokio::spawn({
        let node = nodes[0].clone();
        async move { node.get("/a").await }
    });
    eventually("the origin is asked", async || origin.calls_of("/a") > 0).await;
    let mut asked = ask_all(&nodes[1..], 10, "/a");
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The body of the first stays half sent while the others, who come later, get theirs.
    origin.hold_bodies();
    origin.open();
    let opened = Instant::now();
    eventually("the others ask for themselves", async || {
        origin.calls_of("/a") > 1
    })
    .await;
    origin.release_bodies();
    while let Some(answer) = soon(asked.join_next()).await {
        assert_eq!(answer.unwrap().0.status, StatusCode::OK);
    }
    println!("all answered {:?} after the first head", opened.elapsed());
    assert!(opened.elapsed() < SLACK, "{:?}", opened.elapsed());
    assert_eq!(soon(first).await.unwrap().body, "for one client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_takes_longer_than_the_lease_is_still_fetched_once() {
    const TAKES: Duration = Duration::from_secs(5);
    let redis = standalone();
    let origin = Origin::counting();
    let nodes = nodes::<4>(&origin, &redis).await;
    origin.hold_bodies();
    let mut asked = ask_all(&nodes, 25, "/a");
    tokio::time::sleep(TAKES).await;
    origin.release_bodies();
    let released = Instant::now();
    let mut bodies = Vec::new();
    while let Some(answer) = soon(asked.join_next()).await {
        bodies.push(answer.unwrap().0.body);
    }
    println!("all answered {:?} after the body's end", released.elapsed());
    assert!(released.elapsed() < SLACK, "{:?}", released.elapsed());
    assert_eq!(bodies.len(), 100);
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(origin.calls_of("/a"), 1);
}

/// What is too large for Redis stays on the node that fetched it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_do_not_queue_for_what_cannot_be_shared() {
    const TAKES: Duration = Duration::from_secs(2);
    let redis = standalone();
    let origin = Origin::new(|request| match request.uri().path() {
        "/a" => fresh(".".repeat(64 << 10)),
        _ => fresh("small"),
    });
    let nodes: [Node; 4] = told_as(async || {
        let redis = cachewarp::Redis::builder(redis.url())
            .max_value_bytes(16 << 10)
            .compression_threshold(None)
            .require_at_start(true);
        Node::over(&origin, redis.connect().await.unwrap(), |it| it)
    })
    .await;
    // Those who stand in line for the one before take longer than it.
    origin.slow_bodies(TAKES);
    let asked = Instant::now();
    let mut answers = ask_all(&nodes, 5, "/a");
    let mut slowest = Duration::ZERO;
    while let Some(answer) = soon(answers.join_next()).await {
        slowest = slowest.max(answer.unwrap().1 - asked);
    }
    println!(
        "all answered after {slowest:?}, with {} calls",
        origin.calls_of("/a")
    );
    assert!(
        slowest < 2 * TAKES + SLACK,
        "one after the other: {slowest:?}"
    );
    assert!(origin.calls_of("/a") <= 4);
}
