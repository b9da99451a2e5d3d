//! The bytes that the tier which nodes share costs a process.

use std::{convert::Infallible, ops::RangeInclusive, sync::Arc, time::Duration};

use bytes::Bytes;
use cachewarp::{CacheLayer, Memory, Redis};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    MIB, Made, Peak, TURN, get, live,
    support::redis::{Server, standalone},
};

const PATIENCE: Duration = Duration::from_secs(120);

async fn connect(redis: &Server) -> Redis {
    let builder = Redis::builder(redis.url())
        // What cannot be written is on its way for this long.
        .write_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(10))
        .require_at_start(true);
    builder.connect().await.unwrap()
}

#[tokio::test]
async fn what_is_on_its_way_to_a_redis_that_hangs_is_bounded() {
    const SIZE: usize = MIB / 4;
    const RESPONSES: usize = 2_000;
    const CAPACITY: usize = 8 * MIB;
    const AT_ONCE: usize = 8;
    /// What bodies that are being written may hold together.
    const ON_ITS_WAY: usize = 64 * MIB;
    let _turn = TURN.lock().await;
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // For this thread, on which everything here runs.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let redis = standalone();
    let peak = Peak::default();
    let called = Arc::new(watch::Sender::new(0_usize));
    let allowed = Arc::new(watch::Sender::new(0_usize));
    let origin = service_fn({
        let (peak, called, allowed) = (peak.clone(), Arc::clone(&called), Arc::clone(&allowed));
        move |request: Request<Empty<Bytes>>| {
            let index: usize = request.uri().path()[1..].parse().unwrap();
            let (peak, mut allowed) = (peak.clone(), allowed.subscribe());
            called.send_modify(|calls| *calls += 1);
            async move {
                allowed.wait_for(|end| index < *end).await.unwrap();
                let body = Made::new(SIZE, &peak, std::future::ready(()));
                let response = Response::builder()
                    .header("cache-control", "max-age=600")
                    // Not to be compressed.
                    .header("content-type", "image/png");
                Ok::<_, Infallible>(response.body(body).unwrap())
            }
        }
    });
    let layer = CacheLayer::builder()
        .memory(Memory::with_capacity(CAPACITY as u64))
        .remote(connect(&redis).await)
        .max_fills(RESPONSES)
        .build()
        .unwrap();
    let service = layer.layer(origin);
    // What the first of anything makes is not of what is on its way.
    let before = live();
    let (mut requests, mut calls) = (Vec::new(), called.subscribe());
    for index in 0..RESPONSES {
        // A few at a time, so that Redis is asked for each.
        let asked = calls.wait_for(|calls| calls + AT_ONCE > index);
        timeout(PATIENCE, asked).await.expect("a call").unwrap();
        let (service, peak) = (service.clone(), peak.clone());
        requests.push(tokio::spawn(async move {
            let request = get(&format!("/{index}"));
            let mut body = service.oneshot(request).await.unwrap().into_body();
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                read += frame.unwrap().into_data().unwrap().len();
                peak.look();
            }
            read
        }));
    }
    // Redis was asked for all of them, and has none.
    let asked = calls.wait_for(|calls| *calls >= RESPONSES);
    timeout(PATIENCE, asked)
        .await
        .expect("all are asked for")
        .unwrap();
    redis.pause();
    for (index, request) in requests.into_iter().enumerate() {
        allowed.send_replace((index / AT_ONCE + 1) * AT_ONCE);
        let read = timeout(PATIENCE, request)
            .await
            .expect("an answer")
            .unwrap();
        assert_eq!(read, SIZE);
    }
    // Whatever is to be written is being written now.
    sleep(Duration::from_millis(100)).await;
    let held = live().saturating_sub(before);
    let dropped = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .find_map(|(key, .., value)| {
            let key = key.key();
            let is_drop = key.labels().any(|label| label.value() == "dropped");
            match value {
                DebugValue::Counter(count) => {
                    (key.name() == "cachewarp_remote_writes_total" && is_drop).then_some(count)
                }
                _ => None,
            }
        });
    println!(
        "{} MiB held, {} of it in memory; {dropped:?} writes dropped",
        held / MIB,
        layer.handle().stats().memory_bytes / MIB as u64
    );
    redis.resume();
    assert!(
        dropped.is_some_and(|count| count as usize > RESPONSES - 300),
        "{dropped:?}"
    );
    assert!(
        held > ON_ITS_WAY / 2,
        "nothing was on its way, so this measured nothing"
    );
    assert!(held < ON_ITS_WAY + 2 * CAPACITY, "{} MiB", held / MIB);
    assert_eq!(layer.handle().drain(PATIENCE).await, 0);
    drop((service, layer));
}

