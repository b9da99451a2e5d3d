//! Heuristic lifetimes and `immutable` (RFC 9111 §4.2.2, RFC 8246).

use cachewarp::Heuristics;

use crate::{
    case::{Case, case, play},
    date::http_date,
    reply::{ok, status},
    step::at,
};

const A: &str = "\"a\"";

fn guessing(case: Case) -> Case {
    case.set(|b| b.heuristics(Heuristics::default()))
}

#[tokio::test(start_paused = true)]
async fn row_055_a_tenth_of_the_time_since_the_last_change() {
    play([guessing(case(ok().modified(-1000)))
        .then(at(99).hit())
        .then(at(100).val_since(&http_date(-1000)))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_056_a_day_at_the_most() {
    play([guessing(case(ok().modified(-100 * 86_400))).then(at(0).hit().ttl(86_400))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_057_an_invalid_lifetime_leaves_nothing_to_guess() {
    let modified = http_date(-1_000_000);
    let old = || ok().modified(-1_000_000);
    play([
        guessing(case(old().cc("max-age=abc"))).then(at(1).val_since(&modified)),
        guessing(case(old().with("expires", "0"))).then(at(1).val_since(&modified)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_058_nothing_is_guessed_about_answers_to_cookies() {
    play([guessing(case(ok().modified(-1_000_000)))
        .asked("cookie", "s=1")
        .not_stored()])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_059_nothing_is_guessed_about_other_statuses() {
    play([guessing(case(status(403).modified(-1_000_000))).not_stored()]).await;
}

#[tokio::test(start_paused = true)]
async fn row_060_immutable_ends_with_freshness() {
    play([case(ok().cc("max-age=60, immutable").etag(A))
        .then(at(59).hit())
        .then(at(61).val(A))])
    .await;
}
