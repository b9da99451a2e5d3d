//! POST requests that the operator declares to be reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use cachewarp::{
    BoxError, Bypass, CacheBody, CacheBuilder, CacheLayer, CacheOutcome, CacheService, ConfigError,
    FixedTtl, Memory, ReadBody, clock::ManualClock,
};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt};

/// The most that the caches here read of a body.
const LIMIT: usize = 1024;

// === The origin ===

/// Answers with its number of the call and with what it received: method, body, trailers.
#[derive(Clone, Default)]
struct Search(Arc<State>);

#[derive(Default)]
struct State {
    calls: AtomicUsize,
    directives: Mutex<Option<&'static str>>,
    conditional: AtomicUsize,
    /// The URI, the languages and the cookies of each call.
    heads: Mutex<Vec<String>>,
    /// Where it is set, calls wait for it.
    gate: Mutex<Option<Arc<Notify>>>,
}

impl Search {
    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// The head of the last call.
    fn last(&self) -> String {
        self.0.heads.lock().unwrap().last().unwrap().clone()
    }

    fn saying(directives: &'static str) -> Self {
        let search = Self::default();
        *search.0.directives.lock().unwrap() = Some(directives);
        search
    }

    fn cached(&self) -> CacheService<Self> {
        self.cached_with(|builder| builder)
    }

    fn cached_with(&self, change: impl FnOnce(CacheBuilder) -> CacheBuilder) -> CacheService<Self> {
        let builder = CacheLayer::builder().memory(Memory::with_capacity(1 << 20));
        let builder = builder.post_as_read("/search", LIMIT as u64);
        change(builder).build().unwrap().layer(self.clone())
    }
}

impl Service<Request<Body>> for Search {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let call = state.calls.fetch_add(1, Ordering::SeqCst) + 1;
            let gate = state.gate.lock().unwrap().clone();
            if let Some(gate) = gate {
                gate.notified().await;
            }
            let (parts, body) = request.into_parts();
            let field = |name| {
                let lines = parts.headers.get_all(name).iter();
                let lines: Vec<_> = lines.map(|it| it.to_str().unwrap()).collect();
                lines.join("|")
            };
            let fields = [field("accept-language"), field("cookie")].join(" ");
            let head = format!("{} {fields}", parts.uri.path_and_query().unwrap());
            state.heads.lock().unwrap().push(head);
            if parts.headers.contains_key("if-none-match") {
                state.conditional.fetch_add(1, Ordering::SeqCst);
            }
            let received = match body.collect().await {
                Ok(all) => {
                    let trailers = all.trailers().map_or(0, HeaderMap::len);
                    let bytes = all.to_bytes();
                    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
                    format!("{} bytes, {trailers} trailers: {shown}", bytes.len())
                }
                Err(error) => format!("failed: {error}"),
            };
            let text = format!("{call} {} {received}", parts.method);
            let mut response = Response::new(Full::from(text));
            let headers = response.headers_mut();
            let directives = state.directives.lock().unwrap().unwrap_or("max-age=60");
            headers.insert("cache-control", HeaderValue::from_static(directives));
            headers.insert("etag", HeaderValue::from_static("\"v1\""));
            Ok(response)
        })
    }
}

// === Requests ===

fn asking(method: Method, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri("http://a.test/search");
    request.body(body.into()).unwrap()
}

