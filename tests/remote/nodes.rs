//! Nodes of one service: each with a memory of its own, over one origin and one Redis.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::{
    CacheBuilder, CacheLayer, CacheOutcome, CacheService, KeyExtension, Keying, Memory, Redis,
};
use http::{HeaderMap, Method, Request, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinHandle;
use tower::{Layer, ServiceExt};

use crate::{origin::Origin, support::redis::Server};

/// Far more than any step takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .expect("it never happened")
}

/// Asks again and again until it is so. Returns how long that took.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut is_so: impl FnMut() -> F,
) -> Duration {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    started.elapsed()
}

/// One process: a memory, a connection, a service.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) layer: CacheLayer,
    pub(crate) service: CacheService<Origin>,
}

/// What a client sees of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) outcome: CacheOutcome,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) age: Option<u64>,
}

impl Seen {
    pub(crate) fn is_hit(&self) -> bool {
        matches!(self.outcome, CacheOutcome::Hit { .. })
    }
}

impl Node {
    pub(crate) async fn new(origin: &Origin, redis: &Server) -> Self {
        Self::with(origin, &redis.url(), |builder| builder).await
    }

    /// One that waits for Redis however slow it is: for what is not about that, on a machine that
    /// others use as well.
    pub(crate) async fn patient(origin: &Origin, redis: &Server) -> Self {
        let redis = Redis::builder(redis.url())
            .read_timeout(Duration::from_secs(10))
            .write_timeout(Duration::from_secs(10))
            .require_at_start(true);
        let redis = redis.connect().await.unwrap();
        let wait = Duration::from_secs(20);
        Self::over(origin, redis, |builder| builder.wait_timeout(wait))
    }

    pub(crate) async fn with(
        origin: &Origin,
        url: &str,
        set: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Self {
        let redis = Redis::builder(url)
            .require_at_start(true)
            .connect()
            .await
            .unwrap();
        Self::over(origin, redis, set)
    }

    pub(crate) fn over(
        origin: &Origin,
        redis: Redis,
        set: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Self {
        let builder = CacheLayer::builder()
            .memory(Memory::with_capacity(64 << 20))
            .remote(redis);
        let layer = set(builder).build().unwrap();
        let service = layer.layer(origin.clone());
        Self { layer, service }
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.send(request(Method::GET, path)).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Seen {
        let Ok(response) = soon(self.service.clone().oneshot(request)).await;
        let (parts, body) = response.into_parts();
        let body = soon(body.collect()).await.unwrap().to_bytes();
        Seen {
            status: parts.status,
            outcome: parts.extensions.get().cloned().unwrap(),
            body: String::from_utf8(body.to_vec()).unwrap(),
            age: parts
                .headers
                .get("age")
                .map(|age| age.to_str().unwrap().parse().unwrap()),
            headers: parts.headers,
        }
    }

    /// Waits until nothing is on its way to Redis any more.
    pub(crate) async fn settle(&self) {
        assert_eq!(self.layer.handle().drain(PATIENCE).await, 0);
    }

    /// Waits until this node is told of changes.
    pub(crate) async fn is_told(&self) {
        eventually("a node is told of changes", async || {
            self.layer.handle().stats().remote_connected
        })
        .await;
    }

    /// Whether this node finds what another one stored or is about to, within a moment.
    pub(crate) async fn finds(&self, path: &str) -> bool {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let asked = get_with(path, "cache-control", "only-if-cached");
            if self.send(asked).await.status == StatusCode::OK {
                return true;
            }
        }
        false
    }
}

/// So many nodes, all of which are told of changes.
pub(crate) async fn told<const COUNT: usize>(origin: &Origin, redis: &Server) -> [Node; COUNT] {
    told_as(async || Node::new(origin, redis).await).await
}

/// The same with nodes that are made in another way.
pub(crate) async fn told_as<const COUNT: usize>(make: impl AsyncFn() -> Node) -> [Node; COUNT] {
    let mut nodes = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        nodes.push(make().await);
    }
    are_told(&nodes).await;
    let Ok(nodes) = nodes.try_into() else {
        unreachable!("it has as many as were asked for");
    };
    nodes
}

/// Waits until all of these are told of changes.
pub(crate) async fn are_told(nodes: &[Node]) {
    for node in nodes {
        node.is_told().await;
    }
}

/// Sends a request without waiting for the answer.
pub(crate) fn begin(node: &Node, request: Request<Full<Bytes>>) -> JoinHandle<Seen> {
    let node = node.clone();
    tokio::spawn(async move { node.send(request).await })
}

/// Each tenant has responses of its own.
pub(crate) fn by_tenant(builder: CacheBuilder) -> CacheBuilder {
    builder.key(|request: &Parts, key: &mut KeyExtension<'_>| {
        let tenant = request.headers.get("x-tenant");
        key.push(tenant.map_or(b"".as_slice(), |it| it.as_bytes()));
        Keying::Use
    })
}

pub(crate) fn request(method: Method, path: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "a.test")
        .body(Full::default())
        .unwrap()
}

pub(crate) fn get_with(path: &str, name: &'static str, value: &str) -> Request<Full<Bytes>> {
    let mut request = request(Method::GET, path);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}
