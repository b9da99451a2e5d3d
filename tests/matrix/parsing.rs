//! How `Cache-Control`, `Expires`, `Date` and `Pragma` are read (RFC 9111 §1.2.2, §4.2, §5.2, §5.3;
//! RFC 9110 §5.6.4, §5.6.7).

use std::time::Duration;

use cachewarp::{DuplicatePolicy, FixedTtl, Heuristics};

use crate::{
    case::{Case, case, play},
    date::http_date,
    reply::{Reply, error, ok},
    step::at,
};

const A: &str = "\"a\"";

fn tagged(cc: &str) -> Reply {
    ok().cc(cc).etag(A)
}

#[tokio::test(start_paused = true)]
async fn row_032_spellings_of_a_lifetime() {
    let spellings = [
        "max-age=\"60\"",
        "MaX-AgE=60",
        ",, max-age=60 ,",
        "max-age=0060",
    ];
    play(spellings.map(|cc| case(ok().cc(cc)).then(at(59).hit()).then(at(60).fwd()))).await;
}

#[tokio::test(start_paused = true)]
async fn row_033_a_lifetime_that_is_no_number_is_over_at_once() {
    let invalid = [
        "max-age='60'",
        "max-age=-60",
        "max-age=60.5",
        "max-age=60s",
        "max-age=",
    ];
    play(invalid.map(|cc| case(tagged(cc)).then(at(1).val(A)))).await;
    play([case(tagged("max-age").expires(3600)).then(at(1).val(A))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_034_no_space_around_the_equals_sign() {
    let malformed = ["max-age =60", "max-age= 60"];
    play(malformed.map(|cc| case(tagged(cc)).then(at(1).val(A)))).await;
}

#[tokio::test(start_paused = true)]
async fn row_035_an_enormous_lifetime_is_the_largest_there_is() {
    let reply = ok().cc("max-age=99999999999999999999");
    play([case(reply).then(at(31_536_000).hit().ttl(2_147_483_648 - 31_536_000))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_036_two_lifetimes_are_none() {
    let one_line = ["max-age=60, max-age=600", "max-age=600, max-age=60"];
    let two_lines = [("max-age=60", "max-age=600"), ("max-age=600", "max-age=60")];
    play(one_line.map(|cc| case(tagged(cc)).then(at(1).val(A)))).await;
    play(two_lines.map(|(one, two)| case(tagged(one).cc(two)).then(at(1).val(A)))).await;

    let first = |reply: Reply, lifetime: i64| {
        case(reply)
            .set(|b| b.duplicate_directives(DuplicatePolicy::First))
            .then(at(lifetime - 1).hit())
            .then(at(lifetime).val(A))
    };
    play([
        first(tagged("max-age=60, max-age=600"), 60),
        first(tagged("max-age=600, max-age=60"), 600),
        first(tagged("max-age=60").cc("max-age=600"), 60),
        first(tagged("max-age=600").cc("max-age=60"), 600),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_037_the_same_lifetime_twice_is_one() {
    play([
        case(ok().cc("max-age=60, max-age=60")).then(at(1).hit()),
        case(ok().cc("max-age=60").cc("max-age=60")).then(at(1).hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_038_a_quoted_string_holds_no_directive() {
    let quoted = [
        "ext=\"max-age=600\", max-age=1",
        "max-age=1, ext=\"max-age=600\"",
    ];
    play(quoted.map(|cc| case(tagged(cc)).then(at(2).val(A)))).await;
}

#[tokio::test(start_paused = true)]
async fn row_039_a_backslash_hides_a_quote() {
    play([case(ok().cc("ext=\"a\\\", no-store\", max-age=60")).then(at(1).hit())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_040_a_field_that_does_not_end_its_string_is_no_store() {
    play([case(ok().cc("max-age=60, foo=\"bar")).not_stored()]).await;
}

#[tokio::test(start_paused = true)]
async fn row_041_unknown_directives_are_kept_as_they_are() {
    let cc = "max-age=60, foobar, x=1, y=\"2\"";
    play([case(ok().cc(cc)).then(at(1).hit().has("cache-control", cc))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_042_an_invalid_s_maxage_leaves_an_explicit_window_open() {
    play([case(tagged("s-maxage=x, max-age=600, stale-if-error=600"))
        .then(at(1).reply(error(503)).stale_on_error())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_043_pragma_in_a_response_means_nothing() {
    play([case(ok().cc("max-age=60").with("pragma", "no-cache")).then(at(1).hit())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_044_pragma_in_a_request_counts_without_cache_control() {
    let ask = || at(1).send("pragma", "no-cache");
    play([
        case(tagged("max-age=60")).then(ask().val(A)),
        case(tagged("max-age=60")).then(ask().cc("max-age=100").hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_045_expires_does_not_outlast_max_age() {
    play([case(tagged("max-age=0").expires(3600)).then(at(1).val(A))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_046_expires_does_not_cut_max_age_short() {
    play([
        case(ok().cc("max-age=600").with("expires", "0")).then(at(1).hit()),
        case(ok().cc("max-age=600").expires(-3600)).then(at(1).hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_047_s_maxage_comes_before_max_age() {
    play([
        case(ok().cc("max-age=1, s-maxage=600")).then(at(10).hit()),
        case(tagged("max-age=600, s-maxage=1")).then(at(10).val(A)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_048_expires_is_counted_from_the_date() {
    play([case(ok().expires(100))
        .then(at(99).hit())
        .then(at(100).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_049_what_is_no_date_has_expired() {
    let invalid = [
        "0",
        "-1",
        "",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 AEST",
    ];
    play(invalid.map(|expires| case(ok().etag(A).with("expires", expires)).then(at(1).val(A))))
        .await;
}

#[tokio::test(start_paused = true)]
async fn row_050_all_three_formats_of_a_date() {
    let valid = [
        "Thursday, 18-Aug-50 02:01:18 GMT",
        "Thu Aug  8 02:01:18 2050",
        "THU, 18 AUG 2050 02:01:18 gmt",
    ];
    play(valid.map(|expires| case(ok().with("expires", expires)).then(at(1).hit()))).await;
}

#[tokio::test(start_paused = true)]
async fn row_051_a_year_of_two_digits_may_be_in_the_last_century() {
    let reply = ok()
        .etag(A)
        .with("expires", "Sunday, 06-Nov-94 08:49:37 GMT");
    play([case(reply).then(at(1).val(A))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_052_nearly_a_date_is_none() {
    let invalid = [
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
    ];
    play(invalid.map(|expires| case(ok().etag(A).with("expires", expires)).then(at(1).val(A))))
        .await;
}

#[tokio::test(start_paused = true)]
async fn row_053_a_missing_date_is_the_time_of_arrival() {
    let date = http_date(0);
    play([case(ok().undated().expires(100))
        .first(|step| step.has("date", &date))
        .then(at(99).hit().has("date", &date))
        .then(at(100).fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_054_two_expiry_dates_are_none() {
    play([case(ok().etag(A).expires(100).expires(200)).then(at(1).val(A))]).await;
}

/// Where a restriction can stand in a field that is not well formed.
const MALFORMED: [&str; 22] = [
    "max-age=60, no-transform; {}",
    "public; {}, max-age=60",
    "max-age=60, public {}",
    "max-age=60; {}",
    "max-age=60;{}",
    "{};, max-age=60",
    "max-age=60, public\t{}",
    "max-age=60, public: {}",
    "max-age=60, ={}",
    "max-age=60, \"{}\"",
    "max-age=60, \"public, {}\"",
    "max-age=60, '{}'",
    "max-age=60, foo=\"bar\" {}",
    "max-age=60, foo=\"{}\" bar",
    "max-age=60, foo\"bar, {}\"",
    "max-age=60, ({})",
    "max-age=60, public; {}=\"x-user\"",
    "max-age=60, {} =\"x-user\"",
    "max-age=60, {}='x-user'",
    "max-age=60, public|{}",
    "max-age=60, \u{201c}{}\u{201d}",
    "s-maxage=\"60; {}\", max-age=60",
];

#[tokio::test(start_paused = true)]
async fn row_188_a_restriction_counts_wherever_it_stands() {
    for spell in [str::to_lowercase, str::to_uppercase] {
        let lines = |word: &'static str| MALFORMED.map(|line| spell(&line.replace("{}", word)));
        for word in ["no-store", "private"] {
            play(lines(word).map(|cc| case(tagged(&cc)).not_stored())).await;
        }
        play(lines("no-cache").map(|cc| case(tagged(&cc)).then(at(1).val(A)))).await;
    }
    play([
        // Over several lines.
        case(ok().cc("max-age=60").cc("public; private")).not_stored(),
        case(ok().cc("public \"").cc("no-store, x\"").cc("max-age=60")).not_stored(),
        case(ok().cc("max-age=60, private=\"x-a").cc("x-b\"")).not_stored(),
        // A staleness that is forbidden stays forbidden.
        case(tagged(
            "max-age=60, public; must-revalidate, stale-while-revalidate=60",
        ))
        .then(at(61).val(A)),
        // What may lift `no-store` does not where it is unclear what is meant.
        case(ok().cc("max-age=60, must-understand; no-store")).not_stored(),
        case(ok().cc("max-age=60, must-understand, public no-store")).not_stored(),
        // Words that only resemble one, and the well-formed argument of another directive.
        case(ok().cc("max-age=60, x-no-store; not-private, no_cache foo")).then(at(59).hit()),
        case(ok().cc("max-age=60, foo=\"no-store, private\", bar=no-cache")).then(at(59).hit()),
    ])
    .await;
    // A request's restriction does too.
    play([
        case(ok().cc("max-age=60"))
            .asked("cache-control", "max-age=60; no-store")
            .not_stored(),
        case(tagged("max-age=60")).then(at(1).cc("foo bar, 'no-cache'").val(A)),
        case(tagged("max-age=60")).then(at(1).send("pragma", "foo; no-cache").val(A)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_189_nobody_guesses_at_a_response_whose_directives_cannot_be_read() {
    let guessing = |case: Case| {
        case.set(|b| {
            b.ttl(FixedTtl::new(Duration::from_secs(60)))
                .heuristics(Heuristics::default())
        })
    };
    let reply = |cc: &str| ok().cc(cc).modified(-100_000);
    let malformed = [
        "public;",
        "foo bar",
        "foo=",
        "=",
        "\"\"",
        "foo, bar;baz",
        "public, max-age:60",
        "max-age =60, foo",
        "stale-if-error=x",
        "foo=\"a\"b",
        "f\u{f6}o",
    ];
    for cc in malformed {
        let step = at(1).val_since(&http_date(-100_000));
        play([guessing(case(reply(cc))).then(step)]).await;
    }
    let readable = ["", "public", "foo", "foo=1, bar=\"a; b\"", "stale-if-error"];
    play(readable.map(|cc| guessing(case(reply(cc))).then(at(59).hit()))).await;
    // A lifetime that the response itself states counts beside what cannot be read.
    play([guessing(case(ok().cc("max-age=10, foo bar")))
        .then(at(9).hit())
        .then(at(10).fwd())])
    .await;
}
