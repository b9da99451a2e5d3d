//! What the circuit breaker under a cache counts: the origin's trouble, and not that of one of its
//! pages. It counts all calls, and while it is open it refuses all.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{
    BreakerConfig, BreakerHandle, CacheLayer, CacheOutcome, CacheService, Generated,
    RequestProgress,
    breaker::{BreakerConfigBuilder, BreakerState},
};
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::time::{advance, sleep};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

use crate::origin::Standing;

type Content = UnsyncBoxBody<Bytes, Infallible>;
type Sent = Request<Content>;
type Inner = BoxCloneSyncService<Request<Wrapped>, Response<Full<Bytes>>, Broken>;

/// A request body with a default, which the cache needs.
#[derive(Default)]
struct Wrapped(Option<Content>);

impl http_body::Body for Wrapped {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Some(content) => std::pin::Pin::new(content).poll_frame(cx),
            None => std::task::Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|it| it.is_end_stream())
    }
}

/// A connection that was refused, or broke.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl Error for Broken {}

/// An origin with good pages and bad ones, by the beginning of the path: `/500/..` answers 500,
/// `/gone/..` breaks the connection, `/slow/..` takes a minute. All of it may be down.
#[derive(Clone, Default)]
struct Pages {
    asked: Arc<Mutex<Vec<String>>>,
    down: Arc<AtomicBool>,
}

impl Pages {
    async fn answer(self, request: Request<Wrapped>) -> Result<Response<Full<Bytes>>, Broken> {
        let path = request.uri().path().to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let first = path.split('/').nth(1).unwrap_or_default();
        let mut response = Response::new(Full::from("page"));
        if self.down.load(Ordering::SeqCst) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        } else if let Ok(status) = StatusCode::from_bytes(first.as_bytes()) {
            *response.status_mut() = status;
        } else if first == "gone" {
            return Err(Broken);
        } else if first == "slow" {
            sleep(Duration::from_secs(60)).await;
        }
        if response.status() == StatusCode::OK {
            let fresh = header::HeaderValue::from_static("max-age=600");
            response.headers_mut().insert(header::CACHE_CONTROL, fresh);
        }
        Ok(response)
    }

    fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn cache(
        &self,
        breaker: impl FnOnce(BreakerConfigBuilder) -> BreakerConfigBuilder,
    ) -> (CacheService<Inner>, BreakerHandle) {
        let breaker = breaker(BreakerConfig::builder().open_jitter(0.0));
        let layer = CacheLayer::builder()
            .clock(Standing::default())
            .origin_timeout(Duration::from_secs(1))
            .breaker(breaker.build().unwrap())
            .build()
            .unwrap();
        let pages = self.clone();
        let cache = layer.layer(BoxCloneSyncService::new(tower::service_fn(
            move |request| pages.clone().answer(request),
        )));
        (cache, layer.breaker_handle().unwrap())
    }
}

fn request(method: &str, path: &str) -> Sent {
    Request::builder()
        .method(method)
        .uri(format!("http://shop.example{path}"))
        .body(Empty::new().boxed_unsync())
        .unwrap()
}

/// The status, 0 for an error, and the outcome.
async fn send(cache: &CacheService<Inner>, request: Sent) -> (u16, Option<CacheOutcome>) {
    let request = request.map(|content| Wrapped(Some(content)));
    match cache.clone().oneshot(request).await {
        Err(Broken) => (0, None),
        Ok(response) => {
            let outcome = response.extensions().get().cloned();
            let status = response.status().as_u16();
            response.into_body().collect().await.unwrap();
            (status, outcome)
        }
    }
}

async fn get(cache: &CacheService<Inner>, path: &str) -> u16 {
    send(cache, request("GET", path)).await.0
}