fn search(body: impl Into<Body>) -> Request<Body> {
    asking(Method::POST, body)
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// A body of these frames, of unknown length.
fn framed<const COUNT: usize>(frames: [Result<Frame<Bytes>, &'static str>; COUNT]) -> Body {
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

fn data(bytes: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(bytes.as_bytes())))
}

type Answer = Response<CacheBody<Full<Bytes>>>;

async fn ask(cache: &CacheService<Search>, request: Request<Body>) -> (CacheOutcome, String) {
    let answer: Answer = cache.clone().oneshot(request).await.unwrap();
    let outcome = answer.extensions().get::<CacheOutcome>().cloned().unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (outcome, String::from_utf8(body.to_vec()).unwrap())
}

fn is_hit(answer: &(CacheOutcome, String)) -> bool {
    matches!(answer.0, CacheOutcome::Hit { .. })
}

/// Sends a request twice, and says whether the second was a hit.
async fn is_cached(cache: &CacheService<Search>, request: impl Fn() -> Request<Body>) -> bool {
    let first = ask(cache, request()).await;
    assert!(!is_hit(&first), "{first:?}");
    is_hit(&ask(cache, request()).await)
}

// === Keys ===

#[tokio::test]
async fn an_equal_body_is_answered_from_the_store() {
    let origin = Search::default();
    let cache = origin.cached();
    let first = ask(&cache, search("a query")).await;
    assert_eq!(first.1, "1 POST 7 bytes, 0 trailers: a query");
    let whole = ask(&cache, search("a query")).await;
    let pieces = ask(
        &cache,
        search(framed([data("a q"), data(""), data("uery")])),
    )
    .await;
    for again in [whole, pieces] {
        assert!(is_hit(&again), "{again:?}");
        assert_eq!(again.1, first.1);
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn everything_that_makes_another_request_makes_another_key() {
    let origin = Search::default();
    let cache = origin.cached();
    let other_uri = |uri: &str| {
        let mut request = search("a query");
        *request.uri_mut() = uri.parse().unwrap();
        request
    };
    let text = "text/plain";
    let requests = [
        search("a query"),
        search("another query"),
        search("a query "),
        search(""),
        other_uri("http://a.test/search?page=2"),
        other_uri("http://b.test/search"),
        with(search("a query"), "content-type", text),
        with(search("a query"), "content-type", "application/json"),
        with(search("a query"), "content-encoding", "gzip"),
        with(
            with(search("a query"), "content-type", text),
            "content-type",
            text,
        ),
        with(search("a query"), "content-type", ""),
    ];
    for (number, request) in requests.into_iter().enumerate() {
        let answer = ask(&cache, request).await;
        assert!(
            answer.1.starts_with(&format!("{} ", number + 1)),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn only_a_post_is_answered() {
    let origin = Search::default();
    let cache = origin.cached();
    ask(&cache, search("")).await;
    assert!(is_hit(&ask(&cache, search("")).await));
    let got = ask(&cache, asking(Method::GET, Body::empty())).await;
    assert!(got.1.starts_with("2 GET"), "{got:?}");
    // And the other way round.
    assert!(is_hit(
        &ask(&cache, asking(Method::GET, Body::empty())).await
    ));
    let posted = ask(&cache, search("")).await;
    assert!(posted.1.starts_with("1 POST"), "{posted:?}");
    for method in ["QUERY", "SEARCH", "REPORT"] {
        let answer = ask(&cache, asking(method.parse().unwrap(), "")).await;
        assert!(matches!(answer.0, CacheOutcome::Forwarded), "{answer:?}");
    }
}

/// What has no meaning is neither keyed nor forwarded, as for GET, unless the request goes past the
/// cache.
#[tokio::test]
async fn what_has_no_meaning_is_removed_from_a_read() {
    let origin = Search::saying("");
    let cache = origin.cached_with(|it| {
        it.ttl(Duration::from_secs(60))
            .languages(["en", "de"])
            .key_headers(["accept-language"])
            .ignore_query(["utm_*"])
    });
    let asked = |query: &str, languages: &str, cookie: &str| {
        let mut request = with(search("a"), "accept-language", languages);
        *request.uri_mut() = format!("http://a.test/search?{query}").parse().unwrap();
        with(request, "cookie", cookie)
    };
    ask(&cache, asked("utm_a&q=1", "de-AT", "_ga=1")).await;
    assert_eq!(origin.last(), "/search?q=1 de ");
    let hit = ask(&cache, asked("q=1&utm_b", "fr, de-CH;q=0.5", "_ga=2")).await;
    assert!(is_hit(&hit), "{hit:?}");
    let own = ask(&cache, asked("utm_a&q=1", "de-AT", "_ga=1; session=1")).await;
    assert_eq!(own.0, CacheOutcome::Bypassed(Bypass::Cookie));
    assert_eq!(origin.last(), "/search?utm_a&q=1 de-AT _ga=1; session=1");
}

#[tokio::test]
async fn parts_of_a_key_policy_cannot_be_taken_for_a_body() {
    // What is pushed for a GET here is what a POST has in its key.
    let origin = Search::default();
    let cache = origin.cached_with(|builder| {
        builder.key(
            |request: &http::request::Parts, key: &mut cachewarp::KeyExtension<'_>| {
                if request.method == Method::GET {
                    for part in [&b"content of POST"[..], b"content-type", &[0; 8]] {
                        key.push(part);
                    }
                }
                cachewarp::Keying::Use
            },
        )
    });
    ask(&cache, search("")).await;
    assert!(!is_hit(
        &ask(&cache, asking(Method::GET, Body::empty())).await
    ));
}

// === What is not read ===

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_part_of_the_key_is_forwarded_whole() {
    let long = "x".repeat(LIMIT + 1);
    let trailers = || {
        let fields = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        framed([data("ab"), Ok(Frame::trailers(fields))])
    };
    let late = || {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, BoxError>>(4);
        tokio::spawn(async move {
            for part in ["one ", "two ", "three"] {
                sender.send(Ok(Frame::data(part.into()))).await.unwrap();
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
        });
        Body::new(StreamBody::new(Receiving(receiver)))
    };
    type Make<'a> = Box<dyn Fn() -> Body + 'a>;
    let cases: [(Make<'_>, &str); 6] = [
        (
            Box::new(|| long.clone().into()),
            "1025 bytes, 0 trailers: xxxxxxxxxxxxxxxxxxxx",
        ),
        (
            Box::new(|| {
                let rest = Bytes::from(long.clone());
                framed([data("ab"), Ok(Frame::data(rest)), data("c")])
            }),
            "1028 bytes, 0 trailers: abxxxxxxxxxxxxxxxxxx",
        ),
        (Box::new(trailers), "2 bytes, 1 trailers: ab"),
        (
            Box::new(|| framed([data("ab"), Err("it broke"), data("c")])),
            "failed: it broke",
        ),
        (Box::new(|| framed([Err("it broke")])), "failed: it broke"),
        (Box::new(late), "13 bytes, 0 trailers: one two three"),
    ];
    for (body, received) in cases {
        let origin = Search::default();
        let cache = origin.cached();
        for call in 1..3 {
            let answer = ask(&cache, search(body())).await;
            assert!(matches!(answer.0, CacheOutcome::Bypassed(_)), "{answer:?}");
            assert_eq!(answer.1, format!("{call} POST {received}"));
        }
    }
}

/// A stream of what a channel brings.
struct Receiving(tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, BoxError>>);

impl futures_util::Stream for Receiving {
    type Item = Result<Frame<Bytes>, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

#[tokio::test]
async fn a_body_of_the_limit_is_read() {
    let cache = Search::default().cached();
    let longest = || search("x".repeat(LIMIT));
    assert!(is_cached(&cache, longest).await);
}

#[tokio::test]
async fn conditions_and_ranges_are_for_the_origin() {
    for (name, value) in [
        ("if-none-match", "\"v1\""),
        ("if-match", "\"v1\""),
        ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("range", "bytes=0-1"),
    ] {
        let cache = Search::default().cached();
        ask(&cache, search("a")).await;
        let answer = ask(&cache, with(search("a"), name, value)).await;
        assert_eq!(answer.1, "2 POST 1 bytes, 0 trailers: a", "{name}");
        assert!(
            is_hit(&ask(&cache, search("a")).await),
            "{name} invalidated"
        );
    }
}

#[tokio::test]
async fn all_bodies_together_are_bounded() {
    // A quarter of 4 KiB, of which one request holds most.
    let origin = Search::default();
    let gate = Arc::new(Notify::new());
    *origin.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let layer = CacheLayer::builder()
        .memory(Memory::with_capacity(4096))
        .post_as_read("/search", 4096)
        .build()
        .unwrap();
    let cache = layer.layer(origin.clone());
    let body = |byte: &str| search(byte.repeat(700));
    let first = tokio::spawn({
        let (cache, request) = (cache.clone(), body("a"));
        async move { ask(&cache, request).await }
    });
    while origin.calls() == 0 {
        tokio::task::yield_now().await;
    }
    *origin.0.gate.lock().unwrap() = None;
    let second = ask(&cache, body("b")).await;
    assert!(matches!(second.0, CacheOutcome::Bypassed(_)), "{second:?}");
    assert!(second.1.starts_with("2 POST 700 bytes"), "{second:?}");
    gate.notify_one();
    let first = first.await.unwrap();
    assert!(matches!(first.0, CacheOutcome::Fetched { .. }), "{first:?}");
    // The first one has given back what it held.
    assert_eq!(layer.handle().drain(Duration::from_secs(60)).await, 0);
    let third = ask(&cache, body("c")).await;
    assert!(matches!(third.0, CacheOutcome::Fetched { .. }), "{third:?}");
}

/// Also those that turn out to be no part of a key, until the service takes them.
#[tokio::test]
async fn bodies_that_are_forwarded_count_until_they_are_taken() {
    let unfit: [fn() -> Body; 3] = [
        || Body::from("a".repeat(700) + &"b".repeat(4096)),
        || framed([Ok(Frame::data("a".repeat(700).into())), Err("it broke")]),
        || {
            let trailers = Frame::trailers(HeaderMap::new());
            framed([Ok(Frame::data("a".repeat(700).into())), Ok(trailers)])
        },
    ];
    for (number, unfit) in unfit.into_iter().enumerate() {
        let origin = Search::default();
        let gate = Arc::new(Notify::new());
        *origin.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
        let layer = CacheLayer::builder()
            .memory(Memory::with_capacity(4096))
            .post_as_read("/search", 4096)
            .build()
            .unwrap();
        let cache = layer.layer(origin.clone());
        let first = tokio::spawn({
            let (cache, request) = (cache.clone(), search(unfit()));
            async move { ask(&cache, request).await }
        });
        while origin.calls() == 0 {
            tokio::task::yield_now().await;
        }
        *origin.0.gate.lock().unwrap() = None;
        let second = ask(&cache, search("b".repeat(700))).await;
        // The first frame of the first one was too long by itself, so nothing of it is held.
        let is_bypassed = matches!(second.0, CacheOutcome::Bypassed(_));
        assert_eq!(is_bypassed, number > 0, "{number}: {second:?}");
        gate.notify_one();
        let first = first.await.unwrap();
        assert!(matches!(first.0, CacheOutcome::Bypassed(_)), "{first:?}");
        let third = ask(&cache, search("c".repeat(700))).await;
        assert!(matches!(third.0, CacheOutcome::Fetched { .. }), "{third:?}");
    }
}

// === What follows from it ===

#[tokio::test]
async fn a_read_invalidates_nothing_and_a_write_invalidates_it() {
    let origin = Search::default();
    let cache = origin.cached();
    let get = || asking(Method::GET, Body::empty());
    ask(&cache, get()).await;
    ask(&cache, search("a")).await;
    ask(&cache, search("x".repeat(LIMIT + 1))).await;
    assert!(is_hit(&ask(&cache, get()).await));
    assert!(is_hit(&ask(&cache, search("a")).await));
    ask(&cache, asking(Method::PUT, "new")).await;
    assert!(!is_hit(&ask(&cache, search("a")).await));
    assert!(is_hit(&ask(&cache, search("a")).await));
    // It asks for a write.
    let overridden = with(search("a"), "x-http-method-override", "DELETE");
    let written = ask(&cache, overridden).await;
    assert!(matches!(written.0, CacheOutcome::Forwarded), "{written:?}");
    assert!(!is_hit(&ask(&cache, search("a")).await));
}

#[tokio::test]
async fn other_paths_are_writes() {
    let origin = Search::default();
    let cache = origin.cached();
    for path in ["/searches", "/search/", "/Search", "/"] {
        let request = || {
            let mut request = search("a");
            *request.uri_mut() = format!("http://a.test{path}").parse().unwrap();
            request
        };
        for _ in 0..2 {
            let answer = ask(&cache, request()).await;
            assert!(
                matches!(answer.0, CacheOutcome::Forwarded),
                "{path} {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_stale_response_is_fetched_again_with_its_body_and_without_conditions() {
    let clock = ManualClock::at(1_700_000_000);
    let origin = Search::saying("max-age=10, stale-while-revalidate=10");
    let cache = origin.cached_with(|builder| builder.clock(clock.clone()));
    ask(&cache, search("a query")).await;
    clock.advance(Duration::from_secs(15));
    let stale = ask(&cache, search("a query")).await;
    assert!(stale.1.starts_with("1 POST"), "{stale:?}");
    while origin.calls() < 2 {
        tokio::task::yield_now().await;
    }
    // The refresh in the background had the same body.
    let refreshed = loop {
        let answer = ask(&cache, search("a query")).await;
        if is_hit(&answer) {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refreshed.1, "2 POST 7 bytes, 0 trailers: a query");
    clock.advance(Duration::from_secs(30));
    let fetched = ask(&cache, search("a query")).await;
    assert_eq!(fetched.1, "3 POST 7 bytes, 0 trailers: a query");
    assert_eq!(origin.0.conditional.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn equal_reads_at_once_make_one_call() {
    let origin = Search::default();
    let gate = Arc::new(Notify::new());
    *origin.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let cache = origin.cached();
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { ask(&cache, search("a query")).await })
        })
        .collect();
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(answer.1, "1 POST 7 bytes, 0 trailers: a query");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn what_keeps_a_get_from_being_stored_keeps_a_read_from_it() {
    for directives in [
        "no-store",
        "private, max-age=60",
        "max-age=60, private=\"etag\"",
    ] {
        let cache = Search::saying(directives).cached();
        assert!(!is_cached(&cache, || search("a")).await, "{directives}");
    }
    let cache = Search::default().cached();
    let personal = || with(search("a"), "authorization", "Basic YTpi");
    assert!(!is_cached(&cache, personal).await);
}

/// Of two layers of one cache the outer one reads. If they have different settings, nothing is stored.
#[tokio::test(start_paused = true)]
async fn a_layer_within_a_layer_of_its_cache_waits_for_nothing() {
    let outer = CacheLayer::builder().post_as_read("/search", LIMIT as u64);
    let outer = outer.build().unwrap();
    let other = |change: fn(CacheBuilder) -> CacheBuilder| outer.with(change).unwrap();
    let cases = [
        (outer.clone(), 1),
        (other(|c| c.key_headers(["x-key"])), 2),
        (other(|c| c.post_as_read("/*", 2)), 1),
        (outer.scope("inner"), 2),
    ];
    for (number, (inner, calls)) in cases.into_iter().enumerate() {
        let origin = Search::default();
        let service = outer.layer(inner.layer(origin.clone()));
        let query = format!("query {number}");
        let began = tokio::time::Instant::now();
        for _ in 0..2 {
            let asked = search(query.clone());
            let answer = service.clone().oneshot(asked).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let received = format!("POST 7 bytes, 0 trailers: {query}");
            assert!(body.ends_with(&received), "{number} {body}");
        }
        assert_eq!(origin.calls(), calls, "{number}");
        assert_eq!(began.elapsed(), Duration::ZERO, "{number}");
    }
}

// === Settings ===

#[tokio::test]
async fn axum_needs_the_path_alone() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let found = async move |query: String| {
        let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
        format!("{call} {query}")
    };
    let cache = CacheLayer::builder()
        .ttl(FixedTtl::new(Duration::from_secs(60)))
        .post_as_read("/search", LIMIT as u64)
        .build()
        .unwrap();
    let app: Router = Router::new().route("/search", post(found)).layer(cache);
    for (query, expected) in [("a", "1 a"), ("a", "1 a"), ("b", "2 b"), ("a", "1 a")] {
        let answer = app.clone().oneshot(search(query)).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn bodies_of_another_type_need_to_be_made() {
    type Boxed = UnsyncBoxBody<Bytes, BoxError>;
    let ask = async |layer: CacheLayer| {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let service = layer.layer(tower::service_fn(move |request: Request<Boxed>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let response = Response::builder().header("cache-control", "max-age=60");
                Ok::<_, BoxError>(response.body(Full::new(body)).unwrap())
            }
        }));
        for _ in 0..2 {
            let body = Full::new(Bytes::from("a"))
                .map_err(Into::into)
                .boxed_unsync();
            let request = Request::post("http://a.test/search").body(body).unwrap();
            let answer = service.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "a");
        }
        calls.load(Ordering::SeqCst)
    };
    let builder = || CacheLayer::builder().post_as_read("/search", 10);
    let made = builder().request_bodies(|read: ReadBody<Boxed>| read.boxed_unsync());
    assert_eq!(ask(made.build().unwrap()).await, 1);
    // Without that the POST is what it is to every cache: a write.
    assert_eq!(ask(builder().build().unwrap()).await, 2);
}

#[test]
fn a_limit_that_is_none_is_refused() {
    for limit in [0, (16 << 20) + 1] {
        let refused = CacheLayer::builder().post_as_read("/search", limit).build();
        let Err(ConfigError::OutOfRange { setting, value, .. }) = refused else {
            panic!("{limit} was taken");
        };
        assert_eq!((setting, value), ("post_as_read", limit.to_string()));
    }
    let refused = CacheLayer::builder().post_as_read("search", 1).build();
    assert_eq!(refused.unwrap_err().setting(), "post_as_read");
}
