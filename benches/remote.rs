//! What a hit in the shared tier costs in addition to the read of Redis that it takes.
//!
//! One node stores responses; others, whose memory is empty, are asked for them. Each request is
//! one `GET` to Redis, which the server's own counts confirm, and no call of the origin. The bar is
//! a `GET` of the same names by hand, through a client with the same settings, in alternating
//! rounds of one run.
//!
//! `cargo bench --bench remote` prints a table: the median latency of one request after the other,
//! then requests a second of 64 at a time. The ratios are medians over rounds of the ratio within a
//! round. It takes less than two minutes, and a `redis-server` on the path.

#[path = "../tests/support/mod.rs"]
#[allow(
    dead_code,
    reason = "a module of the tests, of which this program uses a part"
)]
mod support;

use std::{
    convert::Infallible,
    fmt::Write,
    future::{Ready, ready},
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::{CacheLayer, CacheOutcome, CacheService, Memory, Redis};
use fred::{
    clients::Pool,
    interfaces::{ClientLike, KeysInterface},
    types::{
        Builder as Clients,
        config::{Config, ReconnectPolicy},
    },
};
use futures_util::future::join_all;
use http::{
    HeaderValue, Request, Response,
    header::{
        ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, HOST,
        LAST_MODIFIED, USER_AGENT,
    },
};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

use support::redis::{self, Reply, Server};

/// Rounds of each side, in turn.
const ROUNDS: usize = 15;

/// Requests in a round of one after the other.
const SEQUENCE: usize = 256;

/// Requests in a round of a crowd.
const CROWDED: usize = 768;

/// URLs: every request of a round has one of its own.
const KEYS: usize = SEQUENCE + CROWDED;

/// Requests at a time in a crowd.
const CROWD: usize = 64;

const SIZES: [usize; 4] = [200, 1 << 10, 16 << 10, 64 << 10];

/// The library's default.
const POOL: usize = 2;

/// For reads and writes: the library's defaults would end the bench when the machine is busy.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the library adds to the longer of its timeouts before it gives up a connection.
const UNRESPONSIVE_LOOK: Duration = Duration::from_millis(100);

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a body is made of.
#[derive(Clone, Copy)]
struct Material {
    name: &'static str,
    make: fn(usize) -> Bytes,
}

const MATERIALS: [Material; 2] = [
    Material {
        name: "noise",
        make: noise,
    },
    Material {
        name: "JSON",
        make: json,
    },
];

/// The same numbers on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// What does not shrink, so that it is stored as it is.
fn noise(size: usize) -> Bytes {
    let mut numbers = Numbers(0xabc_def1);
    (0..size).map(|_| (numbers.next() >> 32) as u8).collect()
}

/// A list of products, which is compressed from 1 KiB on.
fn json(size: usize) -> Bytes {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut text = String::from("[");
    while text.len() < size {
        let (id, stock) = (numbers.next() % 10_000_000, numbers.next() % 500);
        write!(
            text,
            r#"{{"id":{id},"sku":"{:016x}","name":"copper lantern","stock":{stock}}},"#,
            numbers.next()
        )
        .expect("a string takes everything");
    }
    text.truncate(size);
    text.into()
}

/// The origin: six header fields, a body, and a count of its calls.
#[derive(Clone)]
struct Origin {
    body: Bytes,
    calls: Arc<AtomicUsize>,
}

impl Service<Request<Full<Bytes>>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let response = Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .header(CACHE_CONTROL, "public, max-age=3600")
            .header(ETAG, "\"33a64df551425fcc55e4d42a148795d9\"")
            .header(LAST_MODIFIED, "Wed, 21 Oct 2015 07:28:00 GMT")
            .header(CONTENT_LANGUAGE, "en")
            .header("x-request-cost", "1")
            .body(Full::new(self.body.clone()));
        ready(Ok(response.expect("the head is made of valid parts")))
    }
}

/// Request number `index`. All have a URL of the same length, so that what is stored has.
fn request(index: usize) -> Request<Full<Bytes>> {
    Request::get(format!("http://shop.example/items/{}", 10_000 + index))
        .header(HOST, HeaderValue::from_static("shop.example"))
        .header(ACCEPT, HeaderValue::from_static("*/*"))
        .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
        .header(USER_AGENT, HeaderValue::from_static("benches/1.0"))
        .body(Full::default())
        .expect("the head is made of valid parts")
}

/// Asks a node for what it has to read from Redis, and reads the answer to its end.
async fn hit(
    service: &mut CacheService<Origin>,
    request: Request<Full<Bytes>>,
    size: usize,
) -> CacheOutcome {
    let Ok(response) = service.call(request).await;
    let outcome = response.extensions().get().cloned();
    let body = response.into_body().collect().await;
    let body = black_box(body.expect("a stored body does not break").to_bytes());
    assert_eq!(body.len(), size);
    outcome.expect("the layer says how it answered")
}

