//! However a request gets to a hanging origin, and behind whomever it waits before: it is answered
//! when the origin timeout has passed since it came.

use std::time::Duration;

use cachewarp::{CacheBuilder, CacheOutcome, KeyPolicy, Keying, StaleReason};
use http::{HeaderValue, Method, StatusCode, request::Parts};
use tokio::time::{Instant, sleep};
use tower::Layer;

use crate::support::{
    Answer, Asked, BoxError, Cache, Origin, answered, fetch, fresh, get, get_with, outcome,
    request, send, settle, status, text, with_directives,
};

const SECOND: Duration = Duration::from_secs(1);

/// The origin timeout.
const LIMIT: Duration = Duration::from_secs(3);

/// What the origin does with one call: answers after a while, or never.
#[derive(Clone, Copy)]
enum Does {
    Answers(Duration, fn() -> Answer),
    Fails(Duration),
    Hangs,
}

use Does::{Answers, Fails, Hangs};

/// An origin that does this with its first calls, and hangs from then on.
fn origin(script: &[Does]) -> Origin {
    let script = script.to_vec();
    Origin::new(move |call, _| {
        let does = script.get(call - 1).copied().unwrap_or(Hangs);
        async move {
            match does {
                Answers(after, answer) => {
                    sleep(after).await;
                    Ok(answer())
                }
                Fails(after) => {
                    sleep(after).await;
                    Err(BoxError::from("refused"))
                }
                Hangs => std::future::pending().await,
            }
        }
    })
}

fn limited(builder: CacheBuilder) -> CacheBuilder {
    builder.origin_timeout(LIMIT)
}

/// A request that was sent at some time: its name, and how long it took to be answered.
async fn took(cache: &Cache, request: Asked) -> (Result<StatusCode, String>, Duration) {
    let began = Instant::now();
    let answer = tokio::spawn(tower::ServiceExt::oneshot(cache.clone(), request));
    let answer = crate::support::soon(answer).await.unwrap();
    let status = answer.map(|it| it.status()).map_err(|it| it.to_string());
    (status, began.elapsed())
}

fn is_in_time(took: Duration) -> bool {
    took <= LIMIT + Duration::from_millis(10)
}

/// A crowd of which one comes every half second for so long, behind whoever came first.
async fn crowd(
    cache: &Cache,
    request: fn() -> Asked,
) -> Vec<(Result<StatusCode, String>, Duration)> {
    let mut asked = Vec::new();
    for _ in 0..12 {
        let cache = cache.clone();
        asked.push(tokio::spawn(async move { took(&cache, request()).await }));
        sleep(SECOND / 2).await;
    }
    let mut answers = Vec::new();
    for request in asked {
        answers.push(request.await.unwrap());
    }
    answers
}

fn stale_with_tag() -> Answer {
    let mut answer = with_directives("max-age=1", "old");
    let etag = HeaderValue::from_static("\"old\"");
    answer.headers_mut().insert("etag", etag);
    answer
}

fn not_modified_but_other() -> Answer {
    let mut answer = status(StatusCode::NOT_MODIFIED, "");
    let etag = HeaderValue::from_static("\"another\"");
    answer.headers_mut().insert("etag", etag);
    answer
}

fn other_variant() -> Answer {
    let mut answer = fresh("of another");
    let vary = HeaderValue::from_static("x-variant");
    answer.headers_mut().insert("vary", vary);
    answer
}

/// Each gets a variant of its own.
fn get_a_variant() -> Asked {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    get_with("/", "x-variant", &next.to_string())
}