#[tokio::test(start_paused = true)]
async fn one_page_that_fails_does_not_stop_the_others() {
    for (bad, expected) in [
        ("/500/x", 500),
        ("/502/x", 502),
        ("/503/x", 503),
        ("/504/x", 504),
        ("/gone/x", 0),
        ("/slow/x", 504),
        // Nor do its queries and spellings.
        ("/503/x?{n}", 503),
        ("/slow/x?{n}", 504),
        ("/503/%78", 503),
    ] {
        let pages = Pages::default();
        let (cache, handle) = pages.cache(|it| it);
        for n in 0..7 {
            let path = bad.replace("{n}", &n.to_string());
            assert_eq!(get(&cache, &path).await, expected, "{bad}");
        }
        assert_eq!(handle.state(""), BreakerState::Closed, "{bad}");
        for other in 0..99 {
            assert_eq!(get(&cache, &format!("/p{other}")).await, 200, "{bad}");
        }
    }
}

/// For as long as it likes: while others are asked for too.
#[tokio::test(start_paused = true)]
async fn one_slow_page_never_stops_the_others() {
    let pages = Pages::default();
    let (cache, handle) = pages.cache(|it| it.slow_call(Duration::from_millis(500)));
    for other in 0..200 {
        for _ in 0..3 {
            get(&cache, "/slow/report").await;
        }
        assert_eq!(get(&cache, &format!("/p{other}")).await, 200);
        assert_eq!(get(&cache, &format!("/p{other}/b")).await, 200);
    }
    assert_eq!(handle.state(""), BreakerState::Closed);
    assert_eq!(handle.stats("").refused, 0);
}

