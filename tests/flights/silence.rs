//! An origin that begins a body and then falls silent: for how long it is waited for, and by whom.

use std::time::Duration;

use cachewarp::{CacheLayer, FillError, Memory, NoStore, RangeMiss};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_LENGTH};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep, timeout},
};
use tower::Layer;

use crate::support::{
    Answer, Asked, BoxError, Cache, Cached, Count, Feed, Origin, answered, chunk, crowd, feeds,
    fetch, get, get_with, is_hit, send, settle, soon, text, whole,
};

/// What `body_idle_timeout` is by default.
const IDLE: Duration = Duration::from_secs(30);

/// What `wait_timeout` is by default.
const PATIENCE: Duration = Duration::from_secs(5);

const SECOND: Duration = Duration::from_secs(1);

/// An origin whose bodies are fed by hand, under heads that `adjust` completes.
fn fed_origin(
    adjust: impl Fn(&mut Answer) + Send + Sync + 'static,
) -> (Origin, UnboundedReceiver<Feed>) {
    let (feeds, fed_bodies) = feeds();
    let origin = Origin::answering(move |_, _| {
        let mut answer = feeds.answer()?;
        adjust(&mut answer);
        Ok(answer)
    });
    (origin, fed_bodies)
}

async fn next_feed(feeds: &mut UnboundedReceiver<Feed>) -> Feed {
    soon(feeds.recv()).await.unwrap()
}

/// The error of a body that was begun, and how long that took to come.
async fn failure(answer: Cached) -> (FillError, Duration) {
    let began = Instant::now();
    let mut body = answer.into_body();
    let error: BoxError = loop {
        match soon(http_body_util::BodyExt::frame(&mut body)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a body that did not end is no whole one"),
        }
    };
    let reason = error.downcast_ref().copied();
    (reason.expect("an error of the fill"), began.elapsed())
}

