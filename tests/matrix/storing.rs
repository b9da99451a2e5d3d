//! What is stored, and what of it (RFC 9111 §3, RFC 9110 §15, RFC 6585).

use std::time::Duration;

use cachewarp::{CacheBuilder, ErrorStatusPolicy, FixedTtl, Heuristics, SetCookiePolicy};

use crate::{
    case::{Case, case, empty, play},
    reply::{ok, status},
    step::at,
};

const A: &str = "\"a\"";

/// Settings that store as much as there are settings for.
fn generous(case: Case) -> Case {
    case.set(|b| {
        b.rfc_literal()
            .ttl(FixedTtl::new(Duration::from_secs(600)))
            .stale_if_error(Duration::from_secs(600))
    })
}

#[tokio::test(start_paused = true)]
async fn row_001_a_lifetime_is_over_when_the_age_reaches_it() {
    play([case(ok().cc("max-age=60"))
        .then(at(59).hit())
        .then(at(60).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_002_nothing_is_stored_that_could_never_be_reused() {
    play([case(ok()).not_stored()]).await;
}

#[tokio::test(start_paused = true)]
async fn row_003_no_store_holds_with_any_spelling_and_argument() {
    play([
        case(ok().cc("no-store, max-age=60")).not_stored(),
        case(ok().cc("NO-store=1, max-age=60")).not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_004_private_responses_are_not_stored() {
    play([case(ok().cc("private, max-age=60")).not_stored()]).await;
}

#[tokio::test(start_paused = true)]
async fn row_005_private_fields_are_for_the_first_client() {
    let reply = ok()
        .cc("private=\"x-user\", max-age=60")
        .with("x-user", "bob")
        .with("x-other", "1");
    play([case(reply)
        .first(|step| step.has("x-user", "bob").has("x-other", "1"))
        .then(at(1).hit().lacks("x-user").has("x-other", "1"))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_006_a_private_field_that_the_copy_needs_makes_all_of_it_private() {
    play([case(ok().cc("private=\"etag\", max-age=60").etag(A)).not_stored()]).await;
}

#[tokio::test(start_paused = true)]
async fn row_007_no_cache_fields_are_not_stored() {
    let reply = ok()
        .cc("no-cache=\"set-cookie\", max-age=60")
        .with("set-cookie", "s=1");
    play([case(reply)
        .first(|step| step.has("set-cookie", "s=1"))
        .then(at(1).hit().lacks("set-cookie"))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_008_no_cache_is_validated_before_every_use() {
    play([
        case(ok().cc("no-cache, max-age=60").etag(A)).then(at(1).val(A)),
        case(ok().cc("no-cache, max-age=60")).not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_009_no_cache_for_all_outweighs_no_cache_for_fields() {
    let reply = ok().cc("no-cache, no-cache=\"x\", max-age=60").etag(A);
    play([case(reply).then(at(1).val(A))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_010_answers_to_credentials_are_not_stored() {
    let alone = |cc| {
        case(ok().cc(cc))
            .asked("authorization", "Basic dTpw")
            .not_stored()
    };
    play([alone("max-age=60"), alone("max-age=60, proxy-revalidate")]).await;
}

#[tokio::test(start_paused = true)]
async fn row_011_answers_to_credentials_are_stored_if_they_say_so() {
    let shared = |cc| {
        case(ok().cc(cc))
            .asked("authorization", "Basic dTpw")
            .then(at(1).hit())
    };
    play([
        shared("public, max-age=60"),
        shared("s-maxage=60"),
        shared("max-age=60, must-revalidate"),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_012_the_answer_to_a_no_store_request_is_not_stored() {
    play([case(ok().cc("max-age=60"))
        .asked("cache-control", "no-store")
        .not_stored()])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_013_a_no_store_request_may_be_a_hit() {
    play([case(ok().cc("max-age=60")).then(at(1).cc("no-store").hit())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_014_an_unknown_status_needs_a_lifetime() {
    play([
        case(status(299).cc("max-age=60")).then(at(1).hit().status(299)),
        case(status(299).modified(-1_000_000))
            .set(|b| b.heuristics(Heuristics::default()))
            .not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_015_not_found_is_stored_like_success() {
    play([
        case(status(404).cc("max-age=60")).then(at(1).hit().status(404)),
        case(status(404)).not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_016_a_temporary_redirect_needs_a_lifetime() {
    let redirect = || status(302).with("location", "/y");
    play([
        case(redirect().cc("max-age=60")).then(at(1).hit().status(302).has("location", "/y")),
        case(redirect()).not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_017_an_error_needs_a_lifetime_of_its_own() {
    play([
        case(status(503).cc("max-age=60")).then(at(1).hit().status(503)),
        case(status(503).cc("max-age=60"))
            .set(|b| b.error_statuses(ErrorStatusPolicy::Refuse))
            .not_stored(),
        case(status(503))
            .set(|b| b.ttl(FixedTtl::new(Duration::from_secs(60))))
            .not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_018_answers_about_one_request_are_never_stored() {
    let codes = [429, 428, 431, 511, 412, 416];
    let cases = codes.map(|code| case(status(code).cc("max-age=60, public")).not_stored());
    play(cases.clone()).await;
    play(cases.map(generous)).await;

    // Those that the form of the request caused.
    for code in [400, 414] {
        let policy = |case: Case| case.set(|b| b.ttl(FixedTtl::new(Duration::from_secs(60))));
        let replies = [
            status(code).cc("max-age=60"),
            status(code).cc("max-age=60, public"),
            status(code).cc("s-maxage=60, must-revalidate").etag(A),
            status(code).cc("max-age=60, immutable, stale-while-revalidate=60"),
            status(code).expires(60),
            status(code).cc("no-store, must-understand, max-age=60"),
            status(code).cc("public").etag(A),
            status(code).modified(-1_000_000),
        ];
        play(replies.clone().map(|reply| case(reply).not_stored())).await;
        play(replies.map(|reply| policy(case(reply)).not_stored())).await;
        let stated = || case(status(code).cc("max-age=60"));
        play([
            stated()
                .set(|b| b.error_statuses(ErrorStatusPolicy::Refuse))
                .not_stored(),
            stated()
                .set(CacheBuilder::rfc_literal)
                .then(at(59).hit().status(code)),
            stated()
                .set(|b| b.error_statuses(ErrorStatusPolicy::Literal))
                .then(at(59).hit().status(code)),
            // No policy reaches them there either.
            policy(case(status(code)))
                .set(CacheBuilder::rfc_literal)
                .not_stored(),
            // What is stored stays.
            case(ok().cc("max-age=60"))
                .then(
                    at(1)
                        .cc("no-cache")
                        .reply(status(code).cc("max-age=60"))
                        .fwd(),
                )
                .then(at(2).hit().status(200)),
        ])
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn row_019_no_store_stands_for_a_status_that_must_be_understood_and_is_not() {
    play([case(status(299).cc("max-age=60, no-store, must-understand")).not_stored()]).await;
}

#[tokio::test(start_paused = true)]
async fn row_020_must_understand_takes_the_place_of_no_store() {
    play([case(ok().cc("max-age=60, no-store, must-understand")).then(at(1).hit())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_021_what_must_be_understood_and_is_not_is_not_stored() {
    play([case(status(299).cc("max-age=60, must-understand")).not_stored()]).await;
}

#[tokio::test(start_paused = true)]
async fn row_022_what_varies_on_anything_is_not_stored() {
    let reply = || ok().cc("max-age=60");
    play([
        case(reply().with("vary", "*")).not_stored(),
        case(reply().with("vary", "foo, *")).not_stored(),
        case(reply().with("vary", "").with("vary", "*")).not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_023_cookies_are_kept_out_of_the_store() {
    let cookies = ["s=1; Path=/", "t=2, u=3"];
    let first = || {
        let reply = ok()
            .cc("max-age=60")
            .with("set-cookie", cookies[0])
            .with("set-cookie", cookies[1]);
        case(reply).first(|step| step.lines("set-cookie", &cookies))
    };
    play([
        first().not_stored(),
        first()
            .set(|b| b.set_cookie(SetCookiePolicy::Strip))
            .then(at(1).hit().lacks("set-cookie")),
        first()
            .set(|b| b.set_cookie(SetCookiePolicy::Store))
            .then(at(1).hit().lines("set-cookie", &cookies)),
    ])
    .await;
}

/// A lifetime that is given to the response is not given to what one user may have got.
#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_no_default_lifetime_leaves_what_has_one_alone() {
    let personal = [
        ("cookie", "a=b", "cookie"),
        ("authorization", "Basic dTpw", "credentials"),
    ];
    let cases = personal.map(|(name, value, reason)| {
        ["", "must-revalidate"].map(|cc| {
            case(ok().cc(cc))
                .set(|b| b.ttl(FixedTtl::new(Duration::from_secs(60))))
                .then(at(1).hit())
                .then(
                    at(2)
                        .send(name, value)
                        .cc("no-cache")
                        .reply(ok().cc(cc).body("their own"))
                        .pass()
                        .has(
                            "cache-status",
                            format!("cachewarp; fwd=bypass; detail={reason}"),
                        ),
                )
                .then(at(3).hit())
        })
    });
    play(cases.into_iter().flatten()).await;
}

#[tokio::test(start_paused = true)]
async fn row_024_the_answer_to_post_does_not_answer_get() {
    play([empty()
        .then(at(0).method("POST").reply(ok().cc("max-age=60")).fwd())
        .not_stored()])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_025_the_answer_to_head_does_not_answer_get() {
    play([empty()
        .then(at(0).method("HEAD").reply(ok().cc("max-age=60")).fwd())
        .not_stored()])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_026_a_stored_get_answers_head() {
    play(
        [
            case(ok().cc("max-age=60"))
                .then(at(1).method("HEAD").hit().has("content-length", "10")),
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_027_streams_and_large_bodies_are_delivered_and_not_stored() {
    let small = |case: Case| case.set(|b| b.max_entry_bytes(9));
    play([
        case(
            ok().cc("max-age=60")
                .with("content-type", "text/event-stream")
                .chunked(),
        )
        .not_stored(),
        small(case(ok().cc("max-age=60"))).not_stored(),
        small(case(ok().cc("max-age=60").chunked())).not_stored(),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_028_fields_of_the_connection_are_not_stored() {
    let reply = ok()
        .cc("max-age=60")
        .with("connection", "X-Hop")
        .with("x-hop", "1")
        .with("keep-alive", "timeout=5")
        .with("x-keep", "1");
    play([case(reply).then(
        at(1)
            .hit()
            .has("x-keep", "1")
            .lacks("connection")
            .lacks("x-hop")
            .lacks("keep-alive"),
    )])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_029_a_stale_window_without_a_lifetime_means_nothing() {
    play([case(ok().cc("stale-while-revalidate=60").etag(A)).then(at(1).val(A))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_030_a_whole_response_with_a_content_range_is_not_stored() {
    let reply = ok().cc("max-age=60").with("content-range", "bytes 0-9/10");
    play([case(reply).not_stored()]).await;
}

#[tokio::test(start_paused = true)]
async fn row_031_lines_of_a_field_keep_their_order() {
    let reply = ok().cc("max-age=60").with("x-a", "1").with("x-a", "2");
    play([case(reply).then(at(1).hit().lines("x-a", &["1", "2"]))]).await;
}
