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
