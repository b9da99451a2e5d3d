//! Two nodes under load, and pages whose version is raised before each purge: who asks after a purge
//! never gets an older one.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cachewarp::{Purge, PurgeError, PurgeRequest};
use http::{Method, StatusCode};
use tokio::{task::JoinSet, time::sleep};

use super::pages::{LOG, Pages, is_seen, version};
use crate::{
    nodes::{Node, connected, eventually, get_with, request},
    support::redis::{Server, standalone},
};

const CLIENTS: usize = 4;
const PATHS: [&str; 4] = ["/a", "/b", "/brief/c", "/brief/d"];

/// What only the one who measures asks for.
const MARK: &str = "/mark";

/// In which the other node applies a purge, of 99 in 100.
const HEARD: Duration = if cfg!(debug_assertions) {
    Duration::from_millis(500)
} else {
    Duration::from_millis(50)
};

/// Numbers that look random, the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

fn rounds(otherwise: usize) -> usize {
    let rounds = env::var("PURGE_ROUNDS").ok();
    rounds.map_or(otherwise, |it| it.parse().expect("a number of rounds"))
}

fn seed() -> u64 {
    let given = env::var("PURGE_SEED").ok();
    given.map_or_else(
        || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            now.as_nanos() as u64 | 1
        },
        |it| it.parse().expect("a seed"),
    )
}

/// One of the ways to purge all pages.
fn some_purge(numbers: &mut Numbers) -> PurgeRequest {
    match numbers.below(6) {
        0 => Purge::tag("page"),
        1 => Purge::group("http://a.test", "g"),
        2 => Purge::prefix("/"),
        3 => Purge::everything(),
        4 => Purge::host("a.test"),
        _ => {
            let marked = Purge::url(MARK);
            PATHS.iter().fold(marked, |purge, path| purge.url(*path))
        }
    }
}

/// Asks a node in some way, and checks the version of the answer.
async fn ask(node: &Node, least: &AtomicU64, numbers: &mut Numbers, seed: u64) {
    let path = PATHS[numbers.below(PATHS.len())];
    let kind = numbers.below(8);
    let asked = match kind {
        0 => request(Method::HEAD, path),
        1 => get_with(path, "range", "bytes=4-"),
        2 => get_with(path, "cache-control", "no-cache"),
        3 => get_with(path, "cache-control", "max-stale=600"),
        _ => request(Method::GET, path),
    };
    let least = least.load(Ordering::SeqCst);
    let seen = node.send(asked).await;
    let text = match (kind, seen.status) {
        (0, StatusCode::OK) => seen.headers["x-version"].to_str().unwrap(),
        (_, StatusCode::OK | StatusCode::PARTIAL_CONTENT) => &seen.body,
        _ => panic!("seed {seed}: {seen:?}"),
    };
    let found: u64 = text.parse().unwrap();
    assert!(
        found >= least,
        "seed {seed}: {found} after {least}, {path}, kind {kind}: {seen:?}"
    );
}

/// A node under load, and the version that it must not fall behind.
struct Loaded {
    node: Node,
    least: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<usize>,
}

