//! Writes that get no response: what the service says of them decides what happens to the stored
//! responses.

use std::time::Duration;

use cachewarp::{CacheBuilder, CacheOutcome, RequestProgress, clock::ManualClock};
use http::{HeaderMap, Method, StatusCode};

use crate::support::{
    Answer, Asked, Cache, Cached, Count, Origin, answered, crowd, feeds, fetch, get, get_with,
    is_hit, outcome, request, send, settle, soon, status, text, with_directives,
};

/// What the service says of a write.
type Said = fn(&RequestProgress);

const UNSAID: Said = |_| {};
const NOT_SENT: Said = RequestProgress::not_sent;
const INCOMPLETE: Said = RequestProgress::incomplete;
const SENT: Said = RequestProgress::sent;

/// How a write ends without a response.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The service fails.
    Error,
    /// The client disconnects.
    Dropped,
}

/// A page that is fresh for an hour and may be served for a day in place of an error, and an origin
/// of which the test decides from then on what it answers.
struct Page {
    cache: Cache,
    clock: ManualClock,
    origin: Origin,
    at_origin: Count,
}

const DIRECTIVES: &str = "max-age=3600, stale-while-revalidate=600, stale-if-error=86400";

fn page(tag: Option<&'static str>) -> Answer {
    let mut response = with_directives(DIRECTIVES, "stored");
    if let Some(tag) = tag {
        response.headers_mut().insert("etag", tag.parse().unwrap());
    }
    response
}

impl Page {
    /// The second call is the write. What follows is answered with `later`.
    async fn stored(
        tag: Option<&'static str>,
        said: Said,
        end: End,
        later: fn() -> Result<Answer, crate::support::BoxError>,
        change: fn(CacheBuilder) -> CacheBuilder,
    ) -> Self {
        let (clock, at_origin) = (ManualClock::at(1_700_000_000), Count::new());
        let reached = at_origin.clone();
        let origin = Origin::new(move |call, request| {
            let reached = reached.clone();
            async move {
                match call {
                    1 => Ok(page(tag)),
                    2 => {
                        let progress = request.extensions().get::<RequestProgress>();
                        said(progress.expect("the layer puts it on a write"));
                        reached.add();
                        match end {
                            End::Error => Err("nobody is there".into()),
                            End::Dropped => std::future::pending().await,
                        }
                    }
                    _ => later(),
                }
            }
        });
        let cache = origin.cached_with(|builder| change(builder.clock(clock.clone())));
        text(fetch(&cache, get("/")).await).await;
        Self {
            cache,
            clock,
            origin,
            at_origin,
        }
    }

    async fn write(&self, method: &str, end: End) {
        let write = send(&self.cache, request(method.parse().unwrap(), "/"));
        self.at_origin.reach(1).await;
        match end {
            End::Error => assert!(soon(write).await.unwrap().is_err()),
            End::Dropped => {
                write.abort();
                assert!(soon(write).await.unwrap_err().is_cancelled());
            }
        }
    }

    async fn get(&self, directives: &str) -> Cached {
        fetch(&self.cache, get_with("/", "cache-control", directives)).await
    }
}

fn fails() -> Result<Answer, crate::support::BoxError> {
    Ok(status(StatusCode::SERVICE_UNAVAILABLE, "down"))
}

fn unmodified(builder: CacheBuilder) -> CacheBuilder {
    builder.refresh_pause(Duration::ZERO)
}

fn keyed(builder: CacheBuilder) -> CacheBuilder {
    unmodified(builder).key_headers(["x-tenant"])
}

const TAGS: [Option<&str>; 2] = [None, Some("\"a\"")];

#[tokio::test]
async fn a_write_that_did_not_reach_the_origin_changes_nothing() {
    for said in [NOT_SENT, INCOMPLETE] {
        for end in [End::Error, End::Dropped] {
            for change in [unmodified, keyed] {
                for method in ["POST", "PUT", "DELETE", "PATCH", "LOCK"] {
                    let page = Page::stored(None, said, end, fails, change).await;
                    page.write(method, end).await;
                    assert!(is_hit(&page.get("").await), "{method} {end:?}");
                    assert_eq!(page.origin.calls(), 2);
                }
            }
        }
    }
}

