//! Who takes part in hits in Redis, each set up as its own documentation shows.
//!
//! The rivals here have Redis alone. cachewarp has its memory in front, which is empty when its
//! turn begins and gets everything that it reads.

use std::{
    fmt::Debug,
    hint::black_box,
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::Memory;
use fred::{
    clients::Pool,
    interfaces::{ClientLike, KeysInterface},
    types::{
        Builder,
        config::{Config as FredConfig, ReconnectPolicy},
    },
};
use futures_util::future::join_all;
use hitbox::{Config, policy::PolicyConfig};
use hitbox_http::predicates::{NeutralRequestPredicate, NeutralResponsePredicate};
use hitbox_redis::{ConnectionMode, RedisBackend as HitboxRedis};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use redis::{
    AsyncCommands,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt};
use tower_http_cache::backend::redis::RedisBackend;

use crate::rivals::{LIFETIME, hitbox_key, origin_service};
use crate::support::redis::{Reply, Server, standalone, until};
use crate::work::{Asks, Origin, Resource};

/// The request body that everyone gets.
type NoBody = Empty<Bytes>;

/// Requests in a turn: one for each response.
pub const REQUESTS: usize = 1_000;

/// For each contender that has this option: the defaults would end the program when the machine is busy.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What cachewarp adds to the longer of its timeouts before it gives up a connection.
const UNRESPONSIVE_LOOK: Duration = Duration::from_millis(100);

/// What takes part in the alternating rounds.
pub trait Reader {
    fn name(&self) -> &'static str;

    /// The time that [`REQUESTS`] requests take, so many at a time, each answered from Redis.
    ///
    /// # Panics
    ///
    /// On an answer that is none, or when the origin was called.
    fn turn(&mut self, runtime: &Runtime, at_a_time: usize) -> Duration;
}

/// The readers, and the Redis that they read from.
pub struct Readers {
    /// The first is the floor.
    pub all: Vec<Box<dyn Reader>>,
    _server: Server,
}

impl Readers {
    /// Starts a Redis, and has each cache fill a database of its own.
    ///
    /// # Panics
    ///
    /// When one of them does not store, or does not answer with what it stored.
    #[must_use]
    pub fn new(runtime: &Runtime) -> Self {
        let server = standalone();
        let caches = [
            cachewarp(runtime, &server, 1),
            tower_http_cache(runtime, &server, 2),
            hitbox(runtime, &server, 3),
        ];
        let mut all = vec![fred(runtime, &server, 1), redis_rs(runtime, &server, 2)];
        all.extend(caches);
        Self {
            all,
            _server: server,
        }
    }
}

fn url(server: &Server, database: usize) -> String {
    format!("{}/{database}", server.url())
}

fn cachewarp(runtime: &Runtime, server: &Server, database: usize) -> Box<dyn Reader> {
    let redis = runtime.block_on(async {
        let redis = cachewarp::Redis::builder(url(server, database))
            .read_timeout(TIMEOUT)
            .write_timeout(TIMEOUT)
            .require_at_start(true);
        redis.connect().await.expect("the server is running")
    });
    let name = "cachewarp (and kept in memory)";
    let reader = Cached::new(name, |origin| {
        move |runtime: &Runtime| {
            let cache = cachewarp::CacheLayer::builder()
                .memory(Memory::with_capacity(64 << 20))
                .remote(redis.clone())
                .build()
                .expect("settings in range");
            let handle = cache.handle();
            runtime.block_on(async {
                while !handle.stats().remote_connected {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            cache.layer(origin_service(origin.clone()))
        }
    });
    reader.filled(runtime, server, database)
}

fn tower_http_cache(runtime: &Runtime, server: &Server, database: usize) -> Box<dyn Reader> {
    let backend = RedisBackend::new(manager(runtime, server, database));
    let reader = Cached::new("tower-http-cache 0.6, Redis", |origin| {
        let cache = tower_http_cache::CacheLayer::builder(backend).ttl(LIFETIME);
        let service = cache.build().layer(origin_service(origin));
        move |_: &Runtime| service.clone()
    });
    reader.filled(runtime, server, database)
}

fn hitbox(runtime: &Runtime, server: &Server, database: usize) -> Box<dyn Reader> {
    let backend = HitboxRedis::builder()
        .connection(ConnectionMode::single(url(server, database)))
        .response_timeout(TIMEOUT)
        .build()
        .expect("a URL of Redis");
    let reader = Cached::new("hitbox-tower 0.2, Redis (bincode)", |origin| {
        let config = Config::builder()
            .request_predicate(NeutralRequestPredicate::new())
            .response_predicate(NeutralResponsePredicate::new())
            .extractor(hitbox_key())
            .policy(PolicyConfig::builder().ttl(LIFETIME).build())
            .build();
        let cache = hitbox_tower::Cache::builder()
            .backend(backend)
            .config(config);
        let service = cache.build().layer(origin_service(origin));
        move |_: &Runtime| service.clone()
    });
    reader.filled(runtime, server, database)
}

// === Caches ===

/// A cache as a tower service, whose responses are in Redis.
struct Cached<S> {
    asks: Asks,
    name: &'static str,
    /// Makes one that has nothing of its own.
    make: Box<dyn Fn(&Runtime) -> S>,
    origin: Origin,
}

impl<S, B> Cached<S>
where
    S: Service<Request<NoBody>, Response = Response<B>, Error: Debug> + Clone + 'static,
    B: Body<Data = Bytes, Error: Debug> + 'static,
{
    fn new<M>(name: &'static str, build: impl FnOnce(Origin) -> M) -> Self
    where
        M: Fn(&Runtime) -> S + 'static,
    {
        let origin = Origin::new(Resource::Plain);
        Self {
            asks: Asks::new(Resource::Plain),
            name,
            make: Box::new(build(origin.clone())),
            origin,
        }
    }

    /// Stores everything, and reads everything back to see that it is what the origin said.
    fn filled(self, runtime: &Runtime, server: &Server, database: usize) -> Box<dyn Reader> {
        let service = (self.make)(runtime);
        runtime.block_on(self.drive(service, 0..REQUESTS));
        let stored = || {
            // What is put off is done while the runtime runs.
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
            names(server, database).len() == REQUESTS
        };
        until(self.name, stored);
        assert_eq!(self.origin.calls(), REQUESTS, "{}", self.name);

        // First, since a client may read something as it connects.
        let service = (self.make)(runtime);
        assert!(server.command(&["CONFIG", "RESETSTAT"]).is_ok());
        runtime.block_on(async {
            for index in 0..REQUESTS {
                let answer = send(self.name, service.clone(), self.asks.request(index)).await;
                let request = self.asks.request::<()>(index);
                self.origin.judge(self.name, &request, &answer);
            }
        });
        let counts = server.command(&["INFO", "commandstats"]).text();
        // hitbox keeps hashes.
        let read = ["get", "hmget"]
            .map(|command| format!("cmdstat_{command}:calls={REQUESTS},"))
            .iter()
            .any(|reads| counts.contains(reads));
        assert!(read, "{}: {counts}", self.name);
        assert_eq!(self.origin.calls(), REQUESTS, "{}", self.name);
        Box::new(self)
    }

    async fn drive(&self, service: S, range: Range<usize>) {
        for index in range {
            let answer = send(self.name, service.clone(), self.asks.request(index)).await;
            black_box(answer);
        }
    }
}

/// Sends a request and reads the answer to its end.
async fn send<S, B>(name: &'static str, mut service: S, request: Request<NoBody>) -> Response<Bytes>
where
    S: Service<Request<NoBody>, Response = Response<B>, Error: Debug>,
    B: Body<Data = Bytes, Error: Debug>,
{
    let service = service.ready().await;
    let service = service.unwrap_or_else(|error| panic!("{name}: not ready: {error:?}"));
    let answer = service.call(request).await;
    let answer = answer.unwrap_or_else(|error| panic!("{name}: no answer: {error:?}"));
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a stored body doesn't break");
    Response::from_parts(head, body.to_bytes())
}

impl<S, B> Reader for Cached<S>
where
    S: Service<Request<NoBody>, Response = Response<B>, Error: Debug> + Clone + 'static,
    B: Body<Data = Bytes, Error: Debug> + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn turn(&mut self, runtime: &Runtime, at_a_time: usize) -> Duration {
        let service = (self.make)(runtime);
        let parts = parts(at_a_time).map(|range| self.drive(service.clone(), range));
        let elapsed = time(runtime, parts);
        assert_eq!(self.origin.calls(), REQUESTS, "{}", self.name);
        elapsed
    }
}

// === Clients ===

/// A client and no cache: what reading the bytes alone costs.
struct Bare<C> {
    client: C,
    name: &'static str,
    names: Vec<String>,
}

/// A `GET` by hand.
trait Get {
    async fn get(&self, name: &str) -> Option<Bytes>;
}

impl Get for Pool {
    async fn get(&self, name: &str) -> Option<Bytes> {
        KeysInterface::get(self, name).await.expect("Redis answers")
    }
}

impl Get for ConnectionManager {
    async fn get(&self, name: &str) -> Option<Bytes> {
        let value: Option<Vec<u8>> = AsyncCommands::get(&mut self.clone(), name)
            .await
            .expect("Redis answers");
        value.map(Bytes::from)
    }
}

impl<C: Get> Reader for Bare<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn turn(&mut self, runtime: &Runtime, at_a_time: usize) -> Duration {
        let parts = parts(at_a_time).map(async |range| {
            for name in &self.names[range] {
                let value = self.client.get(name).await;
                assert!(black_box(value).is_some(), "{}: no {name}", self.name);
            }
        });
        time(runtime, parts)
    }
}

/// cachewarp's client with its settings, on what cachewarp stored.
fn fred(runtime: &Runtime, server: &Server, database: usize) -> Box<dyn Reader> {
    let config = FredConfig::from_url(&url(server, database)).expect("a URL of Redis");
    let pool = Builder::from_config(config)
        .with_config(|config| config.fail_fast = false)
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 500, 2))
        .with_performance_config(|config| {
            config.default_command_timeout = TIMEOUT;
        })
        .with_connection_config(|config| {
            config.max_command_attempts = 1;
            config.tcp.nodelay = Some(true);
            config.unresponsive.max_timeout = Some(TIMEOUT + UNRESPONSIVE_LOOK);
            config.unresponsive.interval = UNRESPONSIVE_LOOK;
        })
        .build_pool(2)
        .expect("settings in range");
    runtime.block_on(async { pool.init().await.expect("the server is running") });
    Box::new(Bare {
        client: pool,
        name: "a bare GET, fred (the floor)",
        names: names(server, database),
    })
}

/// The rivals' client, on what tower-http-cache stored.
fn redis_rs(runtime: &Runtime, server: &Server, database: usize) -> Box<dyn Reader> {
    Box::new(Bare {
        client: manager(runtime, server, database),
        name: "a bare GET, redis-rs",
        names: names(server, database),
    })
}

fn manager(runtime: &Runtime, server: &Server, database: usize) -> ConnectionManager {
    let client = redis::Client::open(url(server, database)).expect("a URL of Redis");
    let config = ConnectionManagerConfig::new().set_response_timeout(Some(TIMEOUT));
    let connecting = client.get_connection_manager_with_config(config);
    runtime.block_on(connecting).expect("the server is running")
}

/// What the responses in a database are called.
fn names(server: &Server, database: usize) -> Vec<String> {
    let mut wire = server.wire();
    assert!(wire.command(&["SELECT", &database.to_string()]).is_ok());
    let Reply::Array(names) = wire.command(&["KEYS", "*"]) else {
        panic!("KEYS answers with a list");
    };
    let names = names.iter().map(Reply::text);
    // By which cachewarp's nodes tell each other that they listen.
    names.filter(|name| !name.ends_with(":alive")).collect()
}

// === Turns ===

/// All requests, in so many parts of about the same length.
fn parts(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).map(move |part| REQUESTS * part / count..REQUESTS * (part + 1) / count)
}

/// The time that all parts take, side by side.
fn time(runtime: &Runtime, parts: impl Iterator<Item = impl Future<Output = ()>>) -> Duration {
    let parts: Vec<_> = parts.collect();
    let start = Instant::now();
    runtime.block_on(join_all(parts));
    start.elapsed()
}
