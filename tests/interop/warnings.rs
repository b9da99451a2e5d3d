//! What the operator is told, by `tracing`: once, and without anybody's secrets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use cachewarp::{Bypass, CacheLayer, CacheOutcome, Cookies, FixedTtl, Memory};
use http::{Request, Response};
use tower::Layer;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::set_default,
};

use crate::support::{call, get, origin, settle};

/// Collects warnings as lines of text.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("cachewarp")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

fn asking(path: &str, cookies: &str) -> Request<Body> {
    let mut request = get(path);
    let cookies = cookies.parse().unwrap();
    request.headers_mut().insert("cookie", cookies);
    request
}

fn with(cookies: Cookies) -> CacheLayer {
    CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .ttl(FixedTtl::new(Duration::from_secs(60)))
        .cookies(cookies)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_cookie_that_costs_hits_is_named_once_and_its_value_never() {
    let warnings = Warnings::default();
    let _guard = set_default(warnings.clone());
    let cache = with(Cookies::default());
    let (origin, _) = origin(|_| Response::new("content".into()));
    let service = cache.layer(origin);
    call(&service, get("/")).await;
    settle(&cache).await;
    assert_eq!(warnings.take(), [""; 0]);

    for value in 0..3 {
        // Past what is stored, and where nothing is stored yet.
        for path in ["/", "/other"] {
            let asked = asking(
                path,
                &format!("_ga=secret; session=secret{value}; b=secret"),
            );
            call(&service, asked).await;
        }
    }
    let [line] = &warnings.take()[..] else {
        panic!("not one warning");
    };
    assert!(
        line.contains("session") && line.contains("`cookies`"),
        "{line}"
    );
    assert!(!line.contains("secret") && !line.contains("_ga"), "{line}");

    call(&service, asking("/", "b=secret")).await;
    call(&service, asking("/", "secret")).await;
    call(&service, asking("/", "=secret")).await;
    call(&service, asking("/", "sec ret=secret")).await;
    let lines = warnings.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("\"b\"") && lines[1].contains("(unnamed)"),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| !line.contains("sec")), "{lines:?}");

    for name in 0..1000 {
        call(&service, asking("/", &format!("name{name}=1"))).await;
    }
    assert_eq!(warnings.take().len(), 64 - 3);
}

#[tokio::test]
async fn a_cookie_that_costs_nothing_is_not_named() {
    let warnings = Warnings::default();
    let _guard = set_default(warnings.clone());
    let cache = with(Cookies::default().key(["lang"]));
    let (origin, _) = origin(|request| match request.uri().path() {
        "/private" => Response::builder()
            .header("cache-control", "private")
            .body("content".into())
            .unwrap(),
        "/shared" => crate::support::fresh("content"),
        _ => Response::new("content".into()),
    });
    let service = cache.layer(origin);
    for _ in 0..2 {
        call(&service, asking("/", "_ga=1; lang=de")).await;
        call(&service, asking("/private", "session=1")).await;
        call(&service, asking("/shared", "session=1")).await;
        settle(&cache).await;
    }
    let mut with_key = get("/");
    with_key
        .headers_mut()
        .insert("x-api-key", "1".parse().unwrap());
    call(&service, get("/")).await;
    settle(&cache).await;
    let outcome = call(&service, with_key).await.outcome();
    assert_eq!(outcome, CacheOutcome::Bypassed(Bypass::Credentials));
    assert_eq!(warnings.take(), [""; 0]);
}
