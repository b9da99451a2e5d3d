//! Requests that are sent before a client needs their responses.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use cachewarp::{CacheLayer, CacheOutcome, Memory, Warmed};
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

use crate::origin::{Mood, Origin, ask, cache, get};

#[tokio::test(start_paused = true)]
async fn what_was_warmed_is_there() {
    let origin = Origin::new("max-age=60");
    let (layer, cache) = cache(&origin, |b| b);
    let requests = || (0..100).map(|key| get(&format!("/{key}")));
    let most = AtomicUsize::new(0);
    let progress = |so_far: &Warmed| {
        assert_eq!(so_far.done, most.fetch_add(1, Ordering::Relaxed) + 1);
    };
    let warmed = layer
        .handle()
        .warm(cache.clone(), requests(), 8, progress)
        .await;
    assert_eq!((warmed.done, warmed.stored, warmed.hits), (100, 100, 0));
    assert_eq!(origin.all_calls(), 100);
    for key in 0..100 {
        let seen = ask(&cache, &format!("/{key}")).await.unwrap();
        assert!(
            matches!(seen.outcome, cachewarp::CacheOutcome::Hit { .. }),
            "{seen:?}"
        );
    }
    let again = layer.handle().warm(cache, requests(), 8, |_| {}).await;
    assert_eq!((again.done, again.stored, again.hits), (100, 0, 100));
    assert_eq!(origin.all_calls(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_warmed_is_told() {
    let never = Origin::new("no-store");
    let (layer, over) = cache(&never, |b| b);
    let warmed = layer.handle().warm(over, [get("/")], 0, |_| {}).await;
    assert_eq!((warmed.done, warmed.refused), (1, 1));
    for mood in [Mood::Gone, Mood::Unavailable] {
        let failing = Origin::new("max-age=60");
        failing.becomes(mood);
        let (layer, over) = cache(&failing, |b| b);
        let warmed = layer
            .handle()
            .warm(over, [get("/"), get("/a")], 1, |_| {})
            .await;
        assert_eq!((warmed.done, warmed.failed), (2, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn what_proves_too_large_on_the_way_is_counted_and_not_kept() {
    let memory = Memory::with_capacity(1 << 20);
    let builder = CacheLayer::builder().memory(memory).max_entry_bytes(1000);
    let layer = builder.build().unwrap();
    let over = layer.layer(service_fn(async |_: Request<Empty<Bytes>>| {
        let frame = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 600])));
        let body = StreamBody::new(stream::iter([frame(), frame()]));
        let response = Response::builder().header("cache-control", "max-age=60");
        response.body(body)
    }));
    let handle = layer.handle();
    let warmed = handle.warm(over.clone(), [get("/")], 1, |_| {}).await;
    assert_eq!(warmed.stored, 1);
    let again = over.oneshot(get("/")).await.unwrap();
    let outcome = again.extensions().get::<CacheOutcome>().unwrap();
    assert!(
        matches!(outcome, CacheOutcome::Fetched { .. }),
        "{outcome:?}"
    );
}
