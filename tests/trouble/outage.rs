//! An origin that is down, under load, with something stale at hand.

use std::time::Duration;

use cachewarp::{CacheOutcome, StaleReason};
use futures_util::future::join_all;
use http::StatusCode;
use tokio::time::{Instant, interval, sleep};

use crate::origin::{Mood, Origin, ask, cache};

const KEYS: usize = 200;
const OUTAGE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(5);

/// 1,000 requests a second over 200 warm keys, for a minute.
async fn an_outage(mood: Mood) {
    let origin = Origin::new("max-age=1, stale-if-error=3600");
    let (_layer, cache) = cache(&origin, |b| b.refresh_pause(PAUSE));
    let paths: Vec<String> = (0..KEYS).map(|key| format!("/{key}")).collect();
    for path in &paths {
        ask(&cache, path).await.unwrap();
    }
    sleep(Duration::from_secs(2)).await;
    origin.forget_calls();
    origin.becomes(mood);
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(10));
    let (mut answers, mut paused) = (0, 0);
    while began.elapsed() < OUTAGE {
        ticks.tick().await;
        // Ten at once, twice the same five.
        let some = (0..10).map(|request| &paths[(answers / 2 + request % 5) % KEYS]);
        for seen in join_all(some.map(|path| ask(&cache, path))).await {
            let seen = seen.expect("no request fails");
            assert_eq!(seen.status, StatusCode::OK);
            assert_eq!(seen.took, Duration::ZERO);
            match seen.outcome {
                CacheOutcome::Stale {
                    reason: StaleReason::IfError(_),
                    ..
                } => {}
                CacheOutcome::Stale {
                    reason: StaleReason::Paused,
                    ..
                } => paused += 1,
                outcome => panic!("{outcome:?}"),
            }
            answers += 1;
        }
    }
    assert!(answers >= 60_000, "{answers}");
    assert!(paused > answers * 9 / 10, "{paused} of {answers}");
    for path in &paths {
        let calls = origin.calls(path);
        assert!(!calls.is_empty());
        for two in calls.windows(2) {
            assert!(two[1] - two[0] >= PAUSE, "{path}: {calls:?}");
        }
    }
    // It is noticed that the origin is well again.
    origin.becomes(Mood::Well);
    sleep(PAUSE + Duration::from_secs(1)).await;
    for path in &paths {
        let seen = ask(&cache, path).await.unwrap();
        assert!(
            matches!(seen.outcome, CacheOutcome::Fetched { .. }),
            "{seen:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_is_gone_is_asked_once_per_key_and_pause() {
    an_outage(Mood::Gone).await;
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_is_unavailable_is_asked_once_per_key_and_pause() {
    an_outage(Mood::Unavailable).await;
}
