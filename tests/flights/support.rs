//! An origin that a test controls step by step, requests that are counted, and bodies fed by hand.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{CacheBody, CacheBuilder, CacheLayer, CacheOutcome, CacheService, Memory};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CACHE_CONTROL};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Collected, Empty, combinators::UnsyncBoxBody};
use tokio::{sync::mpsc, sync::watch, task::JoinHandle, time::timeout};
use tower::{Layer, Service, ServiceExt};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
pub(crate) type Asked = Request<Empty<Bytes>>;
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Broken>>;
pub(crate) type Cached = Response<CacheBody<UnsyncBoxBody<Bytes, Broken>>>;
pub(crate) type Cache = CacheService<Origin>;
/// A request under way.
pub(crate) type Sent = JoinHandle<Result<Cached, BoxError>>;

/// How a body of the origin fails.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection broke")
    }
}

impl Error for Broken {}

/// Far more than any step takes; only a hang meets it. Where time is paused it passes at once when
/// nothing else can happen any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for what must happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.expect("it never happened")
}

// === Requests ===

pub(crate) fn get(path: &str) -> Asked {
    request(Method::GET, path)
}

pub(crate) fn request(method: Method, path: &str) -> Asked {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Empty::new())
        .unwrap()
}

/// A GET with one header field.
pub(crate) fn get_with(path: &str, name: &'static str, value: &str) -> Asked {
    let mut request = get(path);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// Sends a request in a task of its own.
pub(crate) fn send(cache: &Cache, request: Asked) -> Sent {
    tokio::spawn(cache.clone().oneshot(request))
}

/// Sends a request in a task of its own, which counts itself in `aboard` once it has been polled:
/// by then it leads, waits, or is on its own way.
pub(crate) fn board(cache: &Cache, request: Asked, aboard: &Count) -> Sent {
    let (cache, aboard) = (cache.clone(), aboard.clone());
    tokio::spawn(async move {
        let mut answer = pin!(cache.oneshot(request));
        let first = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        aboard.add();
        match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => answer.await,
        }
    })
}

/// So many requests for `/`, each sent by [`board`]; the first is the one that leads.
pub(crate) fn crowd(cache: &Cache, size: usize, aboard: &Count) -> Vec<Sent> {
    (0..size).map(|_| board(cache, get("/"), aboard)).collect()
}

/// The answer to a request that was sent.
pub(crate) async fn answered(request: Sent) -> Cached {
    soon(request).await.unwrap().unwrap()
}

/// Expects this body in every answer.
pub(crate) async fn all_get(requests: impl IntoIterator<Item = Sent>, body: &str) {
    for request in requests {
        assert_eq!(text(answered(request).await).await, body);
    }
}

pub(crate) async fn fetch(cache: &Cache, request: Asked) -> Cached {
    soon(cache.clone().oneshot(request)).await.unwrap()
}

/// The body of an answer that ends as it should.
pub(crate) async fn text(answer: Cached) -> Bytes {
    whole(answer).await.expect("the body ends well").to_bytes()
}

pub(crate) async fn whole(answer: Cached) -> Result<Collected<Bytes>, BoxError> {
    soon(answer.into_body().collect()).await
}

/// The next bytes of a body.
pub(crate) async fn chunk<B>(body: &mut B) -> Option<Result<Bytes, B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let frame = soon(body.frame()).await?;
    Some(frame.map(|frame| frame.into_data().expect("a frame of data")))
}

pub(crate) fn outcome(answer: &Cached) -> CacheOutcome {
    answer
        .extensions()
        .get()
        .cloned()
        .expect("every answer has one")
}

pub(crate) fn is_hit(answer: &Cached) -> bool {
    matches!(outcome(answer), CacheOutcome::Hit { .. })
}

// === Counts ===

/// A count that can be waited for.
#[derive(Clone)]
pub(crate) struct Count(Arc<watch::Sender<usize>>);

