//! Nodes of one service: each with a memory of its own, over one origin and one Redis.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::{CacheBuilder, CacheLayer, CacheOutcome, CacheService, Memory, Redis};
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::watch;
use tower::{Layer, Service, ServiceExt};

use crate::support::redis::Server;

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

type Handler = dyn Fn(&Request<Full<Bytes>>) -> Response<Full<Bytes>> + Send + Sync;

/// The one origin of all nodes: counts its calls by path, answers while its gate is open, and ends
/// its bodies while those are let go.
#[derive(Clone)]
pub(crate) struct Origin {
    handler: Arc<Handler>,
    calls: Arc<AtomicUsize>,
    by_path: Arc<Mutex<HashMap<String, usize>>>,
    gate: watch::Sender<bool>,
    bodies: watch::Sender<bool>,
    body_takes: Arc<Mutex<Duration>>,
}

impl Origin {
    pub(crate) fn new(
        handler: impl Fn(&Request<Full<Bytes>>) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            handler: Arc::new(handler),
            calls: Arc::default(),
            by_path: Arc::default(),
            gate: watch::Sender::new(true),
            bodies: watch::Sender::new(true),
            body_takes: Arc::default(),
        }
    }

    /// Answers every GET with a body that is never the same, fresh for an hour.
    pub(crate) fn counting() -> Self {
        let version = AtomicU64::new(0);
        Self::new(move |request| {
            let version = version.fetch_add(1, Ordering::SeqCst);
            if request.method() != Method::GET {
                return status(StatusCode::NO_CONTENT);
            }
            fresh(format!("{} {version}", request.uri().path()))
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn calls_of(&self, path: &str) -> usize {
        let by_path = self.by_path.lock().unwrap();
        by_path.get(path).copied().unwrap_or(0)
    }

    pub(crate) fn close(&self) {
        self.gate.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.gate.send_replace(true);
    }

    /// From here on bodies stop half way.
    pub(crate) fn hold_bodies(&self) {
        self.bodies.send_replace(false);
    }

    pub(crate) fn release_bodies(&self) {
        self.bodies.send_replace(true);
    }

    /// From here on every body takes this long.
    pub(crate) fn slow_bodies(&self, takes: Duration) {
        *self.body_takes.lock().unwrap() = takes;
    }

    /// The response with its body as it is sent at this moment.
    fn send(&self, response: Response<Full<Bytes>>) -> Response<OriginBody> {
        let takes = *self.body_takes.lock().unwrap();
        let nothing = response.body().size_hint().exact() == Some(0);
        if nothing || takes.is_zero() && *self.bodies.borrow() {
            return response.map(BodyExt::boxed_unsync);
        }
        let mut go_on = self.bodies.subscribe();
        response.map(|body| {
            let whole = body.collect().now_or_never().unwrap().unwrap().to_bytes();
            let half = whole.len() / 2;
            let (first, rest) = (whole.slice(..half), whole.slice(half..));
            let rest = stream::once(async move {
                tokio::time::sleep(takes).await;
                // The sender outlives every body: the origin has it.
                go_on.wait_for(|open| *open).await.unwrap();
                Ok(Frame::data(rest))
            });
            let frames = stream::iter([Ok(Frame::data(first))]).chain(rest);
            BodyExt::boxed_unsync(StreamBody::new(frames))
        })
    }
}

/// What the origin sends.
pub(crate) type OriginBody = UnsyncBoxBody<Bytes, Infallible>;

/// The number of a body of [`Origin::counting`].
#[track_caller]
pub(crate) fn version(body: &str) -> u64 {
    let number = body.rsplit(' ').next();
    number
        .and_then(|it| it.parse().ok())
        .expect("a numbered body")
}

/// A response that is fresh for an hour.
pub(crate) fn fresh(body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .header("cache-control", "max-age=3600")
        .header("content-type", "text/plain")
        .body(Full::new(body.into()))
        .unwrap()
}

pub(crate) fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

impl Service<Request<Full<Bytes>>> for Origin {
    type Response = Response<OriginBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        *self
            .by_path
            .lock()
            .unwrap()
            .entry(request.uri().path().to_owned())
            .or_default() += 1;
        let response = self.send((self.handler)(&request));
        if *self.gate.borrow() {
            return Box::pin(ready(Ok(response)));
        }
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            // The sender outlives every call: the origin has it.
            gate.wait_for(|open| *open).await.unwrap();
            Ok(response)
        })
    }
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
            outcome: *parts.extensions.get().unwrap(),
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

    /// Waits until this node's own fetches are hits without a question, so it hears of changes.
    pub(crate) async fn hears(&self) {
        let path = format!("/hears/{:p}", &raw const *self);
        eventually("a node hears of changes", async || {
            self.get(&path).await;
            self.settle().await;
            self.layer.handle().stats().remote_connected
        })
        .await;
    }
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
