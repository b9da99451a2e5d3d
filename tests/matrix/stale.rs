//! Stale answers: while a refresh runs, and in place of errors (RFC 5861, RFC 9111 §4.2.4).

use std::{sync::Arc, time::Duration};

use cachewarp::{CacheOutcome, FixedTtl, SMaxagePolicy, StaleReason};
use futures_util::future::join_all;

use crate::{
    case::{Case, case, play},
    reply::{Gate, Reply, down, error, not_modified, ok, second, silence, status, unready},
    site::{Site, settle},
    step::{Step, at},
};

const A: &str = "\"a\"";

fn tagged(cc: &str) -> Reply {
    ok().cc(cc).etag(A)
}

fn refreshable() -> Reply {
    tagged("max-age=60, stale-while-revalidate=30")
}

#[tokio::test(start_paused = true)]
async fn row_082_any_number_of_stale_answers_start_one_refresh() {
    let site = Arc::new(Site::plain());
    site.expect(at(0).reply(refreshable()).fwd()).await;
    site.wait_until(75);
    let gate = Gate::new();
    site.origin.script([not_modified().etag(A).held(&gate)]);
    let answers = (0..100).map(|_| site.ask(at(75).request()));
    for answer in join_all(answers).await {
        let answer = answer.unwrap();
        let outcome = answer.outcome();
        let stale = matches!(
            outcome,
            CacheOutcome::Stale {
                reason: StaleReason::WhileRevalidate,
                ttl: -15,
                ..
            }
        );
        assert!(stale, "{outcome:?}");
        assert_eq!(answer.lines("age"), [b"75"]);
        assert_eq!(answer.body, "0123456789");
    }
    settle().await;
    let seen = site.origin.seen(1);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["if-none-match"], A);
    gate.open();
    site.drain().await;

    play([
        case(refreshable()).then(at(90).stale_and_refresh()),
        case(refreshable()).then(at(91).val(A)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_083_a_failed_refresh_changes_nothing_and_is_not_repeated_at_once() {
    play([case(refreshable())
        .then(at(80).reply(error(500)).stale_and_refresh())
        .then(at(81).stale_and_wait())
        .then(at(86).reply(error(500)).stale_and_refresh())
        .then(at(91).val(A))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_084_a_refresh_makes_the_next_answer_a_hit() {
    play([case(refreshable())
        .then(
            at(75)
                .reply(not_modified().etag(A).cc("max-age=60"))
                .stale_and_refresh(),
        )
        .then(at(80).hit().age(5))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_085_stale_in_place_of_every_kind_of_failure() {
    let failures = [
        error(500),
        error(502),
        error(503),
        error(504),
        down(),
        unready(),
        silence(),
    ];
    play(failures.map(|failure| {
        case(ok().cc("max-age=60, stale-if-error=300"))
            .then(at(100).reply(failure).stale_on_error())
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_086_other_statuses_are_answers() {
    let passed_on = |code| {
        case(ok().cc("max-age=60, stale-if-error=300")).then(at(100).reply(status(code)).fwd())
    };
    play([
        passed_on(501).then(at(101).reply(error(503)).stale_on_error()),
        passed_on(505).then(at(101).reply(error(503)).stale_on_error()),
        passed_on(404).then(at(101).reply(error(503)).fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_server_error_takes_the_place_of_a_response() {
    let failed = |code| status(code).cc("max-age=600").body("an error page");
    play([501, 505, 507].map(|code| {
        case(tagged("max-age=60"))
            .then(at(1).cc("no-cache").reply(failed(code)).val(A).status(code))
            .then(at(2).hit())
            .then(at(70).reply(failed(code)).val(A).status(code))
            .then(at(71).val(A).status(200))
    }))
    .await;
    // With nothing in its place it is stored for as long as it says.
    play([case(failed(507)).then(at(1).hit().status(507).body("an error page"))]).await;
}

/// Windows of the operator's follow a lifetime: that of the response, or the one it is given.
#[tokio::test(start_paused = true)]
async fn a_default_window_does_not_follow_no_lifetime() {
    let windows = |case: Case, fresh| {
        case.set(move |b| {
            b.ttl(FixedTtl::new(fresh))
                .stale_while_revalidate(Duration::from_secs(30))
                .stale_if_error(Duration::from_secs(300))
        })
    };
    let failing = |step: Step| step.reply(error(503)).val(A).status(503);
    let (half, whole) = (Duration::from_millis(500), Duration::from_secs(1));
    play([
        windows(case(tagged("")), half).then(failing(at(1))),
        windows(case(tagged("max-age=0")), whole).then(failing(at(1))),
        windows(case(tagged("")), whole)
            .then(at(31).reply(error(503)).stale_and_refresh())
            .then(at(32).stale_paused())
            .then(at(37).reply(error(503)).stale_on_error()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_origin_is_left_alone_by_those_who_need_not_ask() {
    let failed = |cc: &str| case(tagged(cc)).then(at(100).reply(error(503)).stale_on_error());
    let lasting = "max-age=60, stale-if-error=300";
    play([
        failed(lasting)
            .then(at(101).stale_paused())
            .then(at(104).stale_paused().age(104).ttl(-44))
            .then(at(106).reply(not_modified().etag(A)).val(A)),
        // Who insists on an answer of the origin's gets it.
        failed(lasting).then(at(101).cc("no-cache").reply(error(503)).val(A).status(503)),
        failed(lasting).then(at(101).cc("max-age=10").stale_paused()),
        // The window closes all the same.
        failed("max-age=60, stale-if-error=41")
            .then(at(101).stale_paused())
            .then(at(102).reply(error(503)).val(A).status(503)),
        failed(lasting)
            .set(|b| b.refresh_pause(Duration::ZERO))
            .then(at(100).reply(error(503)).stale_on_error()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_window_of_zero_seconds_is_none() {
    let none = "max-age=60, stale-while-revalidate=0, stale-if-error=0";
    play([
        case(tagged(none)).then(at(60).reply(not_modified().etag(A)).val(A)),
        case(tagged(none)).then(at(60).reply(error(503)).val(A).status(503)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_087_the_last_second_of_the_window_counts() {
    play([case(ok().cc("max-age=60, stale-if-error=300"))
        .then(at(360).reply(error(503)).stale_on_error())
        .then(at(361).reply(error(503)).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_088_must_revalidate_shuts_the_window() {
    let first = || case(ok().cc("max-age=60, stale-if-error=300, must-revalidate"));
    play([
        first().then(at(61).reply(error(503)).fwd()),
        first().then(at(61).reply(down()).error()),
        first().then(at(61).reply(silence()).refuse_after_asking()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_088b_the_window_beside_s_maxage_is_all_there_is() {
    let first = || case(tagged("s-maxage=60, stale-while-revalidate=30"));
    play([
        first().then(at(61).cc("max-stale").stale_and_refresh()),
        first().then(at(95).cc("max-stale").val(A)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_089_only_the_origin_opens_a_window_beside_s_maxage() {
    play([
        case(tagged("s-maxage=60, stale-while-revalidate=30")).then(at(61).stale_and_refresh()),
        case(tagged("s-maxage=60, stale-while-revalidate=30"))
            .set(|b| b.s_maxage(SMaxagePolicy::Strict))
            .then(at(61).val(A)),
        case(tagged("s-maxage=60"))
            .set(|b| b.stale_while_revalidate(Duration::from_secs(30)))
            .then(at(61).val(A)),
        case(tagged("s-maxage=60, stale-if-error=30"))
            .set(|b| b.stale_while_revalidate(Duration::from_secs(30)))
            .then(at(61).val(A)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_090_a_client_may_open_the_window() {
    let ask = |at: Step| at.cc("stale-if-error=50").reply(error(502));
    play([case(ok().cc("max-age=60"))
        .then(ask(at(100)).stale_on_error())
        .then(ask(at(111)).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_091_a_disconnected_cache_serves_nothing_stale_of_its_own_accord() {
    play([case(ok().cc("max-age=60")).then(at(61).reply(down()).error())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_092_both_windows_begin_where_freshness_ends() {
    let first = || case(ok().cc("max-age=30, stale-while-revalidate=60, stale-if-error=600"));
    play([
        first().then(at(90).reply(error(503)).stale_and_refresh()),
        first()
            .then(at(91).reply(error(503)).stale_on_error())
            .then(at(630).reply(error(503)).stale_on_error())
            .then(at(631).reply(error(503)).fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_185_one_who_insists_on_validation_gets_the_error() {
    let first = || case(ok().cc("max-age=60, stale-if-error=60"));
    play([
        first().then(at(70).cc("no-cache").reply(error(503)).fwd()),
        first().then(
            at(70)
                .cc("no-cache, stale-if-error=60")
                .reply(error(503))
                .stale_on_error(),
        ),
        first().then(at(70).cc("max-age=0").reply(second().status(503)).fwd()),
    ])
    .await;
}

/// Neither an answer to HEAD nor one to credentials or `no-store` is stored for all.
#[tokio::test(start_paused = true)]
async fn requests_whose_answer_is_not_stored_start_no_refresh() {
    play([case(refreshable())
        .then(at(75).send("authorization", "Basic dTpw").stale_and_wait())
        .then(at(75).cc("no-store").stale_and_wait())
        .then(at(75).stale_and_refresh())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_191_a_window_without_a_length_beside_s_maxage_is_that_of_the_operator() {
    let windows = |reply: Reply| {
        case(reply).set(|b| {
            b.stale_while_revalidate(Duration::from_secs(30))
                .stale_if_error(Duration::from_secs(300))
                .targeted_cache_control(["cdn-cache-control"])
        })
    };
    let refreshed = |reply: Reply| {
        [
            windows(reply.clone()).then(at(90).stale_and_refresh()),
            windows(reply.clone()).then(at(91).val(A)),
            // A request's `max-stale` softens it no more than before.
            windows(reply.clone()).then(at(91).cc("max-stale").val(A)),
            // It says nothing of errors.
            windows(reply).then(at(91).reply(error(503)).val(A).status(503)),
        ]
    };
    play(refreshed(tagged("s-maxage=60, stale-while-revalidate"))).await;
    play(refreshed(
        tagged("Stale-While-Revalidate, public").cc("s-maxage=60"),
    ))
    .await;
    let targeted = "s-maxage=60, stale-while-revalidate";
    play(refreshed(ok().etag(A).with("cdn-cache-control", targeted))).await;
    let if_error = || windows(tagged("s-maxage=60, stale-if-error"));
    play([
        if_error().then(at(360).reply(error(503)).stale_on_error()),
        if_error().then(at(361).reply(error(503)).val(A).status(503)),
        if_error().then(at(61).val(A)),
    ])
    .await;

    // It opens nothing that is closed, and nothing where the operator has no window.
    let closed = [
        "s-maxage=60",
        "s-maxage=60, stale-while-revalidate;",
        "s-maxage=60, stale-while-revalidate=",
        "s-maxage=60, stale-while-revalidate, must-revalidate",
        "s-maxage=60, stale-while-revalidate, proxy-revalidate",
        "s-maxage=60, stale-while-revalidate, stale-while-revalidate=5",
    ];
    play(closed.map(|cc| windows(tagged(cc)).then(at(61).val(A)))).await;
    let opened = || tagged("s-maxage=60, stale-while-revalidate, stale-if-error");
    play([
        case(opened()).then(at(61).val(A)),
        windows(opened())
            .set(|b| b.s_maxage(SMaxagePolicy::Strict))
            .then(at(61).val(A)),
        windows(tagged("s-maxage=0, stale-while-revalidate")).then(at(1).val(A)),
    ])
    .await;
}
