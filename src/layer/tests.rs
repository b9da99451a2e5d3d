//! A cache over a store that fails, which then holds nothing, or that is behind.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

use super::CacheLayer;
use crate::{
    clock::{ManualClock, SystemClock},
    config::Bounds,
    error::StoreError,
    executor::Task,
    key::{Key, KeyRef},
    outcome::{CacheOutcome, ForwardReason},
    state::cache::{Cache, Shared},
    store::{Memory, Resource, Store, StoreFuture, UpdateFn},
};

type Body = Full<&'static [u8]>;

/// When a store that fails says so.
#[derive(Clone, Copy, Debug)]
enum Failing {
    AtOnce,
    Later,
}

impl Failing {
    fn answer<T>(self) -> StoreFuture<T> {
        let error = StoreError::new("out of order");
        match self {
            Self::AtOnce => StoreFuture::Ready(Some(Err(error))),
            Self::Later => StoreFuture::Pending(Box::pin(async { Err(error) })),
        }
    }
}

impl Store for Failing {
    fn get(&self, _: KeyRef<'_>) -> StoreFuture<Option<Resource>> {
        self.answer()
    }

    fn update(&self, _: Key, _: UpdateFn) -> StoreFuture<()> {
        self.answer()
    }
}

/// The default layer, over another store.
fn over(store: impl Store) -> CacheLayer {
    let memory = Memory::with_capacity(1 << 20);
    let Cache { config, .. } = CacheLayer::new(memory.clone()).cache;
    let mut shared = Shared::new(
        memory,
        None,
        Arc::new(SystemClock::new()),
        Bounds::default(),
    );
    shared.store = Arc::new(store);
    CacheLayer::from_parts(Arc::new(shared), (*config).clone())
}

/// Row 172.
#[tokio::test]
async fn a_read_that_fails_is_a_miss() {
    for failing in [Failing::AtOnce, Failing::Later] {
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let layer = over(failing);
        let service = layer.layer(service_fn(move |_: Request<Body>| {
            seen.fetch_add(1, Ordering::Relaxed);
            let response = Response::builder().header("cache-control", "max-age=60");
            let response = response.body(Body::from(&b"content"[..])).unwrap();
            async { Ok::<_, Infallible>(response) }
        }));
        for (done, method) in [Method::GET, Method::GET, Method::POST, Method::GET]
            .into_iter()
            .enumerate()
        {
            let request = Request::builder().method(&method).uri("http://a.test/x");
            let request = request.body(Body::default()).unwrap();
            let answer = service.clone().oneshot(request).await.unwrap();
            let expected = matches!(
                answer.extensions().get(),
                Some(
                    CacheOutcome::Fetched {
                        forward: ForwardReason::UriMiss,
                        ..
                    } | CacheOutcome::Forwarded
                )
            );
            assert!(expected, "{failing:?}, {method}: {answer:?}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "content", "{failing:?}, {method}");
            assert_eq!(calls.load(Ordering::Relaxed), done + 1, "{failing:?}");
        }
    }
}

/// A store that, while it is behind, shows what it showed last.
#[derive(Debug)]
struct Lagging {
    behind: Arc<AtomicBool>,
    memory: Memory,
    shown: Mutex<Option<Resource>>,
}

impl Store for Lagging {
    fn get(&self, key: KeyRef<'_>) -> StoreFuture<Option<Resource>> {
        let StoreFuture::Ready(Some(Ok(stored))) = self.memory.get(key) else {
            panic!("the memory tier is always ready");
        };
        let mut shown = self.shown.lock().unwrap();
        if !self.behind.load(Ordering::SeqCst) {
            *shown = stored;
        }
        StoreFuture::ready(shown.clone())
    }

    fn update(&self, key: Key, update: UpdateFn) -> StoreFuture<()> {
        self.memory.update(key, update)
    }
}

#[tokio::test]
async fn a_refresh_that_comes_after_another_asks_nobody() {
    let calls = Arc::new(AtomicUsize::new(0));
    let behind = Arc::new(AtomicBool::new(false));
    let memory = Memory::with_capacity(1 << 20);
    let clock = ManualClock::at(1_700_000_000);
    // The store is up to date again by the time the refresh runs.
    let caught_up = Arc::clone(&behind);
    let settings = CacheLayer::builder().executor(move |task: Task| {
        caught_up.store(false, Ordering::SeqCst);
        tokio::spawn(task);
    });
    let Cache { config, .. } = settings.build().unwrap().cache;
    let mut shared = Shared::new(
        memory.clone(),
        None,
        Arc::new(clock.clone()),
        Bounds::default(),
    );
    shared.store = Arc::new(Lagging {
        behind: Arc::clone(&behind),
        memory,
        shown: Mutex::default(),
    });
    let layer = CacheLayer::from_parts(Arc::new(shared), (*config).clone());
    let seen = Arc::clone(&calls);
    let service = layer.layer(service_fn(move |_: Request<Body>| {
        seen.fetch_add(1, Ordering::Relaxed);
        let directives = "max-age=1, stale-while-revalidate=600";
        let response = Response::builder().header("cache-control", directives);
        let response = response.body(Body::from(&b"content"[..])).unwrap();
        async { Ok::<_, Infallible>(response) }
    }));
    for (pause, lag, expected) in [(0, false, 1), (5, false, 2), (0, true, 2), (0, false, 2)] {
        clock.advance(Duration::from_secs(pause));
        behind.store(lag, Ordering::SeqCst);
        let request = Request::get("http://a.test/x").body(Body::default());
        let answer = service.clone().oneshot(request.unwrap()).await.unwrap();
        let stale = matches!(answer.extensions().get(), Some(CacheOutcome::Stale { .. }));
        assert_eq!(stale, pause > 0 || lag);
        answer.into_body().collect().await.unwrap();
        assert_eq!(layer.handle().drain(Duration::from_secs(60)).await, 0);
        assert_eq!(calls.load(Ordering::Relaxed), expected);
    }
}