impl Loaded {
    fn begin(node: Node, least: u64, numbers: &mut Numbers, seed: u64) -> Self {
        let least = Arc::new(AtomicU64::new(least));
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (node, least) = (node.clone(), Arc::clone(&least));
            let stop = Arc::clone(&stop);
            let mut numbers = Numbers(numbers.below(usize::MAX) as u64 | 1);
            clients.spawn(async move {
                let mut count = 0;
                while !stop.load(Ordering::SeqCst) {
                    ask(&node, &least, &mut numbers, seed).await;
                    count += 1;
                    if numbers.below(4) == 0 {
                        sleep(Duration::from_millis(1)).await;
                    }
                }
                count
            });
        }
        Self {
            node,
            least,
            stop,
            clients,
        }
    }

    /// From here on every request must see this version.
    fn must_have(&self, version: u64) {
        self.least.store(version, Ordering::SeqCst);
    }

    /// Returns how many requests there were.
    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let mut count = 0;
        while let Some(client) = self.clients.join_next().await {
            count += client.unwrap();
        }
        count
    }

    /// Fails if a client has.
    fn check(&mut self) {
        if let Some(ended) = self.clients.try_join_next() {
            ended.unwrap();
        }
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_after_a_purge_sees_what_was_published_before() {
    let seed = seed();
    let mut numbers = Numbers(seed);
    let redis = standalone();
    let pages = Pages::new();
    pages.origin.slow_bodies(Duration::from_millis(1));
    let [first, second] = connected(&pages.origin, &redis).await;
    let mut first = Loaded::begin(first, 1, &mut numbers, seed);
    let mut second = Loaded::begin(second, 1, &mut numbers, seed);
    let mut heard = Vec::new();
    for _ in 0..rounds(150) {
        // It is in the memory of both.
        version(&first.node, MARK).await;
        version(&second.node, MARK).await;
        sleep(Duration::from_millis(numbers.below(4) as u64)).await;
        let new = pages.publish();
        let purge = some_purge(&mut numbers);
        let purged = first.node.layer.handle().purge(purge).await;
        first.must_have(new);
        let returned = Instant::now();
        assert!(purged.is_ok(), "seed {seed}: {purged:?}");
        let mut is_there = false;
        while !is_there {
            is_there = version(&second.node, MARK).await >= new;
            assert!(returned.elapsed() < Duration::from_secs(10), "seed {seed}");
        }
        heard.push(returned.elapsed());
        second.must_have(new);
        first.check();
        second.check();
    }
    let (half, most) = (percentile(&mut heard, 50), percentile(&mut heard, 99));
    let requests = first.end().await + second.end().await;
    println!("heard after {half:?}, 99 % within {most:?}; {requests} requests, seed {seed}");
    assert!(most <= HEARD, "seed {seed}: {most:?}");
}

/// Purges until it is told.
async fn purge_surely(node: &Node, purge: &PurgeRequest) {
    eventually("a purge is told", async || {
        match node.layer.handle().purge(purge.clone()).await {
            Ok(_) => true,
            Err(PurgeError::Pending(_)) => false,
            Err(other) => panic!("{other}"),
        }
    })
    .await;
}

/// What may happen to a log between two purges.
fn spoil(redis: &Server, numbers: &mut Numbers) {
    match numbers.below(4) {
        0 => drop(redis.command(&["FLUSHALL"])),
        1 => drop(redis.command(&[b"DEL".as_slice(), LOG])),
        2 => drop(redis.command(&[b"SET".as_slice(), LOG, b"no log"])),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_lost_at_any_time_brings_nothing_back() {
    let seed = seed();
    let mut numbers = Numbers(seed);
    let redis = standalone();
    let pages = Pages::new();
    pages.origin.slow_bodies(Duration::from_millis(1));
    let [first, second] = connected(&pages.origin, &redis).await;
    let mut first = Loaded::begin(first, 1, &mut numbers, seed);
    let mut second = Loaded::begin(second, 1, &mut numbers, seed);
    let mut requests = 0;
    for round in 0..rounds(80) {
        version(&first.node, MARK).await;
        version(&second.node, MARK).await;
        spoil(&redis, &mut numbers);
        let new = pages.publish();
        purge_surely(&first.node, &some_purge(&mut numbers)).await;
        first.must_have(new);
        if numbers.below(3) == 0 {
            spoil(&redis, &mut numbers);
        }
        if round % 8 == 7 {
            requests += second.end().await;
            let node = Node::new(&pages.origin, &redis).await;
            if round % 16 == 7 {
                node.is_connected().await;
            }
            second = Loaded::begin(node, new, &mut numbers, seed);
        }
        is_seen(&second.node, MARK, new).await;
        second.must_have(new);
        first.check();
        second.check();
    }
    requests += first.end().await + second.end().await;
    println!(
        "{requests} requests, {} calls, seed {seed}",
        pages.origin.calls()
    );
}
