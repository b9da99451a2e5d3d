//! An origin with moods, and a cache in front of it.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{
    BoxError, CacheBuilder, CacheLayer, CacheOutcome, CacheService, Memory,
    clock::{Clock, SystemClock},
};
use http::{Request, Response, StatusCode, header::CACHE_CONTROL};
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

/// A wall clock that stands, so that no response is a second old on arrival by chance: only tokio's
/// time is paused.
#[derive(Debug, Default)]
pub(crate) struct Standing(SystemClock);

impl Clock for Standing {
    fn wall(&self) -> i64 {
        1_700_000_000
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

/// How the origin is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// No connection, at once.
    Gone,
    Well,
    /// 503, at once.
    Unavailable,
    /// Well, after so long.
    Slow(Duration),
}

/// Counts its calls by path, and remembers when they came.
#[derive(Clone)]
pub(crate) struct Origin {
    calls: Arc<Mutex<HashMap<String, Vec<Instant>>>>,
    directives: &'static str,
    mood: Arc<Mutex<Mood>>,
    version: Arc<AtomicUsize>,
}

/// No server listens there.
#[derive(Debug)]
pub(crate) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection refused")
    }
}

impl Error for Refused {}

type Inner = BoxCloneSyncService<Request<Empty<Bytes>>, Response<Full<Bytes>>, Refused>;
pub(crate) type Cache = CacheService<Inner>;

impl Origin {
    /// An origin that is well, and says this in `Cache-Control`.
    pub(crate) fn new(directives: &'static str) -> Self {
        Self {
            calls: Arc::default(),
            directives,
            mood: Arc::new(Mutex::new(Mood::Well)),
            version: Arc::default(),
        }
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// When it was asked for this path.
    pub(crate) fn calls(&self, path: &str) -> Vec<Instant> {
        let calls = self.calls.lock().unwrap();
        calls.get(path).cloned().unwrap_or_default()
    }

    pub(crate) fn all_calls(&self) -> usize {
        self.calls.lock().unwrap().values().map(Vec::len).sum()
    }

    pub(crate) fn forget_calls(&self) {
        self.calls.lock().unwrap().clear();
    }

    fn count(&self, path: String) {
        let mut calls = self.calls.lock().unwrap();
        calls.entry(path).or_default().push(Instant::now());
    }

    async fn answer(self, path: String) -> Result<Response<Full<Bytes>>, Refused> {
        self.count(path);
        let mood = *self.mood.lock().unwrap();
        let response = Response::builder();
        match mood {
            Mood::Gone => return Err(Refused),
            Mood::Unavailable => {
                let response = response.status(StatusCode::SERVICE_UNAVAILABLE);
                return Ok(response.body(Full::default()).expect("valid parts"));
            }
            Mood::Well => {}
            Mood::Slow(delay) => sleep(delay).await,
        }
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        let response = response.header(CACHE_CONTROL, self.directives);
        let body = Full::from(version.to_string());
        Ok(response.body(body).expect("valid parts"))
    }

    pub(crate) fn service(&self) -> Inner {
        let origin = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<_>| {
            origin.clone().answer(request.uri().path().to_owned())
        }))
    }
}

/// A cache over this origin.
pub(crate) fn cache(
    origin: &Origin,
    settings: impl FnOnce(CacheBuilder) -> CacheBuilder,
) -> (CacheLayer, Cache) {
    let builder = CacheLayer::builder()
        .memory(Memory::with_capacity(16 << 20))
        .clock(Standing::default());
    let layer = settings(builder).build().expect("settings in range");
    let cache = layer.layer(origin.service());
    (layer, cache)
}

pub(crate) fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://shop.example{path}"))
        .body(Empty::new())
        .expect("a path")
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) outcome: CacheOutcome,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Bytes,
    /// How long it took, by tokio's clock.
    pub(crate) took: Duration,
}

pub(crate) async fn ask(cache: &Cache, path: &str) -> Result<Seen, BoxError> {
    send(cache, get(path)).await
}

pub(crate) async fn send(cache: &Cache, request: Request<Empty<Bytes>>) -> Result<Seen, BoxError> {
    let began = Instant::now();
    let response = cache.clone().oneshot(request).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let retry_after = parts.headers.get("retry-after");
    Ok(Seen {
        status: parts.status,
        outcome: parts
            .extensions
            .get()
            .cloned()
            .expect("every answer has one"),
        retry_after: retry_after.map(|it| it.to_str().expect("digits").to_owned()),
        body,
        took: began.elapsed(),
    })
}
