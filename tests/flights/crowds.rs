//! Many requests at once for one thing: one origin call, and nothing shared that is private.

use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    pin::pin,
};

use cachewarp::{CacheBuilder, CacheOutcome, clock::ManualClock};
use http::{Response, StatusCode};
use std::time::Duration;
use tower::ServiceExt;

use crate::support::{
    Answer, Asked, Count, Origin, all_get, answered, board, crowd, fetch, fresh, full, get,
    get_with, is_hit, outcome, send, soon, status, text, with_directives,
};

const CROWD: usize = 10_000;

/// A crowd on a busy machine takes longer than a client may wait.
fn patient(builder: CacheBuilder) -> CacheBuilder {
    let hour = Duration::from_secs(3600);
    builder.wait_timeout(hour).origin_timeout(hour)
}

/// An origin whose first call is answered once `aboard` has come to `crowd`, and the rest once so
/// many of them are there as `together` says: one after another would never do.
fn meeting(aboard: &Count, crowd: usize, together: usize, answer: fn(&Asked) -> Answer) -> Origin {
    let (aboard, at_origin) = (aboard.clone(), Count::new());
    Origin::new(move |call, request| {
        let (aboard, at_origin) = (aboard.clone(), at_origin.clone());
        async move {
            if call == 1 {
                aboard.reach(crowd).await;
            } else {
                at_origin.add();
                at_origin.reach(together).await;
            }
            Ok(answer(&request))
        }
    })
}

