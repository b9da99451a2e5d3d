//! Requests that ask the origin for themselves, beside those that wait for each other.

use std::time::Duration;

use cachewarp::CacheOutcome;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::origin::{Cache, Mood, Origin, ask, cache, get, send};

const SOFT: Duration = Duration::from_millis(100);
const SLOW: Duration = Duration::from_secs(3);

fn authorized(path: &str) -> http::Request<http_body_util::Empty<bytes::Bytes>> {
    let mut request = get(path);
    request
        .headers_mut()
        .insert("authorization", "Basic eA==".parse().unwrap());
    request
}

async fn stale(origin: &Origin, cache: &Cache, path: &str) {
    ask(cache, path).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    origin.becomes(Mood::Slow(SLOW));
}

#[tokio::test(start_paused = true)]
async fn without_a_permit_nobody_waits_beyond_the_soft_timeout_either() {
    let origin = Origin::new("max-age=1, stale-if-error=3600");
    let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT).max_fills(1));
    ask(&cache, "/b").await.unwrap();
    stale(&origin, &cache, "/").await;
    let (one, other) = tokio::join!(ask(&cache, "/"), ask(&cache, "/b"));
    for seen in [one.unwrap(), other.unwrap()] {
        assert!(seen.took <= SOFT * 2, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_their_own_hold_no_flights_up() {
    let origin = Origin::new("max-age=1, stale-if-error=3600");
    let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT).max_fills(2));
    stale(&origin, &cache, "/").await;
    for seen in join_all((0..2).map(|_| send(&cache, authorized("/")))).await {
        assert!(seen.unwrap().took <= SOFT * 2);
    }
    for seen in join_all((0..10).map(|_| ask(&cache, "/cold"))).await {
        seen.unwrap();
    }
    assert_eq!(origin.calls("/cold").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_what_was_stored_meanwhile() {
    let origin = Origin::new("public, max-age=1, stale-if-error=3600");
    let (_layer, cache) = cache(&origin, |b| b.soft_timeout(SOFT));
    stale(&origin, &cache, "/").await;
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { join_all((0..3).map(|_| ask(&cache, "/"))).await }
    });
    sleep(Duration::from_millis(10)).await;
    origin.becomes(Mood::Well);
    let newer = send(&cache, authorized("/")).await.unwrap();
    let hit = ask(&cache, "/").await.unwrap();
    assert_eq!(hit.body, newer.body);
    for seen in waiting.await.unwrap() {
        let seen = seen.unwrap();
        // Not what was stale when they began to wait, nor what the slow origin sends in the end.
        assert!(matches!(seen.outcome, CacheOutcome::Hit { .. }), "{seen:?}");
        assert_eq!(seen.body, newer.body, "{seen:?}");
        assert!(seen.took <= SOFT * 2, "{seen:?}");
    }
}
