//! Refreshes in the background: one at a time, not right after a failure, and waited for.

use std::time::Duration;

use cachewarp::{CacheBuilder, CacheLayer, CacheOutcome, Memory, OnAbandoned, clock::ManualClock};
use http::StatusCode;
use tower::Layer;

use crate::support::{
    Cache, Cached, Count, Origin, feeds, fetch, get, get_with, is_hit, outcome, settle, soon,
    status, text, with_directives,
};

const WINDOW: &str = "max-age=1, stale-while-revalidate=600";

fn layer(change: impl FnOnce(CacheBuilder) -> CacheBuilder) -> (CacheLayer, ManualClock) {
    let clock = ManualClock::at(1_700_000_000);
    let builder = CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .clock(clock.clone());
    (change(builder).build().unwrap(), clock)
}

/// A cache that holds the origin's first answer, which is stale by now.
async fn with_stale(layer: &CacheLayer, clock: &ManualClock, origin: &Origin) -> Cache {
    let cache = layer.layer(origin.clone());
    text(fetch(&cache, get("/")).await).await;
    clock.advance(Duration::from_secs(5));
    cache
}

fn is_stale(answer: &Cached) -> bool {
    matches!(outcome(answer), CacheOutcome::Stale { .. })
}

#[tokio::test]
async fn many_stale_answers_cause_one_refresh_which_drain_waits_for() {
    let gate = Count::new();
    let origin = Origin::held_if(
        |call, _| call > 1,
        &gate,
        1,
        |call, _| Ok(with_directives(WINDOW, call.to_string())),
    );
    let (layer, clock) = layer(|builder| builder);
    let cache = with_stale(&layer, &clock, &origin).await;
    for _ in 0..100 {
        let answer = fetch(&cache, get("/")).await;
        assert!(is_stale(&answer));
        assert_eq!(text(answer).await, "1");
    }
    settle().await;
    assert_eq!(origin.calls(), 2);
    let handle = layer.handle();
    assert_eq!(handle.drain(Duration::ZERO).await, 1, "it is under way");
    let drained = tokio::spawn(async move { handle.drain(Duration::from_secs(60)).await });
    settle().await;
    assert!(!drained.is_finished());
    gate.add();
    assert_eq!(soon(drained).await.unwrap(), 0);
    let hit = fetch(&cache, get("/")).await;
    assert!(is_hit(&hit));
    assert_eq!(text(hit).await, "2");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn after_a_failed_refresh_there_is_a_pause() {
    let origin = Origin::new(|call, _| async move {
        match call {
            1 => Ok(with_directives(WINDOW, "kept")),
            2 => Ok(status(StatusCode::BAD_GATEWAY, "")),
            3 => Err("nobody is there".into()),
            _ => panic!("the origin's own"),
        }
    });
    let (layer, clock) = layer(|builder| builder.refresh_pause(Duration::from_secs(5)));
    let cache = layer.layer(origin.clone());
    text(fetch(&cache, get("/")).await).await;
    // A status, an error, a panic: each is followed by a pause.
    for failure in 2..=4 {
        clock.advance(Duration::from_secs(10));
        for _ in 0..20 {
            let answer = fetch(&cache, get("/")).await;
            assert!(is_stale(&answer));
            assert_eq!(text(answer).await, "kept");
            settle().await;
        }
        assert_eq!(origin.calls(), failure);
    }
}

#[tokio::test]
async fn a_request_with_credentials_causes_no_refresh() {
    let origin = Origin::answering(|call, _| {
        let directives = format!("public, {WINDOW}");
        Ok(with_directives(&directives, call.to_string()))
    });
    let (layer, clock) = layer(|builder| builder);
    let cache = with_stale(&layer, &clock, &origin).await;
    let answer = fetch(&cache, get_with("/", "authorization", "Basic YTpi")).await;
    assert!(is_stale(&answer));
    settle().await;
    assert_eq!(origin.calls(), 1);
    assert!(is_stale(&fetch(&cache, get("/")).await));
    settle().await;
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_refresh_is_stored_although_no_client_reads_it() {
    for policy in [OnAbandoned::Continue, OnAbandoned::Discard] {
        let (feeds, mut fed_bodies) = feeds();
        let origin = Origin::answering(move |call, _| match call {
            1 => Ok(with_directives(WINDOW, "old")),
            _ => feeds.answer(),
        });
        let (layer, clock) = layer(|builder| builder.on_abandoned(policy));
        let cache = with_stale(&layer, &clock, &origin).await;
        assert!(is_stale(&fetch(&cache, get("/")).await));
        let feed = soon(fed_bodies.recv()).await.unwrap();
        settle().await;
        feed.data("ne").await;
        settle().await;
        feed.data("w").await;
        drop(feed);
        assert_eq!(layer.handle().drain(Duration::from_secs(60)).await, 0);
        let hit = fetch(&cache, get("/")).await;
        assert!(is_hit(&hit), "{policy:?}");
        assert_eq!(text(hit).await, "new");
    }
}

/// Nobody reads it, so its time is bounded, and the refresh after it can begin.
#[tokio::test(start_paused = true)]
async fn a_refresh_whose_body_never_ends_is_given_up() {
    let (feeds, mut fed_bodies) = feeds();
    let origin = Origin::answering(move |call, _| match call {
        2 => feeds.answer(),
        _ => Ok(with_directives(WINDOW, call.to_string())),
    });
    let (layer, clock) = layer(|builder| builder.fill_timeout(Duration::from_secs(60)));
    let cache = with_stale(&layer, &clock, &origin).await;
    assert!(is_stale(&fetch(&cache, get("/")).await));
    let feed = soon(fed_bodies.recv()).await.unwrap();
    feed.dropped().await;
    assert_eq!(layer.handle().drain(Duration::from_secs(1)).await, 0);
    // The pause after a failure.
    clock.advance(Duration::from_secs(6));
    assert!(is_stale(&fetch(&cache, get("/")).await));
    assert_eq!(layer.handle().drain(Duration::from_secs(1)).await, 0);
    assert_eq!(text(fetch(&cache, get("/")).await).await, "3");
}