/// What a request says in one field, as a response that varies on that.
fn varying(request: &Asked, name: &'static str) -> Answer {
    Response::builder()
        .header("cache-control", "max-age=600")
        .header("vary", name)
        .body(full(request.headers()[name].as_bytes().to_vec()))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_on_a_cold_key_makes_one_call_and_gets_one_body() {
    let (aboard, body) = (Count::new(), vec![b'x'; 10_000]);
    let origin = Origin::held(&aboard, CROWD, {
        let body = body.clone();
        move |_, _| Ok(fresh(body.clone()))
    });
    let cache = origin.cached_with(patient);
    let requests = crowd(&cache, CROWD, &aboard);
    let mut collapsed = 0;
    for request in requests {
        let answer = answered(request).await;
        collapsed += usize::from(matches!(outcome(&answer), CacheOutcome::Collapsed { .. }));
        assert_eq!(text(answer).await, body);
    }
    assert_eq!(origin.calls(), 1);
    assert_eq!(collapsed, CROWD - 1);
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_before_a_failing_origin_makes_two_calls_and_sees_no_error_page() {
    let aboard = Count::new();
    let origin = Origin::held(&aboard, CROWD, move |_, _| {
        Ok(status(StatusCode::SERVICE_UNAVAILABLE, "a secret"))
    });
    let cache = origin.cached_with(patient);
    let requests = crowd(&cache, CROWD, &aboard);
    let mut pages = 0;
    for request in requests {
        let answer = answered(request).await;
        assert!([502, 503].contains(&answer.status().as_u16()));
        match outcome(&answer) {
            // The two that called the origin get what the origin said.
            CacheOutcome::Fetched { .. } => pages += 1,
            CacheOutcome::Generated(_) => assert!(text(answer).await.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(origin.calls(), 2);
    assert_eq!(pages, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_with_a_stale_answer_at_hand_gets_that_from_a_failing_origin() {
    let aboard = Count::new();
    let origin = Origin::held_if(
        |call, _| call > 1,
        &aboard,
        CROWD,
        |call, _| {
            Ok(match call {
                1 => with_directives("max-age=1, stale-if-error=600", "stale"),
                _ => status(StatusCode::SERVICE_UNAVAILABLE, "a secret"),
            })
        },
    );
    let clock = ManualClock::at(1_700_000_000);
    let cache = origin.cached_with(|builder| patient(builder).clock(clock.clone()));
    assert_eq!(text(fetch(&cache, get("/")).await).await, "stale");
    clock.advance(Duration::from_secs(10));
    let requests = crowd(&cache, CROWD, &aboard);
    for request in requests {
        let answer = answered(request).await;
        assert_eq!(answer.status(), 200);
        assert!(matches!(outcome(&answer), CacheOutcome::Stale { .. }));
        assert_eq!(text(answer).await, "stale");
    }
    assert_eq!(origin.calls(), 2, "one to fill, one that failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_private_answer_is_shared_with_nobody_and_nobody_queues_behind_it() {
    const REQUESTS: usize = 50;
    let aboard = Count::new();
    let origin = meeting(&aboard, REQUESTS, REQUESTS - 1, |request| {
        let user = request.headers()["x-user"].as_bytes().to_vec();
        with_directives("private, max-age=600", user)
    });
    let cache = origin.cached_with(patient);
    let requests: Vec<_> = (0..REQUESTS)
        .map(|user| {
            let request = get_with("/", "x-user", &user.to_string());
            board(&cache, request, &aboard)
        })
        .collect();
    for (user, request) in requests.into_iter().enumerate() {
        let answer = answered(request).await;
        assert_eq!(text(answer).await, user.to_string());
    }
    assert_eq!(origin.calls(), REQUESTS);
}

#[tokio::test]
async fn a_key_known_to_be_uncacheable_is_not_queued_for_until_it_is_cacheable_again() {
    let at_origin = Count::new();
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::new({
        let at_origin = at_origin.clone();
        move |call, _| {
            let at_origin = at_origin.clone();
            async move {
                match call {
                    1 => Ok(with_directives("no-store", "nothing to keep")),
                    2..=11 => {
                        at_origin.add();
                        at_origin.reach(10).await;
                        Ok(with_directives("no-store", "nothing to keep"))
                    }
                    12 => Ok(with_directives("max-age=1", "at last")),
                    _ => {
                        at_origin.add();
                        at_origin.reach(31).await;
                        Ok(with_directives("max-age=1", "once more"))
                    }
                }
            }
        }
    });
    let cache = origin.cached_with(|builder| patient(builder).clock(clock.clone()));
    fetch(&cache, get("/")).await;
    // All ten are at the origin at once.
    let requests: Vec<_> = (0..10).map(|_| send(&cache, get("/"))).collect();
    for request in requests {
        soon(request).await.unwrap().unwrap();
    }
    assert_eq!(text(fetch(&cache, get("/")).await).await, "at last");
    assert!(is_hit(&fetch(&cache, get("/")).await));
    // From here on one asks for all again.
    clock.advance(Duration::from_secs(2));
    let requests = crowd(&cache, 20, &at_origin);
    all_get(requests, "once more").await;
    assert_eq!(origin.calls(), 13);
}

#[tokio::test]
async fn what_is_known_to_be_uncacheable_is_forgotten_after_a_while() {
    let aboard = Count::new();
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::held_if(
        |call, _| call > 1,
        &aboard,
        20,
        |call, _| {
            Ok(match call {
                1 => with_directives("no-store", ""),
                _ => fresh("shared"),
            })
        },
    );
    let cache = origin.cached_with(|builder| {
        builder
            .clock(clock.clone())
            .uncacheable_for(Duration::from_secs(10))
    });
    fetch(&cache, get("/")).await;
    clock.advance(Duration::from_secs(12));
    let requests = crowd(&cache, 20, &aboard);
    all_get(requests, "shared").await;
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_want_other_variants_regroup_with_one_call_each() {
    const LANGUAGES: [&str; 5] = ["de", "en", "fi", "fr", "nl"];
    const REQUESTS: usize = 50;
    let aboard = Count::new();
    let origin = meeting(&aboard, REQUESTS, LANGUAGES.len() - 1, |request| {
        varying(request, "accept-language")
    });
    let cache = origin.cached_with(patient);
    let requests: Vec<_> = (0..REQUESTS)
        .map(|n| {
            let language = LANGUAGES[n % LANGUAGES.len()];
            let request = get_with("/", "accept-language", language);
            (language, board(&cache, request, &aboard))
        })
        .collect();
    for (language, request) in requests {
        let answer = answered(request).await;
        assert_eq!(text(answer).await, language);
    }
    assert_eq!(origin.calls(), LANGUAGES.len());
    for language in LANGUAGES {
        let answer = fetch(&cache, get_with("/", "accept-language", language)).await;
        assert!(is_hit(&answer));
        assert_eq!(text(answer).await, language);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_variants_as_requests_are_fetched_side_by_side() {
    const REQUESTS: usize = 50;
    let aboard = Count::new();
    let origin = meeting(&aboard, REQUESTS, REQUESTS - 1, |request| {
        varying(request, "x-user")
    });
    let cache = origin.cached_with(patient);
    let requests: Vec<_> = (0..REQUESTS)
        .map(|user| {
            let request = get_with("/", "x-user", &user.to_string());
            board(&cache, request, &aboard)
        })
        .collect();
    let mut bodies = HashSet::new();
    for (user, request) in requests.into_iter().enumerate() {
        let body = text(soon(request).await.unwrap().unwrap()).await;
        assert_eq!(body, user.to_string());
        bodies.insert(body);
    }
    assert_eq!((origin.calls(), bodies.len()), (REQUESTS, REQUESTS));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_polled_when_something_happened_and_not_otherwise() {
    let gate = Count::new();
    let origin = Origin::held(&gate, 1, move |_, _| Ok(fresh("late")));
    let cache = origin.cached_with(patient);
    let leader = send(&cache, get("/"));
    tokio::task::yield_now().await;
    let polls = Count::new();
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let (cache, polls) = (cache.clone(), polls.clone());
            tokio::spawn(async move {
                let mut answer = pin!(cache.oneshot(get("/")));
                poll_fn(|cx| {
                    polls.add();
                    answer.as_mut().poll(cx)
                })
                .await
            })
        })
        .collect();
    // Long enough for a spinning waiter to be polled without end.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(polls.get(), 100, "once each, to begin to wait");
    gate.add();
    for waiter in waiters {
        assert_eq!(text(soon(waiter).await.unwrap().unwrap()).await, "late");
    }
    soon(leader).await.unwrap().unwrap();
    assert!(polls.get() <= 200, "{} polls of 100 waiters", polls.get());
    assert_eq!(origin.calls(), 1);
}
