//! After a failure: how long the origin is left alone, and what those are told who waited.

use std::time::Duration;

use cachewarp::{CacheBuilder, CacheOutcome, StaleReason, clock::ManualClock};
use http::{Response, StatusCode};

use crate::support::{
    Answer, Asked, Cache, Count, Origin, answered, crowd, feed, fetch, full, get, get_with, is_hit,
    outcome, settle, soon, text, with_directives,
};

fn failing(code: u16, retry_after: Option<&str>) -> Answer {
    let mut response = Response::new(full("failed"));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    if let Some(after) = retry_after {
        let value = after.parse().unwrap();
        response.headers_mut().insert("retry-after", value);
    }
    response
}

/// The wall clock of the tests, as an HTTP date: 14 November 2023, 22:13:20 GMT.
const START: i64 = 1_700_000_000;

/// What the cache makes of `Retry-After`, in seconds.
const RETRY_AFTER: [(Option<&str>, Option<u64>); 8] = [
    (None, None),
    (Some("7"), Some(7)),
    (Some("30"), Some(30)),
    (Some("Tue, 14 Nov 2023 22:13:40 GMT"), Some(20)),
    (Some("Tue, 14 Nov 2023 22:13:00 GMT"), Some(0)),
    (Some("3600"), Some(3600)),
    (Some("soon"), None),
    (Some("-1"), None),
];

#[tokio::test]
async fn those_who_waited_are_told_what_the_origin_said_of_another_try() {
    const CROWD: usize = 10;
    for code in [500, 502, 503, 504] {
        for (value, expected) in RETRY_AFTER {
            let aboard = Count::new();
            let origin = Origin::held(&aboard, CROWD, move |_, _| Ok(failing(code, value)));
            let cache = origin.cached_with(|builder| builder.clock(ManualClock::at(START)));
            let mut told = 0;
            for request in crowd(&cache, CROWD, &aboard) {
                let answer = answered(request).await;
                let field = answer.headers().get("retry-after").cloned();
                if matches!(outcome(&answer), CacheOutcome::Generated(_)) {
                    let expected = expected.map(|seconds| seconds.to_string().parse().unwrap());
                    assert_eq!(field, expected, "{code} {value:?}");
                    told += 1;
                } else {
                    assert_eq!(field, value.map(|it| it.parse().unwrap()));
                }
            }
            assert_eq!((told, origin.calls()), (CROWD - 2, 2));
        }
    }
}

/// A response that is stale by now, and an origin that answers every later call with `answer`.
async fn stale(
    directives: &'static str,
    answer: impl Fn() -> Answer + Send + Sync + 'static,
    change: impl FnOnce(CacheBuilder) -> CacheBuilder,
) -> (Cache, Origin, ManualClock) {
    let clock = ManualClock::at(START - 5);
    let origin = Origin::answering(move |call, _| match call {
        1 => Ok(with_directives(directives, "stored")),
        _ => Ok(answer()),
    });
    let cache = origin.cached_with(|builder| change(builder.clock(clock.clone())));
    text(fetch(&cache, get("/")).await).await;
    clock.advance(Duration::from_secs(5));
    (cache, origin, clock)
}

/// For how many seconds after now the origin is left alone.
async fn pause(cache: &Cache, origin: &Origin, clock: &ManualClock) -> u64 {
    let calls = origin.calls();
    for second in 0..200 {
        assert_eq!(fetch(cache, get("/")).await.status(), 200);
        settle().await;
        if origin.calls() > calls {
            return second;
        }
        clock.advance(Duration::from_secs(1));
    }
    panic!("the origin is never called again");
}

#[tokio::test]
async fn the_pause_after_a_failure_is_what_the_origin_asks_for_within_a_limit() {
    const LASTING: &str = "max-age=1, stale-if-error=3600";
    for (value, asked) in RETRY_AFTER {
        for cap in [0, 60, 600] {
            for code in [500, 503] {
                let (cache, origin, clock) = stale(
                    LASTING,
                    move || failing(code, value),
                    |it| it.retry_after_cap(Duration::from_secs(cap)),
                )
                .await;
                let failed = fetch(&cache, get("/")).await;
                let reason = StaleReason::IfError(Some(StatusCode::from_u16(code).unwrap()));
                assert!(
                    matches!(outcome(&failed), CacheOutcome::Stale { reason: it, .. } if it == reason)
                );
                let expected = asked.unwrap_or(0).min(cap).max(5);
                if expected > 200 {
                    clock.advance(Duration::from_secs(expected - 5));
                    assert_eq!(fetch(&cache, get("/")).await.status(), 200);
                    assert_eq!(origin.calls(), 2);
                } else {
                    let paused = pause(&cache, &origin, &clock).await;
                    // Marks last to the end of a second.
                    assert_eq!(paused, expected + 1, "{value:?} {cap}");
                }
            }
        }
    }
}