fn is_hit(outcome: &CacheOutcome) -> bool {
    matches!(outcome, CacheOutcome::Hit { .. })
}

/// The read by hand.
async fn get(pool: &Pool, name: &str, encoded: usize) {
    let value: Option<Bytes> = pool.get(name).await.expect("Redis answers");
    assert_eq!(black_box(value).map(|value| value.len()), Some(encoded));
}

/// A client with the settings that the library gives its own.
async fn client(server: &Server) -> Pool {
    let config = Config::from_url(&server.url()).expect("a URL of Redis");
    let pool = Clients::from_config(config)
        .with_config(|config| config.fail_fast = false)
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 500, 2))
        .with_performance_config(|config| config.default_command_timeout = TIMEOUT)
        .with_connection_config(|config| {
            config.max_command_attempts = 1;
            config.tcp.nodelay = Some(true);
            config.unresponsive.max_timeout = Some(TIMEOUT + UNRESPONSIVE_LOOK);
            config.unresponsive.interval = UNRESPONSIVE_LOOK;
        })
        .build_pool(POOL)
        .expect("settings in range");
    pool.init().await.expect("the server is running");
    pool
}

/// What both sides are measured with.
struct Bench {
    /// Bytes of a value in Redis.
    encoded: usize,
    /// What the values are called in Redis.
    names: Vec<String>,
    origin: Origin,
    pool: Pool,
    redis: Redis,
    server: Arc<Server>,
    size: usize,
}

/// What one side took in a round.
struct Round {
    /// Of one request after the other, the median.
    latency: Duration,
    /// Of all requests of the crowd.
    crowd: Duration,
}

impl Bench {
    /// Has a first node store what all others find.
    async fn new(server: Arc<Server>, material: Material, size: usize) -> Self {
        assert!(server.command(&["FLUSHALL"]).is_ok());
        let redis = Redis::builder(server.url())
            .pool_size(POOL)
            .read_timeout(TIMEOUT)
            .write_timeout(TIMEOUT)
            .require_at_start(true);
        let mut bench = Self {
            encoded: 0,
            names: vec![],
            origin: Origin {
                body: (material.make)(size),
                calls: Arc::default(),
            },
            pool: client(&server).await,
            redis: redis.connect().await.expect("the server is running"),
            server,
            size,
        };
        let (layer, mut service) = bench.node().await;
        for index in 0..KEYS {
            let outcome = hit(&mut service, request(index), size).await;
            assert!(!is_hit(&outcome), "{outcome:?}");
            if index % CROWD == 0 {
                assert_eq!(layer.handle().drain(PATIENCE).await, 0);
            }
        }
        assert_eq!(layer.handle().drain(PATIENCE).await, 0);
        assert_eq!(bench.origin.calls.swap(0, Ordering::Relaxed), KEYS);

        // Those of responses end like this, whatever else a node keeps there.
        let Reply::Array(names) = bench.server.command(&["KEYS", "*}"]) else {
            panic!("KEYS answers with a list");
        };
        bench.names = names.iter().map(Reply::text).collect();
        assert_eq!(bench.names.len(), KEYS, "each response has one name");
        let Reply::Integer(length) = bench.server.command(&["STRLEN", &bench.names[0]]) else {
            panic!("STRLEN answers with a number");
        };
        bench.encoded = usize::try_from(length).expect("a length");
        bench
    }

