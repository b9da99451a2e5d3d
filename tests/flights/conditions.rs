//! Clients that need no body: crowds of them share one fetch, and a body that nobody needs is
//! dropped.

use cachewarp::{HeadMiss, OnAbandoned, RangeMiss};
use http::{HeaderValue, Method, Response, StatusCode, header::ETAG};

use crate::support::{
    Answer, Asked, Count, Feed, Origin, answered, board, fed, feeds, fetch, fresh, get, get_with,
    is_hit, request, send, settle, soon, text, with_directives,
};

const CROWD: usize = 20;

fn tagged(mut answer: Answer) -> Answer {
    answer
        .headers_mut()
        .insert(ETAG, HeaderValue::from_static("\"a\""));
    answer
}

fn conditional(tag: &str) -> Asked {
    get_with("/", "if-none-match", tag)
}

/// How many requests reached the origin with the condition of their client.
fn forwarded(seen: &Count) -> impl Fn(&Asked) + Send + Sync + 'static {
    let seen = seen.clone();
    move |request| {
        if request.headers().contains_key("if-none-match") {
            seen.add();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_with_conditions_joins_one_flight_and_each_gets_its_own_answer() {
    let (aboard, conditions) = (Count::new(), Count::new());
    let note = forwarded(&conditions);
    let origin = Origin::held(&aboard, CROWD, move |_, request| {
        note(&request);
        Ok(tagged(fresh("body")))
    });
    let cache = origin.cached();
    let tags = ["\"a\"", "\"z\"", "*", "W/\"a\""];
    let requests: Vec<_> = (0..CROWD)
        .map(|number| {
            let request = match tags.get(number % 5) {
                Some(tag) => conditional(tag),
                None => get("/"),
            };
            board(&cache, request, &aboard)
        })
        .collect();
    for (number, request) in requests.into_iter().enumerate() {
        let answer = answered(request).await;
        let (status, body) = match number % 5 {
            1 | 4 => (StatusCode::OK, "body"),
            _ => (StatusCode::NOT_MODIFIED, ""),
        };
        assert_eq!(answer.status(), status, "{number}");
        assert_eq!(text(answer).await, body, "{number}");
    }
    assert_eq!((origin.calls(), conditions.get()), (1, 0));
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

/// The leader's answer shows that the response is not shared: the others ask for themselves, with
/// their conditions.
#[tokio::test(start_paused = true)]
async fn a_crowd_whose_response_is_not_stored_forwards_its_conditions() {
    let (aboard, conditions) = (Count::new(), Count::new());
    let note = forwarded(&conditions);
    let origin = Origin::held_if(
        |call, _| call == 1,
        &aboard,
        CROWD,
        move |_, request| {
            note(&request);
            let mut answer = tagged(with_directives("no-store", "body"));
            if request.headers().contains_key("if-none-match") {
                *answer.status_mut() = StatusCode::NOT_MODIFIED;
            }
            Ok(answer)
        },
    );
    let cache = origin.cached();
    let requests: Vec<_> = (0..CROWD)
        .map(|_| board(&cache, conditional("\"a\""), &aboard))
        .collect();
    for request in requests {
        assert_eq!(answered(request).await.status(), StatusCode::NOT_MODIFIED);
    }
    assert_eq!((origin.calls(), conditions.get()), (CROWD, CROWD - 1));
}

#[tokio::test(start_paused = true)]
async fn heads_that_waited_in_vain_are_forwarded_as_heads() {
    let (aboard, gets) = (Count::new(), Count::new());
    let seen = gets.clone();
    let origin = Origin::held_if(
        |call, _| call == 1,
        &aboard,
        CROWD,
        move |_, request| {
            if request.method() == Method::GET {
                seen.add();
            }
            Ok(with_directives("no-store", "body"))
        },
    );
    let cache = origin.cached_with(|builder| builder.head_miss(HeadMiss::Fill));
    let requests: Vec<_> = (0..CROWD)
        .map(|_| board(&cache, request(Method::HEAD, "/"), &aboard))
        .collect();
    for request in requests {
        assert_eq!(text(answered(request).await).await, "");
    }
    assert_eq!((origin.calls(), gets.get()), (CROWD, 1));
}

/// What a client without need of a body makes of a body that is not stored: nothing.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_stored_is_dropped_unread() {
    for request in [conditional("\"a\""), request(Method::HEAD, "/")] {
        let (feeds, mut hands) = feeds();
        let origin = Origin::answering(move |_, _| {
            let mut answer = tagged(feeds.answer()?);
            let directives = HeaderValue::from_static("private");
            answer.headers_mut().insert("cache-control", directives);
            Ok(answer)
        });
        let cache = origin.cached_with(|builder| builder.head_miss(HeadMiss::Fill));
        let answer = fetch(&cache, request).await;
        let feed: Feed = soon(hands.recv()).await.unwrap();
        assert!(feed.has_room());
        feed.dropped().await;
        assert_eq!(text(answer).await, "");
    }
}

/// Its client has its answer: it has not abandoned anything.
#[tokio::test(start_paused = true)]
async fn a_body_that_can_be_stored_is_fetched_to_its_end() {
    for request in [conditional("\"a\""), request(Method::HEAD, "/")] {
        let (feeds, mut hands) = feeds();
        let origin = Origin::answering(move |_, _| Ok(tagged(feeds.answer()?)));
        let cache = origin.cached_with(|builder| {
            builder
                .head_miss(HeadMiss::Fill)
                .on_abandoned(OnAbandoned::Discard)
        });
        let answer = fetch(&cache, request).await;
        assert_eq!(text(answer).await, "");
        let feed = soon(hands.recv()).await.unwrap();
        feed.data("bo").await;
        // One more client joins while the body arrives.
        let joined = send(&cache, get("/"));
        settle().await;
        feed.data("dy").await;
        drop(feed);
        assert_eq!(text(answered(joined).await).await, "body");
        assert!(is_hit(&fetch(&cache, get("/")).await));
        assert_eq!(origin.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn with_all_fills_in_use_a_condition_is_answered_and_its_body_dropped() {
    let (first, answer) = fed();
    let answer = std::sync::Mutex::new(Some(answer));
    let (feeds, mut hands) = feeds();
    let origin = Origin::answering(move |call, _| match call {
        1 => Ok(answer.lock().unwrap().take().unwrap()),
        _ => Ok(tagged(feeds.answer()?)),
    });
    let cache = origin.cached_with(|builder| builder.max_fills(1));
    let other = fetch(&cache, get("/other")).await;
    let condition = fetch(&cache, conditional("\"a\"")).await;
    assert_eq!(condition.status(), StatusCode::NOT_MODIFIED);
    soon(hands.recv()).await.unwrap().dropped().await;
    drop(first);
    assert_eq!(text(other).await, "");
    // With room again, such a request fills.
    settle().await;
    let next = send(&cache, conditional("\"a\""));
    drop(soon(hands.recv()).await.unwrap());
    assert_eq!(answered(next).await.status(), StatusCode::NOT_MODIFIED);
    settle().await;
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

/// What one client gets of its own says nothing of the responses to the others.
#[tokio::test(start_paused = true)]
async fn a_condition_of_one_client_leaves_the_others_theirs() {
    let conditions = Count::new();
    let note = forwarded(&conditions);
    let origin = Origin::answering(move |_, request| {
        note(&request);
        Ok(tagged(match request.headers().contains_key("cookie") {
            true => with_directives("private", "own"),
            false => fresh("body"),
        }))
    });
    let cache = origin.cached_with(|builder| builder.range_miss(RangeMiss::Fill));
    let mut own = conditional("\"a\"");
    for (name, value) in [("range", "bytes=0-1"), ("cookie", "session=1")] {
        own.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(fetch(&cache, own).await.status(), StatusCode::NOT_MODIFIED);
    let next = fetch(&cache, conditional("\"a\"")).await;
    assert_eq!(next.status(), StatusCode::NOT_MODIFIED);
    assert_eq!((origin.calls(), conditions.get()), (2, 0));
    settle().await;
    assert!(is_hit(&fetch(&cache, get("/")).await));
}

#[tokio::test(start_paused = true)]
async fn a_failing_origin_is_not_hidden_by_a_condition() {
    let origin = Origin::answering(|_, _| {
        let mut failing = tagged(Response::new(crate::support::full("a page")));
        *failing.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        Ok(failing)
    });
    let answer = fetch(&origin.cached(), conditional("\"a\"")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(answer).await, "a page");
}

/// Somebody asks for the head of a page in a language that there is not.
#[tokio::test]
async fn what_is_not_stored_of_one_variant_leaves_the_others_theirs() {
    let seen = Count::new();
    let count = forwarded(&seen);
    let origin = Origin::answering(move |_, request: Asked| {
        count(&request);
        if request.headers()["accept-language"] == "tlh" {
            return Ok(with_directives("no-store", "no such language"));
        }
        let mut answer = tagged(fresh("page"));
        let vary = "accept-language".parse().unwrap();
        answer.headers_mut().insert("vary", vary);
        Ok(answer)
    });
    // Without the marks of what cannot be shared, which are another matter.
    let cache = origin.cached_with(|it| {
        it.head_miss(HeadMiss::Fill)
            .uncacheable_for(std::time::Duration::ZERO)
    });
    let speaking = |mut request: Asked, language: &str| {
        let language = language.parse().unwrap();
        request.headers_mut().insert("accept-language", language);
        request
    };
    text(fetch(&cache, speaking(get("/"), "en")).await).await;
    fetch(&cache, speaking(request(Method::HEAD, "/"), "tlh")).await;
    let french = fetch(&cache, speaking(conditional("\"a\""), "fr")).await;
    assert_eq!(french.status(), StatusCode::NOT_MODIFIED);
    settle().await;
    assert_eq!(seen.get(), 0, "the condition was forwarded");
    assert!(is_hit(&fetch(&cache, speaking(get("/"), "fr")).await));
}
