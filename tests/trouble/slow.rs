//! An origin that takes its time, with something stale at hand.

use std::time::Duration;

use cachewarp::{CacheOutcome, OnAbandoned, StaleReason};
use futures_util::future::join_all;
use http::Method;
use tokio::time::{Instant, interval, sleep};
use tower::Layer;

use crate::origin::{Cache, Mood, Origin, ask, cache, get, send};

const SOFT: Duration = Duration::from_millis(100);
/// Timers tell milliseconds apart.
const TICK: Duration = Duration::from_millis(2);

const SLOW: Duration = Duration::from_secs(3);
const LASTING: &str = "max-age=1, stale-if-error=3600";

fn is_slow(outcome: &CacheOutcome) -> bool {
    matches!(
        outcome,
        CacheOutcome::Stale {
            reason: StaleReason::Slow,
            ..
        }
    )
}

/// Has an answer stored that is stale by now, and the origin slow.
async fn stale(origin: &Origin, cache: &Cache, path: &str) {
    ask(cache, path).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    origin.becomes(Mood::Slow(SLOW));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_slow_origin_and_what_it_answers_is_stored() {
    let origin = Origin::new(LASTING);
    let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT));
    stale(&origin, &cache, "/").await;
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(20));
    let (mut latencies, mut bodies) = (vec![], vec![]);
    while began.elapsed() < Duration::from_secs(30) {
        ticks.tick().await;
        for seen in join_all((0..10).map(|_| ask(&cache, "/"))).await {
            let seen = seen.unwrap();
            latencies.push(seen.took);
            if bodies.last() != Some(&seen.body) {
                bodies.push(seen.body);
            }
        }
    }
    latencies.sort();
    let p99 = latencies[latencies.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(120), "{p99:?}");
    assert!(*latencies.last().unwrap() <= SOFT + TICK);
    // Each lasts a second and takes three.
    let calls = origin.calls("/").len();
    assert!((7..=9).contains(&calls), "{calls}");
    assert!(bodies.len() >= calls - 1, "{} of {calls}", bodies.len());
}

#[tokio::test(start_paused = true)]
async fn the_fetch_goes_on_when_all_have_been_answered() {
    let origin = Origin::new(LASTING);
    let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT));
    stale(&origin, &cache, "/").await;
    let seen = ask(&cache, "/").await.unwrap();
    assert!(is_slow(&seen.outcome), "{seen:?}");
    assert!(seen.took <= SOFT + TICK, "{seen:?}");
    assert_eq!(seen.body, "0");
    sleep(SLOW).await;
    let seen = ask(&cache, "/").await.unwrap();
    assert!(matches!(seen.outcome, CacheOutcome::Hit { .. }), "{seen:?}");
    assert_eq!(seen.body, "1");
}

#[tokio::test(start_paused = true)]
async fn the_fetch_goes_on_even_where_abandoned_ones_are_discarded() {
    let origin = Origin::new(LASTING);
    let (_layer, cache) = cache(&origin, |b| {
        b.soft_timeout(SOFT).on_abandoned(OnAbandoned::Discard)
    });
    stale(&origin, &cache, "/").await;
    assert!(is_slow(&ask(&cache, "/").await.unwrap().outcome));
    sleep(SLOW).await;
    assert_eq!(ask(&cache, "/").await.unwrap().body, "1");
}

/// A response that arrives stale is not shared, so each asks for itself the next time.
#[tokio::test(start_paused = true)]
async fn nobody_waits_either_for_what_was_not_shared() {
    let origin = Origin::new("max-age=0, stale-if-error=3600");
    let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT));
    ask(&cache, "/").await.unwrap();
    origin.becomes(Mood::Slow(SLOW));
    let (first, second) = tokio::join!(ask(&cache, "/"), ask(&cache, "/"));
    for seen in [first.unwrap(), second.unwrap()] {
        assert!(is_slow(&seen.outcome), "{seen:?}");
    }
    sleep(SLOW).await;
    assert_ne!(ask(&cache, "/").await.unwrap().body, "0");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_whatever_they_ask_with() {
    let asked = |field: Option<(&'static str, &str)>, method: Method| {
        let mut request = get("/");
        *request.method_mut() = method;
        if let Some((name, value)) = field {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    for request in [
        asked(None, Method::HEAD),
        asked(Some(("authorization", "Basic eA==")), Method::GET),
        asked(Some(("cache-control", "no-store")), Method::GET),
    ] {
        let origin = Origin::new("public, max-age=1, stale-if-error=3600");
        let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT));
        stale(&origin, &cache, "/").await;
        let shown = format!("{request:?}");
        let seen = send(&cache, request).await.unwrap();
        assert!(is_slow(&seen.outcome), "{shown}: {seen:?}");
        assert!(seen.took <= SOFT + TICK, "{shown}: {seen:?}");
    }
}

/// A write succeeds while a request waits: what was stored is no answer to it any more.
#[tokio::test(start_paused = true)]
async fn what_was_invalidated_meanwhile_is_not_served() {
    let origin = Origin::new(LASTING);
    let (_layer, cache) = cache(&origin, |b| b.soft_timeout(Duration::from_secs(2)));
    stale(&origin, &cache, "/").await;
    let waiting = ask(&cache, "/");
    let writing = async {
        sleep(Duration::from_millis(500)).await;
        origin.becomes(Mood::Well);
        let mut write = get("/");
        *write.method_mut() = Method::POST;
        send(&cache, write).await
    };
    let (seen, written) = tokio::join!(waiting, writing);
    written.unwrap();
    let seen = seen.unwrap();
    assert!(!is_slow(&seen.outcome), "{seen:?}");
    assert_ne!(seen.body, "0");
}

#[tokio::test(start_paused = true)]
async fn without_anything_to_answer_instead_there_is_no_soft_timeout() {
    for directives in ["max-age=1", "max-age=1, must-revalidate, stale-if-error=60"] {
        let origin = Origin::new(directives);
        let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT));
        stale(&origin, &cache, "/").await;
        let (first, second) = tokio::join!(ask(&cache, "/"), ask(&cache, "/"));
        for seen in [first.unwrap(), second.unwrap()] {
            assert_eq!(
                (seen.took, &seen.body[..]),
                (SLOW, &b"1"[..]),
                "{directives}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_is_quick_enough_answers() {
    let origin = Origin::new(LASTING);
    let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT));
    stale(&origin, &cache, "/").await;
    let quick = SOFT - Duration::from_millis(1);
    origin.becomes(Mood::Slow(quick));
    let (first, second) = tokio::join!(ask(&cache, "/"), ask(&cache, "/"));
    for seen in [first.unwrap(), second.unwrap()] {
        assert_eq!((seen.took, &seen.body[..]), (quick, &b"1"[..]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_over_the_same_cache_can_do_without_the_soft_timeout() {
    let origin = Origin::new(LASTING);
    let (layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT));
    let patient = layer.with(|b| b.soft_timeout(None)).unwrap();
    stale(&origin, &cache, "/").await;
    let seen = ask(&patient.layer(origin.service()), "/").await.unwrap();
    assert!(seen.took >= SLOW, "{seen:?}");
    assert_eq!(seen.body, "1");
}
