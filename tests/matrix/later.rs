//! Rows about features that are not offered yet: what the cache does without them. What is missing
//! is said in the column *Test* of `ROWS.md`.

use crate::{
    case::{case, empty, play},
    reply::{Reply, ok, second},
    step::{Step, at},
};

/// Stored under one query, not served for these.
async fn told_apart(no_vary_search: &str, query: &str, others: &[&str]) {
    let uri = |query: &str| format!("http://a.test/x?{query}");
    let reply = ok().cc("max-age=60").with("no-vary-search", no_vary_search);
    play(others.iter().map(|other| {
        case(reply.clone())
            .first(|step| step.uri(&uri(query)))
            .then(at(1).uri(&uri(other)).fwd())
            .then(at(1).uri(&uri(query)).hit())
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_161_every_parameter_counts() {
    let others = ["id=1&utm=b", "id=1", "id=2", "utm=z&id=1"];
    told_apart("params=(\"utm\")", "id=1&utm=a", &others).await;
}

#[tokio::test(start_paused = true)]
async fn row_162_every_parameter_counts_without_exception() {
    told_apart("params, except=(\"id\")", "id=1", &["id=1&q=9"]).await;
    told_apart("except=(\"id\")", "id=1", &["id=1&q=9"]).await;
}

#[tokio::test(start_paused = true)]
async fn row_163_the_order_of_parameters_counts() {
    told_apart("key-order", "a=1&b=2", &["b=2&a=1"]).await;
    told_apart("key-order", "a=1&a=2", &["a=2&a=1"]).await;
}

#[tokio::test(start_paused = true)]
async fn row_164_an_invalid_field_changes_nothing() {
    let invalid = ["params=?1", "params=(\"a\"), except=(\"b\")", "params=(a)"];
    for field in invalid {
        told_apart(field, "a=1", &["a=2", "a=1&b=2", ""]).await;
    }
}

fn post(seconds: i64, content_type: &str, content: &'static str) -> Step {
    at(seconds)
        .method("POST")
        .send("content-type", content_type)
        .content(content)
}

fn grpc_ok() -> Reply {
    ok().cc("max-age=60")
        .with("content-type", "application/grpc")
        .chunked()
        .trailer("grpc-status", "0")
}

#[tokio::test(start_paused = true)]
async fn row_178_grpc_passes_with_its_trailers() {
    let call = |seconds| {
        post(seconds, "application/grpc", "\0\0\0\0\x01a")
            .send("te", "trailers")
            .reply(grpc_ok())
            .fwd()
            .trailer("grpc-status", "0")
            .saw("te", "trailers")
    };
    play([empty().then(call(0)).then(call(1)).then(at(2).fwd())]).await;
}

#[tokio::test(start_paused = true)]
async fn row_179_no_grpc_call_is_answered_from_the_cache() {
    let grpc = |content: &'static str, seconds| post(seconds, "application/grpc", content);
    let failed = || {
        ok().cc("max-age=60")
            .with("content-type", "application/grpc")
            .chunked()
            .trailer("grpc-status", "5")
    };
    let trailers_only = || {
        ok().cc("max-age=60")
            .with("content-type", "application/grpc")
            .with("grpc-status", "0")
            .body("")
            .chunked()
    };
    let twice = |reply: Reply| {
        empty()
            .then(grpc("\0\0\0\0\x01a", 0).reply(reply.clone()).fwd())
            .then(grpc("\0\0\0\0\x01a", 1).reply(reply).fwd())
    };
    play([
        twice(failed()),
        twice(trailers_only()),
        twice(grpc_ok().body("\0\0\0\0\x01a\0\0\0\0\x01b")),
        empty()
            .then(grpc("\0\0\0\0\x01a", 0).reply(grpc_ok()).fwd())
            .then(grpc("\0\0\0\0\x01b", 1).reply(grpc_ok()).fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_180_graphql_by_post_is_a_write_like_any_other() {
    let json = "application/json";
    let query = "{\"query\":\"{a}\"}";
    let data = || ok().cc("max-age=60").body("{\"data\":{\"a\":1}}");
    let errors = || {
        ok().cc("max-age=60")
            .body("{\"data\":null,\"errors\":[{}]}")
    };
    let mutation = "{\"query\":\"mutation {a}\"}";
    let batch = "[{\"query\":\"{a}\"},{\"query\":\"{b}\"}]";
    play([
        empty()
            .then(post(0, json, query).reply(data()).fwd())
            .then(post(1, json, query).reply(data()).fwd()),
        empty()
            .then(post(0, json, query).reply(errors()).fwd())
            .then(post(1, json, query).reply(errors()).fwd()),
        empty()
            .then(post(0, json, batch).reply(data()).fwd())
            .then(post(1, json, batch).reply(data()).fwd()),
        case(ok().cc("max-age=60"))
            .then(post(1, json, mutation).reply(data()).fwd())
            .then(at(2).fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_182_query_is_forwarded_and_changes_nothing() {
    let query = |seconds, content: &'static str| {
        at(seconds)
            .method("QUERY")
            .send("content-type", "text/plain")
            .content(content)
            .reply(second().cc("max-age=60"))
            .fwd()
    };
    play([case(ok().cc("max-age=60"))
        .then(query(1, "a"))
        .then(query(2, "a"))
        .then(query(3, "b"))
        .then(at(4).hit())])
    .await;
}
