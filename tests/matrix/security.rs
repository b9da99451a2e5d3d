//! Inputs that must not shape what others get (RFC 9110 §7.6.1, §9.3.1, RFC 9112 §3.2).

use crate::{
    case::{case, empty, play},
    reply::{ok, second},
    step::{Step, at},
};

#[tokio::test(start_paused = true)]
async fn row_165_ambiguous_requests_go_past_the_cache() {
    let own_host = || at(1).uri("/x");
    let odd: [Step; 9] = [
        at(1).send("content-length", "5").content("12345"),
        at(1).content("12345"),
        at(1).send("transfer-encoding", "chunked"),
        at(1).send("x-http-method-override", "POST"),
        at(1).send("x-original-url", "/admin"),
        own_host().send("host", "a.test").send("host", "a.test"),
        own_host().send("host", "a.test").send("host", "b.test"),
        at(1).send("host", "b.test"),
        own_host().send("host", "user@a.test"),
    ];
    play(odd.map(|step| {
        case(ok().cc("max-age=60"))
            .then(step.reply(second().cc("max-age=600")).pass())
            .then(at(2).hit())
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_166_a_forwarded_host_is_part_of_the_key() {
    let fields = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("x-host", "evil.test"),
        ("forwarded", "for=192.0.2.1;host=evil.test"),
        // Some applications do not read it by its grammar.
        ("forwarded", "for=192.0.2.1; Host = evil.test"),
        ("forwarded", "for=192.0.2.1;host\t=evil.test"),
        ("forwarded", "for=192.0.2.1 host=evil.test"),
        ("forwarded", "for=\"a, host=evil.test\""),
        ("forwarded", "for=\"a;proto=https\""),
        ("forwarded", "for=\"\\\", host=evil.test"),
        ("forwarded", "for=\"a, proto=https"),
        ("forwarded", "\"host\"=evil.test"),
        ("forwarded", "by=xhost=evil.test"),
    ];
    play(fields.map(|(name, value)| {
        case(ok().cc("max-age=60"))
            .asked(name, value)
            .then(at(1).send(name, value).hit())
            .then(at(1).fwd())
    }))
    .await;
}

/// Applications differ in how they read this field.
#[tokio::test(start_paused = true)]
async fn whatever_an_application_may_take_for_the_host_is_part_of_the_key() {
    let kept_apart = |one: &str, other: &str| {
        case(ok().cc("max-age=60"))
            .asked("forwarded", one)
            .then(at(1).send("forwarded", one).hit())
            .then(at(1).send("forwarded", other).fwd())
    };
    play([
        // Quotation marks that do not end hide a comma and a semicolon from some.
        kept_apart("for=\"a, host=evil.test", "for=\"a"),
        kept_apart("for=\"a; host=evil.test", "for=\"a"),
        kept_apart("for=\"a;host=evil.test\"", "for=\"a;host=b.test\""),
        kept_apart("for=a;host = evil.test", "for=a;host = b.test"),
        kept_apart("for=a;host\t=evil.test", "for=a"),
        kept_apart("for=a;PROTO =https", "for=a"),
        // Within them, some take a separator for a part of the value.
        kept_apart("host=\"a;evil\"", "host=\"a;b\""),
        kept_apart("host=\"a,evil\"", "host=\"a,b\""),
        kept_apart("host=\"a\\\";evil\"", "host=\"a\\\";b\""),
    ])
    .await;
    let shared = |one: &str, other: &str| {
        case(ok().cc("max-age=60"))
            .asked("forwarded", one)
            .then(at(1).send("forwarded", other).hit())
    };
    play([
        shared("for=a;host=a.test", "for=b;host=a.test"),
        shared("for=\"[2001:db8::1]:80\"", "for=\"[2001:db8::2]:81\";by=c"),
        shared("for=a;host=\"a.test:80\";by=c", "for=b;host=\"a.test:80\""),
        shared("for=a, for=b", "for=\"x;y\""),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_167_access_for_one_origin_is_not_for_another() {
    let one = "https://o1.test";
    play([case(
        ok().cc("max-age=60")
            .with("access-control-allow-origin", one),
    )
    .asked("origin", one)
    .then(at(1).send("origin", one).hit())
    .then(at(1).send("origin", "https://o2.test").fwd())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_168_a_connection_option_hides_nothing_that_selects() {
    let reply = ok().cc("max-age=60").with("vary", "accept-language");
    play([empty()
        .then(
            at(0)
                .send("connection", "accept-language")
                .send("accept-language", "de")
                .reply(reply)
                .pass(),
        )
        .then(at(1).send("accept-language", "de").fwd())
        .then(at(1).fwd())])
    .await;
}
