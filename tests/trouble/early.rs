//! Refreshes before anybody needs them.

use std::time::Duration;

use cachewarp::{CacheOutcome, ConfigError};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::origin::{Mood, Origin, ask, cache};

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
    let (_layer, cache) = cache(&origin, |b| b.lifetime_jitter(0.1));
    let mut lifetimes = vec![];
    for key in 0..200 {
        let seen = ask(&cache, &format!("/{key}")).await.unwrap();
        assert!(matches!(seen.outcome, CacheOutcome::Fetched { .. }));
        let seen = ask(&cache, &format!("/{key}")).await.unwrap();
        let CacheOutcome::Hit { ttl } = seen.outcome else {
            panic!("{seen:?}");
        };
        lifetimes.push(ttl);
    }
    lifetimes.sort_unstable();
    assert!(
        lifetimes[0] >= 900 && lifetimes[199] <= 1000,
        "{lifetimes:?}"
    );
    assert!(lifetimes[0] < 910 && lifetimes[199] > 990, "{lifetimes:?}");
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
