//! How long a request waits for another's, how many may, and which never do.

use std::time::Duration;

use cachewarp::{CacheOutcome, Generated};
use http::StatusCode;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, advance, sleep},
};

use crate::support::{
    Asked, Cache, Count, Feed, Origin, all_get, answered, board, chunk, crowd, feeds, fetch, fresh,
    full, get, get_with, outcome, send, settle, soon, status, text,
};

const WAITERS: usize = 20;

/// A cache whose requests wait for 5 seconds, and for 30 at the most.
fn patient(origin: &Origin) -> Cache {
    origin.cached_with(|builder| {
        builder
            .wait_timeout(Duration::from_secs(5))
            .origin_timeout(Duration::from_secs(30))
    })
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_takes_too_long_elects_one_more_leader_for_all() {
    let origin = Origin::new(|call, _| async move {
        if call == 1 {
            sleep(Duration::from_secs(20)).await;
        }
        Ok(fresh(call.to_string()))
    });
    let cache = patient(&origin);
    let aboard = Count::new();
    let began = Instant::now();
    let mut requests = crowd(&cache, WAITERS + 1, &aboard).into_iter();
    aboard.reach(WAITERS + 1).await;
    let leader = requests.next().unwrap();
    sleep(Duration::from_millis(4_900)).await;
    assert_eq!(origin.calls(), 1);
    for waiter in requests {
        assert_eq!(text(answered(waiter).await).await, "2");
    }
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(text(answered(leader).await).await, "1");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_first_leader_may_still_be_the_one_that_answers() {
    let origin = Origin::new(|call, _| async move {
        let slow = if call == 1 { 8 } else { 20 };
        sleep(Duration::from_secs(slow)).await;
        Ok(fresh(call.to_string()))
    });
    let cache = patient(&origin);
    let began = Instant::now();
    let requests = crowd(&cache, WAITERS + 1, &Count::new());
    let mut answers = Vec::new();
    for request in requests {
        let body = text(answered(request).await).await;
        answers.push((body, began.elapsed().as_secs()));
    }
    let first = answers.iter().filter(|it| it.0 == "1").count();
    assert_eq!(first, WAITERS, "all but the second leader: {answers:?}");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_second_leader_that_fails_leaves_the_hope_in_the_first() {
    let origin = Origin::new(|call, _| async move {
        if call > 1 {
            return Ok(status(StatusCode::BAD_GATEWAY, ""));
        }
        sleep(Duration::from_secs(8)).await;
        Ok(fresh("slow, but good"))
    });
    let cache = patient(&origin);
    let mut good = 0;
    for request in crowd(&cache, WAITERS + 1, &Count::new()) {
        let answer = answered(request).await;
        good += usize::from(answer.status() == 200);
    }
    assert_eq!(good, WAITERS, "all but the second leader");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hard_timeout_ends_every_wait() {
    let origin = Origin::new(|_, _| std::future::pending());
    let cache = patient(&origin);
    let began = Instant::now();
    let mut statuses = Vec::new();
    for request in crowd(&cache, WAITERS + 1, &Count::new()) {
        let answer = answered(request).await;
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [504; WAITERS + 1]);
    assert_eq!(began.elapsed().as_secs(), 30, "the second leader too");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn one_waiter_too_many_is_answered_at_once() {
    let gate = Count::new();
    let origin = Origin::held(&gate, 1, move |_, _| Ok(fresh("for three")));
    let cache = origin.cached_with(|builder| builder.max_waiters(2));
    let aboard = Count::new();
    let requests = crowd(&cache, 3, &aboard);
    aboard.reach(3).await;
    let crowded = fetch(&cache, get("/")).await;
    assert_eq!(crowded.status(), StatusCode::SERVICE_UNAVAILABLE);
    let reason = CacheOutcome::Generated(Generated::TooManyWaiters);
    assert_eq!(outcome(&crowded), reason);
    gate.add();
    all_get(requests, "for three").await;
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_makes_room_for_another() {
    let gate = Count::new();
    let origin = Origin::held(&gate, 1, move |_, _| Ok(fresh("for two")));
    let cache = origin.cached_with(|builder| builder.max_waiters(1));
    let leader = send(&cache, get("/"));
    settle().await;
    let leaving = send(&cache, get("/"));
    settle().await;
    leaving.abort();
    settle().await;
    let staying = send(&cache, get("/"));
    settle().await;
    gate.add();
    for request in [leader, staying] {
        let answer = answered(request).await;
        assert_eq!(text(answer).await, "for two");
    }
    assert_eq!(origin.calls(), 1);
}

/// Who asked, if the request says it.
fn for_whom(request: &Asked) -> String {
    let who = request.headers().get("authorization");
    format!("for {}", who.map_or("anonymous", |it| it.to_str().unwrap()))
}

/// An origin whose first answer is fed by hand, and which answers the rest at once.
fn fed_first() -> (Origin, UnboundedReceiver<Feed>) {
    let (feeds, fed_bodies) = feeds();
    let origin = Origin::answering(move |call, request| match call {
        1 => feeds.answer(),
        _ => Ok(fresh(for_whom(&request))),
    });
    (origin, fed_bodies)
}

#[tokio::test(start_paused = true)]
async fn requests_with_credentials_or_no_store_never_wait() {
    for (name, value, own) in [
        ("authorization", "Basic YTpi", "Basic YTpi"),
        ("cache-control", "no-store", "anonymous"),
    ] {
        let gate = Count::new();
        let origin = Origin::held_if(
            |call, _| call == 1,
            &gate,
            1,
            |call, request| {
                Ok(match call {
                    1 => fresh("for all"),
                    _ => fresh(for_whom(&request)),
                })
            },
        );
        let cache = origin.cached();
        let leader = send(&cache, get("/"));
        settle().await;
        let began = Instant::now();
        let answer = fetch(&cache, get_with("/", name, value)).await;
        assert_eq!(text(answer).await, format!("for {own}"));
        assert_eq!(began.elapsed(), Duration::ZERO);
        gate.add();
        let answer = answered(leader).await;
        assert_eq!(text(answer).await, "for all");
        assert_eq!(origin.calls(), 2);
    }
}

#[tokio::test]
async fn requests_with_credentials_or_no_store_share_what_has_landed_and_may_be_shared() {
    for (name, value) in [
        ("authorization", "Basic YTpi"),
        ("cache-control", "no-store"),
    ] {
        let (origin, mut feeds) = fed_first();
        let cache = origin.cached();
        let mut leader = fetch(&cache, get("/")).await.into_body();
        let feed = soon(feeds.recv()).await.unwrap();
        feed.data("shared").await;
        assert_eq!(chunk(&mut leader).await.unwrap().unwrap(), "shared");
        let late = fetch(&cache, get_with("/", name, value)).await;
        assert!(matches!(outcome(&late), CacheOutcome::Collapsed { .. }));
        drop(feed);
        assert_eq!(text(late).await, "shared");
        assert_eq!(origin.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_request_with_credentials() {
    let gate = Count::new();
    let origin = Origin::held_if(
        |call, _| call == 1,
        &gate,
        1,
        |call, _| {
            Ok(match call {
                1 => fresh("for one"),
                _ => fresh("for all"),
            })
        },
    );
    let cache = origin.cached();
    let credentials = send(&cache, get_with("/", "authorization", "Basic YTpi"));
    settle().await;
    let began = Instant::now();
    assert_eq!(text(fetch(&cache, get("/")).await).await, "for all");
    assert_eq!(began.elapsed(), Duration::ZERO);
    gate.add();
    let answer = answered(credentials).await;
    assert_eq!(text(answer).await, "for one");
    assert_eq!(text(fetch(&cache, get("/")).await).await, "for all");
    assert_eq!(origin.calls(), 2);
}

/// What arrived before a request asked for validation is no validation.
#[tokio::test(start_paused = true)]
async fn a_request_for_validation_shares_what_comes_later_and_not_what_came_before() {
    let (origin, mut feeds) = fed_first();
    let cache = origin.cached();
    let mut leader = fetch(&cache, get("/")).await.into_body();
    let feed = soon(feeds.recv()).await.unwrap();
    feed.data("old").await;
    assert_eq!(chunk(&mut leader).await.unwrap().unwrap(), "old");
    advance(Duration::from_secs(30)).await;
    let reload = fetch(&cache, get_with("/", "cache-control", "no-cache")).await;
    assert_eq!(text(reload).await, "for anonymous");
    assert_eq!(origin.calls(), 2);

    let gate = Count::new();
    let origin = Origin::held(&gate, 1, move |_, _| {
        let mut answer = fresh("");
        *answer.body_mut() = full("validated");
        Ok(answer)
    });
    let cache = origin.cached();
    let aboard = Count::new();
    let reloads: Vec<_> = (0..10)
        .map(|_| {
            let request = get_with("/", "cache-control", "no-cache");
            board(&cache, request, &aboard)
        })
        .collect();
    aboard.reach(10).await;
    gate.add();
    all_get(reloads, "validated").await;
    assert_eq!(origin.calls(), 1);
}
