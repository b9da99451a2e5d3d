//! Responses to POST that answer GET and HEAD of the same URI (RFC 9110 §9.3.3).

use std::sync::Arc;

use http::Method;

use crate::{
    case::{Case, case, empty, play},
    reply::{B1, B2, Gate, Reply, ok, second, status},
    site::{Site, settle},
    step::{Step, at},
};

const HERE: &str = "http://a.test/x";

fn allowed() -> Case {
    empty().set(|b| b.post_fills_get("/x"))
}

fn post(seconds: i64) -> Step {
    at(seconds)
        .method("POST")
        .content("a form")
        .send("content-length", "6")
}

/// What the origin makes of the resource.
fn made() -> Reply {
    second().cc("max-age=60").with("content-location", HERE)
}

#[tokio::test(start_paused = true)]
async fn row_181_a_post_fills_get_and_head_where_the_settings_allow_it() {
    let posted = |reply: Reply| allowed().then(post(0).reply(reply).fwd());
    play([
        posted(made())
            .then(at(59).hit().body(B2))
            .then(at(59).method("HEAD").hit())
            .then(at(60).fwd()),
        posted(second().expires(60).with("content-location", HERE)).then(at(1).hit().body(B2)),
        posted(second().cc("s-maxage=60").with("content-location", HERE))
            .then(at(1).hit().body(B2)),
        // Off by default.
        empty().then(post(0).reply(made()).fwd()).not_stored(),
        // It never answers a POST.
        posted(made()).then(post(1).reply(ok()).fwd()),
        // What was stored before is invalidated first.
        case(ok().cc("max-age=600").etag("\"a\""))
            .set(|b| b.post_fills_get("/x"))
            .then(post(1).reply(made()).fwd())
            .then(at(2).hit().age(1).body(B2)),
        case(ok().cc("max-age=600").etag("\"a\""))
            .set(|b| b.post_fills_get("/x"))
            .then(post(1).reply(made().cc("no-store")).fwd())
            .then(at(2).val("\"a\"")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_content_location_has_to_be_the_target() {
    let posted = |step: Step, location: &str| {
        let reply = second().cc("max-age=60").with("content-location", location);
        let uri = step.uri.to_string();
        empty()
            .set(|b| b.post_fills_get("*"))
            .then(step.reply(reply).fwd())
            .then(at(1).uri(&uri).hit().body(B2))
    };
    let elsewhere = |location: &str| {
        let reply = second().cc("max-age=60").with("content-location", location);
        allowed().then(post(0).reply(reply).fwd()).not_stored()
    };
    let with_query = || post(0).uri("http://a.test/x?a=1");
    play([
        posted(post(0), "/x"),
        posted(post(0), "x"),
        posted(post(0), "//a.test/x"),
        posted(post(0), "HTTP://A.test:80/x"),
        posted(with_query(), "/x?a=1"),
        posted(with_query(), "?a=1"),
        posted(post(0).uri("http://a.test/"), "/"),
        posted(post(0).uri("http://a.test/a%7Cb"), "/a%7Cb"),
    ])
    .await;
    play(
        [
            "",
            "/y",
            "/x/",
            "/x?",
            "/x?a=1",
            "/X",
            "/%78",
            "/x#a",
            "https://a.test/x",
            "http://b.test/x",
            "http://a.test:81/x",
            "not a uri",
            "/x, /x",
        ]
        .map(elsewhere),
    )
    .await;
    let twice = made().with("content-location", HERE);
    play([
        allowed()
            .then(post(0).reply(second().cc("max-age=60")).fwd())
            .not_stored(),
        allowed().then(post(0).reply(twice).fwd()).not_stored(),
        empty()
            .set(|b| b.post_fills_get("/x"))
            .then(with_query().reply(made()).fwd())
            .then(at(1).uri("http://a.test/x?a=1").fwd()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn everything_that_keeps_a_get_from_being_stored_keeps_a_post_from_it() {
    let refused = |step: Step, reply: Reply| allowed().then(step.reply(reply).fwd()).not_stored();
    let at_x = || second().with("content-location", HERE);
    play([
        // No lifetime of its own.
        refused(post(0), at_x()),
        refused(post(0), at_x().modified(-1000)),
        refused(post(0), at_x().cc("public")),
        refused(post(0), at_x())
            .set(|b| b.ttl(cachewarp::FixedTtl::new(std::time::Duration::from_secs(60)))),
        refused(post(0), at_x().cc("public").modified(-1000))
            .set(|b| b.heuristics(cachewarp::Heuristics::default())),
        refused(post(0), made().cc("no-store")),
        refused(post(0), made().cc("private")),
        refused(post(0), made().with("set-cookie", "a=b")),
        refused(post(0), made().with("vary", "*")),
        refused(post(0), made().with("vary", "cookie")),
        refused(post(0).send("authorization", "Basic YTpi"), made()),
        refused(post(0).cc("no-store"), made()),
        refused(post(0).send("x-http-method-override", "PUT"), made()),
        refused(post(0).send("x-original-url", "/y"), made()),
        // Other statuses say what became of the POST.
        refused(post(0), made().status(201)),
        refused(post(0), made().status(202)),
        refused(post(0), made().status(206)),
        refused(post(0), made().status(303)),
        refused(post(0), made().status(404)),
        refused(post(0), made().then_fail()).first(Step::body_fails),
        refused(post(0), made().with("content-length", "99")).first(Step::body_fails),
    ])
    .await;
    let other = |method: &str| {
        let step = post(0).method(method).reply(made()).fwd();
        allowed().then(step).not_stored()
    };
    play(["PUT", "PATCH", "DELETE", "QUERY", "post"].map(other)).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_post_carried_does_not_get_in_the_way() {
    let posted = |step: Step, reply: Reply| allowed().then(step.reply(reply).fwd());
    play([
        posted(post(0).send("if-match", "\"a\""), made()).then(at(1).hit().body(B2)),
        posted(post(0).send("content-type", "text/plain"), made()).then(at(1).hit().body(B2)),
        posted(post(0).send("authorization", "a"), made().cc("public")).then(at(1).hit().body(B2)),
        // The response is the variant that the request of the POST selects.
        posted(post(0).send("accept", "a"), made().with("vary", "accept"))
            .then(at(1).fwd())
            .then(at(1).send("accept", "a").hit().body(B2)),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_path_is_a_pattern() {
    let posted = |pattern: &'static str, path: &str| {
        let uri = format!("http://a.test{path}");
        let reply = second().cc("max-age=60").with("content-location", &uri);
        empty()
            .set(move |b| b.post_fills_get("/other").post_fills_get(pattern))
            .then(post(0).uri(&uri).reply(reply).fwd())
            .then(at(1).uri(&uri))
    };
    let expect = |story: Case, change: fn(Step) -> Step| story.last(change);
    play([
        expect(posted("/orders/*", "/orders/1"), |step| step.hit().body(B2)),
        expect(posted("/orders/*", "/orders/1?a"), |step| {
            step.hit().body(B2)
        }),
        expect(posted("*/search", "/a/search"), |step| step.hit().body(B2)),
        expect(posted("*", "/other"), |step| step.hit().body(B2)),
        expect(posted("/orders/*", "/orders"), Step::fwd),
        expect(posted("/orders", "/orders/1"), Step::fwd),
        expect(posted("/orders", "/Orders"), Step::fwd),
    ])
    .await;
}

/// The site of a POST whose head or body is held back.
fn held(reply: Reply) -> Arc<Site> {
    let site = Arc::new(Site::new(|b| b.post_fills_get("/x")));
    site.origin.script([reply]);
    site
}

/// What a write at the origin does to the answer of a POST that was there at the same time.
#[tokio::test(start_paused = true)]
async fn a_write_that_ends_in_between_leaves_nothing_stored() {
    let (head, body) = (Gate::new(), Gate::new());
    let slow_body = || ok().cc("max-age=60").with("content-location", HERE);
    for (reply, gate) in [
        (made().held(&head), &head),
        (
            slow_body().body("").then_hold(&body).then(B1).chunked(),
            &body,
        ),
    ] {
        let site = held(reply);
        let posting = tokio::spawn({
            let site = Arc::clone(&site);
            async move { site.ask(post(0).request()).await }
        });
        settle().await;
        site.origin.script([ok()]);
        site.ask(post(0).method("PUT").request()).await.unwrap();
        gate.open();
        assert_eq!(posting.await.unwrap().unwrap().status, 200);
        site.drain().await;
        site.expect(at(1).fwd()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_elsewhere_does_not_keep_it_from_being_stored() {
    let gate = Gate::new();
    let site = held(made().held(&gate));
    let posting = tokio::spawn({
        let site = Arc::clone(&site);
        async move { site.ask(post(0).request()).await }
    });
    settle().await;
    let other = post(0).method("PUT").uri("http://a.test/y");
    site.expect(other.reply(ok()).fwd()).await;
    gate.open();
    posting.await.unwrap().unwrap();
    site.drain().await;
    site.expect(at(1).hit().body(B2)).await;
}

/// A GET that began after the invalidation brings what is more recent.
#[tokio::test(start_paused = true)]
async fn a_get_that_ends_first_is_not_replaced() {
    let gate = Gate::new();
    let reply = second().cc("max-age=60").with("content-location", HERE);
    let site = held(reply.then_hold(&gate).chunked());
    let posting = tokio::spawn({
        let site = Arc::clone(&site);
        async move { site.ask(post(0).request()).await }
    });
    settle().await;
    site.wait_until(5);
    site.origin.script([ok().cc("max-age=60")]);
    let got = site.ask(at(5).request()).await.unwrap();
    assert_eq!(got.body, B1);
    gate.open();
    posting.await.unwrap().unwrap();
    site.drain().await;
    site.expect(at(6).hit().age(1).body(B1)).await;
    assert_eq!(site.origin.seen(0)[0].method, Method::POST);
}

#[tokio::test(start_paused = true)]
async fn an_error_to_a_post_is_its_own_answer() {
    play([case(ok().cc("max-age=600"))
        .set(|b| b.post_fills_get("/x"))
        .then(
            post(1)
                .reply(status(500).cc("max-age=60").with("content-location", HERE))
                .fwd(),
        )
        .then(at(2).hit())])
    .await;
}