#[tokio::test(start_paused = true)]
async fn no_crowd_waits_longer_than_one_of_it_would_alone() {
    type Case = (&'static str, &'static [Does], fn() -> Asked);
    let plain: fn() -> Asked = || get("/");
    const LATE: Duration = Duration::from_secs(2);
    let cases: [Case; 10] = [
        ("hangs", &[], plain),
        ("fails late, then hangs", &[Fails(LATE)], plain),
        ("fails at once, then hangs", &[Fails(Duration::ZERO)], plain),
        (
            "502 late, then hangs",
            &[Answers(LATE, || status(StatusCode::BAD_GATEWAY, ""))],
            plain,
        ),
        (
            "for one client only, then hangs",
            &[Answers(LATE, || with_directives("private", "one"))],
            plain,
        ),
        (
            "another variant, then hangs",
            &[Answers(LATE, other_variant), Answers(LATE, other_variant)],
            get_a_variant,
        ),
        (
            "304 for another representation, then hangs",
            &[
                Answers(Duration::ZERO, stale_with_tag),
                Answers(LATE, not_modified_but_other),
            ],
            plain,
        ),
        ("HEAD", &[], || request(Method::HEAD, "/")),
        ("reloads", &[Fails(LATE)], || {
            get_with("/", "cache-control", "no-cache")
        }),
        ("ranges", &[Fails(LATE)], || {
            get_with("/", "range", "bytes=0-1")
        }),
    ];
    for (case, script, request) in cases {
        for wait in [SECOND, 2 * LIMIT] {
            let origin = origin(script);
            let cache = origin.cached_with(|builder| limited(builder).wait_timeout(wait));
            let stores = matches!(script.first(), Some(Answers(after, _)) if after.is_zero());
            if stores {
                assert_eq!(text(fetch(&cache, get("/")).await).await, "old");
                sleep(2 * SECOND).await;
            }
            for (answer, took) in crowd(&cache, request).await {
                assert!(is_in_time(took), "{case}: {answer:?} after {took:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_who_asks_for_itself_waits_longer_either() {
    let cases: [(&str, Asked); 8] = [
        ("credentials", get_with("/", "authorization", "Basic YTpi")),
        ("no-store", get_with("/", "cache-control", "no-store")),
        ("condition", get_with("/", "if-none-match", "\"1\"")),
        ("HEAD", request(Method::HEAD, "/")),
        ("if-match", get_with("/", "if-match", "\"1\"")),
        (
            "method override",
            get_with("/", "x-http-method-override", "PUT"),
        ),
        ("URL override", get_with("/", "x-original-url", "/other")),
        ("another host", {
            let mut request = get("http://a.example/");
            let host = HeaderValue::from_static("b.example");
            request.headers_mut().insert("host", host);
            request
        }),
    ];
    for (case, request) in cases {
        let cache = origin(&[]).cached_with(limited);
        let (answer, took) = took(&cache, request).await;
        assert_eq!(answer, Ok(StatusCode::GATEWAY_TIMEOUT), "{case}");
        assert!(is_in_time(took), "{case}: {took:?}");
    }
}

/// What an operator sends past the cache may take as long as it likes, such as long polls.
#[tokio::test(start_paused = true)]
async fn what_a_key_policy_sends_past_the_cache_has_no_limit() {
    #[derive(Debug)]
    struct Past;

    impl KeyPolicy for Past {
        fn extend_key(&self, _: &Parts, _: &mut cachewarp::KeyExtension<'_>) -> Keying {
            Keying::Bypass
        }
    }

    let origin = origin(&[Answers(Duration::from_secs(100), || fresh("at last"))]);
    let cache = origin.cached_with(|builder| limited(builder).key(Past));
    let (answer, took) = took(&cache, get("/")).await;
    assert_eq!(answer, Ok(StatusCode::OK));
    assert_eq!(took.as_secs(), 100);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_is_never_ready_is_waited_for_as_long() {
    let (mock, mut handle) = tower_test::mock::pair::<Asked, Answer>();
    handle.allow(0);
    let layer = limited(cachewarp::CacheLayer::builder()).build().unwrap();
    let cache = layer.layer(mock);
    let began = Instant::now();
    let answer = tower::ServiceExt::oneshot(cache, get("/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(is_in_time(began.elapsed()), "{:?}", began.elapsed());
}

/// Who may have something stale has it by then.
#[tokio::test(start_paused = true)]
async fn at_the_deadline_a_stale_answer_is_one() {
    fn lasting() -> Answer {
        with_directives("max-age=1, stale-if-error=600", "old")
    }
    for second in [Hangs, Fails(2 * SECOND)] {
        let origin = origin(&[Answers(Duration::ZERO, lasting), second]);
        // Each failure is met again at once, so that every wait is a whole one.
        let cache = origin.cached_with(|b| limited(b).refresh_pause(Duration::ZERO));
        assert_eq!(text(fetch(&cache, get("/")).await).await, "old");
        sleep(2 * SECOND).await;
        let began = Instant::now();
        let crowd: Vec<_> = (0..5).map(|_| send(&cache, get("/"))).collect();
        for request in crowd {
            let answer = answered(request).await;
            let outcome = outcome(&answer);
            let expected = StaleReason::IfError(None);
            assert!(
                matches!(&outcome, CacheOutcome::Stale { reason, .. } if *reason == expected),
                "{outcome:?}"
            );
            assert!(is_in_time(began.elapsed()), "{:?}", began.elapsed());
        }
    }
}

/// The second call is for the group, not for the one of it that makes it.
#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_at_its_deadline_leaves_the_call_to_those_who_came_later() {
    let origin = origin(&[Fails(2 * SECOND), Answers(2 * SECOND, || fresh("slow"))]);
    let cache = origin.cached_with(limited);
    let first = send(&cache, get("/"));
    settle().await;
    let second = send(&cache, get("/"));
    sleep(SECOND * 3 / 2).await;
    let third = send(&cache, get("/"));
    assert!(first.await.unwrap().is_err(), "its own call failed");
    let mut good = 0;
    for request in [second, third] {
        let answer = answered(request).await;
        good += usize::from(answer.status() == StatusCode::OK);
    }
    assert_eq!(good, 1, "who came last had the time to wait for it");
    assert_eq!(origin.calls(), 2);
    assert_eq!(text(fetch(&cache, get("/")).await).await, "slow");
}
