//! Purges beside lookups, fetches, waiters, refreshes and errors: who asks after a purge returned never
//! gets what was fetched before it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cachewarp::{
    CacheHandle, CacheLayer, CacheOutcome, CacheTags, NotStored, Purge, PurgeError, PurgeRequest,
    Storing,
};
use http::{
    Method, StatusCode,
    header::{ETAG, IF_NONE_MATCH},
};
use tower::{Layer, ServiceExt};

use crate::support::{
    Answer, Asked, Cache, Count, Origin, answered, board, fetch, fresh, full, get, get_with,
    is_hit, layer, outcome, request, send, settle, soon, status, text, with_directives,
};

/// An origin of pages whose body is a version, behind a cache.
struct Site {
    version: Arc<AtomicU64>,
    down: Arc<AtomicBool>,
    handle: CacheHandle,
    cache: Cache,
}

/// The page of a version: tagged, in a group, and with a validator that never changes, as of an origin
/// that got it wrong.
fn page(directives: &str, version: u64) -> Answer {
    let mut page = with_directives(directives, version.to_string());
    let headers = page.headers_mut();
    headers.insert(ETAG, "\"same\"".parse().unwrap());
    headers.insert("cache-tag", "page, item:7".parse().unwrap());
    headers.insert("surrogate-key", "old".parse().unwrap());
    headers.insert("cache-groups", "\"g\"".parse().unwrap());
    page.extensions_mut().insert(CacheTags::new(["said"]));
    page
}

fn site(directives: &'static str) -> Site {
    site_of(&layer(), directives)
}

fn site_of(layer: &CacheLayer, directives: &'static str) -> Site {
    let (version, down) = (
        Arc::new(AtomicU64::new(1)),
        Arc::new(AtomicBool::new(false)),
    );
    let (now, fails) = (Arc::clone(&version), Arc::clone(&down));
    let origin = Origin::answering(move |_, request: Asked| {
        if fails.load(Ordering::SeqCst) {
            return Ok(status(StatusCode::BAD_GATEWAY, "down"));
        }
        if request
            .headers()
            .get(IF_NONE_MATCH)
            .is_some_and(|tag| tag == "\"same\"")
        {
            return Ok(status(StatusCode::NOT_MODIFIED, ""));
        }
        Ok(page(directives, now.load(Ordering::SeqCst)))
    });
    Site {
        cache: layer.layer(origin),
        handle: layer.handle(),
        version,
        down,
    }
}

impl Site {
    async fn read(&self, path: &str) -> (String, CacheOutcome) {
        let answer = fetch(&self.cache, get(path)).await;
        let outcome = outcome(&answer);
        let body = text(answer).await;
        (String::from_utf8(body.to_vec()).unwrap(), outcome)
    }

    async fn body(&self, path: &str) -> String {
        self.read(path).await.0
    }

