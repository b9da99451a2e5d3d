//! What an operator sees of the cache, through its handle.

use std::time::Duration;

use axum::body::Body;
use cachewarp::{
    BreakerConfig, Bypass, CacheHandle, CacheLayer, CacheOutcome, EntriesCursor, EntryInfo,
    EntryState, ExpectedAnswer, FixedTtl, ForwardReason, GoesAlone, LifetimeSource, Memory,
    NotStored, Prospect, Purge, RequestStats, StaleReason, Tier, breaker::BreakerState,
    clock::ManualClock,
};
use http::{HeaderValue, Request, Response, StatusCode};
use tower::Layer;

use crate::support::{Origin, asking, call, fresh, get, origin, settle, soon, with};

/// A layer whose clock the test moves.
fn layer() -> (CacheLayer, ManualClock) {
    let clock = ManualClock::at(1_700_000_000);
    let layer = CacheLayer::builder()
        .memory(Memory::with_capacity(64 << 20))
        .clock(clock.clone())
        .ignore_query(["utm_*"])
        .ttl(FixedTtl::new(Duration::from_secs(60)))
        .build();
    (layer.expect("valid settings"), clock)
}

/// Responses of several kinds, by path.
fn site() -> Origin {
    let (site, _) = origin(|request| {
        let mut response = Response::new(Body::from("text"));
        let headers = response.headers_mut();
        match request.uri().path() {
            "/windows" => {
                let value = "max-age=10, stale-while-revalidate=5, stale-if-error=60";
                headers.insert("cache-control", HeaderValue::from_static(value));
            }
            "/varied" => {
                headers.insert("cache-control", HeaderValue::from_static("s-maxage=100"));
                headers.insert(
                    "vary",
                    HeaderValue::from_static("accept-encoding, x-absent"),
                );
            }
            "/validated" => {
                headers.insert("cache-control", HeaderValue::from_static("no-cache"));
                headers.insert("etag", HeaderValue::from_static("\"1\""));
            }
            "/tagged" => {
                headers.insert("cache-control", HeaderValue::from_static("max-age=60"));
                headers.insert("cache-tag", HeaderValue::from_static("item:7"));
            }
            "/policy" => {}
            "/gone" => *response.status_mut() = StatusCode::GONE,
            _ => {
                headers.insert("cache-control", HeaderValue::from_static("max-age=3600"));
                headers.insert("etag", HeaderValue::from_static("\"1\""));
            }
        }
        response
    });
    site
}

fn at(url: &str) -> Request<Body> {
    Request::get(url)
        .body(Body::empty())
        .expect("a valid request")
}

async fn fill(cache: &CacheLayer, requests: impl IntoIterator<Item = Request<Body>>) {
    let service = cache.layer(site());
    for request in requests {
        call(&service, request).await;
    }
    settle(cache).await;
}

async fn entries(handle: &CacheHandle, url: &str) -> Vec<EntryInfo> {
    let found = handle.entry(url).await.expect("a valid URL");
    found.map_or_else(Vec::new, |resource| {
        assert_eq!(resource.more, 0);
        resource.entries
    })
}

async fn urls(handle: &CacheHandle, url: &str) -> Vec<String> {
    let entries = entries(handle, url).await;
    entries.into_iter().map(|entry| entry.url).collect()
}

#[tokio::test]
async fn an_entry_says_how_long_it_lives_and_who_said_so() {
    let (cache, clock) = layer();
    fill(
        &cache,
        ["/windows", "/validated", "/policy", "/gone"].map(get),
    )
    .await;
    let handle = cache.handle();
    let of = async |path| entries(&handle, path).await.remove(0);

    let entry = of("/windows").await;
    assert_eq!(entry.url, "http://a.test/windows");
    assert_eq!(entry.status, StatusCode::OK);
    assert_eq!((entry.age, entry.ttl), (Duration::ZERO, 10));
    assert_eq!(entry.lifetime, Duration::from_secs(10));
    assert_eq!(entry.lifetime_source, LifetimeSource::MaxAge);
    assert_eq!(entry.stale_while_revalidate, Some(Duration::from_secs(5)));
    assert_eq!(entry.stale_if_error, Some(Duration::from_secs(60)));
    assert_eq!(entry.state, EntryState::Fresh);
    assert_eq!(entry.body_len, 4);
    assert!(entry.size > 100, "{}", entry.size);
    assert_eq!((entry.tier, entry.in_shared_tier), (Tier::Memory, false));
    assert_eq!((entry.partition, entry.selecting), (None, Vec::new()));

    assert_eq!(of("/validated").await.state, EntryState::MustValidate);
    assert_eq!(of("/policy").await.lifetime_source, LifetimeSource::Policy);
    let gone = of("/gone").await;
    assert_eq!(gone.status, StatusCode::GONE);

    for (after, state) in [
        (15, EntryState::StaleWhileRevalidate),
        (16, EntryState::StaleIfError),
        (71, EntryState::Stale),
    ] {
        let age = of("/windows").await.age;
        clock.advance(Duration::from_secs(after) - age);
        let entry = of("/windows").await;
        assert_eq!(entry.state, state, "{after}");
        assert_eq!(entry.age, Duration::from_secs(after));
        assert_eq!(entry.ttl, 10 - i64::try_from(after).unwrap());
    }
}

