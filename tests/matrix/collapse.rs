//! Requests that share one question to the origin (RFC 9111 §4).

use std::{collections::HashSet, sync::Arc, time::Duration};

use cachewarp::{CacheBuilder, CacheOutcome, ConditionalMiss, FixedTtl, SetCookiePolicy};
use tokio::task::JoinSet;

use crate::{
    reply::{B1, Gate, Reply, Unreachable, down, ok, status},
    site::{Answer, Ending, Site, settle},
    step::{Step, at},
};

/// Sends fifty requests at once, each with its number in `X-Number`.
fn fifty(site: &Arc<Site>) -> JoinSet<Result<Answer, Unreachable>> {
    (0..50)
        .map(|number: u32| {
            let site = Arc::clone(site);
            let request = at(0).send("x-number", number.to_string()).request();
            async move { site.ask(request).await }
        })
        .collect()
}

fn is_collapsed(answer: &Answer) -> bool {
    let by_field = answer.lines("cache-status").iter().any(|line| {
        let line = str::from_utf8(line).unwrap();
        line.split("; ").any(|parameter| parameter == "collapsed")
    });
    let by_outcome = matches!(answer.outcome(), CacheOutcome::Collapsed { .. });
    assert_eq!(by_field, by_outcome);
    by_outcome
}

#[tokio::test(start_paused = true)]
async fn row_173_one_question_for_all() {
    let site = Arc::new(Site::plain());
    let gate = Gate::new();
    site.origin.script([ok().cc("max-age=60").held(&gate)]);
    let asked = fifty(&site);
    settle().await;
    gate.open();
    let answers = asked.join_all().await;
    assert_eq!(site.origin.calls(), 1);
    let mut collapsed = 0;
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(
            (answer.body.as_ref(), answer.ending),
            (B1.as_bytes(), Ending::Clean)
        );
        collapsed += usize::from(is_collapsed(&answer));
    }
    assert_eq!(collapsed, 49);
}

