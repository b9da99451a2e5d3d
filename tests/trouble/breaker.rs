//! The circuit breaker under a cache: what is answered while the origin is not asked, and who asks
//! it first when it may be.

use std::time::Duration;

use cachewarp::{
    BreakerConfig, BreakerHandle, CacheLayer, CacheOutcome, Generated, StaleReason,
    breaker::BreakerState,
};
use http::StatusCode;
use tokio::time::sleep;
use tower::Layer;

use crate::origin::{Cache, Mood, Origin, ask, cache};

const OPEN: Duration = Duration::from_secs(10);

fn breaker() -> BreakerConfig {
    let builder = BreakerConfig::builder()
        .consecutive_failures(3)
        .open_for(OPEN);
    builder.open_jitter(0.0).build().expect("settings in range")
}

/// A cache with a breaker, and what `/warm` is answered with stored and stale.
async fn with_stale(origin: &Origin) -> (CacheLayer, Cache, BreakerHandle) {
    let (layer, cache) = cache(origin, |b| b.breaker(breaker()));
    let handle = layer.breaker_handle().expect("there is one");
    ask(&cache, "/warm").await.unwrap();
    sleep(Duration::from_secs(2)).await;
    (layer, cache, handle)
}

/// Has requests for other paths fail until the breaker opens.
async fn open(origin: &Origin, cache: &Cache, handle: &BreakerHandle) {
    origin.becomes(Mood::Unavailable);
    for key in 0..3 {
        assert_eq!(handle.state(""), BreakerState::Closed);
        let seen = ask(cache, &format!("/{key}")).await.unwrap();
        assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            matches!(seen.outcome, CacheOutcome::Fetched { .. }),
            "{seen:?}"
        );
    }
    assert_eq!(handle.state(""), BreakerState::Open);
    origin.forget_calls();
}

#[tokio::test(start_paused = true)]
async fn while_it_is_open_the_answer_is_stale_or_503_and_the_origin_is_not_asked() {
    let origin = Origin::new("max-age=1, stale-if-error=3600");
    let (_layer, cache, handle) = with_stale(&origin).await;
    open(&origin, &cache, &handle).await;
    for _ in 0..3 {
        let stale = ask(&cache, "/warm").await.unwrap();
        assert_eq!(stale.status, StatusCode::OK);
        assert!(
            matches!(
                stale.outcome,
                CacheOutcome::Stale {
                    reason: StaleReason::BreakerOpen,
                    ..
                }
            ),
            "{stale:?}"
        );
        let refused = ask(&cache, "/cold").await.unwrap();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.retry_after.as_deref(), Some("10"));
        let outcome = refused.outcome;
        assert!(
            matches!(
                outcome,
                CacheOutcome::Generated(Generated::BreakerOpen {
                    retry_after: 10,
                    ..
                })
            ),
            "{outcome:?}"
        );
    }
    let (one, other) = tokio::join!(ask(&cache, "/crowd"), ask(&cache, "/crowd"));
    for seen in [one.unwrap(), other.unwrap()] {
        assert_eq!(seen.retry_after.as_deref(), Some("10"), "{seen:?}");
    }
    assert_eq!(origin.all_calls(), 0);
    assert!(handle.stats("").refused >= 8);
}

#[tokio::test(start_paused = true)]
async fn what_is_still_fresh_is_not_the_breakers_business() {
    let origin = Origin::new("max-age=600");
    let (_layer, cache, handle) = with_stale(&origin).await;
    open(&origin, &cache, &handle).await;
    let seen = ask(&cache, "/warm").await.unwrap();
    assert!(matches!(seen.outcome, CacheOutcome::Hit { .. }), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_came_back_is_used_again() {
    let origin = Origin::new("max-age=1, stale-if-error=3600");
    let (_layer, cache, handle) = with_stale(&origin).await;
    open(&origin, &cache, &handle).await;
    origin.becomes(Mood::Well);
    sleep(OPEN).await;
    for probe in 0..3 {
        assert_ne!(handle.state(""), BreakerState::Closed, "{probe}");
        let seen = ask(&cache, &format!("/{probe}")).await.unwrap();
        assert_eq!(seen.status, StatusCode::OK);
    }
    assert_eq!(handle.state(""), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn refreshes_in_the_background_probe_first() {
    let origin = Origin::new("max-age=1, stale-while-revalidate=3600, stale-if-error=3600");
    let (layer, cache, handle) = with_stale(&origin).await;
    open(&origin, &cache, &handle).await;
    origin.becomes(Mood::Well);
    // A second before its time, only those may ask that no client waits for.
    sleep(OPEN - Duration::from_millis(900)).await;
    let refused = ask(&cache, "/cold").await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(origin.all_calls(), 0);
    let stale = ask(&cache, "/warm").await.unwrap();
    let reason = StaleReason::WhileRevalidate;
    assert!(
        matches!(&stale.outcome, CacheOutcome::Stale { reason: it, .. } if *it == reason),
        "{stale:?}"
    );
    assert_eq!(layer.handle().drain(OPEN).await, 0);
    assert_eq!(origin.calls("/warm").len(), 1);
    assert_eq!(handle.state(""), BreakerState::HalfOpen);
    let seen = ask(&cache, "/warm").await.unwrap();
    assert!(matches!(seen.outcome, CacheOutcome::Hit { .. }), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_does_not_answer_in_time_opens_it() {
    let origin = Origin::new("max-age=1");
    let (layer, cache) = cache(&origin, |b| {
        b.breaker(breaker()).origin_timeout(Duration::from_secs(1))
    });
    let handle = layer.breaker_handle().unwrap();
    origin.becomes(Mood::Slow(Duration::from_secs(30)));
    for key in 0..3 {
        let seen = ask(&cache, &format!("/{key}")).await.unwrap();
        assert_eq!(seen.status, StatusCode::GATEWAY_TIMEOUT);
    }
    assert_eq!(handle.state(""), BreakerState::Open);
    handle.reset("");
    assert_eq!(handle.state(""), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn layers_with_other_settings_share_it() {
    let origin = Origin::new("max-age=1");
    let (layer, cache) = cache(&origin, |b| b.breaker(breaker()));
    let other = layer.with(|b| b.soft_timeout(OPEN)).unwrap();
    open(&origin, &cache, &layer.breaker_handle().unwrap()).await;
    assert_eq!(
        other.breaker_handle().unwrap().state(""),
        BreakerState::Open
    );
    let own = layer.with(|b| b.breaker(breaker())).unwrap();
    assert_eq!(
        own.breaker_handle().unwrap().state(""),
        BreakerState::Closed
    );
}

#[tokio::test(start_paused = true)]
async fn a_layer_over_the_same_cache_can_do_without_it() {
    let origin = Origin::new("max-age=1");
    let (layer, cache) = cache(&origin, |b| b.breaker(breaker()));
    open(&origin, &cache, &layer.breaker_handle().unwrap()).await;
    let without = layer.with(|b| b.breaker(None)).unwrap();
    assert!(without.breaker_handle().is_none());
    ask(&without.layer(origin.service()), "/").await.unwrap();
    assert_eq!(origin.calls("/").len(), 1);
    // The layer that has one keeps it.
    assert_eq!(
        layer.breaker_handle().unwrap().state(""),
        BreakerState::Open
    );
}
