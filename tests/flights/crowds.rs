//! Many requests at once for one thing: one origin call, and nothing shared that is private.

use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    pin::pin,
};

use cachewarp::{CacheLayer, CacheOutcome, Memory, clock::ManualClock};
use http::{Response, StatusCode};
use std::time::Duration;
use tower::{Layer, ServiceExt};

use crate::support::{
    Asked, Count, Origin, board, fetch, fresh, full, get, get_with, is_hit, outcome, send, soon,
    status, text, with_directives,
};

const CROWD: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_on_a_cold_key_makes_one_call_and_gets_one_body() {
    let (aboard, body) = (Count::new(), vec![b'x'; 10_000]);
    let origin = Origin::new({
        let (aboard, body) = (aboard.clone(), body.clone());
        move |_, _| {
            let (aboard, body) = (aboard.clone(), body.clone());
            async move {
                aboard.reach(CROWD).await;
                Ok(fresh(body))
            }
        }
    });
    let cache = origin.cached();
    let requests: Vec<_> = (0..CROWD)
        .map(|_| board(&cache, get("/"), &aboard))
        .collect();
    let mut collapsed = 0;
    for request in requests {
        let answer = soon(request).await.unwrap().unwrap();
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
    let origin = Origin::new({
        let aboard = aboard.clone();
        move |_, _| {
            let aboard = aboard.clone();
            async move {
                aboard.reach(CROWD).await;
                Ok(status(StatusCode::SERVICE_UNAVAILABLE, "a secret"))
            }
        }
    });
    let cache = origin.cached();
    let requests: Vec<_> = (0..CROWD)
        .map(|_| board(&cache, get("/"), &aboard))
        .collect();
    let mut pages = 0;
    for request in requests {
        let answer = soon(request).await.unwrap().unwrap();
        assert!([502, 503].contains(&answer.status().as_u16()));
        match outcome(&answer) {
            // The two that asked are told what the origin told them.
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
    let origin = Origin::new({
        let aboard = aboard.clone();
        move |call, _| {
            let aboard = aboard.clone();
            async move {
                if call == 1 {
                    return Ok(with_directives("max-age=1, stale-if-error=600", "stale"));
                }
                aboard.reach(CROWD).await;
                Ok(status(StatusCode::SERVICE_UNAVAILABLE, "a secret"))
            }
        }
    });
    let clock = ManualClock::at(1_700_000_000);
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .clock(clock.clone())
        .build()
        .unwrap()
        .layer(origin.clone());
    assert_eq!(text(fetch(&cache, get("/")).await).await, "stale");
    clock.advance(Duration::from_secs(10));
    let requests: Vec<_> = (0..CROWD)
        .map(|_| board(&cache, get("/"), &aboard))
        .collect();
    for request in requests {
        let answer = soon(request).await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        assert!(matches!(outcome(&answer), CacheOutcome::Stale { .. }));
        assert_eq!(text(answer).await, "stale");
    }
    assert_eq!(origin.calls(), 2, "one to fill, one that failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_private_answer_is_shared_with_nobody_and_nobody_queues_behind_it() {
    const REQUESTS: usize = 50;
    let (aboard, at_origin) = (Count::new(), Count::new());
    let origin = Origin::new({
        let (aboard, at_origin) = (aboard.clone(), at_origin.clone());
        move |call, request: Asked| {
            let (aboard, at_origin) = (aboard.clone(), at_origin.clone());
            async move {
                let user = request.headers()["x-user"].clone();
                if call == 1 {
                    aboard.reach(REQUESTS).await;
                } else {
                    // None is answered before all are here: one after another would never do.
                    at_origin.add();
                    at_origin.reach(REQUESTS - 1).await;
                }
                Ok(with_directives(
                    "private, max-age=600",
                    user.as_bytes().to_vec(),
                ))
            }
        }
    });
    let cache = origin.cached();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|user| {
            let request = get_with("/", "x-user", &user.to_string());
            board(&cache, request, &aboard)
        })
        .collect();
    for (user, request) in requests.into_iter().enumerate() {
        let answer = soon(request).await.unwrap().unwrap();
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
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .clock(clock.clone())
        .build()
        .unwrap()
        .layer(origin.clone());
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
    let requests: Vec<_> = (0..20)
        .map(|_| board(&cache, get("/"), &at_origin))
        .collect();
    for request in requests {
        let answer = soon(request).await.unwrap().unwrap();
        assert_eq!(text(answer).await, "once more");
    }
    assert_eq!(origin.calls(), 13);
}

#[tokio::test]
async fn what_is_known_to_be_uncacheable_is_forgotten_after_a_while() {
    let aboard = Count::new();
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::new({
        let aboard = aboard.clone();
        move |call, _| {
            let aboard = aboard.clone();
            async move {
                if call == 1 {
                    return Ok(with_directives("no-store", ""));
                }
                aboard.reach(20).await;
                Ok(fresh("shared"))
            }
        }
    });
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .clock(clock.clone())
        .uncacheable_for(Duration::from_secs(10))
        .build()
        .unwrap()
        .layer(origin.clone());
    fetch(&cache, get("/")).await;
    clock.advance(Duration::from_secs(12));
    let requests: Vec<_> = (0..20).map(|_| board(&cache, get("/"), &aboard)).collect();
    for request in requests {
        let answer = soon(request).await.unwrap().unwrap();
        assert_eq!(text(answer).await, "shared");
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_want_other_variants_regroup_with_one_call_each() {
    const LANGUAGES: [&str; 5] = ["de", "en", "fi", "fr", "nl"];
    const REQUESTS: usize = 50;
    let (aboard, at_origin) = (Count::new(), Count::new());
    let origin = Origin::new({
        let (aboard, at_origin) = (aboard.clone(), at_origin.clone());
        move |call, request: Asked| {
            let (aboard, at_origin) = (aboard.clone(), at_origin.clone());
            async move {
                let language = request.headers()["accept-language"].clone();
                if call == 1 {
                    aboard.reach(REQUESTS).await;
                } else {
                    at_origin.add();
                    at_origin.reach(LANGUAGES.len() - 1).await;
                }
                let body = full(language.as_bytes().to_vec());
                Ok(Response::builder()
                    .header("cache-control", "max-age=600")
                    .header("vary", "accept-language")
                    .body(body)
                    .unwrap())
            }
        }
    });
    let cache = origin.cached();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|n| {
            let language = LANGUAGES[n % LANGUAGES.len()];
            let request = get_with("/", "accept-language", language);
            (language, board(&cache, request, &aboard))
        })
        .collect();
    for (language, request) in requests {
        let answer = soon(request).await.unwrap().unwrap();
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
    let (aboard, at_origin) = (Count::new(), Count::new());
    let origin = Origin::new({
        let (aboard, at_origin) = (aboard.clone(), at_origin.clone());
        move |call, request: Asked| {
            let (aboard, at_origin) = (aboard.clone(), at_origin.clone());
            async move {
                let user = request.headers()["x-user"].clone();
                if call == 1 {
                    aboard.reach(REQUESTS).await;
                } else {
                    at_origin.add();
                    at_origin.reach(REQUESTS - 1).await;
                }
                Ok(Response::builder()
                    .header("cache-control", "max-age=600")
                    .header("vary", "x-user")
                    .body(full(user.as_bytes().to_vec()))
                    .unwrap())
            }
        }
    });
    let cache = origin.cached();
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
    let origin = Origin::new({
        let gate = gate.clone();
        move |_, _| {
            let gate = gate.clone();
            async move {
                gate.reach(1).await;
                Ok(fresh("late"))
            }
        }
    });
    let cache = origin.cached();
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