    fn publish(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    async fn purge(&self, purge: PurgeRequest) {
        self.handle.purge(purge).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_of_any_kind_ends_what_it_names_and_nothing_else() {
    const PATH: &str = "http://a.test/items/7?x=1";
    for (purge, ends) in [
        (Purge::url("/items/7?x=1"), true),
        (Purge::url("https://a.test/items/7?x=1"), true),
        (Purge::url("/items/7"), false),
        (Purge::url("http://b.test/items/7?x=1"), false),
        (Purge::path("/items/7"), true),
        (Purge::path("/items"), false),
        (Purge::prefix("/items"), true),
        (Purge::prefix("http://a.test/"), true),
        (Purge::prefix("/items/70"), false),
        (Purge::host("a.test"), true),
        (Purge::host("b.test"), false),
        (Purge::tag("page"), true),
        (Purge::tag("item:7"), true),
        (Purge::tag("old"), true),
        (Purge::tag("said"), true),
        (Purge::tag("item:70"), false),
        (Purge::group("http://a.test", "g"), true),
        (Purge::group("https://a.test", "g"), false),
        (Purge::group("http://b.test", "g"), false),
        (Purge::namespace(), true),
        (Purge::everything(), true),
        (Purge::tag("none").url("/none").prefix("/items/"), true),
    ] {
        let site = site("max-age=600");
        assert_eq!(site.body(PATH).await, "1");
        site.publish();
        assert_eq!(site.body(PATH).await, "1", "it is cached");
        let named = format!("{purge:?}");
        site.purge(purge).await;
        let expected = if ends { "2" } else { "1" };
        assert_eq!(site.body(PATH).await, expected, "{named}");
        let (_, outcome) = site.read(PATH).await;
        assert!(matches!(outcome, CacheOutcome::Hit { .. }), "cached again");
    }
}

/// A text means something else to each kind of subject.
#[tokio::test(start_paused = true)]
async fn kinds_of_subjects_are_told_apart() {
    for (path, purge) in [
        ("http://a.test/a", Purge::url("/").prefix("/none")),
        (
            "http://a.test/items?p=2",
            Purge::url("/items").path("/none"),
        ),
        (
            "http://a.test/items/7",
            Purge::path("/items/").prefix("/none"),
        ),
        ("http://a.test/a", Purge::tag("a.test").host("b.test")),
        ("http://a.test/a", Purge::path("/page").tag("none")),
        ("http://a.test/a", Purge::tag("/a").path("/none")),
    ] {
        let site = site("max-age=600");
        assert_eq!(site.body(path).await, "1");
        site.publish();
        let named = format!("{purge:?}");
        site.purge(purge).await;
        assert_eq!(site.body(path).await, "1", "{named}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_hard_is_neither_confirmed_nor_served_in_place_of_an_error() {
    let site = site("max-age=600, stale-if-error=600, stale-while-revalidate=600");
    assert_eq!(site.body("/").await, "1");
    site.publish();
    site.purge(Purge::path("/")).await;
    site.down.store(true, Ordering::SeqCst);
    let (body, outcome) = site.read("/").await;
    assert_eq!(body, "down");
    // Not another variant: nothing is stored for the URL any more.
    assert_eq!(outcome.reason(), Some("origin-error"));
    assert!(format!("{outcome:?}").contains("UriMiss"), "{outcome:?}");
    site.down.store(false, Ordering::SeqCst);
    assert_eq!(
        site.body("/").await,
        "2",
        "the validator would have confirmed the first version"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_softly_is_stale_from_then_on() {
    let site = site("max-age=600, stale-while-revalidate=60, stale-if-error=120");
    assert_eq!(site.body("/").await, "1");
    site.purge(Purge::tag("page").soft()).await;
    let (body, outcome) = site.read("/").await;
    assert_eq!(body, "1");
    assert!(
        matches!(outcome, CacheOutcome::Stale { ttl: 0, .. }),
        "{outcome:?}"
    );
    settle().await;
    // The refresh confirmed it.
    let (_, outcome) = site.read("/").await;
    assert!(matches!(outcome, CacheOutcome::Hit { .. }), "{outcome:?}");
    site.purge(Purge::tag("page").soft()).await;
    site.down.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(100)).await;
    let (body, outcome) = site.read("/").await;
    assert_eq!(body, "1", "within stale-if-error of the purge: {outcome:?}");
    tokio::time::advance(Duration::from_secs(30)).await;
    let (body, outcome) = site.read("/").await;
    assert_eq!(body, "down", "beyond it: {outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn what_must_be_validated_is_confirmed_before_it_is_served() {
    let site = site("max-age=600, stale-while-revalidate=600, stale-if-error=600");
    assert_eq!(site.body("/").await, "1");
    site.purge(Purge::tag("page").validate()).await;
    site.down.store(true, Ordering::SeqCst);
    assert_eq!(site.body("/").await, "down");
    site.down.store(false, Ordering::SeqCst);
    let (body, outcome) = site.read("/").await;
    assert_eq!(body, "1");
    assert!(
        matches!(outcome, CacheOutcome::Revalidated { .. }),
        "{outcome:?}"
    );
    let (_, outcome) = site.read("/").await;
    assert!(matches!(outcome, CacheOutcome::Hit { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_response_on_its_way_is_purged_too() {
    let arrived = Count::new();
    let go = Count::new();
    let origin = {
        let (arrived, go) = (arrived.clone(), go.clone());
        Origin::new(move |call, _| {
            let (arrived, go) = (arrived.clone(), go.clone());
            async move {
                arrived.add();
                go.reach(call).await;
                Ok(page("max-age=600", call as u64))
            }
        })
    };
    let layer = layer();
    let (cache, handle) = (layer.layer(origin.clone()), layer.handle());
    let aboard = Count::new();
    let first = board(&cache, get("/"), &aboard);
    soon(arrived.reach(1)).await;
    handle.purge(Purge::tag("page")).await.unwrap();
    // These came after the purge, and find a fetch that began before it.
    let late: Vec<_> = (0..5).map(|_| board(&cache, get("/"), &aboard)).collect();
    soon(aboard.reach(6)).await;
    go.add();
    assert_eq!(
        text(answered(first).await).await,
        "1",
        "it asked before the purge"
    );
    soon(arrived.reach(2)).await;
    go.add();
    for request in late {
        assert_eq!(text(answered(request).await).await, "2");
    }
    assert_eq!(
        origin.calls(),
        2,
        "all who came after the purge share one call"
    );
    let again = fetch(&cache, get("/")).await;
    assert!(is_hit(&again));
    assert_eq!(text(again).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_validation_that_began_before_a_purge_confirms_nothing() {
    let arrived = Count::new();
    let go = Count::new();
    let origin = {
        let (arrived, go) = (arrived.clone(), go.clone());
        Origin::new(move |call, request: Asked| {
            let (arrived, go) = (arrived.clone(), go.clone());
            async move {
                if request.headers().contains_key(IF_NONE_MATCH) {
                    arrived.add();
                    go.reach(1).await;
                    return Ok(status(StatusCode::NOT_MODIFIED, ""));
                }
                Ok(page("max-age=10", call as u64))
            }
        })
    };
    let layer = layer();
    let (cache, handle) = (layer.layer(origin), layer.handle());
    assert_eq!(text(fetch(&cache, get("/")).await).await, "1");
    tokio::time::advance(Duration::from_secs(20)).await;
    let validating = send(&cache, get("/"));
    soon(arrived.reach(1)).await;
    handle.purge(Purge::path("/")).await.unwrap();
    go.add();
    assert_eq!(text(answered(validating).await).await, "3");
    assert_eq!(
        text(fetch(&cache, get("/")).await).await,
        "4",
        "call 3 began before the purge"
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_that_freshens_does_not_bring_a_purged_response_back() {
    for directives in ["max-age=600", "max-age=600, stale-while-revalidate=600"] {
        let site = site(directives);
        assert_eq!(site.body("/").await, "1");
        site.publish();
        site.purge(Purge::path("/")).await;
        let head = fetch(&site.cache, request(Method::HEAD, "/")).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(site.body("/").await, "2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_can_carry_a_purge_which_is_in_force_before_it_is_released() {
    let version = Arc::new(AtomicU64::new(1));
    let now = Arc::clone(&version);
    let origin = Origin::answering(move |_, request: Asked| {
        if request.method() == Method::GET {
            return Ok(page("max-age=600", now.load(Ordering::SeqCst)));
        }
        now.fetch_add(1, Ordering::SeqCst);
        // The handler's own word counts whatever the status.
        let mut answer = status(StatusCode::INTERNAL_SERVER_ERROR, "failed halfway");
        answer
            .extensions_mut()
            .insert(Purge::path("/items").tag("item:7"));
        Ok(answer)
    });
    let cache = layer().layer(origin);
    for path in ["/items?page=2", "/tagged"] {
        assert_eq!(text(fetch(&cache, get(path)).await).await, "1");
    }
    fetch(&cache, request(Method::DELETE, "/items/7")).await;
    for path in ["/items?page=2", "/tagged"] {
        assert_eq!(text(fetch(&cache, get(path)).await).await, "2", "{path}");
    }
    fetch(&cache, request(Method::OPTIONS, "/any")).await;
    assert_eq!(text(fetch(&cache, get("/tagged")).await).await, "3");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_purges_itself_is_not_stored() {
    let origin = Origin::answering(|call, _| {
        let mut answer = fresh(call.to_string());
        answer.extensions_mut().insert(Purge::url("/"));
        Ok(answer)
    });
    let cache = layer().layer(origin);
    assert_eq!(text(fetch(&cache, get("/")).await).await, "1");
    assert_eq!(text(fetch(&cache, get("/")).await).await, "2");
}

#[tokio::test(start_paused = true)]
async fn an_unsafe_response_invalidates_the_groups_that_it_names() {
    let origin = Origin::answering(|call, request: Asked| {
        let mut answer = page("max-age=600, stale-if-error=600", call as u64);
        if *request.method() != Method::GET {
            let groups = "\"g\", \"h\"";
            answer
                .headers_mut()
                .insert("cache-group-invalidation", groups.parse().unwrap());
        }
        Ok(answer)
    });
    let cache = layer().layer(origin);
    let read = |path: &'static str| {
        let cache = cache.clone();
        async move { text(fetch(&cache, get(path)).await).await }
    };
    assert_eq!(read("http://a.test/1").await, "1");
    assert_eq!(read("http://b.test/1").await, "2");
    fetch(&cache, request(Method::POST, "http://a.test/other")).await;
    assert_eq!(
        read("http://a.test/1").await,
        "4",
        "validated, with a full response"
    );
    assert_eq!(read("http://b.test/1").await, "2", "another origin");
    let safe = get_with("http://a.test/2", "x-any", "1");
    fetch(&cache, safe).await;
    assert_eq!(
        read("http://a.test/1").await,
        "4",
        "only unsafe methods invalidate"
    );
}

#[tokio::test(start_paused = true)]
async fn fields_that_name_tags_are_for_the_cache_and_groups_for_everybody() {
    let site = site("max-age=600");
    for _ in 0..2 {
        let answer = fetch(&site.cache, get("/")).await;
        for field in ["cache-tag", "surrogate-key", "xkey"] {
            assert!(!answer.headers().contains_key(field), "{field}");
        }
        assert!(answer.headers().contains_key("cache-groups"));
    }
    let layer = CacheLayer::builder().forward_tags(true).build().unwrap();
    let site = site_of(&layer, "max-age=600");
    for _ in 0..2 {
        let answer = fetch(&site.cache, get("/")).await;
        assert_eq!(answer.headers()["cache-tag"], "page, item:7");
    }
    site.publish();
    site.purge(Purge::tag("page")).await;
    assert_eq!(site.body("/").await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_response_with_more_tags_than_allowed_is_not_stored() {
    let origin = Origin::answering(|call, _| {
        let mut answer = fresh(call.to_string());
        let tags = (0..129).map(|n| format!("t{n}"));
        answer.extensions_mut().insert(CacheTags::new(tags));
        Ok(answer)
    });
    let cache = layer().layer(origin);
    let answer = fetch(&cache, get("/")).await;
    let CacheOutcome::Fetched { storing, .. } = outcome(&answer) else {
        panic!("it was fetched");
    };
    assert_eq!(storing, Storing::Refused(NotStored::TooManyTags));
    assert_eq!(text(fetch(&cache, get("/")).await).await, "2");
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_purged_apart() {
    let layer = layer();
    let admin = layer.scope("admin");
    let origin = Origin::answering(|call, _| Ok(page("max-age=600", call as u64)));
    let (one, two) = (layer.layer(origin.clone()), admin.layer(origin));
    let read = |cache: &Cache| {
        let cache = cache.clone();
        async move { text(fetch(&cache, get("/")).await).await }
    };
    assert_eq!(
        (read(&one).await, read(&two).await),
        ("1".into(), "2".into())
    );
    admin.handle().purge(Purge::tag("page")).await.unwrap();
    assert_eq!(
        (read(&one).await, read(&two).await),
        ("1".into(), "3".into())
    );
    admin.handle().purge(Purge::everything()).await.unwrap();
    assert_eq!(
        (read(&one).await, read(&two).await),
        ("4".into(), "5".into())
    );
}

#[tokio::test(start_paused = true)]
async fn the_result_says_what_is_known() {
    let site = site("max-age=600");
    site.body("http://a.test/x").await;
    let purge = Purge::url("https://a.test:443/x");
    let purged = site.handle.purge(purge.clone()).await.unwrap();
    assert!(purged.here.in_force && !purged.soft);
    assert_eq!((purged.subjects, purged.here.variants), (1, Some(1)));
    let again = site.handle.purge(purge.soft()).await.unwrap();
    assert!(again.id > purged.id && again.soft);
    assert_eq!(again.here.variants, Some(0));
    let tagged = site
        .handle
        .purge(Purge::tag("page").url("/x"))
        .await
        .unwrap();
    assert_eq!((tagged.subjects, tagged.here.variants), (2, None));
    let refused = site.handle.purge(Purge::url("x")).await.unwrap_err();
    assert!(matches!(refused, PurgeError::Invalid(_)), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_was_purged_is_wiped_from_memory() {
    let site = site("max-age=600");
    for n in 0..600 {
        let path = format!("/{}/{n}", if n % 2 == 0 { "even" } else { "odd" });
        site.body(&path).await;
    }
    assert_eq!(site.handle.stats().entries, 600);
    site.purge(Purge::prefix("/even")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(site.handle.stats().entries, 300);
    site.purge(Purge::everything()).await;
    assert_eq!(site.handle.stats().entries, 0, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_validation_that_names_some_tags_takes_none_away() {
    for validated_by in [Method::GET, Method::HEAD] {
        let version = Arc::new(AtomicU64::new(1));
        let now = Arc::clone(&version);
        let origin = Origin::answering(move |_, request: Asked| {
            if request.headers().contains_key(IF_NONE_MATCH) || *request.method() == Method::HEAD {
                let mut answer = page("max-age=600", 0);
                if *request.method() == Method::GET {
                    answer = status(StatusCode::NOT_MODIFIED, "");
                }
                answer.headers_mut().remove("surrogate-key");
                answer.extensions_mut().clear();
                let tags = "page, later".parse().unwrap();
                answer.headers_mut().insert("cache-tag", tags);
                return Ok(answer);
            }
            Ok(page("max-age=10", now.load(Ordering::SeqCst)))
        });
        for tag in ["said", "old", "item:7", "page", "later"] {
            let layer = layer();
            let (cache, handle) = (layer.layer(origin.clone()), layer.handle());
            let first = text(fetch(&cache, get("/")).await).await;
            tokio::time::advance(Duration::from_secs(20)).await;
            fetch(&cache, request(validated_by.clone(), "/")).await;
            assert_eq!(text(fetch(&cache, get("/")).await).await, first);
            let next = version.fetch_add(1, Ordering::SeqCst) + 1;
            handle.purge(Purge::tag(tag)).await.unwrap();
            let body = text(fetch(&cache, get("/")).await).await;
            assert_eq!(body, next.to_string(), "{tag}, {validated_by}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn soft_purges_during_a_validation_send_nobody_to_the_origin_alone() {
    let origin = Origin::new(|call, request: Asked| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if request.headers().contains_key(IF_NONE_MATCH) {
            return Ok(status(StatusCode::NOT_MODIFIED, ""));
        }
        Ok(page("max-age=600", call as u64))
    });
    let layer = layer();
    let (cache, handle) = (layer.layer(origin.clone()), layer.handle());
    assert_eq!(text(fetch(&cache, get("/")).await).await, "1");
    handle.purge(Purge::tag("page").soft()).await.unwrap();
    let crowd: Vec<_> = (0..100).map(|_| send(&cache, get("/"))).collect();
    let purging = tokio::spawn(async move {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            handle.purge(Purge::tag("page").soft()).await.unwrap();
        }
    });
    for request in crowd {
        assert_eq!(text(answered(request).await).await, "1");
    }
    assert_eq!(origin.calls(), 2, "one fetch and one validation");
    purging.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_path_is_purged_however_it_is_percent_encoded() {
    for purge in [
        Purge::url("/caf%C3%A9/%69tem?q=~"),
        Purge::path("/caf%c3%a9/item"),
        Purge::path("http://a.test/café/item"),
        Purge::prefix("/café"),
    ] {
        for path in ["/caf%C3%A9/item?q=%7e", "/caf%c3%a9/item?q=~"] {
            let site = site("max-age=600");
            let url = format!("http://a.test{path}");
            assert_eq!(site.body(&url).await, "1");
            site.publish();
            let named = format!("{purge:?}");
            site.purge(purge.clone()).await;
            assert_eq!(site.body(&url).await, "2", "{named}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_after_a_purge_does_not_share_a_validation_that_began_before_it() {
    let (arrived, go) = (Count::new(), Count::new());
    let version = Arc::new(AtomicU64::new(1));
    let origin = {
        let (arrived, go, version) = (arrived.clone(), go.clone(), Arc::clone(&version));
        Origin::new(move |call, request: Asked| {
            let (arrived, go) = (arrived.clone(), go.clone());
            // What the origin has when it is asked.
            let version = version.load(Ordering::SeqCst);
            async move {
                arrived.add();
                go.reach(call).await;
                let tag = format!("\"{version}\"");
                let asked = request.headers().get(IF_NONE_MATCH);
                if asked.is_some_and(|asked| *asked == tag) {
                    return Ok(status(StatusCode::NOT_MODIFIED, ""));
                }
                let mut page = page("max-age=10", version);
                page.headers_mut().insert(ETAG, tag.parse().unwrap());
                Ok(page)
            }
        })
    };
    let layer = layer();
    let (cache, handle) = (layer.layer(origin), layer.handle());
    go.add();
    assert_eq!(text(fetch(&cache, get("/")).await).await, "1");
    tokio::time::advance(Duration::from_secs(20)).await;
    let aboard = Count::new();
    let before = board(&cache, get("/"), &aboard);
    soon(arrived.reach(2)).await;
    version.store(2, Ordering::SeqCst);
    handle.purge(Purge::tag("page").validate()).await.unwrap();
    let after = board(&cache, get("/"), &aboard);
    soon(aboard.reach(2)).await;
    (0..2).for_each(|_| go.add());
    assert_eq!(text(answered(before).await).await, "1");
    assert_eq!(text(answered(after).await).await, "2");
}

#[tokio::test(start_paused = true)]
async fn no_head_forgets_that_a_validation_is_demanded() {
    let site = site("max-age=600");
    site.body("/").await;
    site.purge(Purge::tag("page").validate()).await;
    let head = fetch(&site.cache, request(Method::HEAD, "/")).await;
    assert_eq!(head.status(), StatusCode::OK);
    let (_, outcome) = site.read("/").await;
    assert!(
        matches!(outcome, CacheOutcome::Revalidated { .. }),
        "{outcome:?}"
    );
    let (_, outcome) = site.read("/").await;
    assert!(matches!(outcome, CacheOutcome::Hit { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn no_write_without_an_answer_forgets_that_a_validation_is_demanded() {
    let fails = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&fails);
    let origin = Origin::answering(move |_, request: Asked| {
        if *request.method() == Method::POST {
            return Err("lost".into());
        }
        if down.load(Ordering::SeqCst) {
            return Ok(status(StatusCode::BAD_GATEWAY, "down"));
        }
        Ok(page("max-age=600, stale-if-error=600", 1))
    });
    let layer = layer();
    let (cache, handle) = (layer.layer(origin), layer.handle());
    fetch(&cache, get("/")).await;
    handle.purge(Purge::tag("page").validate()).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    assert_eq!(text(fetch(&cache, get("/")).await).await, "down");
    let lost = soon(send(&cache, request(Method::POST, "/")))
        .await
        .unwrap();
    assert!(lost.is_err());
    assert_eq!(text(fetch(&cache, get("/")).await).await, "down");
}

#[tokio::test(start_paused = true)]
async fn the_response_to_a_write_is_purged_on_its_way_too() {
    let go = Count::new();
    let origin = Origin::held_if(
        |_, request| *request.method() == Method::POST,
        &go,
        1,
        |call, request| {
            let mut answer = page("max-age=600", call as u64);
            if *request.method() == Method::POST {
                let headers = answer.headers_mut();
                headers.insert("content-location", "/x".parse().unwrap());
            }
            Ok(answer)
        },
    );
    for purge in [Some(Purge::tag("page")), None] {
        let layer = CacheLayer::builder().post_fills_get("/x").build().unwrap();
        let (cache, handle) = (layer.layer(origin.clone()), layer.handle());
        let write = send(&cache, request(Method::POST, "http://a.test/x"));
        settle().await;
        let is_purged = purge.is_some();
        if let Some(purge) = purge {
            handle.purge(purge).await.unwrap();
        }
        go.add();
        text(answered(write).await).await;
        assert_eq!(handle.drain(Duration::from_secs(60)).await, 0);
        let read = fetch(&cache, get("http://a.test/x")).await;
        assert_eq!(is_hit(&read), !is_purged);
    }
}

#[tokio::test(start_paused = true)]
async fn what_arrives_after_its_purge_takes_no_room_and_no_place() {
    let go = Count::new();
    let origin = Origin::held_if(
        |call, _| call == 1,
        &go,
        1,
        |call, _| Ok(page("max-age=600", call as u64)),
    );
    let layer = layer();
    let (cache, handle) = (layer.layer(origin.clone()), layer.handle());
    let aboard = Count::new();
    let slow = board(&cache, get_with("/", "cookie", "session=1"), &aboard);
    soon(aboard.reach(1)).await;
    settle().await;
    handle.purge(Purge::tag("page")).await.unwrap();
    assert_eq!(text(fetch(&cache, get("/")).await).await, "2");
    go.add();
    assert_eq!(text(answered(slow).await).await, "1");
    assert_eq!(handle.drain(Duration::from_secs(60)).await, 0);
    let again = fetch(&cache, get("/")).await;
    assert!(is_hit(&again), "{:?}", outcome(&again));
    assert_eq!(text(again).await, "2");
    assert_eq!(origin.calls(), 2);
    let alone = Origin::held(&go, 2, |_, _| Ok(page("max-age=600", 1)));
    let cache = layer.layer(alone);
    let slow = send(&cache, get("/alone"));
    settle().await;
    handle.purge(Purge::path("/alone")).await.unwrap();
    go.add();
    answered(slow).await;
    assert_eq!(handle.drain(Duration::from_secs(60)).await, 0);
    assert_eq!(handle.stats().entries, 1, "only what was not purged");
}

#[tokio::test(start_paused = true)]
async fn the_purge_in_a_response_is_in_force_in_every_layer_that_it_passes() {
    let layer = layer();
    let (pages, admin) = (Arc::new(AtomicU64::new(1)), layer.scope("admin"));
    let version = Arc::clone(&pages);
    let admin = admin.layer(Origin::answering(|_, _| {
        let mut answer = status(StatusCode::NO_CONTENT, "");
        answer.extensions_mut().insert(Purge::path("/items"));
        Ok(answer)
    }));
    let app = Origin::new(move |_, request: Asked| {
        let (admin, version) = (admin.clone(), version.load(Ordering::SeqCst));
        async move {
            if request.uri().path() != "/admin" {
                return Ok(page("max-age=600", version));
            }
            let answer = admin.oneshot(request).await?;
            Ok(answer.map(|_| full("")))
        }
    });
    let cache = layer.layer(app);
    assert_eq!(text(fetch(&cache, get("/items")).await).await, "1");
    pages.store(2, Ordering::SeqCst);
    fetch(&cache, request(Method::DELETE, "/admin")).await;
    assert_eq!(text(fetch(&cache, get("/items")).await).await, "2");
}

#[test]
fn a_walk_that_ended_with_its_runtime_is_begun_anew() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let living = runtime();
    let site = living.block_on(async {
        let site = site("max-age=600");
        for path in ["/a/1", "/b/1", "/c/1"] {
            site.body(path).await;
        }
        site
    });
    // A job with a runtime of its own, which ends at once.
    runtime().block_on(site.purge(Purge::prefix("/a")));
    living.block_on(async {
        site.purge(Purge::prefix("/b")).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(site.handle.stats().entries, 1);
    });
}