#[tokio::test]
async fn after_a_write_without_an_answer_nothing_is_served_without_validation_but_for_errors() {
    for said in [UNSAID, SENT] {
        for end in [End::Error, End::Dropped] {
            for tag in TAGS {
                for change in [unmodified, keyed] {
                    let page = Page::stored(tag, said, end, fails, change).await;
                    page.write("POST", end).await;
                    // Fresh, within `max-stale`, and within the window of stale-while-revalidate:
                    // each asks the origin, which fails.
                    for (directives, after) in
                        [("", 0), ("max-stale", 0), ("max-stale", 3700), ("", 0)]
                    {
                        page.clock.advance(Duration::from_secs(after));
                        let calls = page.origin.calls();
                        let answer = page.get(directives).await;
                        assert!(page.origin.calls() > calls, "{directives} {end:?} {tag:?}");
                        assert!(matches!(outcome(&answer), CacheOutcome::Stale { .. }));
                        assert_eq!(text(answer).await, "stored");
                    }
                    // Past the window of stale-if-error the error itself is the answer.
                    page.clock.advance(Duration::from_secs(90_000));
                    assert_eq!(page.get("").await.status(), StatusCode::SERVICE_UNAVAILABLE);
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_of_the_origin_ends_the_doubt() {
    let answers: [fn() -> Result<Answer, crate::support::BoxError>; 2] = [
        || Ok(page(Some("\"b\""))),
        || {
            let mut response = status(StatusCode::NOT_MODIFIED, "");
            let headers: &mut HeaderMap = response.headers_mut();
            headers.insert("etag", "\"a\"".parse().unwrap());
            Ok(response)
        },
    ];
    for later in answers {
        let page = Page::stored(Some("\"a\""), UNSAID, End::Error, later, unmodified).await;
        page.write("POST", End::Error).await;
        assert_eq!(page.get("").await.status(), StatusCode::OK);
        assert!(is_hit(&page.get("").await));
        assert_eq!(page.origin.calls(), 3);
    }
}

/// The two kinds of writes in either order: an invalidated response is never a stale answer.
#[tokio::test]
async fn an_invalidation_is_stronger_than_a_write_without_an_answer() {
    for change in [unmodified, keyed] {
        for done_first in [true, false] {
            let origin =
                Origin::answering(move |call, request: Asked| match (call, request.method()) {
                    (1, _) => Ok(page(Some("\"a\""))),
                    (2, &Method::POST) if done_first => Ok(with_directives("no-store", "")),
                    (3, &Method::POST) if !done_first => Ok(with_directives("no-store", "")),
                    (_, &Method::POST) => Err("nobody is there".into()),
                    _ => fails(),
                });
            let cache = origin.cached_with(change);
            text(fetch(&cache, get("/")).await).await;
            for _ in 0..2 {
                let write = send(&cache, request(Method::POST, "/"));
                let _ = soon(write).await.unwrap();
            }
            let answer = fetch(&cache, get("/")).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}

#[tokio::test]
async fn a_write_that_the_origin_refuses_changes_nothing() {
    for code in [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504] {
        let origin = Origin::answering(move |call, _| match call {
            1 => Ok(page(None)),
            _ => Ok(status(StatusCode::from_u16(code).unwrap(), "no")),
        });
        let cache = origin.cached();
        text(fetch(&cache, get("/")).await).await;
        fetch(&cache, request(Method::POST, "/")).await;
        assert!(is_hit(&fetch(&cache, get("/")).await), "{code}");
    }
}

/// What was fetched before the write is not stored after it, and not shared with who came after it.
#[tokio::test]
async fn a_fetch_from_before_an_unanswered_write_is_not_stored() {
    for (said, stored) in [(UNSAID, false), (NOT_SENT, true)] {
        let (feeds, mut fed_bodies) = feeds();
        let origin = Origin::answering(move |call, request: Asked| match call {
            1 => feeds.answer(),
            2 => {
                said(request.extensions().get().unwrap());
                Err("nobody is there".into())
            }
            _ => Ok(with_directives("max-age=600", "new")),
        });
        let cache = origin.cached();
        let before = send(&cache, get("/"));
        let feed = soon(fed_bodies.recv()).await.unwrap();
        let before = answered(before).await;
        let _ = soon(send(&cache, request(Method::PUT, "/"))).await.unwrap();
        let after = send(&cache, get("/"));
        settle().await;
        feed.data("old").await;
        drop(feed);
        assert_eq!(text(before).await, "old");
        let expected = if stored { "old" } else { "new" };
        assert_eq!(text(answered(after).await).await, expected);
        assert_eq!(text(fetch(&cache, get("/")).await).await, expected);
    }
}

#[tokio::test]
async fn writes_and_fetches_carry_the_extension() {
    let origin = Origin::answering(|_, request: Asked| {
        let carries = request.extensions().get::<RequestProgress>().is_some();
        assert_eq!(carries, *request.method() != Method::OPTIONS);
        Ok(with_directives("no-store", ""))
    });
    let cache = origin.cached();
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
        fetch(&cache, request(method, "/")).await;
    }
}

/// The service's own repetition is the second attempt of all who wait.
#[tokio::test]
async fn a_request_that_the_service_has_repeated_is_not_repeated_for_the_crowd() {
    const CROWD: usize = 50;
    for (repeats, calls) in [(false, 2), (true, 1)] {
        let aboard = Count::new();
        let origin = Origin::held(&aboard, CROWD, move |_, request| {
            if repeats {
                request
                    .extensions()
                    .get::<RequestProgress>()
                    .unwrap()
                    .repeated();
            }
            Err("closed without an answer".into())
        });
        let cache = origin.cached();
        for request in crowd(&cache, CROWD, &aboard) {
            if let Ok(answer) = soon(request).await.unwrap() {
                assert_eq!(answer.status(), 502);
            }
        }
        assert_eq!(origin.calls(), calls);
    }
}
