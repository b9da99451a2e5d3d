//! The metrics, as a recorder sees them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use bytes::Bytes;
use cachewarp::{BoxError, CacheLayer, CacheTags, Memory, Purge};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{asking, call, fresh, get, settle, soon, with};

/// What is done, the request that does it, and what moves.
type Step = (&'static str, Request<Body>, &'static [(&'static str, u64)]);

/// What was counted since the last look, without what stood still.
fn moved(snapshotter: &Snapshotter) -> HashMap<String, u64> {
    let snapshot = snapshotter.snapshot().into_vec();
    let counters = snapshot.into_iter().filter_map(|(key, _, _, value)| {
        let labels = key
            .key()
            .labels()
            .map(|label| format!("/{}", label.value()));
        let name = key.key().name().strip_prefix("cachewarp_")?;
        match value {
            DebugValue::Counter(count) if count > 0 => {
                Some((format!("{name}{}", labels.collect::<String>()), count))
            }
            _ => None,
        }
    });
    counters.collect()
}

fn counts(expected: &[(&str, u64)]) -> HashMap<String, u64> {
    let counts = expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    counts.collect()
}

#[tokio::test]
async fn every_counter_moves_with_what_it_counts() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // For this thread, on which everything here runs.
    let _guard = metrics::set_default_local_recorder(&recorder);

    let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
    let service = cache.layer(service_fn(async |request: Request<Body>| {
        match request.uri().path() {
            "/broken" => Err("broken"),
            "/private" => {
                let private = Response::builder().header("cache-control", "private");
                Ok(private.body(Body::from("text")).unwrap())
            }
            "/stale" => {
                let mut response = Response::new(Body::from("text"));
                let field = http::HeaderValue::from_static;
                let headers = response.headers_mut();
                headers.insert("cache-control", field("max-age=0, stale-if-error=60"));
                headers.insert("etag", field("\"v1\""));
                if request.headers().contains_key("x-break") {
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                } else if request.headers().contains_key("if-none-match") {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                }
                Ok(response)
            }
            _ => Ok(fresh("text")),
        }
    }));
    let steps: [Step; 11] = [
        (
            "a miss",
            get("/text"),
            &[
                ("origin_calls_total", 1),
                ("requests_total/miss", 1),
                ("sent_bytes_total/origin", 4),
                ("stored_total", 1),
            ],
        ),
        (
            "a hit",
            get("/text"),
            &[
                ("hits_total/memory", 1),
                ("requests_total/hit", 1),
                ("sent_bytes_total/memory", 4),
            ],
        ),
        (
            "a part of it",
            with(get("/text"), "range", b"bytes=1-2"),
            &[
                ("hits_total/memory", 1),
                ("requests_total/hit", 1),
                ("sent_bytes_total/memory", 2),
            ],
        ),
        (
            "its head",
            asking("HEAD", "/text"),
            &[("hits_total/memory", 1), ("requests_total/hit", 1)],
        ),
        (
            "a write",
            asking("PUT", "/text"),
            &[
                ("bypassed_total/method", 1),
                ("invalidations_total", 1),
                ("requests_total/bypassed", 1),
                ("sent_bytes_total/origin", 4),
            ],
        ),
        (
            "a miss that can be validated",
            get("/stale"),
            &[
                ("origin_calls_total", 1),
                ("requests_total/miss", 1),
                ("sent_bytes_total/origin", 4),
                ("stored_total", 1),
            ],
        ),
        (
            "a validation",
            get("/stale"),
            &[
                ("origin_calls_total", 1),
                ("requests_total/revalidated", 1),
                ("sent_bytes_total/memory", 4),
                ("stored_total", 1),
            ],
        ),
        (
            "an error covered by a stale response",
            with(get("/stale"), "x-break", b""),
            &[
                ("origin_calls_total", 1),
                ("origin_failures_total", 1),
                ("requests_total/stale", 1),
                ("sent_bytes_total/memory", 4),
                ("stale_total/stale-if-error", 1),
            ],
        ),
        (
            "an answer of the cache's own",
            with(get("/none"), "cache-control", b"only-if-cached"),
            &[("requests_total/generated", 1)],
        ),
        (
            "a bypass",
            with(get("/text"), "x-http-method-override", b"PUT"),
            &[
                ("bypassed_total/method-override", 1),
                ("requests_total/bypassed", 1),
                ("sent_bytes_total/origin", 4),
            ],
        ),
        (
            "a response that is not stored",
            get("/private"),
            &[
                ("not_stored_total/private", 1),
                ("origin_calls_total", 1),
                ("requests_total/miss", 1),
                ("sent_bytes_total/origin", 4),
            ],
        ),
    ];
    for (step, request, expected) in steps {
        call(&service, request).await;
        settle(&cache).await;
        assert_eq!(moved(&snapshotter), counts(expected), "{step}");
    }
    let failed = service.clone().oneshot(get("/broken")).await;
    assert_eq!(failed.map(|_| ()), Err("broken"));
    settle(&cache).await;
    let expected = counts(&[("origin_calls_total", 1), ("origin_failures_total", 1)]);
    assert_eq!(moved(&snapshotter), expected, "an error");
}

/// However they are answered, and each of them once.
#[tokio::test]
async fn requests_that_join_the_fetch_of_another_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    for (private, expected) in [
        (
            false,
            [("collapsed_total", 2), ("requests_total/collapsed", 2)],
        ),
        (
            true,
            [("collapsed_total", 2), ("not_stored_total/private", 3)],
        ),
    ] {
        let open = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&open);
        let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
        let service = cache.layer(service_fn(move |_: Request<Body>| {
            let gate = Arc::clone(&gate);
            async move {
                let _permit = gate.acquire().await.unwrap();
                let mut response = fresh(Body::from("text"));
                if private {
                    let field = http::HeaderValue::from_static("private");
                    response.headers_mut().insert("cache-control", field);
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        }));
        let mut crowd: Vec<_> = (0..3)
            .map(|_| Box::pin(service.clone().oneshot(get("/text"))))
            .collect();
        for request in &mut crowd {
            assert!(futures_util::poll!(request).is_pending());
        }
        open.add_permits(3);
        for request in crowd {
            soon(request).await.unwrap();
        }
        settle(&cache).await;
        let moved = moved(&snapshotter);
        for (name, count) in expected {
            assert_eq!(moved.get(name), Some(&count), "{name}: {moved:?}");
        }
    }
}

#[tokio::test]
async fn what_was_stored_a_moment_ago_counts_however_small() {
    let cache = CacheLayer::new(Memory::with_capacity(64 << 20));
    let service = cache.layer(service_fn(async |_: Request<Body>| {
        Ok::<_, std::convert::Infallible>(fresh(Body::from("text")))
    }));
    for (path, entries) in [("/one", 1), ("/two", 2), ("/one", 2)] {
        let answer = service.clone().oneshot(get(path)).await.unwrap();
        answer.into_body().collect().await.unwrap();
        settle(&cache).await;
        let stats = cache.handle().stats();
        assert_eq!(stats.entries, entries, "{path}");
        assert!(stats.memory_bytes > 100 * entries, "{stats:?}");
    }
}

#[tokio::test]
async fn the_handle_has_the_figures_of_the_moment() {
    const HALF: usize = 16 << 10;
    let (respond, head) = oneshot::channel::<Response<Body>>();
    let (called, mut calls) = mpsc::unbounded_channel();
    let head = Arc::new(Mutex::new(Some(head)));
    let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
    let service = cache.layer(service_fn(move |_: Request<Body>| {
        let head = head.lock().unwrap().take();
        let called = called.clone();
        async move {
            called.send(()).unwrap();
            Ok::<_, std::convert::Infallible>(head.expect("one call").await.unwrap())
        }
    }));
    let handle = cache.handle();
    let stats = handle.stats();
    assert_eq!((stats.flights, stats.tasks, stats.fill_bytes), (0, 0, 0));
    assert_eq!((stats.entries, stats.memory_bytes), (0, 0));
    assert!(!stats.remote_connected, "there is no shared tier");

    // The origin was called and has not answered.
    let client = tokio::spawn(service.oneshot(get("/text")));
    soon(calls.recv()).await.unwrap();
    let stats = handle.stats();
    assert_eq!((stats.flights, stats.tasks, stats.fill_bytes), (1, 1, 0));

    // Half of the body has arrived.
    let (chunks, stream) = mpsc::channel(1);
    let body = Body::from_stream(ReceiverStream::new(stream));
    respond.send(fresh(body)).unwrap();
    let mut answer = soon(client).await.unwrap().unwrap().into_body();
    let half = Bytes::from(vec![b'x'; HALF]);
    chunks.send(Ok::<_, BoxError>(half.clone())).await.unwrap();
    soon(answer.frame()).await.unwrap().unwrap();
    let stats = handle.stats();
    assert_eq!((stats.flights, stats.tasks), (1, 1));
    assert!(stats.fill_bytes >= HALF as u64, "{stats:?}");
    assert_eq!(stats.entries, 0);

    // All of it is stored.
    chunks.send(Ok(half)).await.unwrap();
    drop(chunks);
    soon(answer.collect()).await.unwrap();
    settle(&cache).await;
    let stats = handle.stats();
    assert_eq!((stats.flights, stats.tasks, stats.fill_bytes), (0, 0, 0));
    assert_eq!(stats.entries, 1);
    assert!(stats.memory_bytes >= 2 * HALF as u64, "{stats:?}");
}

#[tokio::test]
async fn purges_are_counted_by_what_they_name_and_by_what_leaves() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
    let service = cache.layer(service_fn(async |_: Request<Body>| {
        let mut response = fresh("text");
        response.extensions_mut().insert(CacheTags::new(["t"]));
        Ok::<_, BoxError>(response)
    }));
    call(&service, get("/a")).await;
    moved(&snapshotter);
    let purges = [
        (Purge::tag("t").url("/a"), &["tag/hard", "url/hard"][..]),
        (Purge::prefix("/a").soft(), &["path/soft", "prefix/soft"]),
        (Purge::host("a.test").validate(), &["host/validate"]),
    ];
    for (purge, expected) in purges {
        cache.handle().purge(purge).await.unwrap();
        let expected: HashMap<_, _> = expected
            .iter()
            .map(|labels| (format!("purges_total/{labels}"), 1))
            .collect();
        assert_eq!(moved(&snapshotter), expected);
    }
    call(&service, get("/a")).await;
    assert_eq!(moved(&snapshotter).get("purged_total"), Some(&1));
    assert_eq!(cache.handle().stats().purged, 1);
}
