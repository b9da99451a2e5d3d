//! A leader that goes away, panics, fails or never ends: no request waits for it without limit.

use std::time::Duration;

use cachewarp::{CacheOutcome, Generated, Task};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::Layer;

use crate::support::{
    Answer, BoxError, Count, Origin, all_get, answered, board, chunk, crowd, feeds, fetch, fresh,
    get, is_hit, outcome, send, soon, text,
};

const WAITERS: usize = 20;

/// An origin whose first answer comes once the waiters are aboard, and is made by `first`; later
/// ones are `later`.
fn origin(
    aboard: &Count,
    first: fn() -> Result<Answer, BoxError>,
    later: fn() -> Result<Answer, BoxError>,
) -> Origin {
    Origin::held(aboard, WAITERS + 1, move |call, _| {
        if call == 1 { first() } else { later() }
    })
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_hurts_nobody() {
    let gate = Count::new();
    let aboard = Count::new();
    let origin = Origin::held(&gate, 1, move |_, _| Ok(fresh("for all")));
    let cache = origin.cached();
    let leader = board(&cache, get("/"), &aboard);
    aboard.reach(1).await;
    let waiters = crowd(&cache, WAITERS, &aboard);
    aboard.reach(WAITERS + 1).await;
    leader.abort();
    assert!(soon(leader).await.unwrap_err().is_cancelled());
    gate.add();
    all_get(waiters, "for all").await;
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_alone_leaves_a_stored_response() {
    let gate = Count::new();
    let origin = Origin::held(&gate, 1, move |_, _| Ok(fresh("for the next")));
    let layer = crate::support::layer();
    let cache = layer.layer(origin.clone());
    let aboard = Count::new();
    let leader = board(&cache, get("/"), &aboard);
    aboard.reach(1).await;
    leader.abort();
    assert!(soon(leader).await.unwrap_err().is_cancelled());
    gate.add();
    assert_eq!(layer.handle().drain(Duration::from_secs(60)).await, 0);
    assert!(is_hit(&fetch(&cache, get("/")).await));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_hurts_nobody() {
    let (aboard, (feeds, mut fed_bodies)) = (Count::new(), feeds());
    let origin = Origin::held(&aboard, WAITERS + 1, move |_, _| feeds.answer());
    let cache = origin.cached();
    let leader = board(&cache, get("/"), &aboard);
    let waiters = crowd(&cache, WAITERS, &aboard);
    let mut leader = answered(leader).await.into_body();
    let feed = soon(fed_bodies.recv()).await.unwrap();
    feed.data("one ").await;
    assert_eq!(chunk(&mut leader).await.unwrap().unwrap(), "one ");
    drop(leader);
    feed.data("two").await;
    drop(feed);
    all_get(waiters, "one two").await;
    assert_eq!(origin.calls(), 1);
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

#[tokio::test]
async fn a_panic_resumes_where_it_was_caused_and_the_group_tries_once_more() {
    let aboard = Count::new();
    let origin = origin(&aboard, || panic!("of the first"), || Ok(fresh("second")));
    let cache = origin.cached();
    let leader = board(&cache, get("/"), &aboard);
    let waiters = crowd(&cache, WAITERS, &aboard);
    let panic = soon(leader).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"of the first"));
    all_get(waiters, "second").await;
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_panic_in_both_attempts_answers_the_rest() {
    let aboard = Count::new();
    let origin = origin(&aboard, || panic!("first"), || panic!("second"));
    let cache = origin.cached();
    let requests = crowd(&cache, WAITERS + 1, &aboard);
    let (mut panics, mut answers) = (0, 0);
    for request in requests {
        match soon(request).await {
            Ok(answer) => {
                assert_eq!(answer.unwrap().status(), StatusCode::BAD_GATEWAY);
                answers += 1;
            }
            Err(error) => panics += usize::from(error.is_panic()),
        }
    }
    assert_eq!((panics, answers), (2, WAITERS - 1));
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn an_error_goes_to_the_one_whose_call_it_was() {
    let aboard = Count::new();
    let origin = origin(
        &aboard,
        || Err("connection refused".into()),
        || Err("connection refused again".into()),
    );
    let cache = origin.cached();
    let requests = crowd(&cache, WAITERS + 1, &aboard);
    let (mut errors, mut answers) = (Vec::new(), 0);
    for request in requests {
        match soon(request).await.unwrap() {
            Ok(answer) => {
                assert!(matches!(
                    outcome(&answer),
                    CacheOutcome::Generated(Generated::FlightFailed { status, .. })
                        if status == StatusCode::BAD_GATEWAY
                ));
                answers += 1;
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    errors.sort();
    assert_eq!(errors, ["connection refused", "connection refused again"]);
    assert_eq!(answers, WAITERS - 1);
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_never_answers_costs_two_calls_and_everybody_is_told() {
    let aboard = Count::new();
    let origin = Origin::new(|_, _| std::future::pending());
    let cache = origin.cached();
    let began = Instant::now();
    let requests = crowd(&cache, WAITERS + 1, &aboard);
    for request in requests {
        let answer = answered(request).await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    }
    assert_eq!(origin.calls(), 2);
    assert_eq!(began.elapsed().as_secs(), 60);
    // The second call began when patience ran out, and has as long from there.
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Nothing is left behind: the next one asks anew.
    tokio::time::timeout(Duration::from_secs(1), send(&cache, get("/")))
        .await
        .expect_err("it waits for the origin");
    assert_eq!(origin.calls(), 3);
}

#[tokio::test]
async fn an_executor_that_drops_its_tasks_leaves_nobody_waiting() {
    let origin = Origin::answering(|_, _| Ok(fresh("never")));
    let cache = origin.cached_with(|builder| builder.executor(|task: Task| drop(task)));
    let aboard = Count::new();
    let requests = crowd(&cache, WAITERS + 1, &aboard);
    for request in requests {
        let answer = answered(request).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    }
    assert_eq!(origin.calls(), 0);
}

#[tokio::test]
async fn a_leader_lost_mid_stream_ends_every_body_with_an_error() {
    let (aboard, (feeds, mut fed_bodies)) = (Count::new(), feeds());
    let origin = Origin::held_if(
        |call, _| call == 1,
        &aboard,
        WAITERS + 1,
        move |call, _| match call {
            1 => feeds.answer(),
            _ => Ok(fresh("anew")),
        },
    );
    let cache = origin.cached();
    let requests = crowd(&cache, WAITERS + 1, &aboard);
    let feed = soon(fed_bodies.recv()).await.unwrap();
    feed.data("half").await;
    feed.fail().await;
    for request in requests {
        let mut body = answered(request).await.into_body();
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "half");
        assert!(soon(body.frame()).await.unwrap().is_err());
    }
    assert_eq!(text(fetch(&cache, get("/")).await).await, "anew");
    assert_eq!(origin.calls(), 2);
}
