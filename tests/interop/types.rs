//! What the types promise: the bounds of the layer, asserted by the compiler and by odd services.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, ready},
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use cachewarp::{
    BoxError, CacheBody, CacheBuilder, CacheHandle, CacheLayer, CacheOutcome, CacheService,
    ConfigError, Generated, Memory, ResponseFuture, Task,
};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{Origin, Reply, call, fresh, get, origin, settle, soon};

fn cache() -> CacheLayer {
    CacheLayer::new(Memory::with_capacity(1 << 20))
}

// === Asserted by the compiler ===

fn is_send<T: Send>() {}
fn is_send_and_sync<T: Send + Sync>() {}
fn is_clone<T: Clone>() {}
fn is_static<T: 'static>() {}

#[test]
fn the_types_are_as_sendable_as_what_they_hold() {
    is_send_and_sync::<CacheLayer>();
    is_send_and_sync::<CacheHandle>();
    is_send_and_sync::<CacheBuilder>();
    is_send_and_sync::<ConfigError>();
    is_clone::<CacheLayer>();
    is_static::<CacheLayer>();
    is_send_and_sync::<CacheService<Odd>>();
    is_send::<CacheService<NotSync>>();
    is_clone::<CacheService<NotSync>>();
    is_send::<ResponseFuture<Odd, Empty<Bytes>>>();
    is_send::<ResponseFuture<NotSync, Empty<Bytes>>>();
    is_send::<ResponseFuture<Origin, Body>>();
    is_send_and_sync::<CacheBody<Empty<Bytes>>>();
    is_send::<CacheBody<OddBody>>();
}

// === Bodies and errors that are neither Clone nor Sync ===

/// Sends its text in one frame, once.
struct OddBody {
    text: Option<&'static str>,
    _not_sync: PhantomData<Cell<()>>,
}