impl Count {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn add(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    pub(crate) fn get(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until it is `count` at least.
    pub(crate) async fn reach(&self, count: usize) {
        let mut watch = self.0.subscribe();
        soon(watch.wait_for(|it| *it >= count)).await.unwrap();
    }
}

// === The origin ===

type Handler =
    dyn Fn(usize, Asked) -> BoxFuture<'static, Result<Answer, BoxError>> + Send + Sync + 'static;

/// An origin that is always ready. Its handler gets the number of the call, from 1.
#[derive(Clone)]
pub(crate) struct Origin {
    calls: Arc<AtomicUsize>,
    handler: Arc<Handler>,
}

impl Origin {
    pub(crate) fn new<F, Fut>(handler: F) -> Self
    where
        F: Fn(usize, Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Answer, BoxError>> + Send + 'static,
    {
        Self {
            calls: Arc::new(AtomicUsize::new(0)),
            handler: Arc::new(move |call, request| Box::pin(handler(call, request))),
        }
    }

    /// Answers at once.
    pub(crate) fn answering<F>(answer: F) -> Self
    where
        F: Fn(usize, Asked) -> Result<Answer, BoxError> + Send + Sync + 'static,
    {
        Self::held_if(|_, _| false, &Count::new(), 0, answer)
    }

    /// Answers once `count` has come to `until`.
    pub(crate) fn held<F>(count: &Count, until: usize, answer: F) -> Self
    where
        F: Fn(usize, Asked) -> Result<Answer, BoxError> + Send + Sync + 'static,
    {
        Self::held_if(|_, _| true, count, until, answer)
    }

    /// Answers the calls that are `held` once `count` has come to `until`, and others at once.
    pub(crate) fn held_if<F>(
        held: fn(usize, &Asked) -> bool,
        count: &Count,
        until: usize,
        answer: F,
    ) -> Self
    where
        F: Fn(usize, Asked) -> Result<Answer, BoxError> + Send + Sync + 'static,
    {
        let (count, answer) = (count.clone(), Arc::new(answer));
        Self::new(move |call, request| {
            let (count, answer) = (count.clone(), Arc::clone(&answer));
            async move {
                if held(call, &request) {
                    count.reach(until).await;
                }
                answer(call, request)
            }
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// This origin behind a cache with default settings.
    pub(crate) fn cached(&self) -> Cache {
        layer().layer(self.clone())
    }

    /// This origin behind a cache of 1 MiB with settings of its own.
    pub(crate) fn cached_with(&self, change: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Cache {
        change(CacheLayer::builder().memory(Memory::with_capacity(1 << 20)))
            .build()
            .unwrap()
            .layer(self.clone())
    }
}

impl Service<Asked> for Origin {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Asked) -> Self::Future {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        (self.handler)(call, request)
    }
}

pub(crate) fn layer() -> CacheLayer {
    CacheLayer::new(Memory::with_capacity(64 << 20))
}

/// 200, fresh for ten minutes.
pub(crate) fn fresh(body: impl Into<Bytes>) -> Answer {
    with_directives("max-age=600", body)
}

pub(crate) fn with_directives(directives: &str, body: impl Into<Bytes>) -> Answer {
    Response::builder()
        .header(CACHE_CONTROL, directives)
        .body(full(body))
        .unwrap()
}

pub(crate) fn status(status: StatusCode, body: &'static str) -> Answer {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response
}

pub(crate) fn full(body: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, Broken> {
    let body = http_body_util::Full::new(body.into());
    body.map_err(|never| match never {}).boxed_unsync()
}

/// 200, fresh, with a body that the test feeds.
pub(crate) fn fed() -> (Feed, Answer) {
    let (feed, body) = feed();
    let mut response = fresh("");
    *response.body_mut() = body;
    (feed, response)
}

/// A body of unknown length and the hand that feeds it.
pub(crate) fn feed() -> (Feed, UnsyncBoxBody<Bytes, Broken>) {
    let (frames, fed) = mpsc::channel(1);
    (Feed(frames), Fed(fed).boxed_unsync())
}

/// Where the hands go that feed the bodies of an origin.
pub(crate) struct Feeds(mpsc::UnboundedSender<Feed>);

/// Makes answers whose bodies are fed by the hands that are received, in their order.
pub(crate) fn feeds() -> (Feeds, mpsc::UnboundedReceiver<Feed>) {
    let (feeds, hands) = mpsc::unbounded_channel();
    (Feeds(feeds), hands)
}

impl Feeds {
    /// 200, fresh, with a body that the test feeds.
    pub(crate) fn answer(&self) -> Result<Answer, BoxError> {
        let (feed, answer) = fed();
        self.0.send(feed)?;
        Ok(answer)
    }
}

/// Feeds a body. Dropping it ends the body cleanly.
pub(crate) struct Feed(mpsc::Sender<Result<Frame<Bytes>, Broken>>);

impl Feed {
    /// Sends once there is room, which is as soon as the frame before was taken.
    pub(crate) async fn data(&self, data: impl Into<Bytes>) {
        self.frame(Ok(Frame::data(data.into()))).await;
    }

    pub(crate) async fn trailers(&self, trailers: HeaderMap) {
        self.frame(Ok(Frame::trailers(trailers))).await;
    }

    pub(crate) async fn fail(&self) {
        self.frame(Err(Broken)).await;
    }

    async fn frame(&self, frame: Result<Frame<Bytes>, Broken>) {
        let sent = soon(self.0.send(frame)).await;
        assert!(sent.is_ok(), "the body was dropped");
    }

    /// Sends if the body is still there by then.
    pub(crate) async fn try_data(&self, data: impl Into<Bytes>) {
        let _ = self.0.send(Ok(Frame::data(data.into()))).await;
    }

    /// Whether the next frame would be taken in at once.
    pub(crate) fn has_room(&self) -> bool {
        self.0.capacity() > 0
    }

    /// Waits until the body is dropped.
    pub(crate) async fn dropped(&self) {
        soon(self.0.closed()).await;
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.0.is_closed()
    }
}

struct Fed(mpsc::Receiver<Result<Frame<Bytes>, Broken>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.0.poll_recv(cx)
    }
}

/// Lets every other task run until none of them can go on. For a runtime of one thread.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
