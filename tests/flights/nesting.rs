//! Layers inside one another, of one cache and of two: who stores, for how long, and that nobody
//! waits for a flight of its own.

use std::{fmt, time::Duration};

use bytes::Bytes;
use cachewarp::{
    BreakerConfig, CacheBuilder, CacheLayer, CacheOutcome, Cookies, Fetched, FixedTtl,
    ForwardedPolicy, KeyExtension, Keying, Lifetime, Memory, OriginTtl, RequestDirective,
    SetCookiePolicy, TtlPolicy, clock::ManualClock,
};
use http::{Method, Response, StatusCode, header::ETAG, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, util::BoxCloneService};

use crate::support::{
    Asked, BoxError, Count, Origin, full, get, get_with, request, settle, soon, status,
    with_directives,
};

/// A body that did not end well.
#[derive(Debug)]
pub(crate) struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost")
    }
}

impl std::error::Error for Lost {}

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Lost>>;
pub(crate) type Stack = BoxCloneService<Asked, Answer, BoxError>;

/// What a request passes on its way to the origin.
#[derive(Clone)]
pub(crate) enum Passed {
    Layer(CacheLayer),
    /// Middleware that changes requests.
    Change(fn(Asked) -> Asked),
}

impl From<&CacheLayer> for Passed {
    fn from(layer: &CacheLayer) -> Self {
        Self::Layer(layer.clone())
    }
}

fn boxed<B>(answer: Response<B>) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
{
    answer.map(|body| body.map_err(|_| Lost).boxed_unsync())
}

/// The origin behind these, the outermost first.
pub(crate) fn stack(passed: &[Passed], origin: &Origin) -> Stack {
    let origin = BoxCloneService::new(origin.clone().map_response(boxed));
    passed.iter().rev().fold(origin, |inner, it| match it {
        Passed::Layer(layer) => BoxCloneService::new(layer.layer(inner).map_response(boxed)),
        Passed::Change(change) => BoxCloneService::new(inner.map_request(*change)),
    })
}

fn layers(layers: &[&CacheLayer], origin: &Origin) -> Stack {
    let layers: Vec<Passed> = layers.iter().map(|it| Passed::from(*it)).collect();
    stack(&layers, origin)
}

/// What a client sees of an answer.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) x_cache: String,
    /// The members of `Cache-Status`.
    pub(crate) members: Vec<String>,
    pub(crate) body: Bytes,
}

impl Seen {
    /// The lifetime that is left.
    fn ttl(&self) -> Option<i64> {
        let member = self.members.last()?;
        member.split("ttl=").nth(1)?.split(';').next()?.parse().ok()
    }
}

pub(crate) async fn ask(stack: &Stack, request: Asked) -> Seen {
    let answer = soon(stack.clone().oneshot(request)).await.unwrap();
    seen(answer).await
}

async fn seen(answer: Answer) -> Seen {
    let (head, body) = answer.into_parts();
    // What the layers tell each other is not for those around them.
    assert_eq!(head.extensions.len(), 1, "{:?}", head.extensions);
    assert!(head.extensions.get::<CacheOutcome>().is_some());
    let field = |name| {
        let lines = head.headers.get_all(name).iter();
        lines
            .map(|line| line.to_str().unwrap().to_owned())
            .collect()
    };
    let x_cache: Vec<String> = field("x-cache");
    assert!(x_cache.len() < 2, "{x_cache:?}");
    Seen {
        x_cache: x_cache.concat(),
        members: field("cache-status"),
        body: soon(body.collect()).await.unwrap().to_bytes(),
    }
}

pub(crate) fn cache(clock: &ManualClock) -> CacheLayer {
    let memory = Memory::with_capacity(1 << 20);
    let builder = CacheLayer::builder().memory(memory).clock(clock.clone());
    builder.build().unwrap()
}

pub(crate) fn other(
    cache: &CacheLayer,
    change: impl FnOnce(CacheBuilder) -> CacheBuilder,
) -> CacheLayer {
    cache.with(change).unwrap()
}

