//! What HEAD and writes do to stored responses (RFC 9111 §4.3.5, §4.4).

use std::sync::Arc;

use cachewarp::CacheBuilder;

use crate::{
    case::{Case, case, play},
    date::http_date,
    reply::{Gate, Reply, error, ok, second, status},
    site::{Answer, Site},
    step::{Step, at},
};

const A: &str = "\"a\"";

fn tagged() -> Reply {
    ok().cc("max-age=60").etag(A)
}

#[tokio::test(start_paused = true)]
async fn row_134_a_forwarded_head_speaks_of_the_stored_get() {
    let head = |reply: Reply| {
        let ask = at(10).method("HEAD").cc("no-cache").reply(reply).fwd();
        case(tagged()).then(ask)
    };
    play([
        head(ok().etag(A).cc("max-age=999").with("x-new", "1"))
            .then(at(500).hit().age(490).has("x-new", "1")),
        head(ok().etag("\"b\"").cc("max-age=999")).then(at(11).val(A)),
        head(ok().etag(A).body("of another length")).then(at(11).val(A)),
        head(ok().etag(A).cc("no-store")).then(at(11).fwd()),
        head(status(404)).then(at(11).hit()).then(at(60).val(A)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_192_a_head_that_confirms_no_validator_refreshes_nothing() {
    let head = |stored: Reply, answer: Reply| {
        let answer = answer.cc("max-age=600").with("x-new", "1");
        case(stored.cc("max-age=60")).then(at(10).method("HEAD").cc("no-cache").reply(answer).fwd())
    };
    let (tag, weak) = (|| ok().etag(A), || ok().etag("W/\"a\""));
    let (date, both) = (|| ok().modified(-1000), || ok().etag(A).modified(-1000));
    let unconfirmed = [
        (tag(), ok()),
        (tag(), ok().chunked()),
        (weak(), ok()),
        (date(), ok()),
        (both(), ok()),
        (both(), date()),
        (ok(), ok()),
        (ok().etag("a"), ok().etag("a")),
        (
            ok().with("last-modified", "never"),
            ok().with("last-modified", "never"),
        ),
    ];
    // It keeps the lifetime and the fields that it had.
    play(
        unconfirmed
            .clone()
            .map(|(stored, answer)| head(stored, answer).then(at(59).hit().age(59).lacks("x-new"))),
    )
    .await;
    // As the RFC says, it agrees with everything.
    play(unconfirmed.map(|(stored, answer)| {
        head(stored, answer)
            .set(CacheBuilder::rfc_literal)
            .then(at(500).hit().age(490).has("x-new", "1"))
    }))
    .await;

    let confirmed = [
        (tag(), tag()),
        (weak(), weak()),
        (date(), date()),
        (both(), tag()),
    ];
    play(confirmed.map(|(stored, answer)| {
        head(stored, answer).then(at(500).hit().age(490).has("x-new", "1"))
    }))
    .await;

    // Nor does a success confirm an error.
    let missing = status(404).etag(A).cc("max-age=60");
    let found = tag().cc("max-age=600");
    play([case(missing)
        .then(at(10).method("HEAD").cc("no-cache").reply(found).fwd())
        .then(at(59).hit().age(59).status(404))])
    .await;

    // So a response does not stay fresh for ever because of a HEAD from time to time.
    let again = |seconds| {
        at(seconds)
            .method("HEAD")
            .cc("no-cache")
            .reply(ok().cc("max-age=60"))
            .fwd()
    };
    play([case(ok().etag(A).cc("max-age=60"))
        .then(again(20))
        .then(again(40))
        .then(again(59))
        .then(at(60).val(A))])
    .await;
}

/// An answer without a validator agrees with everything, also with what the origin had before.
#[tokio::test(start_paused = true)]
async fn a_head_brings_back_what_was_invalidated_only_by_its_validator() {
    let head = |reply: Reply| {
        case(tagged().modified(-1000))
            .then(at(1).method("POST").reply(ok()).fwd())
            .then(at(2).method("HEAD").reply(reply.cc("max-age=60")).fwd())
    };
    let modified = http_date(-1000);
    play([
        head(ok()).then(at(3).val_both(A, &modified)),
        head(ok().etag(A)).then(at(3).hit().age(1)),
        head(ok().modified(-1000)).then(at(3).val_both(A, &modified)),
        head(ok())
            .set(CacheBuilder::rfc_literal)
            .then(at(3).val_both(A, &modified)),
    ])
    .await;
    // Where nothing is flagged in the store, because a write cannot name every key.
    let extended = |case: Case| case.set(|b| b.key_headers(["x-key"]));
    play([
        extended(head(ok())).then(at(3).val_both(A, &modified)),
        extended(head(ok().etag(A))).then(at(3).hit().age(1)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_135_a_write_invalidates() {
    let writes = [
        ("POST", 200),
        ("PUT", 302),
        ("PATCH", 204),
        ("M-SEARCH", 200),
        ("DELETE", 202),
    ];
    let write = |(method, code): (&str, u16)| at(1).method(method).reply(status(code)).fwd();
    play(writes.map(|it| {
        case(ok().cc("max-age=60"))
            .then(write(it))
            .then(at(2).fwd())
    }))
    .await;
    play(writes.map(|it| case(tagged()).then(write(it)).then(at(2).val(A)))).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_offers_another_protocol_invalidates_unless_it_is_taken_up() {
    let offer = |method: &str, code| {
        case(tagged()).then(
            at(1)
                .method(method)
                .send("connection", "upgrade, http2-settings")
                .send("upgrade", "h2c")
                .reply(status(code))
                .pass(),
        )
    };
    play([
        offer("POST", 200).then(at(2).val(A)),
        offer("PUT", 302).then(at(2).val(A)),
        offer("POST", 101).then(at(2).hit()),
        offer("POST", 404).then(at(2).hit()),
        offer("GET", 200).then(at(2).hit()),
        offer("CONNECT", 200).then(at(2).hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_136_what_is_no_successful_write_here_does_not() {
    let first = || case(ok().cc("max-age=60"));
    play([
        first()
            .then(at(1).method("POST").reply(error(500)).fwd())
            .then(at(2).hit()),
        first()
            .then(at(1).method("POST").reply(status(404)).fwd())
            .then(at(2).hit()),
        first()
            .then(at(1).method("OPTIONS").reply(second()).fwd())
            .then(at(2).hit()),
        first()
            .then(at(1).uri("http://a.test/y").reply(second()).fwd())
            .then(at(2).hit()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_137_a_write_invalidates_what_it_names_of_its_own_origin() {
    let y = |seconds| at(seconds).uri("http://a.test/y");
    let post = |field: &str, uri: &str| {
        case(ok().cc("max-age=60"))
            .first(|step| step.uri("http://a.test/y"))
            .then(
                at(1)
                    .method("POST")
                    .reply(status(201).with(field, uri))
                    .fwd(),
            )
    };
    play([
        post("location", "/y").then(y(2).fwd()),
        post("location", "http://A.test:80/y#part").then(y(2).fwd()),
        post("content-location", "y").then(y(2).fwd()),
        post("location", "//b.test/y").then(y(2).hit()),
        post("location", "https://a.test/y").then(y(2).hit()),
    ])
    .await;
}

/// Clients send what RFC 3986 forbids and `http` takes, or encode it first.
#[tokio::test(start_paused = true)]
async fn a_write_invalidates_what_it_names_however_it_is_spelt() {
    let answered = |stored: &str, target: &str, location: &str, next: fn(Step) -> Step| {
        let stored = format!("http://a.test{stored}");
        let write = at(1)
            .method("POST")
            .uri(&format!("http://a.test{target}"))
            .reply(status(201).with("location", location))
            .fwd();
        case(ok().cc("max-age=60"))
            .first(|step| step.uri(&stored))
            .then(write)
            .then(next(at(2).uri(&stored)))
    };
    let named = [
        ("/dir/c", "/dir/a|b", "c"),
        ("/dir/c", "/dir/a|b", "http://a.test/dir/c#a|b"),
        ("/c", "/dir/a|b", "../c"),
        ("/dir/a|b?q", "/dir/a|b", "?q"),
        ("/dir/a|c", "/dir/x", "a|c"),
        ("/dir/a%7Cc", "/dir/x", "a|c"),
        ("/dir/a%7Cc", "/dir/x", "a%7Cc"),
        ("/{id}/c?a=[1]", "/{id}/x", "c?a=[1]"),
        ("/%7Bid%7D/c?a=%5B1%5D", "/x", "http://a.test/{id}/c?a=[1]"),
        ("/100%/c", "/100%/x", "c"),
        ("/a%20b", "/x", "/a b"),
    ];
    play(named.map(|(stored, target, location)| answered(stored, target, location, Step::fwd)))
        .await;
    let others = [
        ("/dir/a|c", "/dir/x", "a%7Cc"),
        ("/dir/c", "/dir/a|b", "//b.test/dir/c"),
        ("/c", "/x", "//a.test|b/c"),
        ("/dir/c", "/dir/a|b", "/c"),
    ];
    play(others.map(|(stored, target, location)| answered(stored, target, location, Step::hit)))
        .await;
}

#[tokio::test(start_paused = true)]
async fn row_138_what_was_invalidated_stands_in_for_no_error() {
    play([case(ok().cc("max-age=60, stale-if-error=300").etag(A))
        .then(at(1).method("POST").reply(ok()).fwd())
        .then(at(2).reply(error(503)).val(A).status(503))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_139_a_write_invalidates_all_variants() {
    let reply = || ok().cc("max-age=60").with("vary", "x-v");
    play([case(reply())
        .asked("x-v", "1")
        .then(at(0).send("x-v", "2").reply(reply()).fwd())
        .then(at(1).send("x-v", "1").hit())
        .then(at(1).send("x-v", "2").hit())
        .then(at(2).method("DELETE").reply(status(204)).fwd())
        .then(at(3).send("x-v", "1").fwd())
        .then(at(3).send("x-v", "2").fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_140_what_was_fetched_before_a_write_is_not_stored_after_it() {
    let site = Arc::new(Site::plain());
    let gate = Gate::new();
    site.origin.script([ok()
        .cc("max-age=60")
        .body("01234")
        .chunked()
        .then_hold(&gate)
        .then("56789")]);
    let answer = site.send(at(0).request()).await.unwrap();

    let write = site.ask(at(0).method("POST").request());
    assert_eq!(write.await.unwrap().status, 200);
    gate.open();
    assert_eq!(Answer::read(answer).await.body, "0123456789");
    site.drain().await;

    site.expect(at(1).fwd()).await;
}