/// Whether a duration is this long, but for the ticks of the timer.
fn about(took: Duration, expected: Duration) -> bool {
    took >= expected && took <= expected + Duration::from_millis(5)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_falls_silent_fails_for_its_readers_and_is_not_stored() {
    type Head = (&'static str, fn(&mut Answer));
    let heads: [Head; 4] = [
        ("of unknown length", |_| {}),
        ("with a length", |answer| {
            let ten = HeaderValue::from_static("10");
            answer.headers_mut().insert(CONTENT_LENGTH, ten);
        }),
        ("for validation only", |answer| {
            let no_cache = HeaderValue::from_static("no-cache");
            answer.headers_mut().insert("cache-control", no_cache);
            let etag = HeaderValue::from_static("\"1\"");
            answer.headers_mut().insert("etag", etag);
        }),
        ("of an error", |answer| {
            *answer.status_mut() = StatusCode::NOT_FOUND;
        }),
    ];
    for (case, adjust) in heads {
        let (origin, mut feeds) = fed_origin(adjust);
        let cache = origin.cached();
        let answer = fetch(&cache, get("/")).await;
        let feed = next_feed(&mut feeds).await;
        feed.data("half").await;
        let (reason, took) = failure(answer).await;
        assert_eq!(reason, FillError::Idle, "{case}");
        assert!(about(took, IDLE), "{case}: {took:?}");
        feed.dropped().await;
        let next = send(&cache, get("/"));
        let feed = next_feed(&mut feeds).await;
        feed.data("whole body").await;
        drop(feed);
        let next = answered(next).await;
        assert!(!is_hit(&next), "{case} was stored");
        assert_eq!(text(next).await, "whole body", "{case}");
        assert_eq!(origin.calls(), 2, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_begins_fails_like_one_that_falls_silent() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached();
    let answers = crowd(&cache, 5, &Count::new());
    let feed = next_feed(&mut feeds).await;
    for answer in answers {
        let (reason, _) = failure(answered(answer).await).await;
        assert_eq!(reason, FillError::Idle);
    }
    feed.dropped().await;
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_takes_as_long_as_it_takes() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached();
    let answer = fetch(&cache, get("/")).await;
    let feed = next_feed(&mut feeds).await;
    for part in ["one ", "two ", "three ", "four"] {
        sleep(IDLE - SECOND).await;
        feed.data(part).await;
    }
    drop(feed);
    assert_eq!(text(answer).await, "one two three four");
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

#[tokio::test(start_paused = true)]
async fn empty_frames_bring_a_body_no_further() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached();
    let answer = fetch(&cache, get("/")).await;
    let feed = next_feed(&mut feeds).await;
    feed.data("half").await;
    let dripping = tokio::spawn(async move {
        while !feed.is_dropped() {
            sleep(SECOND).await;
            if timeout(SECOND, feed.try_data("")).await.is_err() {
                break;
            }
        }
    });
    let (reason, took) = failure(answer).await;
    assert_eq!(reason, FillError::Idle);
    assert!(took <= IDLE + 2 * SECOND, "{took:?}");
    soon(dripping).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_bytes_without_the_end_are_no_whole_body() {
    let (origin, mut feeds) = fed_origin(|answer| {
        let four = HeaderValue::from_static("4");
        answer.headers_mut().insert(CONTENT_LENGTH, four);
    });
    let cache = origin.cached();
    let answer = fetch(&cache, get("/")).await;
    let feed = next_feed(&mut feeds).await;
    feed.data("four").await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    sleep(IDLE - SECOND).await;
    // Trailers are progress, and still not the end.
    feed.trailers(trailers).await;
    let (reason, took) = failure(answer).await;
    assert_eq!(reason, FillError::Idle);
    assert!(about(took, IDLE), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_that_nobody_reads_is_let_go_as_early() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let layer = CacheLayer::new(Memory::with_capacity(1 << 20));
    let cache = layer.layer(origin.clone());
    let answer = fetch(&cache, get("/")).await;
    let feed = next_feed(&mut feeds).await;
    feed.data("half").await;
    let began = Instant::now();
    drop(answer);
    feed.dropped().await;
    assert!(about(began.elapsed(), IDLE), "{:?}", began.elapsed());
    assert_eq!(layer.handle().drain(SECOND).await, 0);
    assert_eq!(layer.handle().stats().fill_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_fails_for_those_who_fetch_for_themselves_too() {
    let (origin, mut feeds) = fed_origin(|answer| {
        let public = HeaderValue::from_static("public, max-age=60");
        answer.headers_mut().insert("cache-control", public);
    });
    let cache = origin.cached();
    let answer = fetch(&cache, get_with("/", "authorization", "Basic YTpi")).await;
    let feed = next_feed(&mut feeds).await;
    feed.data("half").await;
    assert_eq!(failure(answer).await.0, FillError::Idle);
}

/// A body that has become too large to be stored is still one that many may read.
#[tokio::test(start_paused = true)]
async fn a_body_too_large_to_keep_may_not_fall_silent_either() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(|builder| builder.max_entry_bytes(1024).fill_window(1024));
    let answer = fetch(&cache, get("/")).await;
    let feed = next_feed(&mut feeds).await;
    feed.data(vec![0; 4096]).await;
    assert_eq!(failure(answer).await.0, FillError::Idle);
}

/// Readers that hold a body back cost the origin no time.
#[tokio::test(start_paused = true)]
async fn the_time_in_which_readers_hold_a_body_back_does_not_count() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(|builder| builder.max_entry_bytes(1024).fill_window(1024));
    let mut body = fetch(&cache, get("/")).await.into_body();
    let feed = next_feed(&mut feeds).await;
    feed.data(vec![0; 4096]).await;
    sleep(10 * IDLE).await;
    assert_eq!(chunk(&mut body).await.unwrap().unwrap().len(), 4096);
    // From here on it waits for the origin again.
    sleep(IDLE - SECOND).await;
    feed.data("more").await;
    drop(feed);
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "more");
    assert!(chunk(&mut body).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_only_passed_on_may_be_silent_for_as_long_as_they_like() {
    type Case = (&'static str, fn(&mut Answer), fn() -> Asked);
    fn header(answer: &mut Answer, name: &'static str, value: &'static str) {
        let name = HeaderName::from_static(name);
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    let plain = || get("/");
    let cases: [Case; 8] = [
        (
            "event stream",
            |answer| header(answer, "content-type", "text/event-stream"),
            plain,
        ),
        (
            "gRPC",
            |answer| header(answer, "content-type", "application/grpc"),
            plain,
        ),
        (
            "no-store",
            |answer| header(answer, "cache-control", "no-store"),
            plain,
        ),
        (
            "private",
            |answer| header(answer, "cache-control", "private, max-age=60"),
            plain,
        ),
        (
            "extension",
            |answer| _ = answer.extensions_mut().insert(NoStore),
            plain,
        ),
        (
            "declared too large",
            |answer| header(answer, "content-length", "1000000000"),
            plain,
        ),
        (
            "credentials",
            |_| {},
            || get_with("/", "authorization", "Basic YTpi"),
        ),
        (
            "a range of what is not stored",
            |answer| {
                header(answer, "content-length", "1000");
                header(answer, "cache-control", "no-store");
            },
            || get_with("/", "range", "bytes=0-500"),
        ),
    ];
    for (case, adjust, request) in cases {
        let (origin, mut feeds) = fed_origin(adjust);
        let cache = origin.cached_with(|builder| builder.range_miss(RangeMiss::Fill));
        let mut body = fetch(&cache, request()).await.into_body();
        let feed = next_feed(&mut feeds).await;
        for part in ["first", "second"] {
            feed.data(part).await;
            assert_eq!(chunk(&mut body).await.unwrap().unwrap(), part, "{case}");
            sleep(20 * IDLE).await;
            assert!(!feed.is_dropped(), "{case}");
        }
    }
}

// === Newcomers ===

/// A request that comes so long after the last byte of a body that is still open.
async fn newcomer(cache: &Cache, feeds: &mut UnboundedReceiver<Feed>, silence: Duration) -> Feed {
    let leader = fetch(cache, get("/")).await;
    tokio::spawn(whole(leader));
    let feed = next_feed(feeds).await;
    feed.data("half").await;
    sleep(silence).await;
    feed
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_a_body_that_has_stood_still_for_as_long_as_one_waits() {
    for (silence, calls) in [(PATIENCE - SECOND, 1), (PATIENCE, 2), (5 * PATIENCE, 2)] {
        let (origin, mut feeds) = fed_origin(|_| {});
        let cache = origin.cached();
        let silent = newcomer(&cache, &mut feeds, silence).await;
        let came = send(&cache, get("/"));
        settle().await;
        assert_eq!(origin.calls(), calls, "after {silence:?}");
        let source = match calls {
            1 => silent,
            _ => next_feed(&mut feeds).await,
        };
        source.data(" and the rest").await;
        drop(source);
        let body = text(answered(came).await).await;
        assert!(body.ends_with(b" and the rest"), "after {silence:?}");
        assert!(is_hit(&fetch(&cache, get("/")).await), "after {silence:?}");
    }
}

/// However many come, there is one more call for each time that one waits.
#[tokio::test(start_paused = true)]
async fn newcomers_share_one_call_in_place_of_the_one_that_is_stuck() {
    const CROWD: usize = 20;
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached();
    let mut stuck = vec![newcomer(&cache, &mut feeds, PATIENCE).await];
    let mut read = Vec::new();
    for round in 2..=4 {
        for answer in crowd(&cache, CROWD, &Count::new()) {
            read.push(tokio::spawn(whole(answered(answer).await)));
        }
        assert_eq!(origin.calls(), round);
        let feed = next_feed(&mut feeds).await;
        feed.data("half").await;
        stuck.push(feed);
        sleep(PATIENCE).await;
    }
    // Each ends by itself, and nobody is left behind.
    for body in read {
        assert!(soon(body).await.unwrap().is_err());
    }
    for feed in stuck {
        feed.dropped().await;
    }
    assert_eq!(origin.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_reads_already_reads_on_if_the_body_moves_again() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached();
    let first = fetch(&cache, get("/")).await;
    let silent = next_feed(&mut feeds).await;
    silent.data("slow, ").await;
    sleep(PATIENCE).await;
    let second = fetch(&cache, get("/")).await;
    let feed = next_feed(&mut feeds).await;
    silent.data("but whole").await;
    drop(silent);
    assert_eq!(text(first).await, "slow, but whole");
    feed.data("from the second call").await;
    drop(feed);
    assert_eq!(text(second).await, "from the second call");
    assert_eq!(origin.calls(), 2);
}

/// Of the requests that wait for nobody, too.
#[tokio::test(start_paused = true)]
async fn who_looks_for_something_to_share_passes_a_stuck_body_by() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached();
    let _silent = newcomer(&cache, &mut feeds, PATIENCE).await;
    let own = send(&cache, get_with("/", "cache-control", "no-store"));
    let feed = next_feed(&mut feeds).await;
    feed.data("own").await;
    drop(feed);
    assert_eq!(text(answered(own).await).await, "own");
}

/// A refresh in the background that is stuck does not keep the next one from being made.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_falls_silent_is_given_up() {
    let (feeds, mut fed_bodies) = feeds();
    let origin = Origin::answering(move |call, _| {
        let mut answer = match call {
            1 => crate::support::fresh("old"),
            _ => feeds.answer()?,
        };
        let directives = HeaderValue::from_static("max-age=1, stale-while-revalidate=3600");
        answer.headers_mut().insert("cache-control", directives);
        Ok(answer)
    });
    let cache = origin.cached();
    assert_eq!(text(fetch(&cache, get("/")).await).await, "old");
    sleep(2 * SECOND).await;
    assert_eq!(text(fetch(&cache, get("/")).await).await, "old");
    let silent = next_feed(&mut fed_bodies).await;
    silent.data("half").await;
    sleep(IDLE + SECOND).await;
    assert!(silent.is_dropped());
    // The pause after a failure.
    sleep(6 * SECOND).await;
    assert_eq!(text(fetch(&cache, get("/")).await).await, "old");
    let feed = next_feed(&mut fed_bodies).await;
    feed.data("new").await;
    drop(feed);
    settle().await;
    assert_eq!(text(fetch(&cache, get("/")).await).await, "new");
}
