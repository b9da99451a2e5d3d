//! What one client's exchange does to the others: it takes away and marks only what its answer says
//! of everybody.

use std::time::Duration;

use cachewarp::{CacheLayer, Memory, NoStore, clock::ManualClock};
use http::{Method, Response, StatusCode};
use tower::Layer;

use crate::support::{
    Answer, Asked, Cache, Count, Origin, all_get, answered, board, crowd, fetch, fresh, full, get,
    is_hit, request, settle, status, text, with_directives,
};

type Fields<'a> = &'a [(&'static str, &'static str)];

/// A GET of `/` with these fields.
fn asking(fields: Fields<'_>) -> Asked {
    let mut request = get("/");
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

fn answer(code: u16, fields: Fields<'_>) -> Answer {
    let mut response = Response::new(full("for one"));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    for (name, value) in fields {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

fn tagged(mut answer: Answer, tag: &'static str) -> Answer {
    answer.headers_mut().insert("etag", tag.parse().unwrap());
    answer
}

/// A page for everybody, fresh for an hour, and what the second call is answered.
struct Page {
    cache: Cache,
    clock: ManualClock,
    origin: Origin,
}

impl Page {
    async fn stored(second: (u16, Fields<'static>)) -> Self {
        let clock = ManualClock::at(1_700_000_000);
        let origin = Origin::answering(move |call, _| match call {
            2 => Ok(answer(second.0, second.1)),
            _ => Ok(with_directives("max-age=3600", "everybody's")),
        });
        let layer = CacheLayer::builder()
            .memory(Memory::with_capacity(1 << 20))
            .clock(clock.clone());
        let cache = layer.build().unwrap().layer(origin.clone());
        text(fetch(&cache, get("/")).await).await;
        Self {
            cache,
            clock,
            origin,
        }
    }

    /// Whether another client, which accepts a stale answer, still gets what was stored, and the
    /// origin is not asked.
    async fn is_kept(&self) -> bool {
        let calls = self.origin.calls();
        let answer = fetch(&self.cache, asking(&[("cache-control", "max-stale")])).await;
        answer.status().is_success() && self.origin.calls() == calls
    }
}

const RELOAD: (&str, &str) = ("cache-control", "no-cache");
const BAD: (&str, &str) = ("authorization", "Bearer bad");
const SESSION: (&str, &str) = ("cookie", "session=1");
const NO_STORE: (&str, &str) = ("cache-control", "no-cache, no-store");

#[tokio::test]
async fn a_request_that_is_not_plain_takes_nothing_away() {
    let own: [Fields<'static>; 7] = [
        &[RELOAD, BAD],
        &[RELOAD, ("authorization", "")],
        &[RELOAD, SESSION],
        &[RELOAD, ("cookie", "odd")],
        &[RELOAD, ("x-api-key", "k")],
        &[NO_STORE],
        &[RELOAD, BAD, SESSION, ("accept", "text/plain")],
    ];
    let answers: [(u16, Fields<'static>); 13] = [
        (200, &[("cache-control", "private, max-age=60")]),
        (200, &[("cache-control", "no-store")]),
        (
            200,
            &[("set-cookie", "a=b"), ("cache-control", "max-age=9")],
        ),
        (200, &[("vary", "*")]),
        (302, &[("location", "/login")]),
        (400, &[]),
        (401, &[("www-authenticate", "Bearer")]),
        (403, &[]),
        (404, &[]),
        (406, &[]),
        (410, &[]),
        (429, &[]),
        (451, &[]),
    ];
    for fields in own {
        for second in answers {
            for pause in [60, 4000] {
                let page = Page::stored(second).await;
                page.clock.advance(Duration::from_secs(pause));
                let own = fetch(&page.cache, asking(fields)).await;
                assert_eq!(own.status().as_u16(), second.0);
                assert_eq!(page.origin.calls(), 2, "{fields:?}");
                assert!(page.is_kept().await, "{fields:?} {second:?} after {pause}");
            }
        }
    }
}

#[tokio::test]
async fn a_plain_answer_takes_a_fresh_response_away_only_if_it_says_what_everybody_gets() {
    let plain: [Fields<'static>; 2] = [
        &[RELOAD],
        &[
            RELOAD,
            ("accept", "text/odd"),
            ("accept-language", "xx"),
            ("user-agent", "robot"),
        ],
    ];
    for fields in plain {
        for code in (200..=599).filter(|code| ![206, 304].contains(code)) {
            let page = Page::stored((code, &[("cache-control", "no-store")])).await;
            fetch(&page.cache, asking(fields)).await;
            let gone = matches!(code, 200..=399 | 404 | 410 | 451);
            assert_eq!(page.is_kept().await, !gone, "{fields:?} {code}");
        }
    }
}

#[tokio::test]
async fn a_plain_answer_takes_a_stale_response_away_unless_it_is_about_this_request_only() {
    for code in (200..=599).filter(|code| ![206, 304].contains(code)) {
        let page = Page::stored((code, &[("cache-control", "no-store")])).await;
        page.clock.advance(Duration::from_secs(4000));
        fetch(&page.cache, get("/")).await;
        let kept = matches!(
            code,
            400 | 406 | 408 | 412..=417 | 421 | 425 | 426 | 428 | 429 | 431 | 500..
        );
        assert_eq!(page.is_kept().await, kept, "{code}");
    }
}

/// A 304 whose merged head may not be stored, and one about another representation.
#[tokio::test]
async fn a_304_to_a_request_that_is_not_plain_takes_nothing_away() {
    let not_modified: [Fields<'static>; 3] = [
        &[("etag", "\"a\""), ("cache-control", "no-store")],
        &[("etag", "\"a\""), ("cache-control", "private")],
        &[("etag", "\"other\"")],
    ];
    for (own, kept) in [(BAD, true), (SESSION, true), (("accept", "x/y"), false)] {
        for fields in not_modified {
            let clock = ManualClock::at(1_700_000_000);
            let origin = Origin::answering(move |call, _| {
                Ok(match call {
                    1 => answer(200, &[("etag", "\"a\""), ("cache-control", "max-age=60")]),
                    2 => answer(304, fields),
                    _ => answer(200, &[("cache-control", "private")]),
                })
            });
            let cache = origin.cached_with(|builder| builder.clock(clock.clone()));
            text(fetch(&cache, get("/")).await).await;
            text(fetch(&cache, asking(&[RELOAD, own])).await).await;
            let calls = origin.calls();
            fetch(&cache, get("/")).await;
            assert_eq!(origin.calls() == calls, kept, "{own:?} {fields:?}");
        }
    }
}

#[tokio::test]
async fn a_head_that_is_not_plain_takes_nothing_away() {
    for (own, kept) in [(BAD, true), (SESSION, true), (("accept", "x/y"), false)] {
        let origin = Origin::answering(|_, request: Asked| {
            let mut response = fresh("whole");
            let headers = response.headers_mut();
            let tag = if *request.method() == Method::HEAD {
                "\"own\""
            } else {
                "\"shared\""
            };
            headers.insert("etag", tag.parse().unwrap());
            Ok(response)
        });
        let cache = origin.cached();
        text(fetch(&cache, get("/")).await).await;
        let mut head = asking(&[RELOAD, own]);
        *head.method_mut() = Method::HEAD;
        fetch(&cache, head).await;
        assert_eq!(origin.calls(), 2);
        assert_eq!(is_hit(&fetch(&cache, get("/")).await), kept, "{own:?}");
    }
}

/// The origin calls that a crowd of plain requests makes for a cold page, after one request of
/// another client was answered.
async fn calls_of_a_crowd(own: Fields<'static>, first: (u16, Fields<'static>)) -> usize {
    const CROWD: usize = 20;
    let aboard = Count::new();
    let origin = Origin::held_if(
        |call, _| call > 1,
        &aboard,
        CROWD,
        move |call, _| match call {
            1 => Ok(answer(first.0, first.1)),
            _ => Ok(fresh("everybody's")),
        },
    );
    let cache = origin.cached();
    fetch(&cache, asking(own)).await;
    all_get(crowd(&cache, CROWD, &aboard), "everybody's").await;
    origin.calls() - 1
}

#[tokio::test]
async fn only_a_plain_request_turns_collapsing_off_for_plain_ones() {
    let own: [Fields<'static>; 4] = [
        &[BAD],
        &[SESSION],
        &[("x-api-key", "k")],
        &[("cache-control", "no-store")],
    ];
    let answers: [(u16, Fields<'static>); 4] = [
        (200, &[("cache-control", "private, max-age=60")]),
        (401, &[]),
        (403, &[("cache-control", "no-store")]),
        (
            200,
            &[("set-cookie", "a=b"), ("cache-control", "max-age=9")],
        ),
    ];
    for first in answers {
        for fields in own {
            assert_eq!(
                calls_of_a_crowd(fields, first).await,
                1,
                "{fields:?} {first:?}"
            );
        }
        assert_eq!(calls_of_a_crowd(&[], first).await, 20, "plain, {first:?}");
    }
    // These are about one request, even if it is plain.
    for code in [
        400, 406, 408, 412, 413, 414, 415, 416, 417, 421, 425, 426, 428, 429, 431,
    ] {
        assert_eq!(
            calls_of_a_crowd(&[("accept", "text/odd")], (code, &[])).await,
            1,
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_fresh_response_that_stays_is_still_fetched_once_for_all_later() {
    const CROWD: usize = 20;
    let (aboard, clock) = (Count::new(), ManualClock::at(1_700_000_000));
    let origin = Origin::held_if(
        |call, _| call > 2,
        &aboard,
        CROWD,
        |call, _| match call {
            2 => Ok(status(StatusCode::FORBIDDEN, "no robots")),
            _ => Ok(with_directives("max-age=5", "everybody's")),
        },
    );
    let cache = origin.cached_with(|builder| builder.clock(clock.clone()));
    text(fetch(&cache, get("/")).await).await;
    fetch(&cache, asking(&[RELOAD, ("user-agent", "robot")])).await;
    clock.advance(Duration::from_secs(6));
    all_get(crowd(&cache, CROWD, &aboard), "everybody's").await;
    assert_eq!(origin.calls(), 3);
}

/// A page in two languages, stale by now. One client asks for a third, in any way, and gets what cannot be
/// stored. A crowd that asks for the first still makes one call.
#[tokio::test]
async fn what_one_variant_is_says_nothing_of_the_others() {
    const CROWD: usize = 20;
    let odd: [(u16, Fields<'static>); 4] = [
        (404, &[]),
        (403, &[]),
        (302, &[("location", "/languages")]),
        (200, &[("cache-control", "private")]),
    ];
    for first in odd {
        let (aboard, clock) = (Count::new(), ManualClock::at(1_700_000_000));
        let origin = Origin::held_if(
            |call, _| call > 3,
            &aboard,
            CROWD,
            move |_, request| {
                if request.headers()["accept-language"] == "tlh" {
                    return Ok(answer(first.0, first.1));
                }
                let mut page = with_directives("max-age=5", "everybody's");
                let vary = "accept-language".parse().unwrap();
                page.headers_mut().insert("vary", vary);
                Ok(page)
            },
        );
        let cache = origin.cached_with(|builder| builder.clock(clock.clone()));
        for language in ["en", "de"] {
            text(fetch(&cache, asking(&[("accept-language", language)])).await).await;
        }
        clock.advance(Duration::from_secs(6));
        fetch(&cache, asking(&[("accept-language", "tlh")])).await;
        let requests: Vec<_> = (0..CROWD)
            .map(|_| board(&cache, asking(&[("accept-language", "en")]), &aboard))
            .collect();
        all_get(requests, "everybody's").await;
        assert_eq!(origin.calls(), 4, "{first:?}");
        // For its own variant the mark holds.
        let own =
            (0..CROWD).map(|_| board(&cache, asking(&[("accept-language", "tlh")]), &Count::new()));
        for request in own.collect::<Vec<_>>() {
            answered(request).await;
        }
        assert_eq!(origin.calls(), 4 + CROWD, "{first:?}");
    }
}

#[tokio::test]
async fn the_mark_of_a_request_with_a_cookie_holds_for_those_with_a_cookie() {
    const CROWD: usize = 10;
    let at_origin = Count::new();
    let origin = Origin::new({
        let at_origin = at_origin.clone();
        move |call, _| {
            let at_origin = at_origin.clone();
            async move {
                if call > 1 {
                    // All of them are here at once, as none waits for another.
                    at_origin.add();
                    at_origin.reach(CROWD).await;
                }
                Ok(answer(200, &[("cache-control", "private")]))
            }
        }
    });
    let cache = origin.cached();
    fetch(&cache, asking(&[SESSION])).await;
    let aboard = Count::new();
    let requests: Vec<_> = (0..CROWD)
        .map(|_| board(&cache, asking(&[SESSION]), &aboard))
        .collect();
    for request in requests {
        answered(request).await;
    }
    assert_eq!(origin.calls(), 1 + CROWD);
}

/// The first of a crowd has a cookie, and gets a page of its own. The others are fetched once.
#[tokio::test]
async fn the_private_page_of_one_does_not_send_the_crowd_behind_it_to_the_origin() {
    const CROWD: usize = 20;
    let aboard = Count::new();
    let origin = Origin::held(&aboard, CROWD + 1, |_, request| {
        Ok(if request.headers().contains_key("cookie") {
            answer(200, &[("cache-control", "private")])
        } else {
            fresh("everybody's")
        })
    });
    let cache = origin.cached();
    let own = board(&cache, asking(&[SESSION]), &aboard);
    let requests = crowd(&cache, CROWD, &aboard);
    assert_eq!(text(answered(own).await).await, "for one");
    all_get(requests, "everybody's").await;
    assert_eq!(origin.calls(), 2);
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

#[tokio::test]
async fn a_head_within_the_stale_window_refreshes_like_a_get() {
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::answering(|call, request: Asked| {
        assert_eq!(*request.method(), Method::GET);
        Ok(with_directives(
            "max-age=1, stale-while-revalidate=600",
            call.to_string(),
        ))
    });
    let layer = CacheLayer::builder().clock(clock.clone()).build().unwrap();
    let cache = layer.layer(origin.clone());
    text(fetch(&cache, get("/")).await).await;
    clock.advance(Duration::from_secs(5));
    fetch(&cache, request(Method::HEAD, "/")).await;
    settle().await;
    let hit = fetch(&cache, get("/")).await;
    assert!(is_hit(&hit));
    assert_eq!(text(hit).await, "2");
    assert_eq!(origin.calls(), 2);
}

/// The clock stands still meanwhile.
#[tokio::test]
async fn an_answer_takes_away_nothing_that_was_stored_since_at_the_same_moment() {
    let gate = Count::new();
    let origin = Origin::held_if(
        |call, _| call == 2,
        &gate,
        1,
        |call, _| {
            Ok(match call {
                2 => status(StatusCode::NOT_FOUND, "gone"),
                _ => with_directives("public, max-age=600", call.to_string()),
            })
        },
    );
    let cache = origin.cached_with(|it| it.clock(ManualClock::at(1_700_000_000)));
    text(fetch(&cache, get("/")).await).await;
    let slow = board(&cache, asking(&[RELOAD]), &Count::new());
    settle().await;
    let own = fetch(&cache, asking(&[RELOAD, BAD])).await;
    assert_eq!(text(own).await, "3");
    gate.add();
    assert_eq!(answered(slow).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(text(fetch(&cache, get("/")).await).await, "3");
    assert_eq!(origin.calls(), 3);
}

/// Requests for what was private a moment ago do not wait for each other. The last answer came for a
/// request that had found nothing, so it takes nothing away.
#[tokio::test]
async fn an_answer_takes_away_nothing_that_was_stored_since_its_request() {
    let gate = Count::new();
    let origin = Origin::held_if(
        |call, _| call == 2,
        &gate,
        1,
        |call, _| {
            Ok(match call {
                1 => with_directives("private", "own"),
                2 => status(StatusCode::NOT_FOUND, "gone"),
                _ => fresh("everybody's"),
            })
        },
    );
    let cache = origin.cached();
    fetch(&cache, get("/")).await;
    let slow = board(&cache, get("/"), &Count::new());
    settle().await;
    assert_eq!(text(fetch(&cache, get("/")).await).await, "everybody's");
    gate.add();
    assert_eq!(answered(slow).await.status(), StatusCode::NOT_FOUND);
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

/// A 304, or the answer to a HEAD, of which the service knows that it is for its client only.
#[tokio::test]
async fn what_the_service_keeps_from_the_store_changes_nothing_there() {
    for (asked_by, kept) in [
        (Method::GET, false),
        (Method::GET, true),
        (Method::HEAD, false),
        (Method::HEAD, true),
    ] {
        let clock = ManualClock::at(1_700_000_000);
        let origin = Origin::answering(move |call, asked| {
            let directives = if call == 1 {
                "max-age=2"
            } else {
                "max-age=600"
            };
            let mut answer = with_directives(directives, "page");
            let tag = "\"a\"".parse().unwrap();
            answer.headers_mut().insert("etag", tag);
            if call == 2 && *asked.method() == Method::GET {
                *answer.status_mut() = StatusCode::NOT_MODIFIED;
            }
            if call == 2 && kept {
                answer.extensions_mut().insert(NoStore);
            }
            Ok(answer)
        });
        let cache = origin.cached_with(|builder| builder.clock(clock.clone()));
        text(fetch(&cache, get("/")).await).await;
        clock.advance(Duration::from_secs(5));
        assert_eq!(
            fetch(&cache, request(asked_by, "/")).await.status(),
            StatusCode::OK
        );
        settle().await;
        assert_eq!(origin.calls(), 2);
        let context = format!("kept: {kept}");
        let next = fetch(&cache, asking(&[("cache-control", "max-stale")])).await;
        assert_eq!(text(next).await, "page", "{context}: it is still there");
        assert_eq!(is_hit(&fetch(&cache, get("/")).await), !kept, "{context}");
    }
}

/// A 304 about another representation says nothing of what everybody gets. The answer to the second
/// question does.
#[tokio::test]
async fn a_304_about_another_representation_takes_nothing_away() {
    const LASTING: &str = "max-age=1, stale-if-error=600";
    for (second, kept) in [
        (Some(503), true),
        (None, true),
        (Some(400), true),
        (Some(404), false),
        (Some(403), false),
    ] {
        let clock = ManualClock::at(1_700_000_000);
        let origin = Origin::answering(move |call, _| match call {
            1 => Ok(tagged(with_directives(LASTING, "page"), "\"a\"")),
            2 => Ok(tagged(answer(304, &[]), "\"b\"")),
            3 => second.map_or(Err("broken".into()), |code| Ok(answer(code, &[]))),
            _ => Ok(answer(503, &[])),
        });
        let cache = origin.cached_with(|it| it.clock(clock.clone()).refresh_pause(Duration::ZERO));
        text(fetch(&cache, get("/")).await).await;
        clock.advance(Duration::from_secs(5));
        let first = fetch(&cache, get("/")).await;
        let in_place = second.is_none_or(|code| code == 503);
        let expected = if in_place {
            200
        } else {
            second.unwrap_or_default()
        };
        assert_eq!(first.status(), expected, "{second:?}");
        let next = fetch(&cache, get("/")).await;
        assert_eq!(next.status(), if kept { 200 } else { 503 }, "{second:?}");
        assert_eq!(origin.calls(), 4);
    }
}