#[tokio::test]
async fn what_was_invalidated_is_shown_as_such() {
    let (cache, _) = layer();
    let forwarded = with(get("/a"), "x-forwarded-host", b"b.test");
    fill(&cache, [get("/a"), forwarded, get("/b")]).await;
    fill(&cache, [asking("PUT", "/a")]).await;
    let states = entries(&cache.handle(), "/a").await;
    let states: Vec<_> = states.into_iter().map(|entry| entry.state).collect();
    assert_eq!(states, [EntryState::Invalidated; 2]);
    assert_eq!(
        entries(&cache.handle(), "/b").await[0].state,
        EntryState::Fresh
    );
}

#[tokio::test]
async fn all_variants_and_partitions_of_a_url_are_found() {
    let (cache, _) = layer();
    let encoded = |encoding: &[u8]| with(get("/varied"), "accept-encoding", encoding);
    let forwarded = with(encoded(b"br"), "x-forwarded-host", b"b.test");
    fill(&cache, [encoded(b"br"), encoded(b"gzip"), forwarded]).await;
    let found = entries(&cache.handle(), "http://a.test/varied").await;
    assert_eq!(found.len(), 3);
    let is_plain = |entry: &&EntryInfo| entry.partition.is_none();
    assert_eq!(found.iter().filter(is_plain).count(), 2);
    for entry in &found {
        let names: Vec<&str> = entry.selecting.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["accept-encoding", "x-absent"]);
        assert!(entry.selecting[0].value.is_some());
        assert_eq!(entry.selecting[1].value, None);
        assert_eq!(entry.lifetime_source, LifetimeSource::SMaxage);
    }
    let mut values: Vec<_> = found.iter().map(|it| &it.selecting[0].value).collect();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 2, "values are told apart");
}

#[tokio::test]
async fn a_url_is_normalised_as_those_of_requests() {
    let (cache, _) = layer();
    let hosts = [
        "http://a.test/x?q=1",
        "https://a.test/x?q=1",
        "http://b.test:81/x?q=1",
    ];
    fill(&cache, hosts.map(at)).await;
    fill(&cache.scope("admin"), [at("http://a.test/x?q=1")]).await;
    let handle = cache.handle();
    for (url, found) in [
        ("http://A.TEST:80/x?utm_source=y&q=1", &hosts[..1]),
        ("https://a.test:443/x?q=1", &hosts[1..2]),
        ("http://b.test:81/x?q=1#top", &hosts[2..]),
        ("/x?q=1&utm_source=y", &[hosts[0], hosts[2], hosts[1]]),
        ("http://b.test/x?q=1", &[]),
        ("http://a.test/x", &[]),
        ("/x?q=1&r", &[]),
        ("/x", &[]),
    ] {
        let mut expected = found.to_vec();
        expected.sort_unstable();
        assert_eq!(urls(&handle, url).await, expected, "{url}");
    }
    let admin = cache.scope("admin").handle();
    assert_eq!(urls(&admin, "/x?q=1").await, ["http://a.test/x?q=1"]);
    for url in [
        "",
        "x",
        "a.test/x",
        "a.test",
        "*",
        "http://",
        "http://u@a.test/",
        "http:///x",
        "/a b",
    ] {
        let refused = handle.entry(url).await.unwrap_err();
        assert_eq!(refused.url(), url);
        assert!(refused.to_string().contains("nor a path"), "{refused}");
    }
}

