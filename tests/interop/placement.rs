//! Where to put the layer: every row of `docs/placement.md`, with the layers of axum and tower-http
//! on either side of the cache.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    convert::Infallible,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::any,
};
use bytes::Bytes;
use cachewarp::{CacheBuilder, CacheLayer, CacheOutcome, FixedTtl, Memory, StaleReason};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CACHE_CONTROL,
        CONTENT_ENCODING, COOKIE, ORIGIN, SET_COOKIE,
    },
};
use http_body_util::BodyExt;
use tokio::time::{advance, sleep};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::{
    compression::CompressionLayer, cors::CorsLayer, limit::RequestBodyLimitLayer,
    normalize_path::NormalizePathLayer, timeout::TimeoutLayer,
};

use crate::support::Calls;

const MINUTE: &str = "max-age=60";
const LONG: Duration = Duration::from_secs(60);

/// On which side of the cache another layer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    /// It sees every request, and every answer of the cache.
    Outside,
    /// It sees what the cache asks its service.
    Inside,
}

use Side::{Inside, Outside};

/// A router with a cache and another layer.
struct Site {
    app: Router,
    cache: CacheLayer,
    calls: Calls,
}

fn cache(set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> CacheLayer {
    let memory = Memory::with_capacity(1 << 20);
    set(CacheLayer::builder().memory(memory)).build().unwrap()
}

/// A router whose answers have these directives, and that counts its calls.
fn pages(directives: &'static str) -> (Router, Calls) {
    let calls = Calls::default();
    let counted = calls.clone();
    let page = move |method: Method, _: Bytes| {
        counted.add();
        let mut response =
            format!("{method} a page that is long enough to be compressed").into_response();
        if !directives.is_empty() {
            let directives = HeaderValue::from_static(directives);
            response.headers_mut().insert(CACHE_CONTROL, directives);
        }
        async move { response }
    };
    (Router::new().fallback(any(page)), calls)
}

impl Site {
    fn new(side: Side, directives: &'static str, other: impl FnOnce(Router) -> Router) -> Self {
        Self::with(side, directives, |it| it, other)
    }

    fn with(
        side: Side,
        directives: &'static str,
        set: impl FnOnce(CacheBuilder) -> CacheBuilder,
        other: impl FnOnce(Router) -> Router,
    ) -> Self {
        let cache = cache(set);
        let (pages, calls) = pages(directives);
        let app = match side {
            Outside => other(pages.layer(cache.clone())),
            Inside => other(pages).layer(cache.clone()),
        };
        Self { app, cache, calls }
    }

    async fn get(&self, fields: &[(HeaderName, &str)]) -> Seen {
        let seen = send(&self.app, request("GET", "/page", fields)).await;
        assert_eq!(self.cache.handle().drain(LONG).await, 0);
        seen
    }
}

fn request(method: &str, path: &str, fields: &[(HeaderName, &str)]) -> Request {
    let uri = format!("http://a.test{path}");
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// What a client gets.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: http::HeaderMap,
    outcome: Option<CacheOutcome>,
    body: Bytes,
}

impl Seen {
    fn is_hit(&self) -> bool {
        matches!(self.outcome, Some(CacheOutcome::Hit { .. }))
    }

    fn field(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn send<S, B>(service: &S, request: Request) -> Seen
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let Ok(response) = service.clone().oneshot(request).await;
    let (parts, body) = response.into_parts();
    Seen {
        status: parts.status.as_u16(),
        outcome: parts.extensions.get().cloned(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

/// Lets a request pass that has this value in this field.
fn guard(name: HeaderName, right: &'static str) -> impl FnOnce(Router) -> Router {
    move |router| {
        router.layer(from_fn(move |request: Request, next: Next| {
            let passes = request.headers().get(&name).is_some_and(|it| it == right);
            async move {
                match passes {
                    true => next.run(request).await,
                    false => StatusCode::UNAUTHORIZED.into_response(),
                }
            }
        }))
    }
}

#[tokio::test]
async fn authentication() {
    let with_token = [(AUTHORIZATION, "Bearer right")];
    for (side, directives, without_token, again_is_a_hit) in [
        // Each request is checked, the answered ones too.
        (Outside, "public, max-age=60", 401, true),
        // What is public is for all.
        (Inside, "public, max-age=60", 200, true),
        // What is not, is stored for nobody.
        (Outside, MINUTE, 401, false),
        (Inside, MINUTE, 401, false),
    ] {
        let guard = guard(AUTHORIZATION, "Bearer right");
        let site = Site::new(side, directives, guard);
        assert_eq!(site.get(&with_token).await.status, 200);
        let other = site.get(&[]).await;
        assert_eq!(other.status, without_token, "{side:?} {directives}");
        let again = site.get(&with_token).await;
        assert_eq!(again.is_hit(), again_is_a_hit, "{side:?} {directives}");
    }
}

#[tokio::test]
async fn api_keys() {
    type Set = fn(CacheBuilder) -> CacheBuilder;
    let key = HeaderName::from_static("x-api-key");
    let with_key = [(key.clone(), "right")];
    let policy: Set = |it| it.ttl(FixedTtl::new(LONG));
    let as_credentials: Set = |it| it.credential_headers(["x-api-key"]);
    let in_the_key: Set = |it| it.key_headers(["x-api-key"]);
    let plain: Set = |it| it;
    for (side, directives, set, without_key, again_is_a_hit) in [
        (Outside, MINUTE, plain, 401, true),
        // The page said that it may be reused, and not for whom.
        (Inside, MINUTE, plain, 200, true),
        (Inside, MINUTE, as_credentials, 401, false),
        (Inside, MINUTE, in_the_key, 401, true),
        // Nobody but a policy gave a lifetime: it gives none to what needs a key.
        (Inside, "", policy, 401, false),
        (Outside, "", policy, 401, false),
    ] {
        let site = Site::with(side, directives, set, guard(key.clone(), "right"));
        assert_eq!(site.get(&with_key).await.status, 200);
        let other = site.get(&[]).await;
        assert_eq!(other.status, without_key, "{side:?} {directives}");
        let again = site.get(&with_key).await;
        assert_eq!(again.is_hit(), again_is_a_hit, "{side:?} {directives}");
    }
}

/// Gives a session to everybody who has none.
fn sessions(router: Router) -> Router {
    let given = Arc::new(AtomicUsize::new(0));
    router.layer(from_fn(move |request: Request, next: Next| {
        let known = request.headers().contains_key(COOKIE);
        let session = given.fetch_add(usize::from(!known), Ordering::SeqCst);
        async move {
            let mut response: Response = next.run(request).await;
            if !known {
                let cookie = HeaderValue::try_from(format!("session={session}")).unwrap();
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
    }))
}

#[tokio::test]
async fn a_session_layer() {
    let outside = Site::new(Outside, MINUTE, sessions);
    for (session, hit) in [
        ("session=0", false),
        ("session=1", true),
        ("session=2", true),
    ] {
        let seen = outside.get(&[]).await;
        assert_eq!(
            (seen.field(&SET_COOKIE), seen.is_hit()),
            (Some(session), hit)
        );
    }
    let known = outside.get(&[(COOKIE, "session=1")]).await;
    assert_eq!((known.field(&SET_COOKIE), known.is_hit()), (None, true));

    // Every answer gives a cookie away, so none is stored: until a client has one.
    let inside = Site::new(Inside, MINUTE, sessions);
    for session in ["session=0", "session=1"] {
        let seen = inside.get(&[]).await;
        assert_eq!(
            (seen.field(&SET_COOKIE), seen.is_hit()),
            (Some(session), false)
        );
    }
    assert!(!inside.get(&[(COOKIE, "session=1")]).await.is_hit());
    assert!(inside.get(&[(COOKIE, "session=1")]).await.is_hit());
    // From then on nobody else gets a session while the page is fresh.
    assert_eq!(inside.get(&[]).await.field(&SET_COOKIE), None);
}

fn cors(router: Router) -> Router {
    let origins = ["https://one.test", "https://two.test"].map(HeaderValue::from_static);
    router.layer(CorsLayer::new().allow_origin(origins))
}

#[tokio::test]
async fn cross_origin_fields() {
    for (side, calls) in [(Outside, 1), (Inside, 2)] {
        let site = Site::new(side, MINUTE, cors);
        for round in 0..2 {
            for origin in ["https://one.test", "https://two.test"] {
                let seen = site.get(&[(ORIGIN, origin)]).await;
                let allowed = seen.field(&ACCESS_CONTROL_ALLOW_ORIGIN);
                assert_eq!(allowed, Some(origin), "{side:?}");
                assert!(seen.is_hit() || round == 0, "{side:?}");
            }
        }
        // A variant for each origin inside, one for all outside.
        assert_eq!(site.calls.count(), calls, "{side:?}");
        let method = HeaderName::from_static("access-control-request-method");
        let fields = [(ORIGIN, "https://one.test"), (method, "GET")];
        let preflight = send(&site.app, request("OPTIONS", "/page", &fields)).await;
        assert_eq!(preflight.status, 200);
        assert_eq!(site.calls.count(), calls, "the layer answers it");
        // It goes past the cache, or does not reach it.
        assert_eq!(preflight.outcome.is_some(), side == Inside);
    }
}

#[tokio::test]
async fn compression() {
    for (side, calls) in [(Outside, 1), (Inside, 2)] {
        let site = Site::new(side, MINUTE, |it| it.layer(CompressionLayer::new()));
        for round in 0..2 {
            for coding in [None, Some("gzip")] {
                let fields = coding.map(|it| (ACCEPT_ENCODING, it));
                let seen = site.get(fields.as_slice()).await;
                assert_eq!(seen.field(&CONTENT_ENCODING), coding, "{side:?}");
                assert_eq!(seen.body.starts_with(b"GET a page"), coding.is_none());
                assert!(seen.is_hit() || round == 0, "{side:?}");
            }
        }
        // Compressed once for each coding and stored so, or for each answer anew.
        assert_eq!(site.calls.count(), calls, "{side:?}");
    }
}

/// A page that takes three seconds from the second call on.
fn slow_pages(directives: &'static str, from: usize) -> (Router, Calls) {
    let calls = Calls::default();
    let counted = calls.clone();
    let page = move || {
        let slow = counted.count() >= from;
        counted.add();
        async move {
            if slow {
                sleep(Duration::from_secs(3)).await;
            }
            [(CACHE_CONTROL, directives)]
        }
    };
    (Router::new().fallback(any(page)), calls)
}

fn time_limit(status: StatusCode) -> TimeoutLayer {
    TimeoutLayer::with_status_code(status, Duration::from_secs(1))
}

#[tokio::test(start_paused = true)]
async fn time_limits() {
    // Outside: the client has gone, the fetch goes on, and the next client gets what it brought.
    let cache = cache(|it| it);
    let (pages, calls) = slow_pages(MINUTE, 0);
    let app = pages
        .layer(cache.clone())
        .layer(time_limit(StatusCode::GATEWAY_TIMEOUT));
    let first = send(&app, request("GET", "/", &[])).await;
    assert_eq!((first.status, calls.count()), (504, 1));
    assert_eq!(cache.handle().drain(LONG).await, 0);
    assert!(send(&app, request("GET", "/", &[])).await.is_hit());
    assert_eq!(calls.count(), 1);

    // Inside: the handler is stopped, and nothing of it is stored.
    let cache = self::cache(|it| it);
    let (pages, calls) = slow_pages(MINUTE, 0);
    let app = pages
        .layer(time_limit(StatusCode::GATEWAY_TIMEOUT))
        .layer(cache.clone());
    for call in 1..=2 {
        let seen = send(&app, request("GET", "/", &[])).await;
        assert_eq!((seen.status, calls.count()), (504, call));
        assert_eq!(cache.handle().drain(LONG).await, 0);
    }
}

/// A time limit inside says 408 unless told otherwise. That is no error of an origin.
#[tokio::test(start_paused = true)]
async fn time_limits_and_stale_answers() {
    for (status, stale) in [
        (StatusCode::GATEWAY_TIMEOUT, true),
        (StatusCode::REQUEST_TIMEOUT, false),
    ] {
        let cache = cache(|it| it);
        let (pages, _) = slow_pages("max-age=1, stale-if-error=60", 1);
        let app = pages.layer(time_limit(status)).layer(cache.clone());
        assert_eq!(send(&app, request("GET", "/", &[])).await.status, 200);
        assert_eq!(cache.handle().drain(LONG).await, 0);
        advance(Duration::from_secs(5)).await;
        let seen = send(&app, request("GET", "/", &[])).await;
        let reason = match seen.outcome {
            Some(CacheOutcome::Stale { reason, .. }) => Some(reason),
            _ => None,
        };
        let expected = stale.then_some(StaleReason::IfError(Some(status)));
        assert_eq!(reason, expected, "{status}");
    }
}

#[tokio::test]
async fn trailing_slashes() {
    for (side, calls) in [(Outside, 1), (Inside, 2)] {
        let cache = cache(|it| it);
        let (pages, counted) = pages(MINUTE);
        // Around the whole router: a layer of a router sees a request after it was routed.
        let trim = NormalizePathLayer::trim_trailing_slash();
        let app = match side {
            Outside => {
                tower::util::BoxCloneSyncService::new(trim.layer(pages.layer(cache.clone())))
            }
            Inside => tower::util::BoxCloneSyncService::new(
                ServiceBuilder::new()
                    .map_response(|it: http::Response<cachewarp::CacheBody<Body>>| {
                        it.map(Body::new)
                    })
                    .layer(cache.clone())
                    .service(trim.layer(pages)),
            ),
        };
        for path in ["/page", "/page/", "/page", "/page/"] {
            assert_eq!(send(&app, request("GET", path, &[])).await.status, 200);
            assert_eq!(cache.handle().drain(LONG).await, 0);
        }
        assert_eq!(counted.count(), calls, "{side:?}");
        // A write to one of them is a write to both. Inside, the cache does not know.
        send(&app, request("POST", "/page", &[])).await;
        let other = send(&app, request("GET", "/page/", &[])).await;
        assert_eq!(other.is_hit(), side == Inside, "{side:?}");
    }
}

fn too_large() -> Request {
    let mut request = request("POST", "/page", &[]);
    *request.body_mut() = Body::from("more than eight bytes");
    request
        .headers_mut()
        .insert("content-length", HeaderValue::from_static("21"));
    request
}

#[tokio::test]
async fn body_limits() {
    // axum's own limit works on both sides: handlers read it from the request.
    for side in [Outside, Inside] {
        let site = Site::new(side, MINUTE, |it| it.layer(DefaultBodyLimit::max(8)));
        site.get(&[]).await;
        assert_eq!(send(&site.app, too_large()).await.status, 413, "{side:?}");
        // A write that was refused changed nothing.
        assert!(site.get(&[]).await.is_hit(), "{side:?}");
    }
    // tower-http's limit wraps the body of the request.
    let limit = RequestBodyLimitLayer::new(8);
    let site = Site::new(Inside, MINUTE, |it| it.layer(limit));
    site.get(&[]).await;
    assert_eq!(send(&site.app, too_large()).await.status, 413);
    assert!(site.get(&[]).await.is_hit());
    // Outside, what it makes has no default, which the cache needs: box it again.
    let cache = cache(|it| it);
    let (pages, calls) = pages(MINUTE);
    let app = ServiceBuilder::new()
        .layer(limit)
        .map_request(|it: http::Request<tower_http::body::Limited<Body>>| it.map(Body::new))
        .layer(cache.clone())
        .service(pages);
    for _ in 0..2 {
        send(&app, request("GET", "/page", &[])).await;
        assert_eq!(cache.handle().drain(LONG).await, 0);
        assert_eq!(send(&app, too_large()).await.status, 413);
    }
    assert_eq!(calls.count(), 1);
}

#[tokio::test]
async fn an_optional_layer() {
    for (on, calls) in [(true, 1), (false, 2)] {
        // The layer itself can be off: the types are the same.
        let layer = if on {
            cache(|it| it)
        } else {
            CacheLayer::disabled()
        };
        let (router, counted) = pages(MINUTE);
        let app = router.layer(layer.clone());
        for _ in 0..2 {
            send(&app, request("GET", "/page", &[])).await;
            assert_eq!(layer.handle().drain(LONG).await, 0);
        }
        assert_eq!(counted.count(), calls);

        // `option_layer` needs both sides to answer with one type of body.
        let (router, counted) = pages(MINUTE);
        let boxed = ServiceBuilder::new()
            .map_response(|it: http::Response<cachewarp::CacheBody<Body>>| it.map(Body::new))
            .layer(cache(|it| it));
        let app = ServiceBuilder::new()
            .option_layer(on.then_some(boxed))
            .service(router);
        for _ in 0..2 {
            let request = request("GET", "/page", &[]);
            let response = app.clone().oneshot(request).await.unwrap();
            response.into_body().collect().await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(counted.count(), calls);
    }
}

/// Every row of the page names its test.
#[test]
fn the_page_has_these_rows() {
    let root = env!("CARGO_MANIFEST_DIR");
    let page = fs::read_to_string(format!("{root}/docs/placement.md")).unwrap();
    let tests = fs::read_to_string(format!("{root}/tests/interop/placement.rs")).unwrap();
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_suffix("` |")?.rsplit_once('`'))
        .map(|(_, test)| test)
        .collect();
    assert!(rows.len() >= 9, "{rows:?}");
    for test in rows {
        assert!(tests.contains(&format!("async fn {test}()")), "{test}");
    }
}
