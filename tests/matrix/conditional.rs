//! The client's own conditions (RFC 9110 §13, RFC 9111 §4.3.2).

use cachewarp::{CacheBuilder, ConditionalMiss};

use crate::{
    case::{Case, case, empty, play},
    date::{http_date, rfc850_date},
    reply::{B1, Reply, not_modified, ok, second, status},
    step::{Step, at},
};

const A: &str = "\"a\"";

fn tagged() -> Reply {
    ok().cc("max-age=60").etag(A)
}

/// A GET that a 304 may answer.
fn if_none_match(seconds: i64, tags: impl AsRef<[u8]>) -> Step {
    at(seconds).send("if-none-match", tags)
}

fn if_modified_since(seconds: i64, date: &str) -> Step {
    at(seconds).send("if-modified-since", date)
}

#[tokio::test(start_paused = true)]
async fn row_110_a_listed_tag_is_answered_with_304() {
    let lists = [A, "W/\"a\"", "\"b\", \"a\"", "*"];
    play(lists.map(|tags| {
        let reply = tagged()
            .expires(60)
            .with("vary", "accept-language")
            .with("content-location", "/x.en")
            .with("content-type", "text/plain")
            .with("content-language", "en")
            .with("repr-digest", "sha-256=:AA==:");
        let answer = if_none_match(1, tags)
            .hit()
            .status(304)
            .has("etag", A)
            .has("date", http_date(0))
            .has("cache-control", "max-age=60")
            .has("expires", http_date(60))
            .has("vary", "accept-language")
            .has("content-location", "/x.en")
            .has("cache-status", "cachewarp; hit; ttl=59")
            .lacks("content-length")
            .lacks("content-type")
            .lacks("content-language")
            .lacks("repr-digest");
        case(reply).then(answer)
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_111_if_none_match_silences_if_modified_since() {
    let modified = http_date(-1000);
    let ask = |tags| if_none_match(1, tags).send("if-modified-since", &modified);
    let first = || case(tagged().modified(-1000));
    play([
        first().then(ask("\"b\"").hit().status(200)),
        first().then(ask("a").hit().status(200)),
        first().then(ask("\"a").hit().status(200)),
        first().then(ask("*, \"a\"").hit().status(200)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_112_not_modified_since_is_answered_with_304() {
    let first = || case(ok().cc("max-age=60").modified(-1000));
    let ask = |date: &str, code| first().then(if_modified_since(1, date).hit().status(code));
    play([
        ask(&http_date(-1000), 304),
        ask(&http_date(-500), 304),
        ask(&http_date(-1001), 200),
        ask("yesterday", 200),
        ask(&rfc850_date(-1000), 304),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_113_without_last_modified_the_date_counts() {
    let first = || case(ok().cc("max-age=60"));
    let ask = |date: &str, code| first().then(if_modified_since(1, date).hit().status(code));
    play([
        ask(&http_date(0), 304),
        ask(&http_date(1), 304),
        ask(&http_date(-1), 200),
        case(ok().cc("max-age=60").dated(-50)).then(
            if_modified_since(1, &http_date(-50))
                .hit()
                .age(51)
                .status(304),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_114_conditions_are_about_success() {
    play(
        [
            case(status(404).cc("max-age=60").etag(A))
                .then(if_none_match(1, "*").hit().status(404)),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_115_the_stored_tag_goes_to_the_origin_and_the_clients_does_not() {
    play([case(tagged()).then(
        if_none_match(100, "\"c\"")
            .reply(not_modified().etag(A))
            .val(A)
            .status(200)
            .body(B1),
    )])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_116_the_clients_condition_meets_what_is_current() {
    let ask = || if_none_match(100, A);
    play([
        case(tagged()).then(ask().reply(not_modified().etag(A)).val(A).status(304)),
        case(tagged()).then(
            ask()
                .reply(second().etag("\"z\"").cc("max-age=60"))
                .val(A)
                .status(200),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_117_with_nothing_stored_the_whole_is_fetched_or_the_condition_forwarded() {
    let filled = |tags, code| {
        let first = if_none_match(0, tags).reply(tagged()).fill().status(code);
        empty().then(first).then(at(1).hit())
    };
    let forwarded = || {
        let confirmed = not_modified().etag("\"z\"").cc("max-age=60");
        let first = if_none_match(0, "\"z\"").reply(confirmed).fwd();
        empty().then(first).not_stored()
    };
    play([
        filled(A, 304),
        filled("\"z\"", 200),
        forwarded().set(|b| b.conditional_miss(ConditionalMiss::Forward)),
        forwarded().set(CacheBuilder::rfc_literal),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_118_conditions_of_writes_are_for_the_origin() {
    let passed = |name: &str, value: &str| {
        case(tagged())
            .then(
                at(1)
                    .send(name, value)
                    .reply(second().cc("max-age=600"))
                    .pass()
                    .saw(name, value),
            )
            .then(at(2).hit())
    };
    play([
        passed("if-match", A),
        passed("if-unmodified-since", &http_date(0)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_119_what_an_entity_tag_may_hold() {
    let ask = |tag: &str, code| -> Case {
        case(ok().cc("max-age=60").etag(tag))
            .then(if_none_match(1, tag).hit().status(code).has("etag", tag))
    };
    play([ask("\"a,b\"", 304), ask("\"é\"", 304), ask("abc", 200)]).await;
}

#[tokio::test(start_paused = true)]
async fn row_120_a_304_comes_before_a_range() {
    play([case(tagged()).then(
        if_none_match(1, A)
            .send("range", "bytes=0-1")
            .hit()
            .status(304)
            .lacks("content-range"),
    )])
    .await;
}