/// Does this for each of the numbers, a few at a time.
async fn side_by_side<F>(numbers: RangeInclusive<usize>, work: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    const AT_ONCE: usize = 64;
    let mut working = JoinSet::new();
    for n in numbers {
        if working.len() == AT_ONCE {
            working.join_next().await.expect("some are").unwrap();
        }
        working.spawn(work(n));
    }
    working.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_from_redis_weigh_what_they_hold() {
    /// As many as a build without optimisation gets through in less than a minute on two cores:
    /// each takes 1.3 ms of a processor to be fetched, leased, stored, and found by the other.
    const ENTRIES: usize = 50_000;
    let _turn = TURN.lock().await;
    let redis = standalone();
    let origin = service_fn(|request: Request<Empty<Bytes>>| {
        let mut body = request.uri().path().as_bytes().to_vec();
        body.resize(200, b'.');
        let response = Response::builder()
            .header("cache-control", "public, max-age=600")
            .header("content-type", "application/json")
            .header("etag", format!("\"{}\"", request.uri().path()))
            .header("last-modified", "Tue, 15 Nov 1994 12:45:26 GMT")
            .header("server", "a server")
            .header("x-request-id", "0123456789abcdef");
        let response = response.body(Full::new(Bytes::from(body))).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let path = |n: usize| format!("/item/{n:08}");
    {
        let first = CacheLayer::builder()
            .memory(Memory::with_capacity(MIB as u64))
            .remote(connect(&redis).await)
            .build()
            .unwrap();
        let service = first.layer(origin);
        side_by_side(0..=ENTRIES, |n| {
            let service = service.clone();
            async move {
                let answer = service.oneshot(get(&path(n))).await.unwrap();
                answer.into_body().collect().await.unwrap();
            }
        })
        .await;
        assert_eq!(first.handle().drain(PATIENCE).await, 0);
    }
    let second = CacheLayer::builder()
        .memory(Memory::with_capacity(512 * MIB as u64))
        .remote(connect(&redis).await)
        .build()
        .unwrap();
    // Every one of them has to come from Redis.
    let nothing = service_fn(|request: Request<Empty<Bytes>>| async move {
        println!("asked for {}", request.uri());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let service = second.layer(nothing);
    let find = |n: usize| {
        let service = service.clone();
        async move {
            let answer = service.oneshot(get(&path(n))).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), 200, "{n}");
        }
    };
    // What the first request makes for all is not of the entries.
    find(0).await;
    // What the first one held is let go in the background.
    let mut before = live();
    loop {
        sleep(Duration::from_millis(500)).await;
        let now = live();
        if now.abs_diff(before) < MIB / 16 {
            break;
        }
        before = now;
    }
    side_by_side(1..=ENTRIES, find).await;
    second.handle().drain(PATIENCE).await;
    let stats = second.handle().stats();
    let (held, weighed) = (live() - before, stats.memory_bytes as usize);
    println!(
        "{} entries from Redis: {} B each by weight, {} B held",
        stats.entries,
        weighed / ENTRIES,
        held / ENTRIES
    );
    assert!(
        stats.entries as usize >= ENTRIES - ENTRIES / 100,
        "{stats:?}"
    );
    assert!(
        weighed.abs_diff(held) * 100 <= held * 15,
        "{weighed} bytes by weight, {held} held"
    );
}
