//! A body that breaks before its first byte is an error of the call: a stored response may be served
//! in its place. One that breaks later is not.

use std::time::Duration;

use cachewarp::{CacheBuilder, CacheOutcome, StaleReason, clock::ManualClock};
use http::Method;

use crate::support::{
    Cache, Cached, Count, Feed, Origin, answered, board, feed, fetch, get, get_with, is_hit,
    outcome, request, send, settle, soon, text, whole, with_directives,
};

const LASTING: &str = "max-age=1, stale-if-error=3600";

/// A page that is stale by now, and the hands that feed what later calls are answered.
struct Stale {
    cache: Cache,
    origin: Origin,
    clock: ManualClock,
    hands: tokio::sync::mpsc::UnboundedReceiver<Feed>,
}

async fn stale(
    directives: &'static str,
    change: impl FnOnce(CacheBuilder) -> CacheBuilder,
) -> Stale {
    let clock = ManualClock::at(1_700_000_000);
    let (sender, hands) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::answering(move |call, _| {
        let mut response = with_directives(directives, "stored");
        if call > 1 {
            let (hand, body) = feed();
            *response.body_mut() = body;
            sender.send(hand)?;
        }
        Ok(response)
    });
    let cache = origin.cached_with(|builder| change(builder.clock(clock.clone())));
    text(fetch(&cache, get("/")).await).await;
    clock.advance(Duration::from_secs(5));
    Stale {
        cache,
        origin,
        clock,
        hands,
    }
}

fn is_stale_on_error(answer: &Cached) -> bool {
    matches!(
        outcome(answer),
        CacheOutcome::Stale {
            reason: StaleReason::IfError(None),
            ..
        }
    )
}

#[tokio::test]
async fn an_error_before_the_first_byte_has_the_stored_response_served() {
    const PUBLIC: &str = "public, max-age=1, stale-if-error=3600";
    // In a flight, and without one.
    for line in [("accept", "*/*"), ("authorization", "Basic dTpw")] {
        let mut stale = stale(PUBLIC, |it| it).await;
        let asked = send(&stale.cache, get_with("/", line.0, line.1));
        let hand = soon(stale.hands.recv()).await.unwrap();
        hand.fail().await;
        let answer = answered(asked).await;
        assert!(is_stale_on_error(&answer));
        assert_eq!(text(answer).await, "stored");
        // And the origin is left alone for a while, as after any failure.
        fetch(&stale.cache, get_with("/", line.0, line.1)).await;
        assert_eq!(stale.origin.calls(), 2);
    }
}

/// The body of what is not stored goes from the origin to its client.
#[tokio::test]
async fn what_is_not_stored_is_not_held_back() {
    let mut stale = stale(LASTING, |it| it).await;
    let asked = send(&stale.cache, get_with("/", "cache-control", "no-store"));
    let hand = soon(stale.hands.recv()).await.unwrap();
    let answer = answered(asked).await;
    hand.fail().await;
    assert!(whole(answer).await.is_err());
}

#[tokio::test]
async fn a_crowd_behind_such_a_body_is_answered_too() {
    const CROWD: usize = 20;
    let mut stale = stale(LASTING, |it| it).await;
    let aboard = Count::new();
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| board(&stale.cache, get("/"), &aboard))
        .collect();
    let hand = soon(stale.hands.recv()).await.unwrap();
    aboard.reach(CROWD).await;
    hand.fail().await;
    for request in crowd {
        let answer = answered(request).await;
        assert!(is_stale_on_error(&answer));
        assert_eq!(text(answer).await, "stored");
    }
    assert_eq!(stale.origin.calls(), 2);
}

#[tokio::test]
async fn an_error_after_the_first_byte_is_that_of_the_body() {
    let mut stale = stale(LASTING, |it| it).await;
    let asked = send(&stale.cache, get("/"));
    let hand = soon(stale.hands.recv()).await.unwrap();
    hand.data("n").await;
    let answer = answered(asked).await;
    hand.fail().await;
    assert!(whole(answer).await.is_err());
}

/// The head is only held back where it pays.
#[tokio::test]
async fn a_head_waits_for_its_body_only_if_something_stored_may_be_served() {
    for (directives, waits) in [(LASTING, true), ("max-age=1", false)] {
        let mut stale = stale(directives, |it| it).await;
        let asked = send(&stale.cache, get("/"));
        let hand = soon(stale.hands.recv()).await.unwrap();
        settle().await;
        assert_eq!(!asked.is_finished(), waits, "{directives}");
        hand.data("new").await;
        drop(hand);
        assert_eq!(text(answered(asked).await).await, "new");
        assert!(is_hit(&fetch(&stale.cache, get("/")).await));
    }
}

#[tokio::test]
async fn an_empty_body_is_no_error() {
    let mut stale = stale(LASTING, |it| it).await;
    let asked = send(&stale.cache, get("/"));
    drop(soon(stale.hands.recv()).await.unwrap());
    let answer = answered(asked).await;
    assert!(matches!(outcome(&answer), CacheOutcome::Fetched { .. }));
    assert_eq!(text(answer).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_first_byte_that_does_not_come_in_time_is_an_error_too() {
    let mut stale = stale(LASTING, |it| it.origin_timeout(Duration::from_secs(3))).await;
    let began = tokio::time::Instant::now();
    let asked = send(&stale.cache, get("/"));
    let hand = soon(stale.hands.recv()).await.unwrap();
    let answer = answered(asked).await;
    assert!(matches!(outcome(&answer), CacheOutcome::Stale { .. }));
    assert_eq!(text(answer).await, "stored");
    assert!(began.elapsed() <= Duration::from_millis(3_100));
    // It comes after all, and is stored.
    hand.data("late").await;
    drop(hand);
    settle().await;
    assert_eq!(text(fetch(&stale.cache, get("/")).await).await, "late");
}

/// Each stale answer would cause another refresh that breaks.
#[tokio::test]
async fn a_refresh_whose_body_breaks_is_not_repeated_at_once() {
    const WINDOW: &str = "max-age=1, stale-while-revalidate=3600";
    for method in [Method::GET, Method::HEAD] {
        let mut stale = stale(WINDOW, |it| it).await;
        fetch(&stale.cache, request(method.clone(), "/")).await;
        let hand = soon(stale.hands.recv()).await.unwrap();
        hand.data("n").await;
        hand.fail().await;
        settle().await;
        for _ in 0..20 {
            fetch(&stale.cache, request(method.clone(), "/")).await;
            settle().await;
        }
        assert_eq!(stale.origin.calls(), 2);
        stale.clock.advance(Duration::from_secs(6));
        fetch(&stale.cache, request(method, "/")).await;
        settle().await;
        assert_eq!(stale.origin.calls(), 3);
    }
}
