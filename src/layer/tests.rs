//! A cache whose store fails behaves as if nothing were stored.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

use super::{Cache, CacheLayer, Shared};
use crate::{
    clock::SystemClock,
    error::StoreError,
    key::{Key, KeyRef},
    status::{CacheOutcome, Forward},
    store::{Change, Memory, Resource, Store, StoreFuture},
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

    fn update(&self, _: Key, _: Change) -> StoreFuture<()> {
        self.answer()
    }
}

/// The default layer, over another store.
fn over(store: impl Store) -> CacheLayer {
    let memory = Memory::with_capacity(1 << 20);
    let Cache { config, .. } = CacheLayer::new(memory.clone()).cache;
    let mut shared = Shared::new(memory, Arc::new(SystemClock::new()), 8, 8);
    shared.store = Arc::new(store);
    CacheLayer::from_parts(Arc::new(shared), config)
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
                        forward: Forward::UriMiss,
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
