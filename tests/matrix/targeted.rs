//! Targeted fields such as `CDN-Cache-Control` (RFC 9213).

use std::time::Duration;

use cachewarp::FixedTtl;

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

#[tokio::test(start_paused = true)]
async fn row_190_a_field_that_forbids_counts_even_if_it_is_malformed_or_for_others() {
    let forbidding = [
        "public; no-store, max-age=60",
        "max-age=60;private",
        "max-age=60, public no-store",
        "No-Store",
        "private=1",
        "max-age=60, foo=\"bar",
        "max-age=60, \u{201c}private\u{201d}",
    ];
    // Of a listed field, it holds whatever else says.
    play(forbidding.map(|value| targeting(cdn(value).cc("max-age=60")).not_stored())).await;
    play([
        targeting(cdn("max-age=60;no-cache").etag(A)).then(at(1).val(A)),
        targeting(cdn("max-age=\"60\", NO-CACHE").cc("max-age=60").etag(A)).then(at(1).val(A)),
        targeting(cdn("max-age=60, foo=\"no-store\"")).then(at(59).hit()),
    ])
    .await;

    // Of any field for caches, it keeps the lifetime of a policy away.
    let policy = |reply: Reply| case(reply).set(|b| b.ttl(FixedTtl::new(Duration::from_secs(60))));
    play(forbidding.map(|value| policy(cdn(value)).not_stored())).await;
    let forbidding = [
        ("surrogate-control", "no-store"),
        ("surrogate-control", "no-store;a, content=\"ESI/1.0\""),
        ("surrogate-control", "max-age=0"),
        ("cloudflare-cdn-cache-control", "no-store"),
        ("vercel-cdn-cache-control", "private"),
        ("x-litespeed-cache-control", "no-cache"),
        ("cdn-cache-control", "max-age=60, &&&"),
        ("cdn-cache-control", "max-age=\"60\""),
        ("edge-control", "no-store"),
        ("x-accel-expires", "0"),
    ];
    play(forbidding.map(|(name, value)| policy(ok().with(name, value)).not_stored())).await;
    let permitting = [
        ("surrogate-control", "max-age=600, content=\"ESI/1.0\""),
        ("cdn-cache-control", "max-age=600"),
        ("cdn-cache-control", ""),
        ("x-cache-control-debug", "no-store"),
    ];
    play(permitting.map(|(name, value)| policy(ok().with(name, value)).then(at(59).hit()))).await;
    // It does not touch a lifetime that is stated for this cache.
    let stated = |(name, value)| policy(ok().cc("max-age=30").with(name, value));
    play(forbidding.map(|field| stated(field).then(at(29).hit()).then(at(30).fwd()))).await;
    // `Cache-Control` is such a field where another governs.
    play([
        targeting(cdn("foo").cc("no-store"))
            .set(|b| b.ttl(FixedTtl::new(Duration::from_secs(60))))
            .not_stored(),
        targeting(cdn("foo").cc("max-age=1"))
            .set(|b| b.ttl(FixedTtl::new(Duration::from_secs(60))))
            .then(at(59).hit()),
    ])
    .await;
}