#[tokio::test(start_paused = true)]
async fn failures_of_three_pages_are_the_origins() {
    for kind in ["502", "503", "504", "gone", "slow"] {
        for (paths, opens) in [
            (["a", "b", "c"], true),
            (["a", "b", "a"], false),
            (["a", "a", "a"], false),
        ] {
            let pages = Pages::default();
            let (cache, handle) = pages.cache(|it| it.consecutive_failures(3));
            for path in paths {
                get(&cache, &format!("/{kind}/{path}")).await;
            }
            let open = handle.state("") == BreakerState::Open;
            assert_eq!(open, opens, "{kind} {paths:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_fail_always_count() {
    let pages = Pages::default();
    let (cache, handle) = pages.cache(|it| it);
    for call in 1..=20 {
        assert_eq!(handle.state(""), BreakerState::Closed, "{call}");
        get(&cache, "/gone/x").await;
    }
    assert_eq!(handle.stats("").failed, 20);
    assert_eq!(handle.state(""), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn five_hundred_counts_when_asked() {
    for (asked, opens) in [(false, false), (true, true)] {
        let pages = Pages::default();
        let (cache, handle) = pages.cache(|it| if asked { it.count_500() } else { it });
        for path in 0..100 {
            get(&cache, &format!("/500/{path}")).await;
        }
        assert_eq!(handle.state("") == BreakerState::Open, opens);
    }
}

/// Every kind of request, by what makes it so.
fn kinds(path: &str) -> Vec<(&'static str, Sent)> {
    let with = |name: &'static str, value: &'static str| {
        let mut request = request("GET", path);
        let value = header::HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
        request
    };
    let mut content = request("GET", path);
    content
        .headers_mut()
        .insert("content-length", header::HeaderValue::from_static("0"));
    vec![
        ("a miss", request("GET", path)),
        ("a HEAD", request("HEAD", path)),
        ("a write", request("POST", path)),
        ("another write", request("DELETE", path)),
        ("a safe method", request("OPTIONS", path)),
        ("an unknown method", request("BREW", path)),
        (
            "a request with credentials",
            with("authorization", "Basic x"),
        ),
        (
            "a request that stores nothing",
            with("cache-control", "no-store"),
        ),
        ("an upgrade", {
            let mut request = with("upgrade", "websocket");
            let value = header::HeaderValue::from_static("upgrade");
            request.headers_mut().insert("connection", value);
            request
        }),
        ("a bypass", with("host", "a, b")),
    ]
}

#[tokio::test(start_paused = true)]
async fn all_calls_count() {
    for index in 0..kinds("/").len() {
        let pages = Pages::default();
        let (cache, handle) = pages.cache(|it| it.consecutive_failures(3));
        for path in ["/503/a", "/503/b", "/503/c"] {
            let (kind, request) = kinds(path).swap_remove(index);
            assert_eq!(handle.state(""), BreakerState::Closed, "{kind}");
            assert_eq!(send(&cache, request).await.0, 503, "{kind}");
        }
        let kind = kinds("/").swap_remove(index).0;
        assert_eq!(handle.state(""), BreakerState::Open, "{kind}");
        assert_eq!(handle.stats("").failed, 3, "{kind}");
    }
}

/// A request past the cache waits for the origin as long as others, and counts when it has.
#[tokio::test(start_paused = true)]
async fn requests_past_the_cache_that_wait_too_long_count() {
    let pages = Pages::default();
    let (cache, handle) = pages.cache(|it| it.consecutive_failures(3));
    for path in ["/slow/a", "/slow/a", "/slow/b", "/slow/c"] {
        assert_eq!(handle.state(""), BreakerState::Closed, "{path}");
        let mut request = request("GET", path);
        let method = header::HeaderValue::from_static("DELETE");
        request
            .headers_mut()
            .insert("x-http-method-override", method);
        let (status, outcome) = send(&cache, request).await;
        assert_eq!(status, 504, "{outcome:?}");
    }
    assert_eq!(handle.state(""), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn while_it_is_open_all_calls_are_refused() {
    let pages = Pages::default();
    let (cache, handle) = pages.cache(|it| it);
    assert_eq!(get(&cache, "/kept").await, 200);
    handle.force_open("");
    let before = pages.calls();
    for (kind, request) in kinds("/x").into_iter().chain(kinds("/y")) {
        let (status, outcome) = send(&cache, request).await;
        assert_eq!(status, 503, "{kind}");
        assert!(
            matches!(
                outcome,
                Some(CacheOutcome::Generated(Generated::BreakerOpen { .. }))
            ),
            "{kind}: {outcome:?}"
        );
    }
    // A write that was not made has changed nothing.
    for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
        send(&cache, request(method, "/kept")).await;
        assert_eq!(get(&cache, "/kept").await, 200, "{method}");
    }
    assert_eq!(pages.calls(), before);
    assert_eq!(handle.stats("").refused, 25);
    // One that is made has.
    handle.reset("");
    assert_eq!(send(&cache, request("POST", "/kept")).await.0, 200);
    assert_eq!(get(&cache, "/kept").await, 200);
    assert_eq!(pages.calls(), before + 2);
}

/// A client that breaks off its content makes the call fail. That is not the origin's trouble.
#[tokio::test(start_paused = true)]
async fn what_a_client_broke_off_does_not_count() {
    let pages = Pages::default();
    let (cache, handle) = pages.cache(|it| it);
    for path in 0..100 {
        let (parts, _) = request("POST", &format!("/gone/{path}")).into_parts();
        let content = tokio_stream::iter([Ok(Frame::data(Bytes::from("half")))]);
        let request = Request::from_parts(parts, StreamBody::new(content).boxed_unsync());
        assert_eq!(send(&cache, request).await.0, 0);
    }
    assert_eq!(handle.state(""), BreakerState::Closed);
    assert_eq!(handle.stats("").ignored, 100);
}

/// What the service says of the request is believed.
#[tokio::test(start_paused = true)]
async fn errors_count_as_the_service_says_how_far_the_request_got() {
    type Says = fn(&RequestProgress);
    let cases: [(Says, &'static str, u64); 8] = [
        (RequestProgress::not_sent, "content", 1),
        (RequestProgress::not_sent, "", 1),
        (RequestProgress::incomplete, "content", 0),
        (RequestProgress::incomplete, "", 0),
        (RequestProgress::sent, "content", 1),
        (RequestProgress::sent, "", 1),
        (|_| {}, "content", 0),
        (|_| {}, "", 1),
    ];
    for (index, (say, content, failed)) in cases.into_iter().enumerate() {
        let layer = CacheLayer::builder()
            .breaker(BreakerConfig::default())
            .build()
            .unwrap();
        let cache = layer.layer(tower::service_fn(move |request: Request<Full<Bytes>>| {
            say(request.extensions().get().unwrap());
            async { Err::<Response<Full<Bytes>>, _>(Broken) }
        }));
        let request = Request::post("http://shop.example/").body(Full::from(content));
        let answer = cache.oneshot(request.unwrap()).await;
        assert!(answer.is_err());
        let stats = layer.breaker_handle().unwrap().stats("");
        assert_eq!(
            (stats.failed, stats.ignored),
            (failed, 1 - failed),
            "case {index}"
        );
    }
}

/// A service that gives up a slow page by itself says so. Then this is no broken connection.
#[tokio::test(start_paused = true)]
async fn errors_that_are_those_of_one_path_do_not_speak_for_the_others() {
    type Says = fn(&RequestProgress);
    let cases: [(&str, Says, bool); 5] = [
        ("of a path", RequestProgress::path_failed, false),
        (
            "of a path, sent twice",
            |it| {
                it.repeated();
                it.path_failed();
            },
            false,
        ),
        (
            "of a path, all of it sent",
            |it| {
                it.sent();
                it.path_failed();
            },
            false,
        ),
        ("of a connection", RequestProgress::sent, true),
        ("who knows", |_| {}, true),
    ];
    for (what, say, opens) in cases {
        for (kind, index) in kinds("/").iter().map(|(kind, _)| kind).zip(0..) {
            let layer = CacheLayer::builder()
                .clock(Standing::default())
                .breaker(BreakerConfig::default())
                .build()
                .unwrap();
            let cache = layer.layer(BoxCloneSyncService::new(tower::service_fn(
                move |request: Request<Wrapped>| {
                    say(request.extensions().get().unwrap());
                    async { Err::<Response<Full<Bytes>>, _>(Broken) }
                },
            )));
            for query in 0..20 {
                let request = kinds(&format!("/slow?{query}")).swap_remove(index).1;
                send(&cache, request).await;
            }
            let handle = layer.breaker_handle().unwrap();
            let open = handle.state("") == BreakerState::Open;
            assert_eq!(open, opens, "{what}, {kind}");
            assert_eq!(
                handle.stats("").failed,
                if opens { 20 } else { 1 },
                "{what}, {kind}"
            );
        }
    }
}

/// A service that has no connection to spare says so. The origin was not asked.
#[tokio::test(start_paused = true)]
async fn errors_that_are_the_service_s_own_do_not_count() {
    for (kind, index) in kinds("/").iter().map(|(kind, _)| kind).zip(0..) {
        let layer = CacheLayer::builder()
            .clock(Standing::default())
            .breaker(BreakerConfig::default())
            .build()
            .unwrap();
        let cache = layer.layer(BoxCloneSyncService::new(tower::service_fn(
            |request: Request<Wrapped>| {
                let progress = request.extensions().get::<RequestProgress>();
                progress.unwrap().not_tried();
                async { Err::<Response<Full<Bytes>>, _>(Broken) }
            },
        )));
        for n in 0..20 {
            let request = kinds(&format!("/{n}")).swap_remove(index).1;
            send(&cache, request).await;
        }
        let handle = layer.breaker_handle().unwrap();
        assert_eq!(handle.state(""), BreakerState::Closed, "{kind}");
        let stats = handle.stats("");
        assert_eq!(stats.failed, 0, "{kind}");
        assert!(stats.ignored >= 20, "{kind}: {stats:?}");
    }
}

/// The origin is back, but for one page, which is asked for most.
#[tokio::test(start_paused = true)]
async fn one_bad_page_does_not_keep_the_circuit_open() {
    let pages = Pages::default();
    let (cache, handle) = pages.cache(|it| it.consecutive_failures(3));
    pages.down.store(true, Ordering::SeqCst);
    for path in ["/1", "/2", "/3"] {
        get(&cache, path).await;
    }
    assert_eq!(handle.state(""), BreakerState::Open);
    pages.down.store(false, Ordering::SeqCst);
    let mut refused = 0;
    for second in 0..60 {
        advance(Duration::from_secs(1)).await;
        for _ in 0..20 {
            get(&cache, "/503/bad").await;
        }
        refused += u32::from(get(&cache, &format!("/good/{second}")).await == 503);
    }
    assert_eq!(handle.state(""), BreakerState::Closed);
    assert_eq!(handle.stats("").openings, 2);
    // 5 s, and 10 s because of its first probe.
    assert!(refused <= 15, "{refused}");
}
