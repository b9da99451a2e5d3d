//! A node that writes to very many URLs at full speed, and what that delays on another node.
//!
//! In CI this takes two seconds. `FLOOD_SECONDS=10 FLOOD_ROUNDS=1` in the environment floods for
//! longer, and with `--nocapture` the test prints what it measured.

use std::{
    convert::Infallible,
    env,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::{CacheLayer, CacheService, Memory, Redis};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::{runtime::Runtime, task::yield_now};
use tower::{Layer, Service, ServiceExt};

use crate::{
    lateness::Tickers,
    nodes::{eventually, request},
    support::redis::{Reply, Server, standalone},
};

/// How soon another node stops serving what was invalidated.
const MOST: Duration = Duration::from_millis(50);

/// How many URLs one round of keys is about.
const WRITES: usize = 5_000;

/// The origin: every GET has another body, fresh for an hour.
#[derive(Clone)]
struct Versions(Arc<AtomicU64>);

impl Versions {
    fn answer(&self, request: &Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return Response::new(Full::default());
        }
        let version = self.0.fetch_add(1, Ordering::SeqCst);
        Response::builder()
            .header("cache-control", "max-age=3600")
            .body(Full::new(version.to_string().into()))
            .unwrap()
    }
}

impl Service<Request<Full<Bytes>>> for Versions {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

/// A node with a runtime of its own, as in another process.
struct Node {
    runtime: Runtime,
    layer: CacheLayer,
    service: CacheService<Versions>,
}

impl Node {
    fn new(redis: &Server, origin: &Versions) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let layer = runtime.block_on(async {
            let redis = Redis::builder(redis.url()).require_at_start(true);
            let redis = redis.connect().await.unwrap();
            let memory = Memory::with_capacity(64 << 20);
            let layer = CacheLayer::builder().memory(memory).remote(redis);
            let layer = layer.build().unwrap();
            eventually("the node is notified of changes", async || {
                layer.handle().stats().remote_connected
            })
            .await;
            layer
        });
        let service = layer.layer(origin.clone());
        Self {
            runtime,
            layer,
            service,
        }
    }

    fn get(&self, path: &str) -> u64 {
        let body = self
            .runtime
            .block_on(send(&self.service, Method::GET, path));
        str::from_utf8(&body).unwrap().parse().unwrap()
    }

    fn settle(&self) {
        let handle = self.layer.handle();
        let deadline = Duration::from_secs(60);
        assert_eq!(self.runtime.block_on(handle.drain(deadline)), 0);
    }

    /// Writes at full speed for this time. Returns how many writes that were.
    fn flood(&self, span: Duration) -> usize {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let ends = Instant::now() + span;
        let floods = (0..2).map(|_| {
            let service = self.service.clone();
            self.runtime.spawn(async move {
                let mut writes = 0;
                while Instant::now() < ends {
                    let path = format!("/flood/{}", COUNT.fetch_add(1, Ordering::SeqCst));
                    send(&service, Method::POST, &path).await;
                    // A server would read the next request here.
                    yield_now().await;
                    writes += 1;
                }
                writes
            })
        });
        let floods: Vec<_> = floods.collect();
        let writes = floods.into_iter().map(|it| self.runtime.block_on(it));
        writes.map(Result::unwrap).sum()
    }
}

async fn send(service: &CacheService<Versions>, method: Method, path: &str) -> Bytes {
    let Ok(response) = service.clone().oneshot(request(method, path)).await;
    response.into_body().collect().await.unwrap().to_bytes()
}

/// A number from the environment.
fn setting(name: &str, default: f64) -> f64 {
    let set = env::var(name).ok();
    set.map_or(default, |it| it.parse().expect("a number"))
}

#[test]
fn a_flood_of_writes_does_not_delay_a_write_to_what_is_stored() {
    let span = Duration::from_secs_f64(setting("FLOOD_SECONDS", 0.25));
    let rounds = setting("FLOOD_ROUNDS", 4.) as usize;
    let redis = standalone();
    let origin = Versions(Arc::default());
    let second = Node::new(&redis, &origin);
    let path = |what: &str, round| format!("/{what}/{round}");
    // Before the first node is there, so that it cannot know.
    for round in 0..rounds {
        second.get(&path("unknown", round));
    }
    second.settle();
    let first = Node::new(&redis, &origin);
    let tickers = second.runtime.spawn(async { Tickers::begin() });
    let tickers = second.runtime.block_on(tickers).unwrap();
    let mut delays = Vec::new();
    for round in 0..rounds {
        for what in ["known", "unknown"] {
            let path = path(what, round);
            let old = second.get(&path);
            second.settle();
            let writes = first.flood(span);
            first
                .runtime
                .block_on(send(&first.service, Method::POST, &path));
            let written = Instant::now();
            let deadline = written + Duration::from_secs(60);
            while second.get(&path) == old {
                assert!(Instant::now() < deadline, "{what}: never");
                std::thread::sleep(Duration::from_micros(200));
            }
            let seen = Instant::now();
            println!("{what}: {:?} after {writes} writes", seen - written);
            delays.push((what, written, seen));
            second.settle();
        }
    }
    let late = second.runtime.block_on(tickers.end());
    for what in ["known", "unknown"] {
        let of_these = delays.iter().filter(|(it, ..)| *it == what);
        let mut sorted: Vec<_> = of_these.map(|(_, from, to)| *to - *from).collect();
        sorted.sort();
        let p99 = sorted[(sorted.len() * 99).div_ceil(100) - 1];
        println!("{what}: p50 {:?}, p99 {p99:?}", sorted[sorted.len() / 2]);
    }
    for (what, from, to) in delays {
        let most = if what == "known" { MOST } else { 20 * MOST };
        let delay = (to - from).saturating_sub(late.held_up(from, to));
        assert!(delay <= most, "{what}: {delay:?}");
    }
}

#[test]
fn writes_to_what_nobody_stored_leave_one_short_lived_key_each() {
    let redis = standalone();
    let node = Node::new(&redis, &Versions(Arc::default()));
    node.runtime.block_on(async {
        for index in 0..WRITES {
            send(&node.service, Method::POST, &format!("/{index}")).await;
        }
    });
    node.settle();
    // But for the one by which a node sees whether it is notified.
    let counted = "return #redis.call('KEYS', ARGV[1])";
    let keys = redis.command(&["EVAL", counted, "0", "cachewarp:v1:{*"]);
    println!("{keys:?} keys after {WRITES} writes");
    assert_eq!(keys, Reply::Integer(WRITES as i64));
    let any = "return redis.call('KEYS', ARGV[1])[1]";
    let key = redis.command(&["EVAL", any, "0", "cachewarp:v1:{*"]).text();
    let Reply::Integer(left) = redis.command(&["PTTL", &key]) else {
        panic!("{key} has no expiry");
    };
    println!("one of them expires in {left} ms");
    assert!(left <= 6 * 60 * 1_000, "{left}");
}