    /// A node with an empty memory, once it is notified of changes.
    async fn node(&self) -> (CacheLayer, CacheService<Origin>) {
        let layer = CacheLayer::builder()
            .memory(Memory::with_capacity(256 << 20))
            .remote(self.redis.clone())
            .build()
            .expect("settings in range");
        let handle = layer.handle();
        let start = now();
        while !handle.stats().remote_connected {
            assert!(start.elapsed() < PATIENCE, "no connection");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let service = layer.layer(self.origin.clone());
        (layer, service)
    }

    /// A round of reads by hand.
    async fn bare(&self) -> Round {
        let mut latencies = Vec::with_capacity(SEQUENCE);
        for name in &self.names[..SEQUENCE] {
            let start = now();
            get(&self.pool, name, self.encoded).await;
            latencies.push(start.elapsed());
            tokio::task::yield_now().await;
        }

        let parts = self.names[SEQUENCE..].chunks(CROWDED / CROWD);
        let parts: Vec<_> = parts.map(<[String]>::to_vec).collect();
        let start = now();
        let tasks = parts.into_iter().map(|names| {
            let (pool, encoded) = (self.pool.clone(), self.encoded);
            tokio::spawn(async move {
                for name in &names {
                    get(&pool, name, encoded).await;
                }
            })
        });
        for done in join_all(tasks).await {
            done.expect("no request panics");
        }
        Round {
            latency: median(latencies),
            crowd: start.elapsed(),
        }
    }

    /// A round of hits, by a node that was never asked for any of it.
    async fn layered(&self) -> Round {
        let (layer, mut service) = self.node().await;
        self.reset_counts();
        let mut latencies = Vec::with_capacity(SEQUENCE);
        for index in 0..SEQUENCE {
            let request = request(index);
            let start = now();
            let outcome = hit(&mut service, request, self.size).await;
            latencies.push(start.elapsed());
            assert!(is_hit(&outcome), "{outcome:?}");
            // What comes behind the answer is not the next request's latency. The crowd pays for
            // it.
            while layer.handle().stats().tasks > 0 {
                tokio::task::yield_now().await;
            }
        }

        let mut requests: Vec<_> = (SEQUENCE..KEYS).map(request).collect();
        let parts: Vec<_> = (0..CROWD)
            .map(|_| requests.split_off(requests.len() - CROWDED / CROWD))
            .collect();
        let start = now();
        let tasks = parts.into_iter().map(|requests| {
            let (mut service, size) = (service.clone(), self.size);
            tokio::spawn(async move {
                for request in requests {
                    let outcome = hit(&mut service, request, size).await;
                    assert!(is_hit(&outcome), "{outcome:?}");
                }
            })
        });
        for done in join_all(tasks).await {
            done.expect("no request panics");
        }
        let crowd = start.elapsed();
        self.assert_read_once(KEYS);
        assert_eq!(layer.handle().drain(PATIENCE).await, 0);
        Round {
            latency: median(latencies),
            crowd,
        }
    }

    fn reset_counts(&self) {
        assert!(self.server.command(&["CONFIG", "RESETSTAT"]).is_ok());
    }

    /// Makes sure that each of `count` requests was one `GETRANGE`, and nothing else.
    fn assert_read_once(&self, count: usize) {
        assert_eq!(self.origin.calls.load(Ordering::Relaxed), 0);
        let counts = self.server.command(&["INFO", "commandstats"]).text();
        let calls = |command: &str| -> usize {
            let counted = counts.lines().find_map(|line| {
                let rest = line.strip_prefix(command)?.strip_prefix(":calls=")?;
                rest.split(',').next()?.parse().ok()
            });
            counted.unwrap_or(0)
        };
        assert_eq!(calls("cmdstat_getrange"), count, "{counts}");
        for command in ["get", "mget", "set", "eval", "evalsha", "del"] {
            assert_eq!(calls(&format!("cmdstat_{command}")), 0, "{counts}");
        }
    }
}

/// Runs both sides in alternating rounds, and prints a row of the table.
async fn compare(server: Arc<Server>, runtime: &'static str, material: Material, size: usize) {
    let bench = Bench::new(server, material, size).await;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        // Whoever begins this round ends the next.
        let (bare, layered);
        if round % 2 == 0 {
            bare = bench.bare().await;
            layered = bench.layered().await;
        } else {
            layered = bench.layered().await;
            bare = bench.bare().await;
        }
        rounds.push((bare, layered));
    }
    let over = |value: &dyn Fn(&(Round, Round)) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let rate = |time: Duration| CROWDED as f64 / time.as_secs_f64() / 1e3;
    println!(
        "| {runtime} | {size} B {} | {} | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} | {:.2} |",
        material.name,
        bench.encoded,
        over(&|(bare, _)| micros(bare.latency)),
        over(&|(_, layered)| micros(layered.latency)),
        over(&|(bare, layered)| micros(layered.latency) / micros(bare.latency)),
        over(&|(bare, _)| rate(bare.crowd)),
        over(&|(_, layered)| rate(layered.crowd)),
        over(&|(bare, layered)| rate(bare.crowd) / rate(layered.crowd)),
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[allow(
    clippy::disallowed_methods,
    reason = "a bench measures the machine's time"
)]
fn now() -> Instant {
    Instant::now()
}

/// The runtimes that both sides run on, with all that a client has of its own.
fn runtimes() -> [(&'static str, Runtime); 2] {
    let one = Builder::new_current_thread().enable_all().build();
    let two = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    [
        ("one thread", one.expect("a runtime on this thread")),
        ("two threads", two.expect("a runtime of two threads")),
    ]
}

fn main() {
    let server = Arc::new(redis::standalone());
    println!("A hit that memory does not have, {ROUNDS} rounds; {CROWD} at a time on the right.\n");
    println!(
        "| runtime | body | in Redis, B | GET, us | hit, us | ratio | GET, k/s | hits, k/s | ratio |"
    );
    println!("|-|-|-:|-:|-:|-:|-:|-:|-:|");
    for (name, runtime) in runtimes() {
        for material in MATERIALS {
            for size in SIZES {
                let comparing = compare(Arc::clone(&server), name, material, size);
                // In a task, so that no further thread takes part.
                let done = runtime.block_on(runtime.spawn(comparing));
                done.expect("no round panics");
            }
        }
    }
}