#[tokio::test]
async fn every_entry_is_on_exactly_one_page() {
    let (cache, _) = layer();
    let paths: Vec<String> = (0..250).map(|index| format!("/items/{index:03}")).collect();
    fill(&cache, paths.iter().map(|path| get(path))).await;
    let encoded =
        ["br", "gzip", "zstd"].map(|it| with(get("/varied"), "accept-encoding", it.as_bytes()));
    fill(&cache, encoded).await;
    for limit in [1, 7, 100, 253, 1000] {
        let mut listed = Vec::new();
        let mut entries = cache.handle().entries().limit(limit);
        loop {
            let page = entries.clone().page().await;
            assert!(page.entries.len() <= limit);
            listed.extend(page.entries.into_iter().map(|entry| entry.url));
            let Some(next) = page.next else { break };
            // As it travels in a URL.
            let text = next.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            entries = entries.after(text.parse().unwrap());
        }
        let mut expected: Vec<String> = paths
            .iter()
            .map(|it| format!("http://a.test{it}"))
            .collect();
        expected.extend(std::iter::repeat_n("http://a.test/varied".to_owned(), 3));
        assert_eq!(listed, expected, "{limit}");
    }
    for text in ["", "0", "zz", "00", &"0".repeat(64), &"0".repeat(80)] {
        assert!(text.parse::<EntriesCursor>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_list_is_of_a_host_and_of_what_is_below_a_path() {
    let (cache, _) = layer();
    let stored = [
        "http://a.test/",
        "http://a.test/items",
        "http://a.test/items/7",
        "http://a.test/items?page=2",
        "http://a.test/itemsets",
        "http://b.test/items",
        "http://b.test:81/items",
    ];
    fill(&cache, stored.map(at)).await;
    fill(&cache.scope("admin"), [at("http://a.test/items")]).await;
    let all = || cache.handle().entries();
    for (entries, expected) in [
        (all(), &stored[..]),
        (all().host("A.test"), &stored[..5]),
        (all().host("b.test"), &stored[5..]),
        (all().host("b.test:81"), &stored[6..]),
        (all().host("test"), &[]),
        (all().prefix("/items").host("a.test"), &stored[1..4]),
        (all().prefix("/items/").host("a.test"), &stored[2..3]),
        (all().prefix("/").host("a.test"), &stored[..5]),
        (all().prefix("/item"), &[]),
    ] {
        let what = format!("{entries:?}");
        let page = entries.page().await;
        let mut found: Vec<String> = page.entries.into_iter().map(|it| it.url).collect();
        found.sort();
        assert_eq!(found, expected, "{what}");
        assert_eq!(page.next, None);
    }
}

#[tokio::test]
async fn what_is_purged_is_no_longer_shown_and_what_is_soft_purged_is_stale() {
    let (cache, _) = layer();
    let handle = cache.handle();
    fill(&cache, ["/tagged", "/windows"].map(get)).await;
    assert_eq!(entries(&handle, "/tagged").await[0].tags, ["item:7"]);
    handle
        .purge(Purge::tag("item:7"))
        .await
        .expect("no shared tier");
    assert_eq!(entries(&handle, "/tagged").await, []);
    let explained = handle.explain(&get("/tagged"));
    assert_eq!((explained.variants, explained.selected), (0, None));
    let soft = Purge::url("/windows").soft();
    handle.purge(soft).await.expect("no shared tier");
    let entry = entries(&handle, "/windows").await.remove(0);
    assert_eq!(entry.state, EntryState::StaleWhileRevalidate);
    assert_eq!((entry.age, entry.ttl), (Duration::ZERO, 0));
    assert_eq!(handle.entries().page().await.entries, [entry]);
}

#[tokio::test]
async fn an_explanation_says_what_would_become_of_a_request() {
    let (cache, clock) = layer();
    let encoded = with(get("/varied"), "accept-encoding", b"br");
    fill(
        &cache,
        [get("/windows"), get("/validated"), get("/policy"), encoded],
    )
    .await;
    let handle = cache.handle();
    let explain = |request: &Request<Body>| handle.explain(request);
    let cookie = |path| with(get(path), "cookie", b"session=1");
    let directive = |path, directive: &[u8]| with(get(path), "cache-control", directive);

    let hit = explain(&with(get("/windows?utm_x=1"), "accept", b"*/*"));
    assert_eq!(hit.answer, ExpectedAnswer::Hit);
    assert_eq!(hit.key.as_deref(), Some("http://a.test/windows"));
    assert_eq!(hit.variants, 1);
    assert_eq!(hit.selected, entries(&handle, "/windows").await.pop());
    assert_eq!((hit.storing, hit.alone), (None, None));
    assert_eq!(
        hit.to_string(),
        "GET /windows?utm_x=1\n\
         key: http://a.test/windows\n\
         stored: 200, fresh, age 0 s, lifetime 10 s (max-age), 10 s left\n\
         answer: a hit, from memory"
    );

    for (request, answer, storing) in [
        (
            directive("/windows", b"no-cache"),
            ExpectedAnswer::Validated(ForwardReason::Request),
            Some(Prospect::Open),
        ),
        (
            get("/varied"),
            ExpectedAnswer::Missed(ForwardReason::VaryMiss),
            Some(Prospect::Open),
        ),
        (
            cookie("/new"),
            ExpectedAnswer::Missed(ForwardReason::UriMiss),
            Some(Prospect::IfStated(NotStored::Cookie)),
        ),
        (
            asking("HEAD", "/new"),
            ExpectedAnswer::Missed(ForwardReason::UriMiss),
            Some(Prospect::Never(NotStored::Method)),
        ),
        (
            directive("/new", b"only-if-cached"),
            ExpectedAnswer::Refused,
            None,
        ),
        (
            cookie("/policy"),
            ExpectedAnswer::Bypassed(Bypass::Cookie),
            None,
        ),
        (
            with(get("/new"), "x-http-method-override", b"PUT"),
            ExpectedAnswer::Bypassed(Bypass::MethodOverride),
            None,
        ),
        (asking("PUT", "/new"), ExpectedAnswer::Forwarded, None),
        (asking("CONNECT", "/new"), ExpectedAnswer::Tunnelled, None),
    ] {
        let explanation = explain(&request);
        assert_eq!(explanation.answer, answer, "{explanation}");
        assert_eq!(explanation.storing, storing, "{explanation}");
        assert_eq!(explanation.alone, None, "{explanation}");
    }

    for (request, alone) in [
        (
            with(get("/new"), "authorization", b"Basic x"),
            GoesAlone::Private,
        ),
        (directive("/new", b"no-store"), GoesAlone::Private),
        (
            with(get("/new"), "range", b"bytes=0-1"),
            GoesAlone::Conditions,
        ),
    ] {
        let explanation = explain(&request);
        assert_eq!(explanation.alone, Some(alone), "{explanation}");
    }

    let validated = explain(&get("/validated"));
    let answer = ExpectedAnswer::Validated(ForwardReason::Stale);
    assert_eq!(validated.answer, answer, "{validated}");
    assert_eq!(validated.alone, Some(GoesAlone::Uncacheable), "{validated}");

    clock.advance(Duration::from_secs(12));
    let stale = explain(&get("/windows"));
    let reason = StaleReason::WhileRevalidate;
    assert_eq!(stale.answer, ExpectedAnswer::Stale(reason), "{stale}");
    // Nothing came of all this.
    assert_eq!(urls(&handle, "/new").await, [""; 0]);
    let disabled = CacheLayer::disabled().handle().explain(&get("/windows"));
    assert_eq!(disabled.answer, ExpectedAnswer::Disabled);
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let (cache, _) = layer();
    let service = cache.layer(site());
    let request = || with(get("/windows"), "cookie", b"session=1");
    for answer in [
        ExpectedAnswer::Missed(ForwardReason::UriMiss),
        ExpectedAnswer::Hit,
    ] {
        let explained = cache.handle().explain(&request()).answer;
        assert_eq!(explained, answer);
        let outcome = call(&service, request()).await.outcome();
        settle(&cache).await;
        let is_hit = matches!(outcome, CacheOutcome::Hit { .. });
        assert_eq!(is_hit, answer == ExpectedAnswer::Hit, "{outcome:?}");
    }
}

#[tokio::test]
async fn what_is_hit_most_often_comes_first() {
    let (cache, _) = layer();
    let service = cache.layer(site());
    fill(&cache.scope("admin"), [get("/other")]).await;
    for round in 0..6400 {
        call(&service, get("/hot")).await;
        if round % 4 == 0 {
            call(&service, get("/warm")).await;
        }
    }
    let handle = cache.handle();
    let top = handle.top(10);
    let urls: Vec<&str> = top.iter().map(|hot| &*hot.url).collect();
    assert_eq!(urls, ["http://a.test/hot", "http://a.test/warm"]);
    assert!((4000..9000).contains(&top[0].hits), "{top:?}");
    assert!((800..3200).contains(&top[1].hits), "{top:?}");
    assert_eq!((top[0].excess, &top[0].partition), (0, &None));
    assert_eq!(handle.top(1), top[..1]);
    assert_eq!(handle.top(0), []);
    assert_eq!(entries(&handle, "/hot").await[0].hits, top[0].hits);
    assert_eq!(cache.scope("admin").handle().top(10), []);
}

#[tokio::test]
async fn statistics_count_each_answer_once() {
    let (cache, clock) = layer();
    let service = cache.layer(site());
    let handle = cache.handle();
    assert_eq!(handle.stats().requests, RequestStats::default());
    let ask = async |request| {
        call(&service, request).await;
        settle(&cache).await;
    };
    ask(get("/windows")).await;
    ask(get("/windows")).await;
    ask(get("/windows")).await;
    ask(asking("HEAD", "/new")).await;
    ask(asking("PUT", "/new")).await;
    ask(with(get("/new"), "cache-control", b"only-if-cached")).await;
    clock.advance(Duration::from_secs(12));
    // Refreshed in the background.
    ask(get("/windows")).await;
    let stats = handle.stats();
    let requests = stats.requests;
    // The refresh is one of them.
    assert_eq!((requests.misses_stored, requests.misses_not_stored), (2, 1));
    assert_eq!((requests.memory_hits, requests.remote_hits), (2, 0));
    assert_eq!((requests.hits(), requests.stale), (2, 1));
    assert_eq!((requests.bypassed, requests.generated), (1, 1));
    assert_eq!((requests.revalidated, requests.collapsed), (0, 0));
    assert_eq!(requests.total(), 8);
    assert!((requests.hit_ratio() - 3.0 / 8.0).abs() < 1e-9);
    assert_eq!((stats.origin_calls, stats.origin_failures), (3, 0));
    assert_eq!((stats.stored, stats.entries), (2, 1));
    assert_eq!((stats.fills, stats.flights, stats.waiting), (0, 0, 0));
    assert_eq!(stats.memory_capacity, 64 << 20);
    assert_eq!(stats.evictions, 0);
    assert!(!stats.remote_connected && !stats.remote_available);
    assert_eq!(
        (stats.pending_write_bytes, stats.pending_invalidations),
        (0, 0)
    );
    assert_eq!(stats.breaker, None);
}

#[tokio::test]
async fn statistics_show_who_waits_and_what_the_breaker_does() {
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .breaker(BreakerConfig::default())
        .build()
        .expect("valid settings");
    let (go, gate) = tokio::sync::watch::channel(false);
    let service = cache.layer(tower::service_fn(move |_: Request<Body>| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open)
                .await
                .expect("the test holds the sender");
            Ok::<_, std::convert::Infallible>(fresh("text"))
        }
    }));
    let answers: Vec<_> = (0..5)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { call(&service, get("/x")).await })
        })
        .collect();
    let handle = cache.handle();
    soon(async {
        while handle.stats().waiting < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let stats = handle.stats();
    assert_eq!((stats.flights, stats.fills), (1, 1));
    // The one that leads waits for its own task.
    assert_eq!(stats.waiting, 4);
    assert_eq!(stats.requests.total(), 0);
    assert_eq!(stats.breaker, Some(BreakerState::Closed));
    go.send_replace(true);
    for answer in answers {
        soon(answer).await.expect("no panic");
    }
    settle(&cache).await;
    let stats = handle.stats();
    assert_eq!((stats.flights, stats.fills, stats.waiting), (0, 0, 0));
    assert_eq!(stats.origin_calls, 1);
    assert_eq!(stats.requests.total(), 5);
    assert_eq!(stats.requests.misses_stored, 1);
    cache.breaker_handle().expect("there is one").force_open("");
    assert_eq!(handle.stats().breaker, Some(BreakerState::ForcedOpen));
}

#[tokio::test]
async fn statistics_count_what_made_room_for_others() {
    let cache = CacheLayer::new(Memory::with_capacity(64 << 10));
    let paths: Vec<String> = (0..500).map(|index| format!("/{index}")).collect();
    fill(&cache, paths.iter().map(|path| get(path))).await;
    let stats = cache.handle().stats();
    assert_eq!(stats.stored, 500);
    assert_eq!(stats.evictions + stats.entries, 500);
    assert!(stats.evictions > 300, "{stats:?}");
    assert!(stats.memory_bytes <= stats.memory_capacity, "{stats:?}");
}