/// The same with another default lifetime.
pub(crate) fn fresh_for(cache: &CacheLayer, seconds: u64) -> CacheLayer {
    let ttl = FixedTtl::new(Duration::from_secs(seconds));
    other(cache, |it| it.ttl(ttl))
}

/// An origin that says nothing of caching. Each answer has a body of its own.
fn plain_origin() -> Origin {
    Origin::answering(|call, _| Ok(Response::new(full(format!("{call}")))))
}

pub(crate) fn now() -> ManualClock {
    ManualClock::at(1_700_000_000)
}

fn rewritten(mut request: Asked) -> Asked {
    *request.uri_mut() = "/inner".parse().unwrap();
    request
}

fn tenant(parts: &Parts, key: &mut KeyExtension<'_>) -> Keying {
    match parts.headers.get("x-tenant") {
        Some(tenant) => {
            key.push(tenant.as_bytes());
            Keying::Use
        }
        None => Keying::Bypass,
    }
}

fn everybody(_: &Parts, key: &mut KeyExtension<'_>) -> Keying {
    key.push(b"everybody");
    Keying::Use
}

/// Requests of all kinds through layers that store what the innermost one allows for 60 seconds.
async fn stores_for_a_minute(name: &str, clock: &ManualClock, passed: &[Passed]) {
    let origin = plain_origin();
    let stack = stack(passed, &origin);
    let began = Instant::now();
    for (step, method, x_cache, calls, after) in [
        ("a forwarded HEAD", Method::HEAD, "MISS", 1, 0),
        ("a miss", Method::GET, "MISS", 2, 0),
        ("a hit", Method::GET, "HIT", 2, 0),
        ("a HEAD", Method::HEAD, "HIT", 2, 0),
        ("still fresh", Method::GET, "HIT", 2, 59),
        ("stale", Method::GET, "MISS", 3, 2),
        ("fresh again", Method::GET, "HIT", 3, 59),
        ("a write", Method::POST, "BYPASS", 4, 0),
        ("after the write", Method::GET, "MISS", 5, 0),
        ("a hit again", Method::GET, "HIT", 5, 0),
    ] {
        clock.advance(Duration::from_secs(after));
        let is_head = method == Method::HEAD;
        let seen = ask(&stack, request(method, "/")).await;
        let context = format!("{name}, {step}: {seen:?}");
        assert_eq!(seen.x_cache, x_cache, "{context}");
        assert_eq!(seen.members.len(), 1, "{context}");
        assert_eq!(origin.calls(), calls, "{context}");
        assert_eq!(seen.body.is_empty(), is_head, "{context}");
        if step == "a miss" || step == "stale" || step == "after the write" {
            assert_eq!(seen.ttl(), Some(60), "{context}");
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits: {context}");
    }
}

#[tokio::test(start_paused = true)]
async fn layers_that_answer_alike_store_once_and_the_innermost_lifetime_counts() {
    let clock = now();
    let cache = cache(&clock);
    let (hour, minute) = (fresh_for(&cache, 3600), fresh_for(&cache, 60));
    let scoped = hour.scope("shop");
    let keyed = other(&hour, |it| it.key(everybody).key_headers(["x-tenant"]));
    for (name, passed) in [
        ("inside a plain one", vec![&cache, &minute]),
        ("inside a longer one", vec![&hour, &minute]),
        ("twice the same", vec![&minute, &minute]),
        ("three deep", vec![&hour, &cache, &minute]),
        (
            "three deep, the middle one twice",
            vec![&cache, &hour, &hour, &minute],
        ),
        ("in one scope", vec![&scoped, &fresh_for(&scoped, 60)]),
        ("with one key", vec![&keyed, &fresh_for(&keyed, 60)]),
    ] {
        let passed: Vec<_> = passed.into_iter().map(Passed::from).collect();
        stores_for_a_minute(name, &clock, &passed).await;
        cache.handle().drain(Duration::from_secs(60)).await;
        // The next stack begins without anything stored.
        ask(&stack(&passed, &plain_origin()), request(Method::POST, "/")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_answers_differently_stores_and_those_around_it_do_not() {
    let hour = |clock: &ManualClock| fresh_for(&cache(clock), 3600);
    type Inner = fn(&CacheLayer) -> Vec<Passed>;
    let cases: [(&str, Inner); 13] = [
        ("a scope", |it| {
            vec![Passed::from(&fresh_for(it, 60).scope("a"))]
        }),
        ("a policy for keys", |it| {
            vec![Passed::from(&other(&fresh_for(it, 60), |it| {
                it.key(everybody)
            }))]
        }),
        ("key headers", |it| {
            vec![Passed::from(&other(&fresh_for(it, 60), |it| {
                it.key_headers(["x-tenant"])
            }))]
        }),
        ("a default host", |it| {
            let other = other(&fresh_for(it, 60), |it| it.default_authority("b.test"));
            vec![Passed::from(&other)]
        }),
        ("a default scheme", |it| {
            vec![Passed::from(&other(&fresh_for(it, 60), |it| {
                it.default_scheme("https")
            }))]
        }),
        ("credentials", |it| {
            let other = other(&fresh_for(it, 60), |it| it.credential_headers(["x-token"]));
            vec![Passed::from(&other)]
        }),
        ("cookies", |it| {
            let other = other(&fresh_for(it, 60), |it| it.cookies(Cookies::all_count()));
            vec![Passed::from(&other)]
        }),
        ("trusted fields", |it| {
            let other = other(&fresh_for(it, 60), |it| {
                it.forwarded(ForwardedPolicy::Trusted)
            });
            vec![Passed::from(&other)]
        }),
        ("ignored directives", |it| {
            let other = other(&fresh_for(it, 60), |it| {
                it.ignore_request_directives([RequestDirective::NoCache])
            });
            vec![Passed::from(&other)]
        }),
        ("another URI", |it| {
            vec![Passed::Change(rewritten), Passed::from(&fresh_for(it, 60))]
        }),
        ("two scopes", |it| {
            let inner = fresh_for(it, 60).scope("b");
            vec![Passed::from(&it.scope("a")), Passed::from(&inner)]
        }),
        ("a scope within a scope, back again", |it| {
            vec![
                Passed::from(&it.scope("a")),
                Passed::from(&fresh_for(it, 60)),
            ]
        }),
        ("a scope, and the same one with another lifetime", |it| {
            let scope = it.scope("a");
            vec![Passed::from(&scope), Passed::from(&fresh_for(&scope, 60))]
        }),
    ];
    for (name, inner) in cases {
        let clock = now();
        let outer = hour(&clock);
        let mut passed = vec![Passed::from(&outer)];
        passed.extend(inner(&outer));
        stores_for_a_minute(name, &clock, &passed).await;
        let alone = plain_origin();
        ask(&layers(&[&outer], &alone), get("/")).await;
        assert_eq!(alone.calls(), 1, "{name}: the outer layer stored something");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_innermost_layer_forbids_is_not_stored() {
    let clock = now();
    let hour = fresh_for(&cache(&clock), 3600);
    let small = other(&hour, |it| it.max_entry_bytes(0));
    let by_tenant = other(&hour, |it| it.key(tenant));
    let none = other(&hour, |it| it.ttl(OriginTtl));
    for (name, passed, x_cache) in [
        ("no lifetime", vec![&hour, &none], "MISS"),
        ("no lifetime, three deep", vec![&hour, &hour, &none], "MISS"),
        ("too large", vec![&hour, &small], "MISS"),
        ("a bypass", vec![&hour, &by_tenant], "BYPASS"),
        (
            "a bypass, three deep",
            vec![&hour, &by_tenant, &hour],
            "HIT",
        ),
    ] {
        let origin = plain_origin();
        let stack = layers(&passed, &origin);
        ask(&stack, get("/")).await;
        let seen = ask(&stack, get("/")).await;
        assert_eq!(
            (&*seen.x_cache, seen.members.len()),
            (x_cache, 1),
            "{name}: {seen:?}"
        );
        assert_eq!(
            origin.calls(),
            if x_cache == "HIT" { 1 } else { 2 },
            "{name}"
        );
        // Not under the key of the outermost layer.
        let alone = plain_origin();
        ask(&layers(&[&hour], &alone), get("/")).await;
        assert_eq!(alone.calls(), 1, "{name}");
        ask(&layers(&[&hour], &alone), request(Method::POST, "/")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_makes_one_call_through_any_layers() {
    let clock = now();
    let hour = fresh_for(&cache(&clock), 3600);
    let (a, b) = (hour.scope("a"), hour.scope("b"));
    for (name, passed) in [
        ("alike", vec![&hour, &hour]),
        ("three alike", vec![&hour, &hour, &hour]),
        ("a scope", vec![&hour, &a]),
        ("a scope and back", vec![&hour, &a, &hour]),
        ("two scopes", vec![&hour, &a, &b]),
    ] {
        let aboard = Count::new();
        let path = format!("/{}", name.replace(' ', "-"));
        let origin = Origin::held(&aboard, 1, |call, _| {
            Ok(Response::new(full(call.to_string())))
        });
        let stack = layers(&passed, &origin);
        let began = Instant::now();
        let sent: Vec<_> = (0..50)
            .map(|_| tokio::spawn(stack.clone().oneshot(get(&path))))
            .collect();
        settle().await;
        aboard.add();
        for answer in sent {
            let seen = seen(soon(answer).await.unwrap().unwrap()).await;
            assert_eq!(seen.body, "1", "{name}: {seen:?}");
            assert_eq!(seen.members.len(), 1, "{name}: {seen:?}");
        }
        assert_eq!(
            (origin.calls(), began.elapsed()),
            (1, Duration::ZERO),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_layer_that_stored_refreshes_and_answers_stale() {
    let clock = now();
    let plain = cache(&clock);
    let seconds = Duration::from_secs;
    let lenient = other(&plain, |it| {
        let it = it.ttl(FixedTtl::new(seconds(10)));
        it.stale_while_revalidate(seconds(10))
            .stale_if_error(seconds(600))
    });
    let scoped = lenient.scope("a");
    for (name, passed) in [
        ("alike", vec![&plain, &lenient]),
        ("three alike", vec![&plain, &plain, &lenient]),
        ("a scope", vec![&plain, &scoped]),
        ("three deep", vec![&plain, &scoped, &scoped]),
    ] {
        let origin = Origin::answering(|call, _| match call {
            1 | 2 => Ok(Response::new(full(call.to_string()))),
            3 => Err("nobody is there".into()),
            _ => Ok(status(StatusCode::SERVICE_UNAVAILABLE, "closed")),
        });
        let stack = layers(&passed, &origin);
        for (after, x_cache, body, calls) in [
            (0, "MISS", "1", 1),
            (15, "STALE", "1", 2),
            (5, "HIT", "2", 2),
            (100, "STALE", "2", 3),
            (100, "STALE", "2", 4),
        ] {
            clock.advance(seconds(after));
            let seen = ask(&stack, get("/")).await;
            plain.handle().drain(seconds(60)).await;
            let got = (&*seen.x_cache, &*seen.body, origin.calls());
            assert_eq!(got, (x_cache, body.as_bytes(), calls), "{name}: {seen:?}");
            assert_eq!(seen.members.len(), 1, "{name}: {seen:?}");
        }
        ask(&stack, request(Method::POST, "/")).await;
        clock.advance(seconds(10_000));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_through_as_it_is() {
    let clock = now();
    let hour = fresh_for(&cache(&clock), 3600);
    for passed in [vec![&hour, &hour], vec![&hour, &hour.scope("a")]] {
        let origin = Origin::answering(|_, _| Err("nobody is there".into()));
        let stack = layers(&passed, &origin);
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let error = soon(stack.clone().oneshot(request(method, "/")))
                .await
                .unwrap_err();
            assert_eq!(error.to_string(), "nobody is there");
        }
        assert_eq!(origin.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_response_is_validated_through_the_inner_layer() {
    for (name, inner) in [
        (
            "alike",
            (|it| vec![fresh_for(it, 60)]) as fn(&CacheLayer) -> Vec<CacheLayer>,
        ),
        ("a scope", |it| vec![fresh_for(it, 60).scope("a")]),
        ("a scope and back", |it| {
            vec![it.scope("a"), fresh_for(it, 60)]
        }),
    ] {
        let clock = now();
        let hour = fresh_for(&cache(&clock), 3600);
        let inner = inner(&hour);
        let passed: Vec<_> = [&hour].into_iter().chain(&inner).collect();
        let origin = Origin::answering(|_, asked| {
            let mut answer = Response::new(full("tagged"));
            if asked.headers().contains_key("if-none-match") {
                answer = status(StatusCode::NOT_MODIFIED, "");
            }
            answer.headers_mut().insert(ETAG, "\"1\"".parse().unwrap());
            Ok(answer)
        });
        let stack = layers(&passed, &origin);
        for (after, x_cache, calls) in [(0, "MISS", 1), (61, "REVALIDATED", 2), (59, "HIT", 2)] {
            clock.advance(Duration::from_secs(after));
            let seen = ask(&stack, get("/")).await;
            assert_eq!(seen.body, "tagged", "{name}");
            let got = (&*seen.x_cache, origin.calls(), seen.members.len());
            assert_eq!(got, (x_cache, calls, 1), "{name}: {seen:?}");
        }
    }
}

/// A policy that is asked again once the body is there.
struct Learning;

impl TtlPolicy for Learning {
    fn lifetime(&self, _: &Fetched<'_>) -> Option<Lifetime> {
        Some(Lifetime::fresh_for(Duration::from_secs(60)))
    }

    fn learns(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_that_the_body_decides_is_the_innermost_one_too() {
    let clock = now();
    let hour = fresh_for(&cache(&clock), 3600);
    let learning = other(&hour, |it| it.ttl(Learning));
    let origin = plain_origin();
    let stack = layers(&[&hour, &learning], &origin);
    for (after, calls) in [(0, 1), (61, 2), (61, 3), (61, 4), (59, 4)] {
        clock.advance(Duration::from_secs(after));
        ask(&stack, get("/")).await;
        assert_eq!(origin.calls(), calls);
    }
}

/// A breaker that opens with the first failure, and closes after one probe.
fn fragile(builder: CacheBuilder) -> CacheBuilder {
    let breaker = BreakerConfig::builder()
        .consecutive_failures(1)
        .open_for(Duration::from_secs(5))
        .half_open_permits(1)
        .half_open_successes(1);
    builder.breaker(breaker.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_layers_share_counts_each_call_once() {
    for inner in [
        (|it| it.clone()) as fn(&CacheLayer) -> CacheLayer,
        |it| it.scope("a"),
        |it| fresh_for(it, 60),
    ] {
        let clock = now();
        let outer = other(&cache(&clock), fragile);
        let origin = Origin::answering(|call, _| match call {
            1 => Err("nobody is there".into()),
            _ => Ok(with_directives("max-age=60", "there")),
        });
        let stack = layers(&[&outer, &inner(&outer)], &origin);
        soon(stack.clone().oneshot(get("/"))).await.unwrap_err();
        let open = soon(stack.clone().oneshot(get("/"))).await.unwrap();
        assert_eq!(open.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(origin.calls(), 1);
        let refused = ask(&stack, request(Method::POST, "/")).await;
        assert_eq!(refused.members, ["cachewarp; detail=breaker-open"]);
        assert_eq!((&*refused.x_cache, origin.calls()), ("ERROR", 1));
        // The probe needs the only permit, and it is one call.
        clock.advance(Duration::from_secs(20));
        assert_eq!(ask(&stack, get("/")).await.body, "there");
        assert_eq!(ask(&stack, get("/")).await.x_cache, "HIT");
        assert_eq!(origin.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_one_call_for_a_breaker_too() {
    for inner in [(|it| it.clone()) as fn(&CacheLayer) -> CacheLayer, |it| {
        it.scope("a")
    }] {
        let clock = now();
        let outer = other(&cache(&clock), fragile);
        let origin = Origin::answering(|call, _| match call {
            1 => Err("nobody is there".into()),
            _ => Ok(status(StatusCode::OK, "written")),
        });
        let stack = layers(&[&outer, &inner(&outer)], &origin);
        soon(stack.clone().oneshot(get("/"))).await.unwrap_err();
        clock.advance(Duration::from_secs(20));
        let written = ask(&stack, request(Method::POST, "/")).await;
        assert_eq!((&*written.body, origin.calls()), (&b"written"[..], 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_passes_requests_on_keeps_its_own_breaker_and_time_limit() {
    let clock = now();
    let outer = cache(&clock);
    let inner = other(&outer, fragile);
    let origin = Origin::answering(|_, _| Err("nobody is there".into()));
    let stack = layers(&[&outer, &inner], &origin);
    soon(stack.clone().oneshot(get("/"))).await.unwrap_err();
    let open = soon(stack.clone().oneshot(get("/"))).await.unwrap();
    assert_eq!(open.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(open.headers().contains_key("retry-after"));
    let write = soon(stack.clone().oneshot(request(Method::POST, "/"))).await;
    assert_eq!(write.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(origin.calls(), 1);

    let hasty = other(&outer, |it| it.origin_timeout(Duration::from_secs(3)));
    let silent = Origin::held(&Count::new(), 1, |_, _| Ok(status(StatusCode::OK, "")));
    let stack = layers(&[&outer, &hasty], &silent);
    let began = Instant::now();
    let late = soon(stack.oneshot(get("/late"))).await.unwrap();
    assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn two_caches_each_work_for_themselves() {
    let clock = now();
    let (a, b) = (cache(&clock), cache(&clock));
    let (short, long) = (fresh_for(&a, 10), fresh_for(&b, 60));
    let origin = plain_origin();
    let stack = layers(&[&short, &long], &origin);
    let began = Instant::now();
    for (after, x_cache, members, calls) in [
        (0, "MISS", vec!["fwd=uri-miss", "fwd=uri-miss"], 1),
        (0, "HIT", vec!["fwd=uri-miss", "hit"], 1),
        // A hit inside of a miss. It is as old as it is.
        (11, "MISS", vec!["hit", "fwd=stale"], 1),
        (60, "MISS", vec!["fwd=stale", "fwd=uri-miss"], 2),
    ] {
        clock.advance(Duration::from_secs(after));
        let seen = ask(&stack, get("/")).await;
        assert_eq!(
            (&*seen.x_cache, origin.calls()),
            (x_cache, calls),
            "{seen:?}"
        );
        assert_eq!(seen.members.len(), members.len(), "{seen:?}");
        for (member, part) in seen.members.iter().zip(members) {
            assert!(member.contains(part), "{part}: {seen:?}");
        }
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_cache_around_another_one_and_within_it_does_not_wait_for_itself() {
    let stored = [
        "cachewarp; fwd=uri-miss; detail=no-lifetime",
        "cachewarp; fwd=uri-miss; stored; ttl=60",
    ];
    for (name, inner, miss, hit) in [
        (
            "alike",
            (|it| fresh_for(it, 60)) as fn(&CacheLayer) -> CacheLayer,
            stored,
            // The inner layer was not asked. The other cache stored nothing.
            [
                "cachewarp; fwd=uri-miss; detail=no-lifetime",
                "cachewarp; hit; ttl=60",
            ],
        ),
        (
            "a scope",
            |it| fresh_for(it, 60).scope("a"),
            // The other cache speaks of itself, the outer layer leaves it at that.
            [stored[1], stored[0]],
            ["cachewarp; hit; ttl=60", stored[0]],
        ),
    ] {
        let clock = now();
        let (a, b) = (fresh_for(&cache(&clock), 3600), cache(&clock));
        let origin = plain_origin();
        let stack = layers(&[&a, &b, &inner(&a)], &origin);
        let began = Instant::now();
        for members in [miss, hit] {
            let seen = ask(&stack, get("/")).await;
            assert_eq!(
                (&seen.members[..], &*seen.body),
                (&members.map(str::to_owned)[..], &b"1"[..]),
                "{name}"
            );
        }
        assert_eq!(
            (origin.calls(), began.elapsed()),
            (1, Duration::ZERO),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn warming_through_layers_counts_what_is_stored() {
    let clock = now();
    let hour = fresh_for(&cache(&clock), 3600);
    for (passed, paths) in [
        (vec![&hour, &hour], ["/1", "/2"]),
        (vec![&hour, &hour.scope("a")], ["/3", "/4"]),
    ] {
        let origin = plain_origin();
        let stack = layers(&passed, &origin);
        for (stored, hits) in [(2, 0), (0, 2)] {
            let requests = paths.map(get);
            let warmed = hour.handle().warm(stack.clone(), requests, 2, |_| ()).await;
            assert_eq!((warmed.stored, warmed.hits), (stored, hits), "{warmed:?}");
        }
        assert_eq!(origin.calls(), 2);
    }
}

/// Each of two users, or tenants, sees its own, whichever layer knows of them.
#[tokio::test(start_paused = true)]
async fn an_inner_key_keeps_tenants_apart() {
    let clock = now();
    let hour = fresh_for(&cache(&clock), 3600);
    let keyed = other(&hour, |it| it.key(tenant));
    let origin = Origin::answering(|_, asked| {
        let tenant = asked.headers()["x-tenant"].as_bytes().to_vec();
        Ok(Response::new(full(tenant)))
    });
    for passed in [
        vec![&hour, &keyed],
        vec![&keyed, &hour],
        vec![&hour, &keyed, &hour],
        vec![&hour, &hour, &keyed],
    ] {
        let stack = layers(&passed, &origin);
        for tenant in ["one", "two", "one", "two"] {
            let seen = ask(&stack, get_with("/", "x-tenant", tenant)).await;
            assert_eq!(seen.body, tenant, "{seen:?}");
        }
        let mut write = request(Method::POST, "/");
        write
            .headers_mut()
            .insert("x-tenant", "one".parse().unwrap());
        ask(&stack, write).await;
    }
}

/// Of layers inside one another only the outermost stores what a POST fills, by the innermost settings.
#[tokio::test(start_paused = true)]
async fn a_response_to_post_is_stored_once_and_by_the_innermost_settings() {
    let clock = now();
    let plain = cache(&clock);
    let fills = other(&plain, |it| it.post_fills_get("/"));
    let keeps_cookies = other(&fills, |it| it.set_cookie(SetCookiePolicy::Store));
    let by_tenant = other(&fills, |it| it.key(tenant));
    let origin = Origin::answering(|call, asked| {
        let mut answer = Response::new(full(format!("{} {call}", asked.method())));
        for (name, value) in [
            ("cache-control", "max-age=60"),
            ("content-location", "/"),
            ("set-cookie", "a=1"),
        ] {
            if name != "set-cookie" || asked.headers().contains_key("x-cookie") {
                answer.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        Ok(answer)
    });
    for (name, passed, sets_cookie, alone, stored) in [
        ("alike", vec![&fills, &fills], false, &fills, true),
        (
            "with a cookie",
            vec![&keeps_cookies],
            true,
            &keeps_cookies,
            true,
        ),
        (
            "an inner layer that stores no cookies",
            vec![&keeps_cookies, &fills],
            true,
            &keeps_cookies,
            false,
        ),
        (
            "an outer layer that keeps tenants apart",
            vec![&by_tenant, &fills],
            false,
            &fills,
            false,
        ),
    ] {
        let mut write = request(Method::POST, "/");
        let headers = write.headers_mut();
        headers.insert("x-tenant", "one".parse().unwrap());
        if sets_cookie {
            headers.insert("x-cookie", "1".parse().unwrap());
        }
        ask(&layers(&passed, &origin), write).await;
        let seen = ask(&layers(&[alone], &origin), get("/")).await;
        assert_eq!(seen.x_cache == "HIT", stored, "{name}: {seen:?}");
        assert_eq!(seen.body.starts_with(b"POST"), stored, "{name}: {seen:?}");
    }
}
