//! What the cache did so far, and what is hit most often.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use cachewarp::{BreakerConfig, CacheLayer, Memory, RequestStats, breaker::BreakerState};
use http::Request;
use tower::Layer;

use super::{entries, fill, layer, site};
use crate::support::{asking, call, fresh, get, settle, soon, with};

#[tokio::test]
async fn what_is_hit_most_often_comes_first() {
    let (cache, _) = layer();
    let service = cache.layer(site());
    fill(&cache.scope("admin"), [get("/other")]).await;
    for round in 0..6400 {
        call(&service, get("/hot")).await;
        if round % 4 == 0 {
            call(&service, get("/warm")).await;
        }
    }
    let handle = cache.handle();
    let top = handle.top(10);
    let urls: Vec<&str> = top.iter().map(|hot| &*hot.url).collect();
    assert_eq!(urls, ["http://a.test/hot", "http://a.test/warm"]);
    assert!((4000..9000).contains(&top[0].hits), "{top:?}");
    assert!((800..3200).contains(&top[1].hits), "{top:?}");
    assert_eq!((top[0].excess, &top[0].partition), (0, &None));
    assert_eq!(handle.top(1), top[..1]);
    assert_eq!(handle.top(0), []);
    assert_eq!(entries(&handle, "/hot").await[0].hits, top[0].hits);
    assert_eq!(cache.scope("admin").handle().top(10), []);
}

#[tokio::test]
async fn statistics_count_each_answer_once() {
    let (cache, clock) = layer();
    let service = cache.layer(site());
    let handle = cache.handle();
    assert_eq!(handle.stats().requests, RequestStats::default());
    let ask = async |request| {
        call(&service, request).await;
        settle(&cache).await;
    };
    ask(get("/windows")).await;
    ask(get("/windows")).await;
    ask(get("/windows")).await;
    ask(asking("HEAD", "/new")).await;
    ask(asking("PUT", "/new")).await;
    ask(with(get("/new"), "cache-control", b"only-if-cached")).await;
    clock.advance(Duration::from_secs(12));
    // Refreshed in the background.
    ask(get("/windows")).await;
    let stats = handle.stats();
    let requests = stats.requests;
    // The refresh is one of them.
    assert_eq!((requests.misses_stored, requests.misses_not_stored), (2, 1));
    assert_eq!((requests.memory_hits, requests.remote_hits), (2, 0));
    assert_eq!((requests.hits(), requests.stale), (2, 1));
    assert_eq!((requests.bypassed, requests.generated), (1, 1));
    assert_eq!((requests.revalidated, requests.collapsed), (0, 0));
    assert_eq!(requests.total(), 8);
    assert!((requests.hit_ratio() - 3.0 / 8.0).abs() < 1e-9);
    assert_eq!((stats.origin_calls, stats.origin_failures), (3, 0));
    assert_eq!((stats.stored, stats.entries), (2, 1));
    assert_eq!((stats.fills, stats.flights, stats.waiting), (0, 0, 0));
    assert_eq!(stats.memory_capacity, 64 << 20);
    assert_eq!(stats.evictions, 0);
    assert!(!stats.remote_connected && !stats.remote_available);
    assert_eq!(
        (stats.pending_write_bytes, stats.pending_invalidations),
        (0, 0)
    );
    assert_eq!(stats.breaker, None);
}

#[tokio::test]
async fn statistics_show_who_waits_and_what_the_breaker_does() {
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .breaker(BreakerConfig::default())
        .build()
        .expect("valid settings");
    let (go, gate) = tokio::sync::watch::channel(false);
    let service = cache.layer(tower::service_fn(move |_: Request<Body>| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open)
                .await
                .expect("the test holds the sender");
            Ok::<_, Infallible>(fresh("text"))
        }
    }));
    let answers: Vec<_> = (0..5)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { call(&service, get("/x")).await })
        })
        .collect();
    let handle = cache.handle();
    soon(async {
        while handle.stats().waiting < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let stats = handle.stats();
    assert_eq!((stats.flights, stats.fills), (1, 1));
    // The one that leads waits for its own task.
    assert_eq!(stats.waiting, 4);
    assert_eq!(stats.requests.total(), 0);
    assert_eq!(stats.breaker, Some(BreakerState::Closed));
    go.send_replace(true);
    for answer in answers {
        soon(answer).await.expect("no panic");
    }
    settle(&cache).await;
    let stats = handle.stats();
    assert_eq!((stats.flights, stats.fills, stats.waiting), (0, 0, 0));
    assert_eq!(stats.origin_calls, 1);
    assert_eq!(stats.requests.total(), 5);
    assert_eq!(stats.requests.misses_stored, 1);
    cache.breaker_handle().expect("there is one").force_open("");
    assert_eq!(handle.stats().breaker, Some(BreakerState::ForcedOpen));
}

#[tokio::test]
async fn statistics_count_what_made_room_for_others() {
    let cache = CacheLayer::new(Memory::with_capacity(64 << 10));
    let paths: Vec<String> = (0..500).map(|index| format!("/{index}")).collect();
    fill(&cache, paths.iter().map(|path| get(path))).await;
    let stats = cache.handle().stats();
    assert_eq!(stats.stored, 500);
    assert_eq!(stats.evictions + stats.entries, 500);
    assert!(stats.evictions > 300, "{stats:?}");
    assert!(stats.memory_bytes <= stats.memory_capacity, "{stats:?}");
}