impl http_body::Body for OddBody {
    type Data = Bytes;
    type Error = OddError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OddError>>> {
        let text = self.text.take();
        Poll::Ready(text.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

/// An error that a test can identify, and that cannot be cloned.
#[derive(Debug, PartialEq)]
struct OddError(Box<u32>);

impl From<OddError> for BoxError {
    fn from(error: OddError) -> Self {
        format!("{error:?}").into()
    }
}

/// Fails for `/error`.
#[derive(Clone)]
struct Odd;

impl Service<Request<Empty<Bytes>>> for Odd {
    type Response = Response<OddBody>;
    type Error = OddError;
    type Future = Ready<Result<Self::Response, OddError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OddError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        if request.uri().path() == "/error" {
            return ready(Err(OddError(Box::new(7))));
        }
        let body = OddBody {
            text: Some("odd"),
            _not_sync: PhantomData,
        };
        let response = Response::builder().header("cache-control", "max-age=60");
        ready(Ok(response.body(body).expect("a valid response")))
    }
}

fn empty(path: &str) -> Request<Empty<Bytes>> {
    get(path).map(|_| Empty::new())
}

#[tokio::test]
async fn bodies_and_errors_need_not_be_clone() {
    let cache = cache();
    let service = cache.layer(Odd);
    for x_cache in ["MISS", "HIT"] {
        let response = soon(service.clone().oneshot(empty("/"))).await.unwrap();
        let reply = Reply::read(response).await;
        assert_eq!((reply.x_cache(), &*reply.body), (x_cache, &b"odd"[..]));
        settle(&cache).await;
    }
}

#[tokio::test]
async fn the_error_of_the_service_comes_through_as_it_is() {
    let service = cache().layer(Odd);
    for request in [
        empty("/error"),
        // Around the cache, and by another method.
        {
            let mut request = empty("/error");
            let value = http::HeaderValue::from_static("/other");
            request.headers_mut().insert("x-original-url", value);
            request
        },
        {
            let mut request = empty("/error");
            *request.method_mut() = http::Method::POST;
            request
        },
        {
            let mut request = empty("/error");
            *request.method_mut() = http::Method::HEAD;
            request
        },
    ] {
        let failed = soon(service.clone().oneshot(request)).await;
        assert_eq!(failed.map(|_| ()), Err(OddError(Box::new(7))));
    }
}

#[tokio::test]
async fn an_error_of_readiness_comes_through_as_it_is() {
    #[derive(Clone)]
    struct NeverReady;

    impl Service<Request<Empty<Bytes>>> for NeverReady {
        type Response = Response<OddBody>;
        type Error = OddError;
        type Future = Ready<Result<Self::Response, OddError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OddError>> {
            Poll::Ready(Err(OddError(Box::new(8))))
        }

        fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
            panic!("called though not ready");
        }
    }

    let mut service = cache().layer(NeverReady);
    // The cache itself is always ready.
    let ready =
        std::future::poll_fn(|cx| Service::<Request<Empty<Bytes>>>::poll_ready(&mut service, cx));
    assert_eq!(soon(ready).await, Ok(()));
    let failed = soon(service.call(empty("/"))).await;
    assert_eq!(failed.map(|_| ()), Err(OddError(Box::new(8))));
}

// === A service that is not Sync ===

/// Counts in a cell that no two threads may look at.
#[derive(Clone)]
struct NotSync {
    calls: Cell<u32>,
}

impl Service<Request<Empty<Bytes>>> for NotSync {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        ready(Ok(fresh(self.calls.get().to_string())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_not_sync_works() {
    let cache = cache();
    let calls = Cell::new(0);
    let mut service = cache.layer(NotSync { calls });
    for x_cache in ["MISS", "HIT"] {
        let answer = soon(service.call(empty("/"))).await.unwrap();
        let reply = Reply::read(answer).await;
        assert_eq!((reply.x_cache(), &*reply.body), (x_cache, &b"1"[..]));
        settle(&cache).await;
    }
    // A fetch calls a clone: the service itself was never touched.
    assert_eq!(service.get_ref().calls.get(), 0);
    assert_eq!(service.into_inner().calls.get(), 0);
}

// === The executor ===

#[tokio::test]
async fn fills_run_on_the_executor() {
    let started = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&started);
    let cache = CacheLayer::builder()
        .executor(move |task: Task| {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(task);
        })
        .build()
        .unwrap();
    let (service, _) = origin(|_| fresh("text"));
    let service = cache.layer(service);
    for (x_cache, tasks) in [("MISS", 1), ("HIT", 1)] {
        assert_eq!(call(&service, get("/")).await.x_cache(), x_cache);
        settle(&cache).await;
        assert_eq!(started.load(Ordering::SeqCst), tasks);
    }
}

#[tokio::test]
async fn a_task_that_the_executor_drops_is_answered_502() {
    let cache = CacheLayer::builder()
        .executor(|task: Task| drop(task))
        .build()
        .unwrap();
    let (service, calls) = origin(|_| fresh("text"));
    let reply = call(&cache.layer(service), get("/")).await;
    assert_eq!(reply.status(), 502);
    assert!(matches!(
        reply.outcome(),
        CacheOutcome::Generated(Generated::FlightFailed { status, .. }) if status == 502
    ));
    assert_eq!(calls.count(), 0);
    settle(&cache).await;
}

// === Panics ===

#[tokio::test]
async fn a_panic_of_the_service_reaches_its_caller_and_no_one_else() {
    let cache = cache();
    let service = cache.layer(service_fn(async |request: Request<Body>| {
        assert!(!request.headers().contains_key("x-panic"), "as asked");
        Ok::<_, Infallible>(fresh("text"))
    }));
    let request = crate::support::with(get("/"), "x-panic", b"");
    let panicked = tokio::spawn(service.clone().oneshot(request)).await;
    assert!(panicked.unwrap_err().is_panic());
    settle(&cache).await;
    assert_eq!(call(&service, get("/")).await.x_cache(), "MISS");
}
