//! Which cookies matter: some are part of the key, some count, some are ignored and removed (RFC
//! 6265bis §4.2).

use std::time::Duration;

use cachewarp::{
    Bypass, CacheBuilder, CacheOutcome, Cookies, FixedTtl, KeyExtension, Keying, VaryCredentials,
};
use http::{HeaderMap, header::COOKIE, request::Parts};

use crate::{
    case::{Case, case, empty, play},
    reply::{B1, Reply, ok, second},
    site::Site,
    step::{Step, at},
};

/// A minute for what states no lifetime.
fn given(builder: CacheBuilder) -> CacheBuilder {
    builder.ttl(FixedTtl::new(Duration::from_secs(60)))
}

fn with(cookies: Cookies) -> impl Fn(CacheBuilder) -> CacheBuilder {
    move |builder| given(builder).cookies(cookies.clone())
}

#[track_caller]
fn cookies(seconds: i64, line: &str) -> Step {
    at(seconds).send("cookie", line)
}

/// The origin gets exactly these lines of `Cookie`.
fn saw(step: Step, lines: &[&str]) -> Step {
    step.saw_lines("cookie", lines)
}

#[track_caller]
fn policy_page() -> Case {
    case(ok()).set(given)
}

#[tokio::test(start_paused = true)]
async fn row_199_ignored_cookies_are_as_good_as_none() {
    for line in [
        "_ga=GA1.2.1",
        "_ga=1; _ga_X=2;_gid=3",
        "_fbp=1; OptanonConsent=a&b=c; __utma=1",
        "_hjSession_1=ey; _pk_id.1=1; _clck=1|2; _uetsid=1; _gcl_au=1.1",
    ] {
        play([
            policy_page().then(cookies(1, line).hit()),
            // Nobody's analytics shape what others get.
            empty()
                .set(given)
                .then(saw(cookies(0, line).reply(ok()), &[]).fwd())
                .then(at(1).hit())
                .then(cookies(2, "_ga=other").hit()),
            policy_page()
                .then(saw(cookies(1, line).cc("no-cache").reply(ok()), &[]).fwd())
                .then(at(2).age(1).hit()),
            policy_page()
                .then(cookies(1, line).method("HEAD").hit())
                .then(saw(cookies(60, line).reply(ok()), &[]).fwd()),
        ])
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn row_200_a_cookie_that_counts_goes_past_what_a_policy_made_storable() {
    for line in [
        "session=1",
        "_ga=1; session=1",
        "session=1; _ga=1",
        "_ga=1; _gid",
        "_ga=1, session=2",
        "_ga=\"1; session=2\"",
        "_GA=1",
        "",
    ] {
        play([
            // Past the cache with all its cookies.
            policy_page()
                .then(saw(cookies(1, line).reply(second()), &[line]).pass())
                .then(at(2).hit()),
            policy_page()
                .then(saw(cookies(1, line).method("HEAD").reply(ok()), &[line]).pass())
                .then(at(2).hit()),
        ])
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn row_201_a_keyed_cookie_has_pages_of_its_own() {
    let lang = || with(Cookies::default().key(["lang", "cur*"]));
    let german = || cookies(0, "lang=de").reply(ok());
    let begin = || empty().set(lang()).then(saw(german(), &["lang=de"]).fwd());
    play([
        begin()
            .then(cookies(1, "lang=de").hit())
            .then(cookies(1, "_ga=1; lang=de").hit())
            .then(cookies(1, "lang=de; _ga=2").method("HEAD").hit())
            .then(saw(cookies(1, "lang=fr; _ga=2"), &["lang=fr"]).fwd())
            .then(at(1).fwd())
            .then(cookies(1, "lang=").fwd())
            .then(cookies(1, "lang=de; lang=de").fwd())
            .then(cookies(1, "lang=DE").fwd())
            .then(cookies(2, "lang=de").hit()),
        // Several of them, in any order and in several lines.
        empty()
            .set(lang())
            .then(cookies(0, "lang=de; cur=eur; cur2=x").reply(ok()).fwd())
            .then(cookies(1, "cur2=x; _ga=1; cur=eur; lang=de").hit())
            .then(
                cookies(1, "cur=eur")
                    .send("cookie", "lang=de")
                    .send("cookie", "cur2=x")
                    .hit(),
            )
            .then(cookies(1, "lang=de; cur=x; cur2=eur").fwd()),
        // The order of two with one name may matter to the origin.
        empty()
            .set(lang())
            .then(cookies(0, "lang=de; lang=fr").reply(ok()).fwd())
            .then(cookies(1, "lang=de; lang=fr").hit())
            .then(cookies(1, "lang=fr; lang=de").fwd()),
        // No value can pass for another name.
        empty()
            .set(lang())
            .then(cookies(0, "cur=1; cura=2").reply(ok()).fwd())
            .then(cookies(1, "cur=1cura; cur=2").fwd()),
        // A session beside it counts as ever.
        begin()
            .then(saw(cookies(1, "lang=de; session=1"), &["lang=de; session=1"]).pass())
            .then(cookies(2, "lang=de").hit()),
        // A write is for all languages.
        begin()
            .then(at(1).method("POST").reply(ok()).fwd())
            .then(cookies(2, "lang=de").fwd()),
    ])
    .await;
    // What some application may read as one of them.
    for line in [
        "lang =de",
        "lang\t=de",
        "lang= de",
        "lang=\"de",
        "lang=d e",
        "lang=de,x=y",
        "a=b,lang=de",
        "LANG=de",
        "lang",
        "a b; CUR 1=eur",
    ] {
        play([empty()
            .set(lang())
            .then(cookies(0, line).reply(ok().cc("max-age=60")).fwd())
            .then(at(1).reply(ok().cc("max-age=60")).fwd())
            .then(cookies(1, line).hit())
            .then(at(2).age(1).hit())])
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_origin_shares_answers_requests_with_any_cookies() {
    for cc in ["max-age=60", "s-maxage=60", "public, max-age=60", "public"] {
        let page = || ok().cc(cc);
        play([
            case(page()).set(given).then(cookies(1, "session=1").hit()),
            // What was forwarded for all has no ignored cookie.
            empty()
                .set(given)
                .then(
                    saw(
                        cookies(0, "_ga=1; session=1; _gid=2").reply(page()),
                        &["session=1"],
                    )
                    .fwd(),
                )
                .then(at(1).hit())
                .then(cookies(1, "other=1; _gid=2").hit()),
        ])
        .await;
    }
}

/// HTTP/2 may split the field wherever a cookie ends (RFC 9113 §8.2.3).
#[tokio::test(start_paused = true)]
async fn lines_are_one_list() {
    let several = |seconds, lines: &[&str]| {
        lines
            .iter()
            .fold(at(seconds), |step, line| step.send("cookie", line))
    };
    play([
        policy_page().then(several(1, &["_ga=1", "_gid=2", "_fbp=3"]).hit()),
        policy_page()
            .then(
                saw(
                    several(1, &["_ga=1", "session=2", "_gid=3"]),
                    &["_ga=1", "session=2", "_gid=3"],
                )
                .pass(),
            )
            .then(at(2).hit()),
        empty().set(given).then(
            saw(
                several(0, &["_ga=1", "a=1; _ga=2", "b=2"]).reply(ok()),
                &["a=1", "b=2"],
            )
            .fwd(),
        ),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_bypasses_the_cache_keeps_its_cookies() {
    const LINE: &str = "_ga=1; lang=de";
    let settings = || with(Cookies::default().key(["lang", "long"]));
    let policy = |b: CacheBuilder| {
        with(Cookies::default())(b).key(|_: &Parts, _: &mut KeyExtension<'_>| Keying::Bypass)
    };
    let long = format!("_ga=1; long={}", "x".repeat(9000));
    let odd = [
        cookies(0, LINE).content("content"),
        cookies(0, LINE).send("if-match", "\"a\""),
        cookies(0, LINE).send("x-http-method-override", "PUT"),
    ];
    let mut cases: Vec<_> = odd
        .into_iter()
        .map(|step| empty().set(settings()).then(saw(step, &[LINE]).pass()))
        .collect();
    cases.push(
        empty()
            .set(settings())
            .then(saw(cookies(0, &long), &[&long]).pass()),
    );
    cases.push(
        empty()
            .set(policy)
            .then(saw(cookies(0, LINE), &[LINE]).pass()),
    );
    cases.push(
        empty()
            .set(settings())
            .then(saw(cookies(0, LINE).method("POST").reply(ok()), &[LINE]).fwd()),
    );
    play(cases).await;
}

#[tokio::test(start_paused = true)]
async fn vary_selects_by_what_is_forwarded() {
    let storing = |b: CacheBuilder| given(b).vary_credentials(VaryCredentials::Store);
    let page = |body| ok().cc("max-age=60").with("vary", "cookie").body(body);
    play([empty()
        .set(storing)
        .then(saw(cookies(0, "_ga=1; s=1").reply(page(B1)), &["s=1"]).fwd())
        .then(cookies(1, "s=1").hit())
        .then(cookies(1, "s=1; _gid=2").hit())
        .then(cookies(1, "_ga=7; s=1; _gid=2").method("HEAD").hit())
        .then(cookies(2, "s=2; _ga=1").reply(page("two")).fwd())
        .then(cookies(2, "_ga=1").reply(page("none")).fwd())
        .then(at(3).body("none").age(1).hit())
        .then(cookies(3, "_gid=1").body("none").age(1).hit())
        .then(cookies(3, "s=2").body("two").age(1).hit())
        .then(cookies(3, "_ga=1; s=1").hit())])
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_key_is_made_of_what_is_forwarded() {
    let field = |b: CacheBuilder| given(b).key_headers(["cookie"]).cookies(Cookies::default());
    let policy = |b: CacheBuilder| {
        given(b).key(|parts: &Parts, key: &mut KeyExtension<'_>| {
            for line in parts.headers.get_all(COOKIE) {
                key.push(line.as_bytes());
            }
            Keying::Use
        })
    };
    let page = || ok().cc("max-age=60");
    for settings in [field as fn(CacheBuilder) -> CacheBuilder, policy] {
        play([
            empty()
                .set(settings)
                .then(saw(cookies(0, "_ga=1").reply(page()), &[]).fwd())
                .then(at(1).hit())
                .then(cookies(1, "_gid=2").hit()),
            empty()
                .set(settings)
                .then(saw(cookies(0, "_ga=1; s=1").reply(page()), &["s=1"]).fwd())
                .then(cookies(1, "s=1; _gid=1").hit())
                .then(cookies(1, "s=2").fwd())
                .then(at(1).fwd()),
        ])
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_names_are_a_setting() {
    let strict = || with(Cookies::all_count());
    let theme = || with(Cookies::default().ignore(["theme", "ab_*"]));
    let session = || with(Cookies::all_count().ignore(["*"]).count(["session*"]));
    let ga_counts = || with(Cookies::default().count(["_ga"]));
    play([
        case(ok()).set(strict()).then(cookies(1, "_ga=1").pass()),
        case(ok())
            .set(theme())
            .then(cookies(1, "theme=1; ab_1=2; _ga=3").hit()),
        case(ok()).set(theme()).then(cookies(1, "themes=1").pass()),
        case(ok())
            .set(session())
            .then(cookies(1, "a=1; _ga=2; theme=3").hit()),
        case(ok())
            .set(session())
            .then(cookies(1, "a=1; session_id=2").pass()),
        case(ok()).set(session()).then(cookies(1, "a").pass()),
        case(ok()).set(ga_counts()).then(cookies(1, "_ga=1").pass()),
        case(ok())
            .set(ga_counts())
            .then(cookies(1, "_ga_X=1").hit()),
    ])
    .await;
}

/// What a cookie of analytics cost: each request with one asked the origin, in vain.
#[tokio::test(start_paused = true)]
async fn twenty_visitors_cost_one_call_and_one_refresh() {
    let settings = |b| given(b).stale_while_revalidate(Duration::from_secs(60));
    for (from, calls) in [(1, 1), (61, 2)] {
        let site = Site::new(settings);
        site.expect(at(0).reply(ok()).fwd()).await;
        site.wait_until(from);
        site.origin.script([ok()]);
        for visitor in 0..20 {
            let asked = cookies(from, &format!("_ga=GA1.{visitor}; _gid={visitor}"));
            let answer = site.ask(asked.request()).await.unwrap();
            assert!(matches!(
                answer.outcome(),
                CacheOutcome::Hit { .. } | CacheOutcome::Stale { .. }
            ));
            site.drain().await;
        }
        assert_eq!(site.origin.calls(), calls);
        let seen: Vec<HeaderMap> = site
            .origin
            .seen(0)
            .into_iter()
            .map(|parts| parts.headers)
            .collect();
        assert!(seen.iter().all(|headers| !headers.contains_key(COOKIE)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_outcome_says_that_it_was_the_cookie() {
    let site = Site::new(given);
    site.expect(at(0).reply(ok()).fwd()).await;
    let answer = site
        .ask(cookies(0, "_ga=1; session=1").request())
        .await
        .unwrap();
    assert_eq!(answer.outcome(), CacheOutcome::Bypassed(Bypass::Cookie));
    let refused: Reply = ok();
    site.expect(
        cookies(0, "session=1")
            .uri("http://a.test/other")
            .reply(refused)
            .fwd()
            .has("cache-status", "cachewarp; fwd=uri-miss; detail=cookie"),
    )
    .await;
}
