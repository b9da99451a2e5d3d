//! The origin fails at one client's request, or takes long for it: that may be for its cookie, and
//! says nothing of the others.

use std::time::Duration;

use cachewarp::clock::ManualClock;
use http::{Method, Response, StatusCode};
use tokio::time::Instant;

use crate::support::{
    Answer, Asked, BoxError, Cache, Count, Origin, all_get, answered, board, crowd, fetch, fresh,
    full, get, is_hit, request, settle, text, with_directives,
};

type Fields<'a> = &'a [(&'static str, &'static str)];

const SESSION: Fields<'static> = &[("cookie", "session=1")];
const KEY: Fields<'static> = &[("x-api-key", "k")];
const LOGIN: Fields<'static> = &[("authorization", "Basic dTpw")];

/// A GET of `/` with these fields.
fn asking(fields: Fields<'_>) -> Asked {
    let mut request = get("/");
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

fn is_plain(request: &Asked) -> bool {
    let own = ["cookie", "x-api-key", "authorization"];
    own.iter()
        .all(|name| !request.headers().contains_key(*name))
}

/// How the origin fails.
#[derive(Clone, Copy, Debug)]
enum Failing {
    Status(u16),
    Error,
}

const FAILINGS: [Failing; 5] = [
    Failing::Status(500),
    Failing::Status(502),
    Failing::Status(503),
    Failing::Status(504),
    Failing::Error,
];

impl Failing {
    fn answer(self) -> Result<Answer, BoxError> {
        let Self::Status(code) = self else {
            return Err("the connection broke".into());
        };
        let mut response = Response::new(full("failed"));
        *response.status_mut() = StatusCode::from_u16(code)?;
        response
            .headers_mut()
            .insert("retry-after", "3600".parse()?);
        Ok(response)
    }
}

/// A page that is stale by now. The origin fails at requests that are not plain, or at all.
async fn stale(directives: &'static str, failing: Failing, at_all: bool) -> (Cache, Origin) {
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::answering(move |call, request| match call {
        2.. if at_all || !is_plain(&request) => failing.answer(),
        _ => Ok(with_directives(directives, call.to_string())),
    });
    let cache = origin.cached_with(|builder| builder.clock(clock.clone()));
    text(fetch(&cache, get("/")).await).await;
    clock.advance(Duration::from_secs(5));
    (cache, origin)
}

const REFRESHED: &str = "public, max-age=1, stale-while-revalidate=600, stale-if-error=600";
const LASTING: &str = "public, max-age=1, stale-if-error=600";

#[tokio::test]
async fn a_failed_refresh_of_one_client_does_not_keep_the_others_from_theirs() {
    for failing in FAILINGS {
        for fields in [SESSION, KEY] {
            let (cache, origin) = stale(REFRESHED, failing, false).await;
            for _ in 0..10 {
                assert_eq!(text(fetch(&cache, asking(fields)).await).await, "1");
                settle().await;
            }
            assert_eq!(origin.calls(), 2, "{fields:?}: a pause for its own");
            assert_eq!(text(fetch(&cache, get("/")).await).await, "1");
            settle().await;
            let hit = fetch(&cache, get("/")).await;
            assert!(is_hit(&hit), "{failing:?} at {fields:?}");
            assert_eq!(text(hit).await, "3");
        }
    }
}

#[tokio::test]
async fn a_failed_call_of_one_client_does_not_keep_the_others_from_theirs() {
    for failing in FAILINGS {
        for fields in [SESSION, KEY, LOGIN] {
            let (cache, origin) = stale(LASTING, failing, false).await;
            for _ in 0..10 {
                assert_eq!(text(fetch(&cache, asking(fields)).await).await, "1");
            }
            assert_eq!(origin.calls(), 2, "{fields:?}: a pause for its own");
            let answer = fetch(&cache, get("/")).await;
            assert_eq!(text(answer).await, "3", "{failing:?} at {fields:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_plain_call_is_a_pause_for_all() {
    for failing in FAILINGS {
        let (cache, origin) = stale(LASTING, failing, true).await;
        for fields in [&[][..], &[], SESSION, KEY, LOGIN] {
            assert_eq!(text(fetch(&cache, asking(fields)).await).await, "1");
            assert_eq!(origin.calls(), 2, "{failing:?}, {fields:?}");
        }
    }
}

/// Two with a cookie lead, one after the other, and each fails.
#[tokio::test]
async fn the_failures_of_some_are_not_the_answer_to_the_crowd_behind_them() {
    const CROWD: usize = 20;
    for failing in FAILINGS {
        for fields in [SESSION, KEY] {
            let aboard = Count::new();
            let origin = Origin::held_if(
                |_, request| !is_plain(request),
                &aboard,
                CROWD + 2,
                move |_, request| match is_plain(&request) {
                    true => Ok(fresh("everybody's")),
                    false => failing.answer(),
                },
            );
            let cache = origin.cached();
            for _ in 0..2 {
                board(&cache, asking(fields), &aboard);
            }
            let requests = crowd(&cache, CROWD, &aboard);
            all_get(requests, "everybody's").await;
            assert!(origin.calls() <= 3, "{}", origin.calls());
        }
    }
}

/// However many hang, one after the other, the others wait for one of them and no longer.
#[tokio::test(start_paused = true)]
async fn a_crowd_waits_for_the_slow_page_of_one_no_longer_than_wait_timeout() {
    const CROWD: usize = 20;
    let origin = Origin::new(|_, request| async move {
        if !is_plain(&request) {
            std::future::pending::<()>().await;
        }
        Ok(fresh("everybody's"))
    });
    let cache = origin.cached();
    let aboard = Count::new();
    for _ in 0..4 {
        board(&cache, asking(SESSION), &aboard);
    }
    // By now the second attempt is theirs too.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(origin.calls(), 2);
    let began = Instant::now();
    for request in crowd(&cache, CROWD, &aboard) {
        assert_eq!(text(answered(request).await).await, "everybody's");
    }
    assert!(began.elapsed() <= Duration::from_millis(5_100));
    assert_eq!(origin.calls(), 3);
}

/// Of plain requests an origin that fails sees two, as ever.
#[tokio::test]
async fn a_crowd_behind_a_failure_of_one_makes_two_calls_of_its_own() {
    const CROWD: usize = 20;
    let aboard = Count::new();
    let origin = Origin::held(&aboard, CROWD + 1, |_, _| Failing::Status(500).answer());
    let cache = origin.cached();
    board(&cache, asking(SESSION), &aboard);
    for request in crowd(&cache, CROWD, &aboard) {
        let status = answered(request).await.status();
        assert!(status.is_server_error());
    }
    assert_eq!(origin.calls(), 3);
}

/// An origin may fail at HEAD and answer GET.
#[tokio::test]
async fn a_head_that_fails_pauses_no_get() {
    for directives in [REFRESHED, LASTING] {
        for failing in FAILINGS {
            let clock = ManualClock::at(1_700_000_000);
            let origin = Origin::answering(move |call, request| match *request.method() {
                Method::HEAD => failing.answer(),
                _ => Ok(with_directives(directives, call.to_string())),
            });
            let cache = origin.cached_with(|builder| builder.clock(clock.clone()));
            text(fetch(&cache, get("/")).await).await;
            clock.advance(Duration::from_secs(5));
            // Beyond the window, or else it is refreshed like a GET.
            let mut head = request(Method::HEAD, "/");
            let age = "max-age=2".parse().unwrap();
            head.headers_mut().insert("cache-control", age);
            let context = format!("{directives} {failing:?}");
            for _ in 0..3 {
                let answer = fetch(&cache, head.clone()).await;
                assert_eq!(answer.status(), StatusCode::OK, "{context}");
                settle().await;
            }
            assert_eq!(origin.calls(), 2, "{context}: HEAD is paused for HEAD");
            text(fetch(&cache, get("/")).await).await;
            settle().await;
            assert_eq!(origin.calls(), 3, "{context}");
            assert!(is_hit(&fetch(&cache, get("/")).await), "{context}");
        }
    }
}
