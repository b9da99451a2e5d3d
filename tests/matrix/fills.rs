//! Whole responses that are fetched for clients that need no body (RFC 9111 §4.3.2, RFC 9110 §9.3.2).

use std::time::Duration;

use cachewarp::{ConditionalMiss, HeadMiss, RangeMiss};

use crate::{
    case::{Case, case, empty, play},
    date::http_date,
    reply::{B1, Reply, not_modified, ok, second, status},
    step::{Step, at},
};

const A: &str = "\"a\"";

/// What says that a response must not be shared.
const NOT_SHARED: [&str; 4] = [
    "no-store",
    "private",
    "private, max-age=60",
    "no-store, public",
];

fn tagged() -> Reply {
    ok().etag(A)
}

fn conditional(seconds: i64) -> Step {
    at(seconds).send("if-none-match", A)
}

fn head(seconds: i64) -> Step {
    at(seconds).method("HEAD")
}

/// Sends the request of each step twenty times, and expects the same of each but the first.
fn twenty(mut story: Case, again: impl Fn() -> Step) -> Case {
    for _ in 0..19 {
        story = story.then(again());
    }
    story
}

// === Conditions ===

#[tokio::test(start_paused = true)]
async fn twenty_conditional_requests_make_one_call() {
    let first = |step: Step| empty().then(step.reply(tagged().cc("max-age=60")).fill());
    let dated = || at(0).send("if-modified-since", http_date(-1000));
    let modified = || ok().cc("max-age=60").modified(-1000);
    play([
        twenty(first(conditional(0).status(304)), || {
            conditional(0).hit().status(304)
        }),
        twenty(
            empty().then(dated().reply(modified()).fill().status(304)),
            || dated().hit().status(304),
        ),
        twenty(first(at(0).send("if-none-match", "\"z\"")), || {
            at(0).send("if-none-match", "\"z\"").hit()
        }),
        twenty(first(at(0).send("if-none-match", "*").status(304)), || {
            at(0).send("if-none-match", "*").hit().status(304)
        }),
        // Malformed, so the whole response is sent. It is stored all the same.
        twenty(first(at(0).send("if-none-match", "a")), || {
            at(0).send("if-none-match", "a").hit()
        }),
        // The client wants a validated response, and a response just fetched is one.
        first(conditional(0).cc("no-cache").status(304)).then(at(1).hit()),
        first(conditional(0).cc("max-age=0").status(304)).then(at(1).hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_304_has_the_fields_of_the_response_that_was_fetched() {
    let reply = tagged()
        .cc("max-age=60")
        .with("vary", "accept")
        .with("content-type", "text/plain")
        .with("x-own", "1");
    play([empty().then(
        conditional(0)
            .reply(reply)
            .fill()
            .status(304)
            .has("etag", A)
            .has("vary", "accept")
            .has("cache-control", "max-age=60")
            .has("x-own", "1")
            .lacks("content-type")
            .lacks("content-length")
            .has(
                "cache-status",
                "cachewarp; fwd=uri-miss; fwd-status=200; stored; ttl=60",
            ),
    )])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_stored_is_a_304_too_and_then_conditions_are_forwarded() {
    let unshared = |reply: fn() -> Reply| {
        move |directives| {
            let reply = move || reply().cc(directives);
            let confirmed = || not_modified().etag(A).cc(directives);
            empty()
                .then(conditional(0).reply(reply()).fill().status(304))
                .then(conditional(1).reply(confirmed()).fwd())
                .then(conditional(599).reply(confirmed()).fwd())
                // The mark is for conditions alone.
                .then(at(599).reply(reply()).fwd())
                .then(conditional(611).reply(reply()).fill().status(304))
        }
    };
    play(NOT_SHARED.map(unshared(tagged))).await;
    play(["max-age=60"].map(unshared(|| tagged().with("set-cookie", "a=b")))).await;
    play(["max-age=60"].map(unshared(|| tagged().with("vary", "*")))).await;
    play(["max-age=60"].map(unshared(|| {
        tagged().with("content-type", "text/event-stream")
    })))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_stored_and_not_what_the_client_has_is_delivered_whole() {
    let first = |directives| {
        let reply = second().etag("\"z\"").cc(directives);
        conditional(0).reply(reply).fill().has("etag", "\"z\"")
    };
    play(NOT_SHARED.map(|directives| {
        let confirmed = not_modified().etag(A).cc(directives);
        empty()
            .then(first(directives))
            // The key has the mark of a response that could not be shared.
            .then(conditional(1).reply(confirmed).fwd())
            .then(
                conditional(30)
                    .reply(tagged().cc(directives))
                    .fill()
                    .status(304),
            )
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_turns_out_too_large_is_not_fetched_for_the_next_condition() {
    let large = || tagged().cc("max-age=60").chunked();
    play([empty()
        .set(|b| b.max_entry_bytes(5))
        .then(conditional(0).reply(large()).fill().status(304))
        .then(conditional(30).reply(not_modified().etag(A)).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn once_a_response_was_stored_conditions_fill_again() {
    play([empty()
        .then(
            conditional(0)
                .reply(tagged().cc("no-store"))
                .fill()
                .status(304),
        )
        .then(at(1).reply(ok().cc("max-age=5")).fwd())
        // Gone by now, as it has no validator and is not kept.
        .set(|b| b.keep_stale_without_validator(Duration::ZERO))
        .then(
            conditional(30)
                .reply(tagged().cc("max-age=60"))
                .fill()
                .status(304),
        )
        .then(at(31).hit().age(1).body(B1))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_validators_of_the_response_itself_make_a_304() {
    let since = |seconds| at(0).send("if-modified-since", http_date(seconds));
    play([
        // The client's date is not before the response's `Date`, and says nothing about it.
        empty().then(since(0).reply(ok().cc("max-age=60")).fill()),
        empty().then(since(1000).reply(ok().cc("no-store")).fill()),
        empty().then(since(-1).reply(ok().cc("no-store").modified(0)).fill()),
        empty().then(
            since(0)
                .reply(ok().cc("no-store").modified(-5))
                .fill()
                .status(304),
        ),
        empty().then(conditional(0).reply(ok().cc("no-store")).fill()),
        // If there are tags, dates do not count.
        empty().then(
            since(0)
                .send("if-none-match", "\"z\"")
                .reply(tagged().cc("no-store").modified(-5))
                .fill(),
        ),
        // Conditions are about success.
        empty().then(conditional(0).reply(status(404).etag(A)).fill()),
        empty().then(
            conditional(0)
                .reply(status(404).etag(A).cc("max-age=60"))
                .fill(),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cookie_that_is_set_reaches_the_client_with_the_304() {
    let sets = || tagged().with("set-cookie", "a=b");
    let first = |reply| {
        conditional(0)
            .reply(reply)
            .fill()
            .status(304)
            .has("set-cookie", "a=b")
    };
    play([
        empty().then(first(sets().cc("max-age=60"))),
        empty()
            .then(first(sets().cc("no-cache=\"set-cookie\", max-age=60")))
            .then(conditional(1).hit().status(304).lacks("set-cookie")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_plain_is_forwarded_with_its_conditions() {
    let confirmed = || not_modified().etag(A).cc("max-age=60");
    let forwarded = |name: &str, value: &str| {
        let first = conditional(0).send(name, value).reply(confirmed()).fwd();
        empty().then(first).not_stored()
    };
    play([
        forwarded("authorization", "Basic YTpi"),
        forwarded("x-api-key", "1"),
        forwarded("x-own-key", "1").set(|b| b.credential_headers(["x-own-key"])),
        forwarded("cookie", "session=1"),
        forwarded("cache-control", "no-store"),
        forwarded("range", "bytes=0-1"),
        forwarded("range", "bytes=0-1").first(|step| step.send("if-range", A)),
    ])
    .await;
    // These do not make a request less plain.
    let filled = |name: &str, value: &str| {
        let reply = tagged().cc("max-age=60");
        empty().then(
            conditional(0)
                .send(name, value)
                .reply(reply)
                .fill()
                .status(304),
        )
    };
    play([
        filled("accept", "text/html"),
        filled("accept-language", "de"),
        filled("user-agent", "a"),
        filled("cache-control", "no-cache"),
        // Without a range it means nothing.
        filled("if-range", A),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_key_with_a_mark_forwards_conditions() {
    let first = || case(ok().cc("no-store"));
    play([
        first().then(conditional(1).reply(not_modified().etag(A)).fwd()),
        first().then(
            conditional(30)
                .reply(tagged().cc("max-age=60"))
                .fill()
                .status(304),
        ),
        first().set(|b| b.uncacheable_for(Duration::ZERO)).then(
            conditional(1)
                .reply(tagged().cc("max-age=60"))
                .fill()
                .status(304),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn preconditions_are_for_the_origin_also_with_nothing_stored() {
    let passed = |name: &str, value: &str| {
        let step = at(0)
            .send(name, value)
            .reply(status(412))
            .pass()
            .saw(name, value);
        empty().then(step).not_stored()
    };
    play([
        passed("if-match", A),
        passed("if-unmodified-since", &http_date(0)),
        passed("if-match", A).first(|step| step.send("if-none-match", "\"b\"")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_is_not_stored_is_fetched_whole() {
    let varied = |tag: &str| ok().etag(tag).cc("max-age=60").with("vary", "accept");
    play([case(varied("\"b\"")).asked("accept", "b").then(
        conditional(1)
            .send("accept", "a")
            .reply(varied(A))
            .fill()
            .status(304),
    )])
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_validation_brings_is_delivered_whole_if_it_is_not_stored() {
    play([case(ok().etag("\"b\"").cc("max-age=60")).then(
        conditional(100)
            .reply(second().etag(A).cc("no-store"))
            .val("\"b\""),
    )])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_range_is_filled_by_its_own_setting_alone() {
    let asked = || {
        at(0)
            .send("range", "bytes=0-1")
            .send("if-range", A)
            .reply(tagged().cc("max-age=60"))
    };
    play([
        empty().then(asked().fwd()),
        empty()
            .set(|b| b.range_miss(RangeMiss::Fill))
            .then(asked().fill().status(206).body("01"))
            .then(at(1).hit()),
        empty().set(|b| b.range_miss(RangeMiss::Fill)).then(
            asked()
                .send("if-none-match", A)
                .fill()
                .status(304)
                .lacks("content-range"),
        ),
    ])
    .await;
}

// === HEAD ===

fn filling() -> Case {
    empty().set(|b| b.head_miss(HeadMiss::Fill))
}

#[tokio::test(start_paused = true)]
async fn a_head_is_forwarded_unless_the_settings_fill() {
    play([empty()
        .then(head(0).reply(tagged().cc("max-age=60")).fwd())
        .not_stored()])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_fetches_the_whole_and_gets_its_head() {
    let first = |step: Step| filling().then(step.reply(tagged().cc("max-age=60")).fill());
    let got = |step: Step| step.has("content-length", "10").has("etag", A);
    play([
        twenty(first(got(head(0))), || got(head(0)).hit()),
        first(got(head(0))).then(at(1).hit()),
        // Of a body of unknown length, the length is unknown.
        filling()
            .then(
                head(0)
                    .reply(ok().cc("max-age=60").chunked())
                    .fill()
                    .lacks("content-length"),
            )
            .then(at(1).hit().has("content-length", "10")),
        first(head(0).send("if-none-match", A).status(304)).then(at(1).hit()),
        first(head(0).send("if-none-match", "\"z\"")).then(at(1).hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_whose_response_is_not_stored_is_forwarded_the_next_time() {
    play(NOT_SHARED.map(|directives| {
        let reply = move || tagged().cc(directives);
        filling()
            .then(head(0).reply(reply()).fill().has("content-length", "10"))
            .then(head(1).reply(reply()).fwd())
            .then(head(599).reply(reply()).fwd())
            .then(head(611).reply(reply()).fill())
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_not_plain_is_forwarded() {
    let forwarded = |name: &str, value: &str| {
        filling()
            .then(
                head(0)
                    .send(name, value)
                    .reply(tagged().cc("max-age=60"))
                    .fwd(),
            )
            .not_stored()
    };
    play([
        forwarded("authorization", "Basic YTpi"),
        forwarded("cookie", "session=1"),
        forwarded("cache-control", "no-store"),
        forwarded("range", "bytes=0-1"),
        forwarded("if-none-match", A).set(|b| b.conditional_miss(ConditionalMiss::Forward)),
        case(tagged().cc("no-store"))
            .set(|b| b.head_miss(HeadMiss::Fill))
            .then(head(1).reply(tagged().cc("no-store")).fwd()),
    ])
    .await;
    play([filling().set(|b| b.range_miss(RangeMiss::Fill)).then(
        head(0)
            .send("range", "bytes=0-1")
            .reply(tagged().cc("max-age=60"))
            .fill()
            .has("content-length", "10")
            .lacks("content-range"),
    )])
    .await;
}
