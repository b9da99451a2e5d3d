//! Keys and variants (RFC 9111 §2, §4.1, RFC 9110 §4.2.3, §12.5).

use cachewarp::CacheBuilder;
use http::Version;

use crate::{
    case::{Case, case, empty, play},
    reply::{B1, B2, Reply, ok, second},
    step::{Step, at},
};

fn varying(vary: &str) -> Reply {
    ok().cc("max-age=60").with("vary", vary)
}

/// A response to a request with this field, which it varies on.
fn selected_by(name: &str, value: &str) -> Case {
    case(varying(name)).asked(name, value)
}

#[tokio::test(start_paused = true)]
async fn row_141_absent_is_not_empty() {
    let first = || case(varying("x-v"));
    play([
        first().then(at(1).hit()),
        first().then(at(1).send("x-v", "").fwd()),
        first().then(at(1).send("x-v", "1").fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_142_variants_live_side_by_side() {
    let one = |seconds| at(seconds).send("x-v", "1");
    let two = |seconds| at(seconds).send("x-v", "2");
    play([empty()
        .then(one(0).reply(varying("x-v")).fwd())
        .then(two(0).reply(varying("x-v").body(B2)).fwd())
        .then(one(1).hit().body(B1))
        .then(two(1).hit().body(B2))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_143_the_order_of_codings_does_not_matter() {
    play([selected_by("accept-encoding", "gzip, br")
        .then(at(1).send("accept-encoding", "br,gzip;q=1.0").hit())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_144_the_order_of_languages_does() {
    let first = || selected_by("accept-language", "en, de");
    play([
        first().then(at(1).send("accept-language", "EN ,de").hit()),
        first().then(at(1).send("accept-language", "de, en").fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_145_lines_of_a_field_are_one_value() {
    let first = || selected_by("foo", "1, 2");
    play([
        first().then(at(1).send("foo", "1").send("foo", "2").hit()),
        first().then(at(1).send("foo", "1,2").fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_146_a_new_variant_takes_the_place_of_those_its_request_selects() {
    let ask = |seconds, y: &str| at(seconds).send("x", "1").send("y", y);
    let replaced = || {
        case(varying("x")).asked("x", "1").then(
            ask(1, "2")
                .cc("no-cache")
                .reply(varying("x, y").body(B2))
                .fwd(),
        )
    };
    play([
        replaced().then(ask(2, "2").hit().age(1).body(B2)),
        replaced().then(ask(2, "3").fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_147_a_variant_ends_the_response_for_everyone() {
    let german = at(1)
        .send("accept-language", "de")
        .cc("no-cache")
        .reply(varying("accept-language").body(B2))
        .fwd();
    let replaced = || case(ok().cc("max-age=60")).then(german.clone());
    play([
        replaced().then(at(2).send("accept-language", "fr").fwd()),
        replaced().then(at(2).fwd()),
        replaced().then(at(2).send("accept-language", "de").hit().age(1).body(B2)),
    ])
    .await;

    // The other way round, a response without `Vary` varies like the ones beside it.
    let ask = |seconds, language| at(seconds).send("accept-language", language);
    play([selected_by("accept-language", "de")
        .then(ask(1, "fr").reply(second().cc("max-age=60")).fwd())
        .then(ask(2, "fr").hit().age(1).body(B2))
        .then(ask(2, "de").hit())
        .then(ask(2, "en").fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_148_every_part_of_a_uri_counts() {
    let first = || case(ok().cc("max-age=60"));
    let others = [
        "https://a.test/x",
        "http://b.test/x",
        "http://a.test/x?",
        "http://a.test/X",
    ];
    play([first().then(at(1).uri("http://A.TEST:80/x").hit())]).await;
    play(others.map(|uri| first().then(at(1).uri(uri).reply(second()).fwd()))).await;
}

#[tokio::test(start_paused = true)]
async fn row_149_both_versions_of_http_share_a_key() {
    let one = |seconds| -> Step { at(seconds).uri("/x").send("host", "a.test") };
    let two = |seconds| at(seconds).version(Version::HTTP_2);
    let reply = || ok().cc("max-age=60");
    play([
        empty().then(one(0).reply(reply()).fwd()).then(two(1).hit()),
        empty().then(two(0).reply(reply()).fwd()).then(one(1).hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_202_ignored_query_parameters_name_no_other_resource() {
    let first = || {
        let case = case(ok().cc("max-age=60").etag("\"a\""));
        case.set(|b| b.ignore_query(["utm_*", "fbclid"]))
    };
    let shop = |query| at(1).uri(query);
    play([
        first().then(shop("http://a.test/x?utm_source=mail").hit()),
        first().then(shop("http://a.test/x?fbclid=1&utm%5Fid=2").hit()),
        first().then(shop("http://a.test/x?page=2").fwd()),
        first().then(shop("http://a.test/x?UTM_source=mail").fwd()),
        first().then(shop("http://a.test/x?my_utm_source=mail").fwd()),
        // A write to it is one to the resource.
        first()
            .then(shop("http://a.test/x?utm_source=mail").method("PUT").fwd())
            .then(at(2).val("\"a\"")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_203_the_order_of_query_parameters_counts_unless_it_is_switched_off() {
    let first = || {
        let case = case(ok().cc("max-age=60"));
        case.first(|step| step.uri("http://a.test/x?b=1&a=2&a=1"))
    };
    let sorted = || first().set(CacheBuilder::sort_query);
    let other = |query| at(1).uri(query);
    play([
        first().then(other("http://a.test/x?a=2&a=1&b=1").fwd()),
        sorted().then(other("http://a.test/x?a=2&b=1&a=1").hit()),
        sorted().then(other("http://a.test/x?a=2&a=1&b=1").hit()),
        // Equal names keep their order.
        sorted().then(other("http://a.test/x?a=1&a=2&b=1").fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_204_languages_are_those_that_the_service_has() {
    let first =
        || selected_by("accept-language", "de-AT, en;q=0.5").set(|b| b.languages(["en", "de"]));
    let ask = |line: &str| at(1).send("accept-language", line);
    play([
        first().then(ask("de").hit()),
        first().then(ask("fr, de-CH;q=0.1").hit()),
        first().then(ask("en-GB, de").fwd().saw("accept-language", "en")),
        first().then(ask("fr").fwd().saw("accept-language", "en")),
        first().then(ask("*;q=0").fwd().saw("accept-language", "en")),
        first().then(at(1).fwd().saw("accept-language", "en")),
        // One variant for all of those.
        first()
            .then(ask("fr").reply(varying("accept-language").body(B2)).fwd())
            .then(at(2).send("accept-language", "it").hit().age(1).body(B2))
            .then(at(2).hit().age(1).body(B2)),
    ])
    .await;
}
