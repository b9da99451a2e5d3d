//! A cache over a store that fails, or that returns an outdated resource.

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
    config::ConcurrencyLimits,
    error::StoreError,
    executor::Task,
    key::{Key, KeyRef},
    outcome::{CacheOutcome, ForwardReason},
    purge::PurgeTable,
    state::cache::{Cache, Shared},
    store::{Memory, Resource, Store, StoreFuture, UpdateFn},
};

type Body = Full<&'static [u8]>;

/// A store whose operations fail, at once or later.
#[derive(Clone, Copy, Debug)]
enum FailingStore {
    AtOnce,
    Later,
}

impl FailingStore {
    fn fail<T>(self) -> StoreFuture<T> {
        let error = StoreError::new("out of order");
        match self {
            Self::AtOnce => StoreFuture::Ready(Some(Err(error))),
            Self::Later => StoreFuture::Pending(Box::pin(async { Err(error) })),
        }
    }
}

impl Store for FailingStore {
    fn get(&self, _: KeyRef<'_>) -> StoreFuture<Option<Resource>> {
        self.fail()
    }

    fn update(&self, _: Key, _: UpdateFn) -> StoreFuture<()> {
        self.fail()
    }
}

/// The default layer over this store.
fn layer_over(store: impl Store) -> CacheLayer {
    let memory = Memory::with_capacity(1 << 20);
    let Cache { config, .. } = CacheLayer::new(memory.clone()).cache;
    let mut shared = Shared::new(
        memory,
        None,
        Arc::new(SystemClock::new()),
        ConcurrencyLimits::default(),
        Arc::new(PurgeTable::new(1)),
    );
    shared.store = Arc::new(store);
    CacheLayer::from_parts(Arc::new(shared), (*config).clone())
}

/// Row 172.
#[tokio::test]
async fn a_read_that_fails_is_a_miss() {
    for failing in [FailingStore::AtOnce, FailingStore::Later] {
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let layer = layer_over(failing);
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

/// A store that, while it is behind, returns the resource that it returned last.
#[derive(Debug)]
struct LaggingStore {
    behind: Arc<AtomicBool>,
    memory: Memory,
    returned: Mutex<Option<Resource>>,
}

impl Store for LaggingStore {
    fn get(&self, key: KeyRef<'_>) -> StoreFuture<Option<Resource>> {
        let StoreFuture::Ready(Some(Ok(stored))) = self.memory.get(key) else {
            panic!("the memory tier is always ready");
        };
        let mut returned = self.returned.lock().unwrap();
        if !self.behind.load(Ordering::SeqCst) {
            *returned = stored;
        }
        StoreFuture::ready(returned.clone())
    }

    fn update(&self, key: Key, update: UpdateFn) -> StoreFuture<()> {
        self.memory.update(key, update)
    }
}

#[tokio::test]
async fn a_refresh_after_another_one_does_not_call_the_origin() {
    let calls = Arc::new(AtomicUsize::new(0));
    let behind = Arc::new(AtomicBool::new(false));
    let memory = Memory::with_capacity(1 << 20);
    let clock = ManualClock::at(1_700_000_000);
    // By the time the refresh runs, the store is up to date again.
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
        ConcurrencyLimits::default(),
        Arc::new(PurgeTable::new(1)),
    );
    shared.store = Arc::new(LaggingStore {
        behind: Arc::clone(&behind),
        memory,
        returned: Mutex::default(),
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

#[test]
fn a_layer_tells_which_fields_are_credentials() {
    let layer = CacheLayer::builder()
        .credential_headers(["X-Own-*"])
        .also_policy_credentials(["x-tenant"])
        .without_policy_credentials(["x-token"])
        .build()
        .unwrap();
    let counts = |name: &'static str| layer.is_credential(&http::HeaderName::from_static(name));
    for name in ["authorization", "x-own-key", "x-tenant", "x-api-key"] {
        assert!(counts(name), "{name}");
    }
    for name in ["accept", "cookie", "x-own", "x-token", "x_api_key"] {
        assert!(!counts(name), "{name}");
    }
}
