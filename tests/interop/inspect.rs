//! What an operator sees of the cache, through its handle.

mod explanation;
mod statistics;

use std::time::Duration;

use axum::body::Body;
use cachewarp::{
    CacheHandle, CacheLayer, EntriesCursor, EntryInfo, EntryState, FixedTtl, LifetimeSource,
    Memory, Purge, Tier, clock::ManualClock,
};
use http::{HeaderValue, Request, Response, StatusCode};
use tower::Layer;

use crate::support::{Origin, asking, call, get, origin, settle, with};

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
