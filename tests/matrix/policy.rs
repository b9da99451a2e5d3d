//! Lifetimes that a policy of the operator gives, limits, or forces (RFC 9111 §4.2.2).

use std::time::Duration;

use cachewarp::{
    AdaptiveTtl, CacheBuilder, Fetched, FixedTtl, Lifetime, LifetimeReason, OriginTtl,
    OverrideOrigin, SetCookiePolicy, TtlPolicy,
};

use crate::{
    case::{Case, case, play},
    reply::{Reply, error, ok, status},
    step::at,
};

const A: &str = "\"a\"";

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(reply: Reply, policy: impl TtlPolicy + Clone) -> Case {
    case(reply).set(move |b| b.ttl(policy.clone()))
}

/// Gives every response an hour, and says why.
fn because(reason: LifetimeReason) -> impl TtlPolicy + Clone {
    move |_: &Fetched<'_>| Some(Lifetime::fresh_for(secs(3600)).because(reason))
}

#[tokio::test(start_paused = true)]
async fn row_196_what_is_not_there_is_not_missing_for_long() {
    for code in [404, 410] {
        let reply = || status(code);
        let kept = |case: Case, seconds| {
            case.then(at(seconds - 1).hit().status(code))
                .then(at(seconds).fwd())
        };
        // Whatever the policy.
        play([
            kept(policy(reply(), secs(3600)), 10),
            kept(policy(reply(), FixedTtl::new(secs(3600))), 10),
            kept(
                policy(reply(), FixedTtl::new(secs(0)).path("/", secs(3600))),
                10,
            ),
            kept(
                policy(
                    reply().with("content-type", "text/html"),
                    FixedTtl::new(secs(0)).content_type("text/", secs(3600)),
                ),
                10,
            ),
            kept(policy(reply(), because(LifetimeReason::Custom)), 10),
            kept(policy(reply(), because(LifetimeReason::Path)), 10),
            kept(
                case(reply()).set(|b| {
                    let adaptive = AdaptiveTtl::builder().floor(secs(3600));
                    b.ttl(adaptive.build().unwrap())
                }),
                10,
            ),
            kept(policy(reply().cc("public"), secs(3600)), 10),
            // A shorter lifetime stays.
            kept(policy(reply(), secs(4)), 4),
        ])
        .await;
        // Whoever means this case gets what they wish.
        play([
            kept(
                policy(reply(), FixedTtl::new(secs(5)).negative(secs(600))),
                600,
            ),
            kept(
                policy(reply(), FixedTtl::new(secs(5)).status(code, secs(600))),
                600,
            ),
            kept(policy(reply(), because(LifetimeReason::Status)), 3600),
            kept(policy(reply(), because(LifetimeReason::Negative)), 3600),
            kept(policy(reply().cc("max-age=600"), secs(3600)), 600),
        ])
        .await;
        // The limit is a setting.
        let limited = |longest: Option<Duration>| {
            policy(reply(), secs(3600)).set(move |b| b.negative_ttl(longest))
        };
        play([
            kept(limited(Some(secs(2))), 2),
            kept(limited(Some(secs(60))), 60),
            kept(limited(None), 3600),
            limited(Some(Duration::ZERO)).not_stored(),
            limited(Some(Duration::from_millis(900))).not_stored(),
        ])
        .await;
    }
    // Nor is it shown for long while it is refreshed. In place of an error it is.
    let windows = |case: Case| {
        case.set(|b| {
            b.stale_while_revalidate(secs(3600))
                .stale_if_error(secs(3600))
        })
    };
    let tagged = || status(404).etag(A);
    play([
        windows(policy(tagged(), secs(3600))).then(at(20).stale_and_refresh().status(404)),
        windows(policy(tagged(), secs(3600))).then(at(21).val(A).status(404)),
        windows(policy(tagged(), secs(3600)))
            .then(at(3000).reply(error(503)).stale_on_error().status(404)),
        windows(policy(tagged(), Duration::ZERO)).then(at(1).val(A).status(404)),
    ])
    .await;
    // Other negative answers are not limited.
    play(
        [405, 451, 501]
            .map(|code| policy(status(code), secs(3600)).then(at(3599).hit().status(code))),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn row_197_a_policy_gives_a_lifetime_and_its_windows() {
    play([
        policy(ok(), secs(60)).then(at(59).hit()).then(at(60).fwd()),
        policy(ok(), Duration::from_millis(60_900)).then(at(60).fwd()),
        policy(ok(), Duration::ZERO).not_stored(),
        policy(ok().cc("max-age=30"), secs(60)).then(at(30).fwd()),
        policy(ok().cc("no-store"), secs(60)).not_stored(),
    ])
    .await;

    let lifetime = Lifetime::fresh_for(secs(60))
        .with_stale_while_revalidate(secs(30))
        .with_stale_if_error(secs(300));
    let given = move |cc: &str| {
        policy(ok().cc(cc).etag(A), move |_: &Fetched<'_>| Some(lifetime)).set(|b| {
            b.stale_while_revalidate(secs(10))
                .stale_if_error(secs(3000))
        })
    };
    play([
        given("public").then(at(90).stale_and_refresh()),
        given("public").then(at(91).val(A)),
        given("public").then(at(360).reply(error(503)).stale_on_error()),
        given("public").then(at(361).reply(error(503)).val(A).status(503)),
        // It opens nothing that the response closes.
        given("must-revalidate").then(at(61).val(A)),
        given("proxy-revalidate").then(at(61).val(A)),
    ])
    .await;
    // Of each response its own, and a window of zero is none.
    let by_path = |fetched: &Fetched<'_>| {
        let given = Lifetime::fresh_for(secs(60));
        Some(match fetched.uri.path() {
            "/x" => given.with_stale_while_revalidate(Duration::ZERO),
            _ => given,
        })
    };
    let operator = |case: Case| case.set(|b| b.stale_while_revalidate(secs(30)));
    play([
        operator(policy(ok().etag(A), by_path)).then(at(61).val(A)),
        operator(policy(ok().etag(A), by_path).first(|step| step.uri("http://a.test/y")))
            .then(at(61).uri("http://a.test/y").stale_and_refresh()),
    ])
    .await;
}

