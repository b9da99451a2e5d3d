//! Validation with the origin, and what its answer updates (RFC 9111 §3.2, §4.3).

use std::sync::Arc;

use crate::{
    case::{Case, case, play},
    date::{http_date, rfc850_date},
    reply::{B1, B2, Gate, Reply, error, not_modified, ok, second},
    site::{Site, settle},
    step::{Step, at},
};

const A: &str = "\"a\"";
const WEAK: &str = "W/\"a\"";

/// Something with a validator that is stale at 60.
fn tagged() -> Reply {
    ok().cc("max-age=60").etag(A)
}

fn stale() -> Case {
    case(tagged())
}

/// A 304 about it.
fn confirmed() -> Reply {
    not_modified().etag(A)
}

#[tokio::test(start_paused = true)]
async fn row_093_a_304_makes_the_response_fresh_and_is_not_shown() {
    play([stale()
        .then(
            at(100)
                .reply(confirmed().cc("max-age=100"))
                .val(A)
                .status(200)
                .body(B1)
                .age(0),
        )
        .then(at(150).hit().age(50))
        .then(at(199).hit().age(99))
        .then(at(200).val(A))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_094_a_304_about_something_else_updates_nothing() {
    play([
        stale()
            .then(
                at(100)
                    .replies([not_modified().etag("\"b\""), second()])
                    .refetch(A),
            )
            .then(at(101).fwd()),
        stale()
            .then(
                at(100)
                    .replies([not_modified().etag("\"b\""), second().cc("max-age=60")])
                    .refetch(A),
            )
            .then(at(101).hit().age(1).body(B2)),
        case(ok().cc("max-age=60").modified(-1000))
            .then(
                at(100)
                    .replies([not_modified().modified(-500), second()])
                    .refetch_since(&http_date(-1000)),
            )
            .then(at(101).fwd()),
        // A second 304 answers nothing that was asked, and is left to the client.
        stale()
            .then(
                at(100)
                    .replies([not_modified().etag("\"b\""), not_modified().etag("\"b\"")])
                    .refetch(A)
                    .status(304),
            )
            .then(at(101).fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_095_a_weak_tag_is_confirmed_by_a_weak_one_only() {
    let weak = || case(ok().cc("max-age=60").etag(WEAK));
    play([
        weak()
            .then(at(100).reply(not_modified().etag(WEAK)).val(WEAK))
            .then(at(110).hit().age(10)),
        weak()
            .then(
                at(100)
                    .replies([not_modified().etag(A), second()])
                    .refetch(WEAK),
            )
            .then(at(110).fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_096_a_weak_tag_in_a_304_takes_the_place_of_a_strong_one() {
    play([stale()
        .then(at(100).reply(not_modified().etag(WEAK)).val(A))
        .then(at(110).hit().age(10).has("etag", WEAK))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_097_a_304_without_a_validator_is_about_the_one_asked_about() {
    play([stale()
        .then(at(100).reply(not_modified()).val(A))
        .then(at(110).hit().age(10).has("etag", A))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_098_a_date_is_sent_back_as_it_was_spelled() {
    let modified = rfc850_date(-1000);
    let reply = ok().cc("max-age=60").with("last-modified", &modified);
    play([case(reply).then(at(100).val_since(&modified))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_099_both_validators_are_sent() {
    let modified = http_date(-1000);
    play([case(tagged().modified(-1000)).then(at(100).val_both(A, &modified))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_100_nothing_is_sent_where_there_is_no_validator() {
    play([case(ok().cc("max-age=60")).then(at(61).fwd())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_101_a_304_may_end_storing() {
    play([stale()
        .then(at(100).reply(confirmed().cc("no-store")).val(A).body(B1))
        .then(at(101).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_102_a_304_may_begin_to_vary() {
    play([stale()
        .then(
            at(100)
                .send("x-lang", "de")
                .reply(confirmed().with("vary", "x-lang"))
                .val(A),
        )
        .then(at(110).send("x-lang", "de").hit().age(10))
        .then(
            at(110)
                .send("x-lang", "en")
                .fwd()
                .starts("cache-status", "cachewarp; fwd=vary-miss"),
        )])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_103_a_304_does_not_change_what_the_stored_bytes_are() {
    let reply = || {
        confirmed()
            .with("content-length", "0")
            .with("content-encoding", "gzip")
            .with("content-range", "bytes 0-1/10")
    };
    let unchanged = |step: Step| {
        step.has("content-length", "10")
            .lacks("content-encoding")
            .lacks("content-range")
    };
    play([stale()
        .then(unchanged(at(100).reply(reply()).val(A)))
        .then(unchanged(at(110).hit().age(10)))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_104_a_cookie_on_a_304_is_for_one_client() {
    play([stale()
        .then(
            at(100)
                .reply(confirmed().with("set-cookie", "s=1"))
                .val(A)
                .has("set-cookie", "s=1"),
        )
        .then(at(110).hit().age(10).lacks("set-cookie"))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_105_fields_of_a_304_take_the_place_of_stored_ones() {
    let first = tagged().with("x-a", "1").with("x-b", "1");
    let update = confirmed().with("x-a", "2").with("content-foo", "3");
    let updated = |step: Step| step.has("x-a", "2").has("x-b", "1").has("content-foo", "3");
    play([case(first)
        .then(updated(at(100).reply(update).val(A)))
        .then(updated(at(110).hit().age(10)))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_106_a_304_ends_the_stored_age() {
    play([case(tagged().with("age", "30"))
        .then(at(100).reply(confirmed()).val(A).age(0))
        .then(at(110).hit().age(10))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_107_a_new_response_takes_the_place_of_the_stored_one() {
    play([stale()
        .then(at(100).reply(second().cc("max-age=60")).val(A).body(B2))
        .then(at(110).hit().age(10).body(B2))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_108_a_new_response_that_is_not_stored_ends_the_stored_one() {
    play([stale()
        .then(at(100).reply(second().cc("no-store")).val(A).body(B2))
        .then(at(101).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_109_an_error_leaves_the_stored_response_alone() {
    play([stale()
        .then(at(100).reply(error(500)).val(A).status(500))
        .then(at(101).val(A).body(B1))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_186_an_answer_to_credentials_leaves_the_stored_response_alone() {
    let ask = || at(100).send("authorization", "Basic dTpw");
    play([
        stale()
            .then(ask().reply(second().cc("max-age=60")).val(A).body(B2))
            .then(at(101).val(A).body(B1)),
        stale()
            .then(
                ask()
                    .reply(confirmed().with("x-user", "bob"))
                    .val(A)
                    .body(B1)
                    .has("x-user", "bob"),
            )
            .then(at(101).val(A).body(B1).lacks("x-user")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_187_the_answer_to_a_no_store_request_leaves_the_stored_response_alone() {
    play([stale()
        .then(
            at(100)
                .cc("no-store")
                .reply(confirmed().cc("max-age=999"))
                .val(A)
                .body(B1),
        )
        .then(at(101).val(A))])
    .await;
}

/// A 304 that was long under way says nothing about what was stored meanwhile.
#[tokio::test(start_paused = true)]
async fn a_late_304_does_not_bring_back_what_was_replaced() {
    let site = Arc::new(Site::plain());
    site.expect(at(0).reply(tagged()).fwd()).await;
    site.wait_until(100);
    let gate = Gate::new();
    site.origin
        .script([confirmed().held(&gate), second().cc("max-age=60")]);
    let slow = tokio::spawn({
        let site = Arc::clone(&site);
        async move { site.ask(at(100).request()).await }
    });
    settle().await;
    // Longer than others wait for the first one.
    let quick = site.ask(at(100).request()).await.unwrap();
    assert_eq!(quick.body, B2);
    gate.open();
    assert_eq!(slow.await.unwrap().unwrap().body, B1);
    site.drain().await;
    site.expect(at(101).hit().age(1).body(B2)).await;
}
