//! Bodies: whole ones are stored, and nothing else is (RFC 9111 §3.3, RFC 9112 §6, §8); and what
//! is no ordinary response (RFC 9110 §15.2, RFC 8297; RFC 9110 §7.8).

use std::time::Duration;

use cachewarp::OnAbandoned;
use http_body_util::BodyExt;

use crate::{
    case::{case, empty, play},
    reply::{Gate, Tunnel, ok, status},
    site::Site,
    step::at,
};

#[tokio::test(start_paused = true)]
async fn row_169_a_body_that_does_not_end_as_it_should_is_an_error_and_not_stored() {
    let declared = || ok().cc("max-age=60").with("content-length", "10");
    let wrong = [
        declared().body("0123456"),
        declared().body("0123456").then_fail(),
        declared().body("012345678901"),
        declared().body("01234567").then("8901"),
        // For longer than `body_idle_timeout`.
        declared().body("0123456").then_hold(&Gate::new()),
        ok().cc("max-age=60")
            .body("0123456")
            .then_hold(&Gate::new())
            .chunked(),
    ];
    play(wrong.map(|reply| case(reply).first(|step| step.body_fails()).not_stored())).await;
}

#[tokio::test(start_paused = true)]
async fn row_170_a_body_without_a_length_is_stored_with_it() {
    play([
        case(ok().cc("max-age=60").body("01234").then("56789").chunked())
            .first(|step| step.lacks("content-length"))
            .then(at(1).hit().has("content-length", "10")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_171_a_client_that_goes_away_does_not_end_the_fill() {
    for (on_abandoned, next) in [
        (OnAbandoned::Continue, at(1).hit()),
        (OnAbandoned::Discard, at(1).fwd()),
    ] {
        let site = Site::new(|b| b.on_abandoned(on_abandoned));
        let gate = Gate::new();
        let reply = ok().cc("max-age=60").body("01234").then_hold(&gate);
        site.origin.script([reply.then("56789").chunked()]);
        let mut answer = site.send(at(0).request()).await.unwrap();
        let half = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(half.into_data().unwrap(), "01234");
        drop(answer);
        if on_abandoned == OnAbandoned::Discard {
            // Nobody is left to open the gate for.
            assert_eq!(site.handle.drain(Duration::from_secs(1)).await, 0);
        }
        gate.open();
        site.drain().await;
        site.expect(next).await;
    }
}

/// Interim responses are relayed by the server, and pass no layer. A service that returns one all
/// the same has it delivered, and neither it nor its fields are seen again.
#[tokio::test(start_paused = true)]
async fn row_176_an_interim_response_leaves_nothing_behind() {
    let hints = status(103)
        .with("link", "</style.css>; rel=preload")
        .cc("max-age=60");
    play([case(hints)
        .then(at(1).reply(ok().cc("max-age=60")).fwd().lacks("link"))
        .then(at(2).hit().age(1).lacks("link"))])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_177_an_upgrade_passes_untouched() {
    let ask = || {
        at(0)
            .send("connection", "Upgrade")
            .send("upgrade", "websocket")
    };
    let switching = || {
        status(101)
            .undated()
            .with("connection", "Upgrade")
            .with("upgrade", "websocket")
            .upgrade(Tunnel(7))
    };
    let site = Site::plain();
    site.origin.script([switching()]);
    let answer = site.ask(ask().request()).await.unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.extensions.get::<Tunnel>(), Some(&Tunnel(7)));
    assert_eq!(answer.headers.len(), 2, "{:?}", answer.headers);
    let seen = &site.origin.seen(0)[0].headers;
    assert_eq!(seen["connection"], "Upgrade");
    assert_eq!(seen["upgrade"], "websocket");

    play([
        empty().then(ask().reply(switching()).pass()).not_stored(),
        empty()
            .then(ask().reply(ok().cc("max-age=60")).pass())
            .not_stored(),
        // What is stored does not answer it either.
        case(ok().cc("max-age=60")).then(ask().reply(switching()).pass()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_183_a_204_has_no_body_and_no_length() {
    let reply = status(204).cc("max-age=60");
    play([case(reply).then(at(1).hit().status(204).lacks("content-length"))]).await;
}

#[tokio::test(start_paused = true)]
async fn row_184_a_length_stated_twice() {
    let declared = |length| case(ok().cc("max-age=60").with("content-length", length));
    play([
        declared("10, 10").then(at(1).hit().has("content-length", "10")),
        declared("10, 11").not_stored(),
    ])
    .await;
}
