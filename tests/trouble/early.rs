//! Refreshes before the lifetime ends.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{AdaptiveTtl, CacheLayer, CacheOutcome, ConfigError, Memory, Storing};
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};

use crate::origin::{Mood, Origin, Standing, ask, cache, get};

const LIFETIME: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn of_five_thousand_readers_none_waits_for_an_expiry() {
    const READERS: u64 = 5_000;
    let origin = Origin::new("max-age=10");
    let (_layer, cache) = cache(&origin, |b| b.early_refresh(1.0));
    origin.becomes(Mood::Slow(Duration::from_millis(100)));
    ask(&cache, "/").await.unwrap();
    let began = Instant::now();
    let readers = (0..READERS).map(|reader| {
        let cache = cache.clone();
        tokio::spawn(async move {
            sleep(Duration::from_micros(reader * 1_000_000 / READERS)).await;
            while began.elapsed() < LIFETIME * 4 {
                let seen = ask(&cache, "/").await.unwrap();
                assert!(matches!(seen.outcome, CacheOutcome::Hit { .. }), "{seen:?}");
                assert_eq!(seen.took, Duration::ZERO);
                sleep(Duration::from_secs(1)).await;
            }
        })
    });
    for reader in join_all(readers).await {
        reader.unwrap();
    }
    let calls = origin.calls("/");
    assert!((4..=6).contains(&calls.len()), "{calls:?}");
    for two in calls.windows(2) {
        let apart = two[1] - two[0];
        assert!(LIFETIME * 4 / 5 < apart && apart < LIFETIME, "{apart:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_hardly_asked_for_just_expires() {
    let origin = Origin::new("max-age=10");
    let (layer, cache) = cache(&origin, |b| b.early_refresh(1.0));
    origin.becomes(Mood::Slow(Duration::from_millis(100)));
    for _ in 0..20 {
        let seen = ask(&cache, "/").await.unwrap();
        assert!(
            matches!(seen.outcome, CacheOutcome::Fetched { .. }),
            "{seen:?}"
        );
        // Five seconds are fifty times what a fetch takes.
        sleep(Duration::from_secs(5)).await;
        let seen = ask(&cache, "/").await.unwrap();
        assert!(matches!(seen.outcome, CacheOutcome::Hit { .. }), "{seen:?}");
        sleep(Duration::from_secs(6)).await;
    }
    assert_eq!(layer.handle().drain(LIFETIME).await, 0);
    assert_eq!(origin.calls("/").len(), 20);
}

#[tokio::test(start_paused = true)]
async fn none_is_refreshed_in_the_first_half_of_the_freshness_that_it_came_with() {
    // Seconds, of which the last are those that the response is old on arrival.
    for (lifetime, age) in [(1, 0), (3, 0), (10, 0), (60, 55)] {
        let calls = Arc::new(Mutex::new(vec![]));
        let called = Arc::clone(&calls);
        let layer = CacheLayer::builder()
            .memory(Memory::with_capacity(1 << 20))
            .early_refresh(100.0)
            .clock(Standing::default());
        let over = layer
            .build()
            .unwrap()
            .layer(service_fn(move |_: Request<Empty<Bytes>>| {
                called.lock().unwrap().push(Instant::now());
                async move {
                    sleep(Duration::from_millis(50)).await;
                    let response = Response::builder()
                        .header("cache-control", format!("max-age={lifetime}"))
                        .header("age", age);
                    response.body(Full::<Bytes>::from("body"))
                }
            }));
        let began = Instant::now();
        while began.elapsed() < LIFETIME * 3 {
            over.clone().oneshot(get("/")).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
        let calls = calls.lock().unwrap();
        let least = Duration::from_secs(lifetime - age) / 2;
        for two in calls.windows(2) {
            let apart = two[1] - two[0];
            assert!(apart >= least, "{lifetime} {age}: {apart:?}");
        }
        // Always due by chance, so that the half is what keeps it.
        let most = least + Duration::from_millis(70);
        let fewest = (LIFETIME * 3).div_duration_f64(most) as usize;
        assert!(calls.len() >= fewest, "{lifetime} {age}: {}", calls.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_over_the_same_cache_can_do_without_early_refresh() {
    let origin = Origin::new("max-age=10");
    let (early, _) = cache(&origin, |b| b.early_refresh(100.0));
    let plain = early.with(|b| b.early_refresh(None)).unwrap();
    origin.becomes(Mood::Slow(Duration::from_millis(500)));
    // Hits in the second half of the lifetime, of a key of its own for each layer.
    for (layer, path, calls) in [(&early, "/early", 2), (&plain, "/plain", 1)] {
        let cache = layer.layer(origin.service());
        ask(&cache, path).await.unwrap();
        sleep(LIFETIME * 6 / 10).await;
        for _ in 0..30 {
            let seen = ask(&cache, path).await.unwrap();
            assert!(matches!(seen.outcome, CacheOutcome::Hit { .. }), "{seen:?}");
            sleep(LIFETIME / 100).await;
        }
        assert_eq!(layer.handle().drain(LIFETIME).await, 0);
        assert_eq!(origin.calls(path).len(), calls, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_costs_nobody_anything() {
    let origin = Origin::new("max-age=10");
    let (layer, cache) = cache(&origin, |b| b.early_refresh(100.0));
    origin.becomes(Mood::Slow(Duration::from_millis(500)));
    ask(&cache, "/").await.unwrap();
    origin.becomes(Mood::Gone);
    sleep(Duration::from_secs(6)).await;
    for _ in 0..3 {
        let seen = ask(&cache, "/").await.unwrap();
        assert!(matches!(seen.outcome, CacheOutcome::Hit { .. }), "{seen:?}");
        assert_eq!(layer.handle().drain(LIFETIME).await, 0);
        sleep(Duration::from_secs(1)).await;
    }
    // Once, and then there is a pause.
    assert_eq!(origin.calls("/").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn lifetimes_are_spread_by_no_more_than_was_asked_for() {
    let origin = Origin::new("max-age=1000");
    let plain = cache(&origin, |b| b.lifetime_jitter(0.1));
    let learning = cache(&origin, |b| {
        b.lifetime_jitter(0.1).ttl(AdaptiveTtl::default())
    });
    for (name, (_layer, cache)) in [("plain", plain), ("learning", learning)] {
        // At first, and when the body tells a policy that learns that it has changed.
        for round in 0..2 {
            let mut lifetimes = vec![];
            for key in 0..200 {
                let first = ask(&cache, &format!("/{key}")).await.unwrap();
                let CacheOutcome::Fetched {
                    storing: Storing::Begun { ttl: at_first, .. },
                    ..
                } = first.outcome
                else {
                    panic!("{first:?}");
                };
                let again = ask(&cache, &format!("/{key}")).await.unwrap();
                let CacheOutcome::Hit { ttl, .. } = again.outcome else {
                    panic!("{again:?}");
                };
                // The draw is made once, whichever request reads the entry.
                assert_eq!(at_first, ttl, "{name} {round}");
                lifetimes.push(ttl);
            }
            lifetimes.sort_unstable();
            let (shortest, longest) = (lifetimes[0], lifetimes[199]);
            assert!(
                (900..910).contains(&shortest) && (991..=1000).contains(&longest),
                "{name} {round}: {lifetimes:?}"
            );
            sleep(Duration::from_secs(1001)).await;
        }
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = |settings: fn(cachewarp::CacheBuilder) -> cachewarp::CacheBuilder| match settings(
        cachewarp::CacheLayer::builder(),
    )
    .build()
    {
        Err(ConfigError::OutOfRange { setting, value, .. }) => (setting, value),
        other => panic!("{other:?}"),
    };
    let shown = |value: &str| value.to_owned();
    assert_eq!(
        refused(|b| b.early_refresh(0.0)),
        ("early_refresh", shown("0"))
    );
    assert_eq!(
        refused(|b| b.early_refresh(101.0)),
        ("early_refresh", shown("101"))
    );
    assert_eq!(
        refused(|b| b.early_refresh(f64::NAN)),
        ("early_refresh", shown("NaN"))
    );
    assert_eq!(
        refused(|b| b.lifetime_jitter(0.6)),
        ("lifetime_jitter", shown("0.6"))
    );
    assert_eq!(
        refused(|b| b.lifetime_jitter(-0.1)),
        ("lifetime_jitter", shown("-0.1"))
    );
    assert_eq!(
        refused(|b| b.soft_timeout(Duration::ZERO)),
        ("soft_timeout", shown("0ns"))
    );
}