/// The first answer is released, and all others ask before the second one is.
#[tokio::test(start_paused = true)]
async fn row_174_what_is_for_one_client_is_shared_with_nobody() {
    for (field, line) in [("cache-control", "private"), ("vary", "x-number")] {
        let site = Arc::new(Site::plain());
        let (first, rest) = (Gate::new(), Gate::new());
        let own = move |request: &http::request::Parts| {
            let number = request.headers["x-number"].to_str().unwrap().to_owned();
            ok().cc("max-age=60").with(field, line).body(number)
        };
        let (one, others) = (first.clone(), rest.clone());
        let calls = site.origin.clone();
        site.origin.answer(move |request| {
            let number: u32 = request.headers["x-number"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            own(request).held(if number == 0 { &one } else { &others })
        });
        let asked = fifty(&site);
        settle().await;
        assert_eq!(calls.calls(), 1);
        first.open();
        settle().await;
        assert_eq!(calls.calls(), 50, "{field}: the others wait for each other");
        rest.open();
        let mut bodies: Vec<u32> = Vec::new();
        for answer in asked.join_all().await {
            let answer = answer.unwrap();
            assert!(!is_collapsed(&answer), "{field}: {answer:?}");
            bodies.push(str::from_utf8(&answer.body).unwrap().parse().unwrap());
        }
        bodies.sort_unstable();
        assert!(bodies.into_iter().eq(0..50), "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn row_175_one_tries_again_for_all_and_nobody_gets_half() {
    the_leader_fails().await;
    the_body_fails().await;
}

/// What one request gets for what it alone carries says nothing about the others.
#[tokio::test(start_paused = true)]
async fn an_answer_to_one_request_does_not_keep_others_from_sharing() {
    let ask = |name: &str, value: &str| at(0).send(name, value);
    let fixed = |b: CacheBuilder| b.ttl(FixedTtl::new(Duration::from_secs(60)));
    let plain = |b: CacheBuilder| b;
    let forwarding = |b: CacheBuilder| b.conditional_miss(ConditionalMiss::Forward);
    type Setting = fn(CacheBuilder) -> CacheBuilder;
    let cases: [(Setting, Step, Reply); 6] = [
        (forwarding, ask("if-none-match", "\"a\""), status(304)),
        (forwarding, ask("if-none-match", "\"a\""), status(412)),
        (plain, ask("range", "bytes=0-1"), status(206)),
        (plain, ask("range", "bytes=99-"), status(416)),
        (fixed, ask("cookie", "a=b"), ok()),
        (fixed, ask("authorization", "Basic dTpw"), ok()),
    ];
    for (settings, step, reply) in cases {
        let site = Arc::new(Site::new(settings));
        let place = format!("{:?} {}", step.headers, reply.code());
        site.expect(step.reply(reply).fwd()).await;
        let gate = Gate::new();
        site.origin.script([ok().cc("max-age=60").held(&gate)]);
        let asked = fifty(&site);
        settle().await;
        gate.open();
        asked.join_all().await;
        assert_eq!(site.origin.calls(), 2, "{place}");
    }
}

/// Where responses with cookies are stored, later requests get the cookies.
#[tokio::test(start_paused = true)]
async fn a_cookie_is_for_one_of_those_who_ask_at_once() {
    let site = Arc::new(Site::new(|b| b.set_cookie(SetCookiePolicy::Store)));
    let cookie = || ok().cc("max-age=60").etag("\"a\"");
    site.origin
        .answer(move |request| cookie().with("set-cookie", request.headers["x-number"].as_bytes()));
    let mut cookies = HashSet::new();
    for answer in fifty(&site).join_all().await {
        let answer = answer.unwrap();
        assert!(!is_collapsed(&answer), "{answer:?}");
        cookies.insert(answer.lines("set-cookie").concat());
    }
    assert_eq!((site.origin.calls(), cookies.len()), (50, 50));
    site.drain().await;
    // It is stored all the same, and the key is none to be asked about alone.
    let hit = site.ask(at(1).request()).await.unwrap();
    assert!(matches!(hit.outcome(), CacheOutcome::Hit { .. }));
    site.wait_until(61);
    let gate = Gate::new();
    site.origin.script([ok().cc("max-age=60").held(&gate)]);
    let asked = fifty(&site);
    settle().await;
    gate.open();
    asked.join_all().await;
    assert_eq!(site.origin.calls(), 51);
}

/// Nor is one that comes with a 304 shared.
#[tokio::test(start_paused = true)]
async fn a_cookie_of_a_304_is_for_one_of_those_who_ask_at_once() {
    let site = Arc::new(Site::new(|b| b.set_cookie(SetCookiePolicy::Store)));
    let tagged = ok().cc("max-age=60").etag("\"a\"");
    site.expect(at(0).reply(tagged).fwd()).await;
    site.wait_until(61);
    site.origin.answer(|request| {
        let number = request.headers["x-number"].as_bytes();
        status(304).etag("\"a\"").with("set-cookie", number)
    });
    for answer in fifty(&site).join_all().await {
        assert!(!is_collapsed(&answer.unwrap()));
    }
    assert_eq!(site.origin.calls(), 51);
}

/// Before there is a head: one of the others asks again, for all.
async fn the_leader_fails() {
    let site = Arc::new(Site::plain());
    let gate = Gate::new();
    site.origin
        .script([down().held(&gate), ok().cc("max-age=60")]);
    let asked = fifty(&site);
    settle().await;
    gate.open();
    let answers = asked.join_all().await;
    assert_eq!(site.origin.calls(), 2);
    let failed = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(failed, 1, "the error is for the one whose request it was");
    for answer in answers.into_iter().flatten() {
        assert_eq!(
            (answer.body.as_ref(), answer.ending),
            (B1.as_bytes(), Ending::Clean)
        );
    }
}

/// Cut at half: no reader takes it for the whole body.
async fn the_body_fails() {
    let site = Arc::new(Site::plain());
    let (head, rest) = (Gate::new(), Gate::new());
    let reply = ok()
        .cc("max-age=60")
        .held(&head)
        .body("01234")
        .then_hold(&rest);
    site.origin
        .script([reply.then_fail().chunked(), ok().cc("max-age=60")]);
    let asked = fifty(&site);
    settle().await;
    head.open();
    settle().await;
    rest.open();
    for answer in asked.join_all().await {
        let answer = answer.unwrap();
        assert_eq!(
            (answer.body.as_ref(), answer.ending),
            (&b"01234"[..], Ending::Error)
        );
    }
    assert_eq!(site.origin.calls(), 1);
    // Those who come after get a whole one, by one question.
    for answer in fifty(&site).join_all().await {
        let answer = answer.unwrap();
        assert_eq!(
            (answer.body.as_ref(), answer.ending),
            (B1.as_bytes(), Ending::Clean)
        );
    }
    assert_eq!(site.origin.calls(), 2);
}
