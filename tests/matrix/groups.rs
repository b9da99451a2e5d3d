//! Cache groups (RFC 9875).

use crate::{
    case::{Case, empty, play},
    reply::{ok, second, status},
    step::{Step, at},
};

fn grouped(uri: &str, groups: &str) -> Step {
    at(0)
        .uri(uri)
        .reply(ok().cc("max-age=60").with("cache-groups", groups))
        .fwd()
}

/// `/x` and `/y` in a group, then a request for `/z` whose response names groups.
fn invalidation(method: &str, code: u16, groups: &str) -> Case {
    empty()
        .then(grouped("http://a.test/x", "\"a\""))
        .then(grouped("http://a.test/y", "\"a\""))
        .then(grouped("http://b.test/x", "\"a\""))
        .then(
            at(1)
                .method(method)
                .uri("http://a.test/z")
                .reply(status(code).with("cache-group-invalidation", groups))
                .fwd()
                .has("cache-group-invalidation", groups),
        )
        .then(at(2).uri("http://b.test/x").hit())
}

#[tokio::test(start_paused = true)]
async fn row_158_an_unsafe_response_invalidates_groups_of_its_origin() {
    play([
        invalidation("POST", 200, "\"b\", \"a\";x=1")
            .then(at(2).uri("http://a.test/x").reply(second()).fwd())
            .then(at(2).uri("http://a.test/y").reply(second()).fwd()),
        invalidation("DELETE", 500, "\"a\"").then(at(2).uri("http://a.test/x").fwd()),
        invalidation("POST", 200, "\"A\"").then(at(2).uri("http://a.test/x").hit()),
        invalidation("GET", 200, "\"a\"").then(
            at(2)
                .uri("http://a.test/x")
                .hit()
                .has("cache-groups", "\"a\""),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_159_the_groups_of_an_invalidated_response_go_with_it_and_no_further() {
    play([empty()
        .then(grouped("http://a.test/x", "\"a\""))
        .then(grouped("http://a.test/y", "\"a\", \"b\""))
        .then(grouped("http://a.test/w", "\"b\""))
        .then(at(1).uri("http://a.test/x").method("PUT").reply(ok()).fwd())
        .then(at(2).uri("http://a.test/x").fwd())
        .then(at(2).uri("http://a.test/y").fwd())
        .then(at(2).uri("http://a.test/w").hit())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_160_a_group_that_is_a_token_is_ignored() {
    for (stored, named) in [
        ("scripts", "scripts"),
        ("scripts", "\"scripts\""),
        ("\"scripts\"", "scripts"),
    ] {
        play([empty()
            .then(grouped("http://a.test/x", stored))
            .then(
                at(1)
                    .method("POST")
                    .uri("http://a.test/z")
                    .reply(ok().with("cache-group-invalidation", named))
                    .fwd(),
            )
            .then(at(2).uri("http://a.test/x").hit())])
        .await;
    }
}