fn forced(reply: Reply, seconds: u64) -> Case {
    policy(reply, secs(seconds)).set(|b| b.override_origin(OverrideOrigin::Lifetimes))
}

#[tokio::test(start_paused = true)]
async fn row_198_a_forced_lifetime_takes_the_place_of_a_stated_one_and_of_nothing_else() {
    let stated = [
        ok().cc("max-age=5"),
        ok().cc("max-age=3600"),
        ok().cc("max-age=0, must-revalidate"),
        ok().cc("public, max-age=0, proxy-revalidate"),
        ok().cc("s-maxage=5, max-age=3600"),
        ok().cc("max-age=5, max-age=6"),
        ok().expires(-3600),
        ok().expires(3600),
        ok().with("expires", "0"),
        ok(),
        status(302).cc("max-age=0"),
        status(302).cc("max-age=3600"),
        status(404).cc("max-age=3600").cc("public"),
    ];
    play(stated.clone().map(|reply| {
        let code = reply.code().as_u16();
        let lifetime = if code == 404 { 10 } else { 60 };
        forced(reply, 60)
            .then(at(lifetime - 1).hit().status(code))
            .then(at(lifetime).fwd())
    }))
    .await;
    // Off by default.
    play([
        policy(ok().cc("max-age=5"), secs(60)).then(at(5).fwd()),
        policy(ok().cc("max-age=3600"), secs(60)).then(at(3599).hit()),
    ])
    .await;

    // A restriction holds.
    let kept_out = [
        ok().cc("max-age=5, no-store"),
        ok().cc("max-age=5, private"),
        ok().cc("max-age=5; private"),
        ok().cc("max-age=5").with("set-cookie", "a=b"),
        ok().cc("max-age=5").with("vary", "*"),
        ok().cc("max-age=5")
            .with("content-type", "text/event-stream"),
        status(400).cc("max-age=5"),
        status(401).cc("max-age=5"),
        status(429).cc("max-age=5"),
    ];
    play(kept_out.map(|reply| forced(reply, 60).not_stored())).await;
    play([
        forced(ok().cc("max-age=5, no-cache").etag(A), 60).then(at(1).val(A)),
        forced(ok().cc("max-age=5"), 60)
            .asked("authorization", "x")
            .not_stored(),
    ])
    .await;
    // Where the response may be for one user, or nobody knows, the stated lifetime gets no longer.
    let own = |case: Case| case.then(at(4).hit()).then(at(5).fwd());
    play([
        own(forced(ok().cc("max-age=5"), 60).asked("cookie", "a=b")),
        own(forced(ok().cc("s-maxage=5"), 60).asked("authorization", "x")),
        own(forced(ok().cc("max-age=5, private=\"x-user\""), 60)),
        own(forced(ok().cc("max-age=5, foo bar"), 60)),
        own(forced(
            ok().cc("max-age=5").with("surrogate-control", "no-store"),
            60,
        )),
        own(forced(ok().cc("max-age=5").with("set-cookie", "a=b"), 60)
            .set(|b| b.set_cookie(SetCookiePolicy::Strip))),
        forced(status(503).cc("max-age=5"), 60)
            .then(at(4).hit().status(503))
            .then(at(5).fwd()),
    ])
    .await;
    // But it gets shorter.
    play([
        own(forced(ok().cc("max-age=3600"), 5).asked("cookie", "a=b")),
        own(forced(ok().cc("s-maxage=3600"), 5).asked("authorization", "x")),
        own(forced(ok().cc("max-age=3600, private=\"x-user\""), 5)),
        forced(status(503).cc("max-age=3600"), 5)
            .then(at(4).hit().status(503))
            .then(at(5).fwd()),
    ])
    .await;

    // Staleness and age are what they were.
    let windows = |case: Case| case.set(|b| b.stale_while_revalidate(secs(30)));
    play([
        windows(forced(ok().cc("max-age=0, must-revalidate").etag(A), 60)).then(at(61).val(A)),
        windows(forced(ok().cc("s-maxage=0").etag(A), 60)).then(at(61).val(A)),
        windows(forced(ok().cc("max-age=0").etag(A), 60)).then(at(90).stale_and_refresh()),
        forced(ok().cc("max-age=0, stale-while-revalidate=20").etag(A), 60)
            .then(at(80).stale_and_refresh()),
        forced(ok().cc("max-age=3600").with("age", "50"), 60)
            .then(at(9).hit().age(59))
            .then(at(10).fwd()),
    ])
    .await;

    // A policy that has no opinion leaves it to the origin, and one may read what that says.
    let undecided = |policy: fn(CacheBuilder) -> CacheBuilder| {
        case(ok().cc("max-age=30"))
            .set(move |b| policy(b).override_origin(OverrideOrigin::Lifetimes))
    };
    play([
        undecided(|b| b.ttl(OriginTtl))
            .then(at(29).hit())
            .then(at(30).fwd()),
        undecided(|b| {
            b.ttl(|fetched: &Fetched<'_>| {
                fetched
                    .explicit
                    .map(|explicit| Lifetime::fresh_for(explicit * 2))
            })
        })
        .then(at(59).hit())
        .then(at(60).fwd()),
    ])
    .await;
}
