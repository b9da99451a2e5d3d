//! Ranges of stored responses (RFC 9110 §13.1.5, §14, RFC 9530).

use crate::{
    case::{Case, case, empty, play},
    date::http_date,
    reply::{B1, Reply, not_modified, ok, status},
    step::{Step, at},
};

const A: &str = "\"a\"";

fn tagged() -> Reply {
    ok().cc("max-age=60").etag(A)
}

fn range(ranges: &str) -> Step {
    at(1).send("range", ranges)
}

/// The answer is this part of [`B1`].
fn part(step: Step, part: &'static str, content_range: &str) -> Step {
    step.status(206)
        .body(part)
        .has("content-range", content_range)
        .has("content-length", part.len().to_string())
}

/// The answer is all of [`B1`].
fn whole(step: Step) -> Step {
    step.status(200)
        .body(B1)
        .has("content-length", "10")
        .lacks("content-range")
}

#[tokio::test(start_paused = true)]
async fn row_121_one_range_of_a_stored_response() {
    let ranges = [
        ("bytes=0-1", "01", "bytes 0-1/10"),
        ("bytes=5-", "56789", "bytes 5-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-100", B1, "bytes 0-9/10"),
        ("bytes=0-99999999999999999999999", B1, "bytes 0-9/10"),
    ];
    play(ranges.map(|(ranges, bytes, content_range)| {
        case(tagged()).then(part(range(ranges).hit(), bytes, content_range).has("etag", A))
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_122_a_range_beyond_the_end() {
    let beyond = ["bytes=10-", "bytes=-0"];
    let described = || {
        tagged()
            .with("content-type", "text/plain")
            .with("content-encoding", "gzip")
            .with("repr-digest", "sha-256=:AA==:")
    };
    play(beyond.map(|ranges| {
        case(described()).then(
            range(ranges)
                .hit()
                .status(416)
                .has("content-range", "bytes */10")
                .has("content-length", "0")
                .has("cache-control", "no-store")
                .lacks("content-type")
                .lacks("content-encoding")
                .lacks("repr-digest"),
        )
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_123_what_is_no_range_is_ignored() {
    let ignored = ["bytes=5-4", "bytes=x", "items=0-1"];
    play(ignored.map(|ranges| case(tagged()).then(whole(range(ranges).hit())))).await;
    play([case(tagged()).then(whole(range("bytes=0-1").send("range", "bytes=0-1").hit()))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_124_several_ranges_are_answered_with_the_whole() {
    play([case(tagged()).then(whole(range("bytes=0-1,5-6").hit()))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_125_if_range_takes_a_strong_tag() {
    let ask = |tag| range("bytes=0-1").send("if-range", tag).hit();
    play([
        case(tagged()).then(part(ask(A), "01", "bytes 0-1/10")),
        case(tagged()).then(whole(ask("W/\"a\""))),
        case(tagged()).then(whole(ask("\"b\""))),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_126_if_range_takes_a_date_that_is_strong() {
    let first = |modified| case(ok().cc("max-age=60").modified(modified));
    let ask = |date: i64| range("bytes=0-1").send("if-range", http_date(date)).hit();
    play([
        first(-1).then(part(ask(-1), "01", "bytes 0-1/10")),
        first(0).then(whole(ask(0))),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_127_without_a_range_to_give_there_is_none() {
    play([
        case(tagged()).then(whole(at(1).send("if-range", A).hit())),
        case(tagged()).then(
            range("bytes=0-1")
                .method("HEAD")
                .hit()
                .has("content-length", "10")
                .lacks("content-range"),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_128_a_digest_of_the_whole_content_does_not_go_with_a_part() {
    let reply = tagged()
        .with("content-digest", "sha-256=:AA==:")
        .with("repr-digest", "sha-256=:BB==:");
    play([case(reply).then(
        part(range("bytes=0-1").hit(), "01", "bytes 0-1/10")
            .lacks("content-digest")
            .has("repr-digest", "sha-256=:BB==:"),
    )])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_129_a_part_from_the_origin_is_not_stored() {
    let reply = status(206)
        .cc("max-age=60")
        .with("content-range", "bytes 0-1/10")
        .body("01");
    let asked: Case = empty().then(
        at(0)
            .send("range", "bytes=0-1")
            .reply(reply)
            .fwd()
            .has("content-range", "bytes 0-1/10"),
    );
    play([
        asked.clone().not_stored(),
        asked.then(range("bytes=0-1").fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_130_a_whole_answer_to_a_range_is_stored() {
    play([case(ok().cc("max-age=60"))
        .asked("range", "bytes=0-1")
        .then(whole(at(1).hit()))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_131_a_stale_response_is_validated_as_a_whole() {
    let ask = || {
        at(100)
            .send("range", "bytes=0-1")
            .send("if-range", A)
            .reply(not_modified().etag(A))
            .val(A)
    };
    play([case(tagged()).then(part(ask(), "01", "bytes 0-1/10"))]).await;
}
