//! Requests that are not plain: they have credentials or a cookie that counts. What only a policy or
//! a guess gave a lifetime is not for them, and not refreshed by them.

use std::{sync::Arc, time::Duration};

use cachewarp::{Bypass, CacheBuilder, CacheOutcome, FixedTtl, Heuristics};

use crate::{
    case::{Case, case, empty, play},
    reply::{B1, B2, Gate, Reply, down, error, ok, second, status},
    site::{Site, settle},
    step::{Step, at},
};

const MINUTE: Duration = Duration::from_secs(60);

/// One line of a request that is not plain, and the word for it in `Cache-Status`.
const PERSONAL: [(&str, &str, &str); 9] = [
    ("cookie", "session=1", "cookie"),
    ("authorization", "Basic dTpw", "credentials"),
    ("proxy-authorization", "Basic dTpw", "credentials"),
    ("x-api-key", "k", "credentials"),
    ("apikey", "k", "credentials"),
    ("x-access-token", "k", "credentials"),
    ("x-amz-security-token", "k", "credentials"),
    ("x-xsrf-token", "k", "credentials"),
    ("dpop", "k", "credentials"),
];

/// A minute for what states no lifetime, and two more minutes of stale answers of each kind.
fn given(builder: CacheBuilder) -> CacheBuilder {
    builder
        .ttl(FixedTtl::new(MINUTE))
        .stale_while_revalidate(2 * MINUTE)
        .stale_if_error(2 * MINUTE)
}

/// Nothing but the policy says how long the response to a plain request is fresh.
#[track_caller]
fn policy_page(reply: Reply) -> Case {
    case(reply).set(given)
}

/// Plays a case for each kind of request that is not plain.
async fn each(of: impl Fn(Box<dyn Fn(i64) -> Step>) -> Case) {
    play(PERSONAL.map(|(name, value, _)| of(Box::new(move |t| at(t).send(name, value))))).await;
}

#[tokio::test(start_paused = true)]
async fn row_193_a_lifetime_by_policy_is_for_plain_requests() {
    play(PERSONAL.map(|(name, value, reason)| {
        policy_page(ok())
            .then(
                at(1)
                    .send(name, value)
                    .reply(second())
                    .pass()
                    .has(
                        "cache-status",
                        format!("cachewarp; fwd=bypass; detail={reason}"),
                    )
                    .has("x-cache", "BYPASS"),
            )
            .then(at(2).hit())
    }))
    .await;
}

