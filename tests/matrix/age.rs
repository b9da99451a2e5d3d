//! How old a response is (RFC 9111 §4.2.3, §5.1).

use cachewarp::AgePolicy;

use crate::{
    case::{case, empty, play},
    date::http_date,
    reply::{Reply, ok},
    step::at,
};

const A: &str = "\"a\"";

#[tokio::test(start_paused = true)]
async fn row_061_a_response_may_be_old_on_arrival() {
    play([case(ok().cc("max-age=60").with("age", "50"))
        .then(at(9).hit().age(59))
        .then(at(10).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_062_the_first_age_counts() {
    let reply = || ok().cc("max-age=3600").etag(A);
    let aged = |reply: Reply| case(reply).then(at(1).val(A));
    play([
        aged(reply().with("age", "7200")),
        aged(reply().with("age", "7200, 0")),
        aged(reply().with("age", "7200").with("age", "0")),
        aged(reply().with("age", "99999999999")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_063_what_is_no_age_is_none() {
    let invalid = ["abc", "-7200", "7200.0", "0, 7200"];
    play(invalid.map(|age| case(ok().cc("max-age=3600").with("age", age)).then(at(1).hit()))).await;
}

#[tokio::test(start_paused = true)]
async fn row_064_an_old_date_is_an_age_too() {
    let reply = || ok().cc("max-age=3600").etag(A).dated(-7200);
    play([
        case(reply()).then(at(1).val(A)),
        case(reply())
            .set(|b| b.age_policy(AgePolicy::AgeFieldOnly))
            .then(at(1).hit()),
    ])
    .await;
}

/// The request is made at 0 and the response comes at 5.
#[tokio::test(start_paused = true)]
async fn row_065_the_time_of_the_exchange_counts() {
    play([empty()
        .then(at(0).reply(ok().cc("max-age=60").after(5)).fwd())
        .then(at(5).hit().age(5))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_066_age_follows_the_monotonic_clock() {
    play([
        case(ok().cc("max-age=60")).then(at(10).step_wall(-100).hit()),
        case(ok().cc("max-age=60")).then(at(60).step_wall(-100).fwd()),
        // A suspension: the monotonic clock stood still.
        case(ok().cc("max-age=60")).then(at(1).step_wall(3600).fwd()),
        case(ok().cc("max-age=7200")).then(at(1).step_wall(3600).hit().age(3601)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_067_a_response_without_a_date_ages() {
    play([case(ok().cc("max-age=1").undated()).then(at(2).fwd())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_068_a_hit_has_one_age_and_its_own_date() {
    play([case(ok().cc("max-age=60").with("age", "30"))
        .then(at(2).hit().age(32).has("date", http_date(0)))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_069_a_date_in_the_future_makes_nothing_younger() {
    play([case(ok().cc("max-age=60").dated(3600)).then(at(61).fwd())]).await;
}