const WINDOW: &str = "max-age=1, stale-while-revalidate=3600, stale-if-error=3600";

#[tokio::test]
async fn too_many_requests_to_a_refresh_pauses_like_a_failure() {
    let limited = || failing(429, Some("30"));
    let (cache, origin, clock) = stale(WINDOW, limited, |it| it).await;
    assert_eq!(pause(&cache, &origin, &clock).await, 0);
    assert_eq!(pause(&cache, &origin, &clock).await, 31);
}

#[tokio::test]
async fn too_many_requests_of_one_client_pause_nobody_else() {
    let limited = || failing(429, Some("30"));
    let (cache, origin, clock) = stale(WINDOW, limited, |it| it).await;
    for _ in 0..20 {
        fetch(&cache, get_with("/", "cookie", "session=1")).await;
        settle().await;
    }
    assert_eq!(origin.calls(), 2, "a pause for those with a cookie");
    assert_eq!(pause(&cache, &origin, &clock).await, 0);
    assert_eq!(origin.calls(), 3);
}

#[tokio::test]
async fn too_many_requests_to_a_request_that_waits_is_its_answer() {
    let limited = || failing(429, Some("30"));
    let (cache, origin, _) = stale("max-age=1, stale-if-error=3600", limited, |it| it).await;
    for calls in 2..5 {
        let answer = fetch(&cache, get("/")).await;
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "30");
        assert_eq!(origin.calls(), calls);
    }
}

/// Each stale answer would cause another.
#[tokio::test]
async fn a_refresh_that_is_not_stored_is_not_repeated_at_once() {
    for code in [400, 406, 501, 505] {
        let (cache, origin, clock) = stale(WINDOW, move || failing(code, None), |it| it).await;
        assert_eq!(pause(&cache, &origin, &clock).await, 0, "{code}");
        assert_eq!(pause(&cache, &origin, &clock).await, 6, "{code}");
    }
}

#[tokio::test]
async fn a_refresh_for_a_cookie_that_is_not_stored_leaves_the_others_theirs() {
    let clock = ManualClock::at(START);
    let origin = Origin::answering(|_, request: Asked| {
        Ok(if request.headers().contains_key("cookie") {
            with_directives("private", "own")
        } else {
            with_directives(WINDOW, "everybody's")
        })
    });
    let cache = origin.cached_with(|builder| builder.clock(clock.clone()));
    text(fetch(&cache, get("/")).await).await;
    clock.advance(Duration::from_secs(5));
    for _ in 0..20 {
        let answer = fetch(&cache, get_with("/", "cookie", "session=1")).await;
        assert_eq!(text(answer).await, "everybody's");
        settle().await;
    }
    assert_eq!(origin.calls(), 2);
    assert!(!is_hit(&fetch(&cache, get("/")).await));
    settle().await;
    assert_eq!(origin.calls(), 3);
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

/// A body that takes six seconds, of a response that is fresh for one.
#[tokio::test]
async fn who_comes_within_the_stale_window_reads_the_body_that_still_arrives() {
    for (directives, seconds, calls) in [
        ("max-age=1, stale-while-revalidate=60", 8, 1),
        ("max-age=1, stale-while-revalidate=3", 4, 1),
        ("max-age=1, stale-while-revalidate=3", 5, 2),
        ("max-age=1", 1, 2),
    ] {
        let clock = ManualClock::at(START);
        let (hand, body) = feed();
        let body = std::sync::Mutex::new(Some(body));
        let origin = Origin::answering(move |call, _| {
            let mut response = with_directives(directives, "whole");
            if call == 1 {
                *response.body_mut() = body.lock().unwrap().take().unwrap();
            }
            Ok(response)
        });
        let cache = origin
            .cached_with(|builder| builder.clock(clock.clone()).uncacheable_for(Duration::ZERO));
        let mut answers = vec![fetch(&cache, get("/")).await];
        for _ in 0..seconds {
            clock.advance(Duration::from_secs(1));
            answers.push(fetch(&cache, get("/")).await);
        }
        assert_eq!(origin.calls(), calls, "{directives}");
        let stale = answers.iter().filter(|answer| {
            let reason = StaleReason::WhileRevalidate;
            matches!(outcome(answer), CacheOutcome::Stale { reason: it, .. } if it == reason)
        });
        assert_eq!(stale.count(), seconds + 1 - calls, "{directives}");
        hand.data("whole").await;
        drop(hand);
        for answer in answers {
            assert_eq!(soon(text(answer)).await, "whole");
        }
    }
}
