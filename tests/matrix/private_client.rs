//! A private cache, for the calls that a program makes with its own credentials (RFC 9111 §3, §3.5,
//! §5.2.2.7, §5.2.2.8, §5.2.2.10): each case beside what a shared cache makes of it.

use std::time::Duration;

use cachewarp::{CacheBuilder, FixedTtl};

use crate::{
    case::{Case, case, empty, play},
    reply::{Reply, error, ok, status},
    step::{Step, at},
};

/// Who asks: the name and the value of a field.
type Who = Option<(&'static str, &'static str)>;

const NOBODY: Who = None;
const TOKEN: Who = Some(("authorization", "Bearer mine"));
const OTHER_TOKEN: Who = Some(("authorization", "Bearer another"));
const KEY: Who = Some(("x-api-key", "mine"));
const COOKIE: Who = Some(("cookie", "session=mine"));
const OTHER_COOKIE: Who = Some(("cookie", "session=another"));

fn ask(seconds: i64, who: Who) -> Step {
    match who {
        Some((name, value)) => at(seconds).send(name, value),
        None => at(seconds),
    }
}

/// A reply to a first request, which is made again a second later.
fn twice(reply: Reply, who: Who, then: impl FnOnce(Step) -> Step) -> Case {
    let first = ask(0, who).reply(reply).fwd();
    empty().then(first).then(then(ask(1, who)))
}

fn private(case: Case) -> Case {
    case.set(CacheBuilder::private_client)
}

#[tokio::test(start_paused = true)]
async fn what_a_private_cache_stores_and_a_shared_one_does_not() {
    for (reply, who) in [
        (ok().cc("private, max-age=60"), NOBODY),
        (ok().cc("private, max-age=60"), TOKEN),
        (ok().cc("private, max-age=60"), KEY),
        (ok().cc("private, max-age=60"), COOKIE),
        (ok().cc("max-age=60"), TOKEN),
        (ok().cc("max-age=60").with("vary", "authorization"), TOKEN),
        (ok().cc("max-age=60").with("vary", "cookie"), COOKIE),
        (ok().cc("private, s-maxage=0, max-age=60"), TOKEN),
        (ok().cc("s-maxage=0, max-age=60"), NOBODY),
        (ok().cc("max-age=60, no-transform; private"), NOBODY),
        (ok().expires(60), TOKEN),
    ] {
        play([
            private(twice(reply.clone(), who, |it| it.hit().age(1))),
            twice(reply, who, Step::fwd),
        ])
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_there_for_the_client() {
    let gone = || status(404).cc("private, max-age=60");
    play([private(twice(gone(), TOKEN, |it| it.hit().status(404)))]).await;
}

#[tokio::test(start_paused = true)]
async fn what_neither_stores() {
    for (reply, who) in [
        (ok().cc("no-store"), TOKEN),
        (ok().cc("private, no-store, max-age=60"), TOKEN),
        (ok().cc("private"), NOBODY),
        // Only the lifetime of shared caches.
        (ok().cc("private, s-maxage=60"), TOKEN),
        (
            ok().cc("private, max-age=60").with("set-cookie", "a=b"),
            TOKEN,
        ),
        (ok().cc("private, max-age=60").with("vary", "*"), TOKEN),
        (status(401).cc("private, max-age=60"), TOKEN),
    ] {
        play([
            private(twice(reply.clone(), who, Step::fwd)),
            twice(reply, who, Step::fwd),
        ])
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_what_was_fetched_with_other_credentials() {
    let all = [NOBODY, TOKEN, OTHER_TOKEN, KEY, COOKIE, OTHER_COOKIE];
    for first in all {
        for second in all {
            let again = ask(1, second);
            let again = if first == second {
                again.hit()
            } else {
                again.fwd()
            };
            let reply = ok().cc("private, max-age=60");
            let stored = empty().then(ask(0, first).reply(reply).fwd());
            play([private(stored.then(again))]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_you_name_are_credentials_too() {
    let mine: Who = Some(("x-tenant", "mine"));
    let reply = || ok().cc("private, max-age=60");
    let named = |case: Case| private(case).set(|it| it.credential_headers(["x-tenant"]));
    play([
        named(twice(reply(), mine, |it| it.hit())),
        named(
            empty()
                .then(ask(0, mine).reply(reply()).fwd())
                .then(at(1).fwd()),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_gives_a_lifetime_to_what_needs_credentials() {
    for who in [NOBODY, TOKEN, KEY, COOKIE] {
        for reply in [ok(), ok().cc("private"), ok().cc("s-maxage=0")] {
            let case = twice(reply, who, |it| it.hit().age(1));
            let minute = || FixedTtl::new(Duration::from_secs(60));
            play([private(case).set(move |it| it.ttl(minute()))]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lifetimes_and_stale_answers() {
    let after_an_error = |directives: &str, then: fn(Step) -> Step| {
        let then = then(at(61).reply(error(503)));
        private(case(ok().cc(directives)).then(then))
            .set(|it| it.stale_if_error(Duration::from_secs(600)))
    };
    play([
        // `max-age` counts, whatever `s-maxage` says.
        private(case(ok().cc("s-maxage=600, max-age=60")))
            .then(at(59).hit())
            .then(at(60).fwd()),
        private(case(ok().cc("s-maxage=1, max-age=60"))).then(at(59).hit()),
        private(case(ok().cc("s-maxage=600").expires(60)))
            .then(at(59).hit())
            .then(at(60).fwd()),
        after_an_error("max-age=60", Step::stale_on_error),
        after_an_error("max-age=60, s-maxage=60", Step::stale_on_error),
        after_an_error("max-age=60, proxy-revalidate", Step::stale_on_error),
        after_an_error("max-age=60, must-revalidate", Step::fwd),
        // What a private cache must validate, it validates.
        private(case(ok().cc("private, no-cache").etag("\"a\""))).then(at(1).val("\"a\"")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_write_invalidates_what_any_credentials_have() {
    let stored = |who| ask(0, who).reply(ok().cc("private, max-age=60")).fwd();
    for writer in [NOBODY, TOKEN, OTHER_TOKEN] {
        let written = empty()
            .then(stored(TOKEN))
            .then(stored(KEY))
            .then(ask(1, writer).method("POST").reply(ok()).fwd())
            .then(ask(2, TOKEN).fwd())
            .then(ask(2, KEY).fwd());
        play([private(written)]).await;
    }
}
