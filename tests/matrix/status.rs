//! `Cache-Status` (RFC 9211).

use crate::{
    case::{case, play},
    reply::{not_modified, ok},
    step::at,
};

const A: &str = "\"a\"";

#[tokio::test(start_paused = true)]
async fn row_156_every_answer_says_what_became_of_it() {
    let first = || {
        case(ok().cc("max-age=60").etag(A))
            .first(|step| step.has("cache-status", "cachewarp; fwd=uri-miss; stored; ttl=60"))
    };
    play([first()
        .then(at(10).hit().has("cache-status", "cachewarp; hit; ttl=50"))
        .then(
            at(72)
                .cc("max-stale")
                .stale()
                .starts("cache-status", "cachewarp; hit; ttl=-12"),
        )
        .then(
            at(73)
                .reply(not_modified().etag(A))
                .val(A)
                .starts("cache-status", "cachewarp; fwd=stale; fwd-status=304"),
        )])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_157_caches_nearer_to_the_origin_come_first() {
    let reply = ok().cc("max-age=60").with("cache-status", "Origin; hit");
    play([case(reply).then(
        at(1)
            .hit()
            .lines("cache-status", &["Origin; hit", "cachewarp; hit; ttl=59"]),
    )])
    .await;
}