/// No directive of the request changes that.
#[tokio::test(start_paused = true)]
async fn whatever_they_ask_for_they_are_not_answered_from_it_and_leave_it_alone() {
    for directives in [
        "no-cache",
        "max-age=0",
        "max-stale",
        "min-fresh=1000",
        "no-store",
    ] {
        each(|personal| {
            policy_page(ok().etag("\"a\""))
                .then(personal(1).cc(directives).reply(second()).pass())
                .then(at(2).hit())
        })
        .await;
    }
    each(|personal| {
        policy_page(ok())
            .then(personal(1).cc("only-if-cached").refuse())
            .then(at(2).hit())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn their_conditions_ranges_and_heads_are_the_origins() {
    each(|personal| {
        let a_head = || personal(4).method("HEAD");
        policy_page(ok().etag("\"a\""))
            .then(
                personal(1)
                    .send("if-none-match", "\"a\"")
                    .reply(status(304).etag("\"a\"").cc("max-age=9999"))
                    .pass(),
            )
            .then(
                personal(2)
                    .send("if-none-match", "\"b\"")
                    .reply(second())
                    .pass(),
            )
            .then(
                personal(3)
                    .send("range", "bytes=0-1")
                    .reply(status(206).with("content-range", "bytes 0-9/10"))
                    .pass(),
            )
            .then(a_head().reply(ok().etag("\"a\"").cc("max-age=9999")).pass())
            .then(a_head().reply(ok().etag("\"b\"").with("x-new", "1")).pass())
            .then(a_head().reply(error(404)).pass())
            .then(at(5).hit().lacks("x-new"))
            // The lifetime is the one of the policy still, and the validator that of the first.
            .then(at(59).hit())
            .then(at(181).val("\"a\""))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_194_a_stale_one_is_neither_served_nor_validated_for_them() {
    for reply in [ok(), ok().etag("\"a\""), ok().modified(-9)] {
        each(|personal| {
            policy_page(reply.clone())
                // Within both windows.
                .then(personal(70).reply(second()).pass())
                .then(personal(71).reply(error(503)).pass())
                .then(personal(72).reply(down()).error())
                .then(personal(73).cc("max-stale").reply(second()).pass())
                .then(at(74).reply(error(503)).stale_and_refresh())
        })
        .await;
    }
    each(|personal| {
        let page = policy_page(ok().etag("\"a\""));
        page.then(personal(200).reply(second()).pass())
            .then(at(201).reply(status(304)).val("\"a\""))
            .then(at(202).hit().age(1))
    })
    .await;
}

/// A failure that a plain request saw a moment ago does not make them get the stale one either.
#[tokio::test(start_paused = true)]
async fn in_a_pause_they_go_to_the_origin() {
    let no_background = |b: CacheBuilder| given(b).stale_while_revalidate(None);
    play(PERSONAL.map(|(name, value, _)| {
        case(ok())
            .set(no_background)
            .then(at(61).reply(error(503)).stale_on_error())
            .then(at(62).send(name, value).reply(second()).pass())
            .then(at(63).stale_paused())
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_origin_does_not_make_them_get_the_stale_one() {
    let slow = |b: CacheBuilder| {
        given(b)
            .stale_while_revalidate(None)
            .soft_timeout(Duration::from_secs(1))
    };
    play(PERSONAL.map(|(name, value, _)| {
        case(ok())
            .set(slow)
            .then(at(61).send(name, value).reply(second().after(5)).pass())
    }))
    .await;
}

/// The origin's own word is for everybody whom it does not exclude (RFC 9111 §3.5).
#[tokio::test(start_paused = true)]
async fn row_195_what_the_origin_gave_a_lifetime_answers_them() {
    let replies = [
        ok().cc("max-age=60"),
        ok().cc("s-maxage=60"),
        ok().cc("public, max-age=60"),
        ok().expires(60),
        // The policy's lifetime, and the origin's word that it may be shared.
        ok().cc("public"),
        ok().cc("must-revalidate, public"),
    ];
    for reply in replies {
        each(|personal| policy_page(reply.clone()).then(personal(1).hit())).await;
    }
}

/// What they fetch is stored only if the origin says so.
#[tokio::test(start_paused = true)]
async fn what_they_fetch_gets_no_lifetime_by_policy() {
    for reply in [
        ok(),
        ok().etag("\"a\""),
        ok().cc("must-revalidate"),
        status(404),
    ] {
        each(|personal| {
            empty()
                .set(given)
                .then(personal(0).reply(reply.clone()).fwd())
                .then(personal(1).reply(reply.clone()).fwd())
                .then(at(2).reply(reply.clone()).fwd())
                .then(at(3).age(1).status(reply.code().as_u16()).hit())
        })
        .await;
    }
    each(|personal| {
        empty()
            .set(given)
            .then(personal(0).reply(ok().cc("public")).fwd())
            .then(at(1).hit())
            .then(personal(2).hit())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_guessed_lifetime_is_for_plain_requests_too() {
    let guessing = |b: CacheBuilder| b.heuristics(Heuristics::default());
    let old = || ok().modified(-36_000);
    play(PERSONAL.map(|(name, value, _)| {
        case(old())
            .set(guessing)
            .then(at(1).send(name, value).reply(second()).pass())
            .then(at(2).hit())
    }))
    .await;
    play(PERSONAL.map(|(name, value, _)| {
        case(old().cc("public"))
            .set(guessing)
            .then(at(1).send(name, value).hit())
    }))
    .await;
}

/// Only the variant that they select counts.
#[tokio::test(start_paused = true)]
async fn another_variant_does_not_make_them_bypass_the_cache() {
    let german = || ok().with("vary", "accept-language");
    each(|personal| {
        policy_page(german())
            .first(|step| step.send("accept-language", "de"))
            .then(
                personal(1)
                    .send("accept-language", "fr")
                    .reply(german().cc("public, max-age=60"))
                    .fwd(),
            )
            .then(personal(2).send("accept-language", "fr").age(1).hit())
            .then(
                personal(3)
                    .send("accept-language", "de")
                    .reply(second())
                    .pass(),
            )
            .then(at(4).send("accept-language", "de").hit())
    })
    .await;
}

/// The page of `policy_credentials` has all of them.
#[tokio::test(start_paused = true)]
async fn every_field_of_the_documented_list_counts() {
    const PAGE: &str = include_str!("../../src/builder/rules.rs");
    let (_, list) = PAGE.split_once("- keys and tokens: ").unwrap();
    let (list, _) = list.split_once("`.\n").unwrap();
    let names: Vec<_> = list.split('`').skip(1).step_by(2).collect();
    for known in [
        "x-api-key",
        "token",
        "remote-email",
        "x-consumer-username",
        "cf-access-authenticated-user-email",
        "x-session-id",
        "x-webauth-user",
    ] {
        assert!(names.contains(&known), "{known}");
    }
    play(names.into_iter().map(|name| {
        case(ok())
            .set(given)
            .then(at(1).send(name, "k").reply(second()).pass())
            .then(at(2).hit())
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_fields_that_count_are_a_setting() {
    let x_tenant = || at(1).send("x-tenant", "1");
    let x_api_key = || at(1).send("x-api-key", "1");
    let only = |b: CacheBuilder| given(b).policy_credentials(["x-tenant"]);
    let also = |b: CacheBuilder| given(b).also_policy_credentials(["X-Tenant"]);
    let wildcard = |b: CacheBuilder| given(b).policy_credentials(["X-Ten*"]);
    let any = |b: CacheBuilder| given(b).policy_credentials(["*"]);
    let like_authorization = |b: CacheBuilder| {
        given(b)
            .policy_credentials([""; 0])
            .credential_headers(["*-Tenant"])
    };
    play([
        case(ok())
            .set(only)
            .then(x_tenant().pass())
            .then(x_api_key().hit()),
        case(ok())
            .set(also)
            .then(x_tenant().pass())
            .then(x_api_key().pass()),
        case(ok())
            .set(wildcard)
            .then(x_tenant().pass())
            .then(x_api_key().hit()),
        // Not only the fields that few requests have.
        case(ok())
            .set(any)
            .then(at(1).send("user-agent", "a").pass()),
        case(ok())
            .set(like_authorization)
            .then(x_tenant().pass())
            .then(x_api_key().hit())
            .then(at(1).send("authorization", "Basic dTpw").pass()),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_keyed_field_has_lifetimes_by_policy_once_it_no_longer_counts() {
    let key = |t, value| at(t).send("x-api-key", value);
    let keyed = |b: CacheBuilder| given(b).key_headers(["x-api-key"]);
    let for_each = move |b: CacheBuilder| {
        keyed(b)
            .without_policy_credentials(["X-Api-Key"])
            .also_policy_credentials(["x-other"])
    };
    play([
        case(ok())
            .set(keyed)
            .then(key(1, "a").reply(second()).fwd())
            .then(key(2, "a").reply(second()).fwd()),
        case(ok())
            .set(for_each)
            .then(key(1, "a").reply(second()).fwd())
            .then(key(2, "a").age(1).body(B2).hit())
            .then(key(3, "b").reply(ok()).fwd())
            .then(key(4, "a").age(3).body(B2).hit())
            .then(key(5, "b").age(2).body(B1).hit())
            .then(at(5).body(B1).hit())
            .then(key(6, "b").send("x-other", "1").pass())
            .then(key(7, "b").send("authorization", "Basic dTpw").pass()),
    ])
    .await;
}

// === Requests at once ===

#[tokio::test(start_paused = true)]
async fn who_waited_for_a_plain_request_gets_an_answer_of_its_own() {
    for (name, value, _) in PERSONAL {
        let site = Arc::new(Site::new(given));
        let gate = Gate::new();
        site.origin.script([ok().held(&gate), second(), second()]);
        let plain = ask(&site, at(0));
        settle().await;
        let own = [(); 2].map(|()| ask(&site, at(0).send(name, value)));
        settle().await;
        gate.open();
        assert_eq!(plain.await.unwrap().body, B1);
        for own in own {
            assert_eq!(own.await.unwrap().body, B2, "{name}");
        }
        site.expect(at(0).hit()).await;
        assert_eq!(site.origin.calls(), 3, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_arriving_is_not_theirs() {
    for (name, value, _) in PERSONAL {
        let site = Arc::new(Site::new(given));
        let gate = Gate::new();
        site.origin
            .script([ok().then_hold(&gate).chunked(), second()]);
        let plain = ask(&site, at(0));
        settle().await;
        let own = site.ask(at(0).send(name, value).request()).await.unwrap();
        assert_eq!(own.body, B2, "{name}");
        gate.open();
        assert_eq!(plain.await.unwrap().body, B1);
    }
}

/// One call for those who are plain, however many wait for the answer to one who is not.
#[tokio::test(start_paused = true)]
async fn a_crowd_behind_one_of_them_is_fetched_for_once() {
    for (name, value, _) in PERSONAL {
        let site = Arc::new(Site::new(given));
        let gate = Gate::new();
        site.origin.script([second().held(&gate), ok()]);
        let own = ask(&site, at(0).send(name, value));
        settle().await;
        let plain = [(); 10].map(|()| ask(&site, at(0)));
        settle().await;
        gate.open();
        assert_eq!(own.await.unwrap().body, B2, "{name}");
        for plain in plain {
            assert_eq!(plain.await.unwrap().body, B1, "{name}");
        }
        assert_eq!(site.origin.calls(), 2, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_the_origin_shares_is_read_by_all_while_it_arrives() {
    let cookie = || at(0).send("cookie", "session=1");
    for (first, next) in [(at(0), cookie()), (cookie(), at(0)), (cookie(), cookie())] {
        let site = Arc::new(Site::new(given));
        let gate = Gate::new();
        let page = ok().cc("max-age=60").then_hold(&gate).chunked();
        site.origin.script([page]);
        let first = ask(&site, first);
        settle().await;
        let next = ask(&site, next);
        settle().await;
        gate.open();
        assert_eq!(first.await.unwrap().body, B1);
        let next = next.await.unwrap();
        assert_eq!(next.body, B1);
        assert!(matches!(next.outcome(), CacheOutcome::Collapsed { .. }));
        assert_eq!(site.origin.calls(), 1);
    }
}

/// 20 of them cost 20 answers, and no refresh besides.
#[tokio::test(start_paused = true)]
async fn they_do_not_refresh_what_they_do_not_get() {
    for stale_at in [1, 70, 200] {
        let site = Arc::new(Site::new(given));
        site.expect(at(0).reply(ok().etag("\"a\"")).fwd()).await;
        for call in 0..20 {
            let personal = at(stale_at).send("cookie", format!("session={call}"));
            site.expect(personal.reply(second().etag("\"b\"")).pass())
                .await;
        }
        assert_eq!(site.origin.calls(), 21, "at {stale_at}");
        let answer = site.ask(at(stale_at).request()).await.unwrap();
        assert_eq!(answer.body, B1, "at {stale_at}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_outcome_names_the_reason() {
    let site = Site::new(given);
    site.expect(at(0).reply(ok()).fwd()).await;
    let site = &site;
    let outcome = |step: Step| async move { site.ask(step.request()).await.unwrap().outcome() };
    let cookie = outcome(at(0).send("cookie", "session=1")).await;
    assert_eq!(cookie, CacheOutcome::Bypassed(Bypass::Cookie));
    let key = outcome(at(0).send("x-api-key", "1")).await;
    assert_eq!(key, CacheOutcome::Bypassed(Bypass::Credentials));
    let both = at(0).send("cookie", "session=1").send("x-csrf-token", "1");
    let both = outcome(both).await;
    assert_eq!(both, CacheOutcome::Bypassed(Bypass::Credentials));
}

/// Sends a request in a task of its own.
fn ask(site: &Arc<Site>, step: Step) -> tokio::task::JoinHandle<crate::site::Answer> {
    let site = Arc::clone(site);
    tokio::spawn(async move { site.ask(step.request()).await.unwrap() })
}
