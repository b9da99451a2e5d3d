//! Targeted fields such as `CDN-Cache-Control` (RFC 9213).

use crate::{
    case::{Case, case, play},
    reply::{Reply, ok},
    step::at,
};

const A: &str = "\"a\"";

fn cdn(value: &str) -> Reply {
    ok().with("cdn-cache-control", value)
}

/// Obeys `CDN-Cache-Control`.
fn targeting(reply: Reply) -> Case {
    case(reply).set(|b| b.targeted_cache_control(["cdn-cache-control"]))
}

#[tokio::test(start_paused = true)]
async fn row_150_a_listed_field_takes_the_place_of_cache_control() {
    let reply = || cdn("max-age=600").cc("no-store");
    play([
        targeting(reply()).then(at(1).hit()),
        case(reply()).not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_151_an_invalid_one_does_not() {
    let invalid = ["max-age=\"600\"", "max-age=60, &&&", ""];
    play(invalid.map(|value| targeting(cdn(value).cc("no-store")).not_stored())).await;
}

#[tokio::test(start_paused = true)]
async fn row_152_keys_are_in_lower_case() {
    let reply = cdn("MaX-aGe=600").cc("max-age=1").etag(A);
    play([targeting(reply).then(at(2).val(A))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_153_a_field_that_says_nothing_of_use_still_counts() {
    play([targeting(cdn("none").cc("max-age=600").etag(A)).then(at(1).val(A))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_154_the_last_of_two_counts_and_expires_does_not() {
    play([
        targeting(cdn("max-age=1, max-age=600")).then(at(10).hit()),
        targeting(cdn("no-store").cc("max-age=60")).then(at(10).fwd()),
        targeting(cdn("max-age=600").expires(-3600)).then(at(10).hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_155_the_first_valid_field_of_the_list_counts() {
    let reply = cdn("max-age=600")
        .with("own-cache-control", "max-age=\"1\"")
        .cc("no-store");
    play([case(reply)
        .set(|b| b.targeted_cache_control(["own-cache-control", "cdn-cache-control"]))
        .then(at(1).hit())])
    .await;
}
