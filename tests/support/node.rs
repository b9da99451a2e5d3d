//! Nodes of one service: each with a memory of its own, over one origin and one shared tier.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use cachewarp::{
    CacheBuilder, CacheLayer, CacheOutcome, CacheService, KeyExtension, Keying, Memory,
};
use http::{HeaderMap, Method, Request, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt};

use super::origin::Origin;

/// Far more than any step takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.expect("it never happened")
}

/// Asks again and again until it is so. Returns how long that took.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut is_so: impl FnMut() -> F,
) -> Duration {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(1)).await;
    }
    started.elapsed()
}

/// One process: a memory, a connection to the shared tier, a service.
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
    /// A node with these settings, which name its shared tier.
    pub(crate) fn over(origin: &Origin, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let memory = Memory::with_capacity(64 << 20);
        let layer = set(CacheLayer::builder().memory(memory)).build().unwrap();
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

    /// Waits until nothing is done in the background any more.
    pub(crate) async fn settle(&self) {
        assert_eq!(self.layer.handle().drain(PATIENCE).await, 0);
    }

    /// Waits until this node is notified of changes.
    pub(crate) async fn is_connected(&self) {
        eventually("a node is notified of changes", async || {
            self.layer.handle().stats().remote_connected
        })
        .await;
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

/// So many nodes, all of which are notified of changes.
pub(crate) async fn connected_as<const COUNT: usize>(
    make: impl AsyncFn() -> Node,
) -> [Node; COUNT] {
    let mut nodes = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        nodes.push(make().await);
    }
    are_connected(&nodes).await;
    let Ok(nodes) = nodes.try_into() else {
        unreachable!("it has as many as were asked for");
    };
    nodes
}

/// Waits until all of these are notified of changes.
pub(crate) async fn are_connected(nodes: &[Node]) {
    for node in nodes {
        node.is_connected().await;
    }
}
