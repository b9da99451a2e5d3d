//! The metrics that are no counts of events: bytes, times and gauges.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use cachewarp::{BoxError, CacheLayer, Memory};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{fresh, get, settle, soon, with};

/// The bytes that were sent since the last look, by where they come from.
fn sent(snapshotter: &Snapshotter) -> HashMap<String, u64> {
    let figures = snapshotter.snapshot().into_vec().into_iter();
    let sent = figures.filter_map(|(key, _, _, value)| match value {
        DebugValue::Counter(bytes)
            if bytes > 0 && key.key().name().ends_with("sent_bytes_total") =>
        {
            Some((key.key().labels().next()?.value().to_owned(), bytes))
        }
        _ => None,
    });
    sent.collect()
}

#[tokio::test]
async fn bytes_count_for_whoever_reads_them_and_as_far_as_they_are_read() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (chunks, stream) = mpsc::channel(1);
    let body = Body::from_stream(ReceiverStream::new(stream));
    let body = Arc::new(Mutex::new(Some(body)));
    let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
    let service = cache.layer(service_fn(move |_: Request<Body>| {
        let body = body.lock().unwrap().take().expect("one call");
        ready(Ok::<_, Infallible>(fresh(body)))
    }));
    let answer = async || {
        service
            .clone()
            .oneshot(get("/text"))
            .await
            .unwrap()
            .into_body()
    };
    let (mut first, mut other) = (answer().await, answer().await);
    assert_eq!(sent(&snapshotter), HashMap::new());
    let from = |from: &str, bytes| HashMap::from([(from.to_owned(), bytes)]);
    chunks
        .send(Ok::<_, BoxError>(Bytes::from("text")))
        .await
        .unwrap();
    soon(first.frame()).await.unwrap().unwrap();
    assert_eq!(sent(&snapshotter), from("origin", 4));
    soon(other.frame()).await.unwrap().unwrap();
    assert_eq!(sent(&snapshotter), from("collapsed", 4));
    // Who leaves is given no more.
    drop(first);
    chunks.send(Ok(Bytes::from("and more"))).await.unwrap();
    drop(chunks);
    soon(other.collect()).await.unwrap();
    assert_eq!(sent(&snapshotter), from("collapsed", 8));
}

/// What the origin does, and how a call of it ends.
type End = (&'static str, Request<Body>, Duration, &'static str);

#[tokio::test(start_paused = true)]
async fn calls_of_the_origin_are_timed_by_how_they_end() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .origin_timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let service = cache.layer(service_fn(async |request: Request<Body>| {
        let wait = if request.uri().path() == "/late" {
            10_000
        } else {
            30
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let mut response = Response::new(Body::from("text"));
        let field = HeaderValue::from_static;
        response
            .headers_mut()
            .insert("cache-control", field("max-age=0"));
        response.headers_mut().insert("etag", field("\"v1\""));
        *response.status_mut() = match request.uri().path() {
            "/broken" => return Err("broken"),
            "/down" => StatusCode::BAD_GATEWAY,
            "/missing" => StatusCode::NOT_FOUND,
            _ if request.headers().contains_key("if-none-match") => StatusCode::NOT_MODIFIED,
            _ => StatusCode::OK,
        };
        Ok(response)
    }));
    let (soon, early) = (Duration::from_millis(30), Duration::from_millis(10));
    let late = Duration::from_secs(5);
    let own = |request| with(request, "cache-control", b"no-store");
    let ends: [End; 7] = [
        ("a response", get("/text"), soon, "answered"),
        ("a 304", get("/text"), soon, "not-modified"),
        ("a 404", get("/missing"), soon, "answered"),
        ("a 502", get("/down"), soon, "error-status"),
        ("an error", get("/broken"), soon, "error"),
        ("no answer in time", get("/late"), late, "timeout"),
        (
            "a client that leaves",
            own(get("/left")),
            early,
            "cancelled",
        ),
    ];
    for (what, request, took, outcome) in ends {
        let limit = if outcome == "cancelled" {
            early
        } else {
            late * 2
        };
        let answer = timeout(limit, service.clone().oneshot(request)).await;
        if let Ok(Ok(answer)) = answer {
            answer.into_body().collect().await.unwrap();
        }
        settle(&cache).await;
        let snapshot = snapshotter.snapshot().into_vec();
        let timed = snapshot.into_iter().filter_map(|(key, _, _, value)| {
            let label = key.key().labels().next()?.value().to_owned();
            match value {
                DebugValue::Histogram(times) if !times.is_empty() => {
                    let times: Vec<f64> = times.into_iter().map(|it| it.into_inner()).collect();
                    Some((key.key().name().to_owned(), label, times))
                }
                _ => None,
            }
        });
        let expected = (
            "cachewarp_origin_duration_seconds".to_owned(),
            outcome.to_owned(),
            vec![took.as_secs_f64()],
        );
        assert_eq!(timed.collect::<Vec<_>>(), [expected], "{what}");
    }
}

#[tokio::test]
async fn the_gauges_are_those_of_the_handle() {
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
    let service = cache.layer(service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(fresh("text"))
    }));
    // Nothing is registered before the first request: there may be no recorder yet.
    let _ = cache.handle().stats();
    assert!(recorder.snapshotter().snapshot().into_vec().is_empty());
    for path in ["/one", "/two"] {
        let answer = service.clone().oneshot(get(path)).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    settle(&cache).await;
    let stats = cache.handle().stats();
    let snapshot = recorder.snapshotter().snapshot().into_vec();
    let gauges = snapshot.into_iter().filter_map(|(key, _, _, value)| {
        let labels = key.key().labels().map(|label| label.value().to_owned());
        match value {
            DebugValue::Gauge(value) => Some((
                key.key().name().strip_prefix("cachewarp_")?.to_owned(),
                (labels.collect::<String>(), value.into_inner()),
            )),
            _ => None,
        }
    });
    let expected = [
        ("build_info", (env!("CARGO_PKG_VERSION"), 1.0)),
        ("entries", ("", 2.0)),
        ("fill_bytes", ("", 0.0)),
        ("memory_bytes", ("", stats.memory_bytes as f64)),
        ("memory_capacity_bytes", ("", f64::from(1 << 20))),
    ];
    let expected =
        expected.map(|(name, (label, value))| (name.to_owned(), (label.to_owned(), value)));
    assert_eq!(gauges.collect::<HashMap<_, _>>(), HashMap::from(expected));
    assert_eq!(stats.entries, 2);
}
