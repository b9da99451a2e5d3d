//! What requests demand and allow (RFC 9111 §5.2.1).

use cachewarp::CacheBuilder;

use crate::{
    case::{case, empty, play},
    reply::{B2, Reply, not_modified, ok, second},
    step::at,
};

const A: &str = "\"a\"";

fn tagged(cc: &str) -> Reply {
    ok().cc(cc).etag(A)
}

#[tokio::test(start_paused = true)]
async fn row_070_max_age_zero_validates_what_is_brand_new() {
    play([case(tagged("max-age=60")).then(at(0).cc("max-age=0").val(A))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_071_max_age_bounds_the_age() {
    play([case(tagged("max-age=60"))
        .then(at(10).cc("max-age=10").hit())
        .then(at(11).cc("max-age=10").val(A))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_072_min_fresh_asks_for_freshness_to_come() {
    play([case(tagged("max-age=60"))
        .then(at(30).cc("min-fresh=30").hit())
        .then(at(31).cc("min-fresh=30").val(A))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_073_max_stale_alone_takes_anything() {
    play([case(ok().cc("max-age=60")).then(at(9999).cc("max-stale").stale())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_074_max_stale_bounds_the_staleness() {
    play([
        case(tagged("max-age=60"))
            .then(at(70).cc("max-stale=10").stale())
            .then(at(71).cc("max-stale=10").val(A)),
        case(tagged("max-age=60")).then(at(61).cc("max-stale=abc").val(A)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_075_no_client_softens_what_must_be_revalidated() {
    let strict = [
        "max-age=60, must-revalidate",
        "max-age=60, proxy-revalidate",
        "s-maxage=60",
    ];
    play(strict.map(|cc| case(tagged(cc)).then(at(61).cc("max-stale").val(A)))).await;
}

#[tokio::test(start_paused = true)]
async fn row_076_must_revalidate_lets_the_fresh_be() {
    play([case(ok().cc("max-age=60, must-revalidate")).then(at(30).hit())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_077_no_cache_validates_and_stores_the_result() {
    play([
        case(tagged("max-age=60"))
            .then(at(1).cc("no-cache").val(A))
            .then(at(60).hit().age(59)),
        case(tagged("max-age=60"))
            .then(at(1).cc("no-cache").reply(second().cc("max-age=60")).val(A))
            .then(at(60).hit().age(59).body(B2)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_078_only_if_cached_with_nothing_stored() {
    let refused = || {
        let step = at(0).cc("only-if-cached").refuse();
        step.has("cache-control", "no-store")
            .has("x-cache", "ERROR")
    };
    play([
        empty().then(refused().has("cache-status", "cachewarp; detail=only-if-cached")),
        // To the letter of the RFC, it is no answer of a cache.
        empty()
            .set(CacheBuilder::rfc_literal)
            .then(refused().lacks("cache-status")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_079_only_if_cached_with_something_stored() {
    play([case(ok().cc("max-age=60"))
        .then(at(1).cc("only-if-cached").hit())
        .then(at(1).cc("only-if-cached, no-cache").refuse())
        .then(at(61).cc("only-if-cached").refuse())
        .then(at(61).cc("only-if-cached, max-stale").stale())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_080_max_age_and_max_stale_both_hold() {
    play([case(tagged("max-age=60"))
        .then(at(75).cc("max-age=100, max-stale=20").stale())
        .then(at(85).cc("max-age=100, max-stale=20").val(A))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_081_a_request_with_max_age_takes_nothing_stale() {
    play([case(tagged("max-age=60, stale-while-revalidate=30")).then(
        at(61)
            .cc("max-age=1000")
            .reply(not_modified().etag(A))
            .val(A),
    )])
    .await;
}
