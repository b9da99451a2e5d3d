//! The account of bodies: what arrives and what is read counts, stored or not, and when there is no
//! room, the new body is passed on, or readers that stand still make room.

use std::time::Duration;

use cachewarp::{CacheLayer, CacheOutcome, FillError, Memory, Storing};
use http::{HeaderValue, Method, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use tokio::time::{advance, sleep};
use tower::Layer;

use crate::support::{
    Answer, BoxError, Cache, Cached, Count, Origin, answered, chunk, feeds, fetch, fresh, get,
    get_with, is_hit, outcome, request, settle, soon, text, whole,
};

const KIB: usize = 1024;

/// What `reader_stall` is by default.
const STALL: Duration = Duration::from_secs(10);

/// The bytes of a body: as many KiB as the path says behind its last `-`.
fn sized(path: &str) -> usize {
    path.rsplit('-').next().unwrap().parse::<usize>().unwrap() * KIB
}

fn sized_origin() -> Origin {
    Origin::answering(|_, request| {
        if request.method() == Method::POST {
            return Ok(fresh(""));
        }
        let path = request.uri().path();
        let mut answer = fresh(vec![path.as_bytes()[1]; sized(path)]);
        if path.starts_with("/tag") {
            let etag = HeaderValue::from_static("\"1\"");
            answer.headers_mut().insert("etag", etag);
        }
        Ok(answer)
    })
}

struct Site {
    layer: CacheLayer,
    cache: Cache,
    origin: Origin,
}

/// A cache of 1 MiB, which stores bodies of up to 256 KiB.
fn site() -> Site {
    let origin = sized_origin();
    let layer = CacheLayer::new(Memory::with_capacity(1 << 20));
    let cache = layer.layer(origin.clone());
    Site {
        layer,
        cache,
        origin,
    }
}

impl Site {
    /// KiB in the account.
    fn counted(&self) -> usize {
        usize::try_from(self.layer.handle().stats().fill_bytes).unwrap() / KIB
    }

    async fn stores(&self, path: &str) {
        text(fetch(&self.cache, get(path)).await).await;
        settle().await;
        assert!(is_hit(&fetch(&self.cache, get(path)).await), "{path}");
        settle().await;
    }

    /// A client that has read the first bytes of an answer and reads no more.
    async fn stalled(&self, path: &str) -> Cached {
        let mut answer = fetch(&self.cache, get(path)).await;
        chunk(answer.body_mut()).await.unwrap().unwrap();
        settle().await;
        answer
    }
}

fn is_begun(answer: &Cached) -> bool {
    let storing = match outcome(answer) {
        CacheOutcome::Fetched { storing, .. } => storing,
        other => panic!("{other:?}"),
    };
    matches!(storing, Storing::Begun { .. })
}

async fn is_cut_off(answer: Cached) -> bool {
    match whole(answer).await {
        Ok(_) => false,
        Err(error) => {
            let error: BoxError = error;
            assert_eq!(error.downcast_ref(), Some(&FillError::TooSlow));
            true
        }
    }
}

// === What counts ===

#[tokio::test(start_paused = true)]
async fn a_stored_body_counts_once_for_as_long_as_somebody_reads_it() {
    let site = site();
    site.stores("/tag-200").await;
    site.stores("/small-1").await;
    assert_eq!(site.counted(), 0);
    let one = fetch(&site.cache, get("/tag-200")).await;
    let other = fetch(&site.cache, get_with("/tag-200", "range", "bytes=5-9")).await;
    assert_eq!(other.status(), 206);
    assert_eq!(site.counted(), 200);
    drop(one);
    assert_eq!(site.counted(), 200);
    assert_eq!(text(other).await, "ttttt");
    assert_eq!(site.counted(), 0);
    // What sends no body, and what is kept beside its head, does not count.
    let head = fetch(&site.cache, request(Method::HEAD, "/tag-200")).await;
    let not_modified = fetch(&site.cache, get_with("/tag-200", "if-none-match", "\"1\"")).await;
    assert_eq!(not_modified.status(), 304);
    let small = fetch(&site.cache, get("/small-1")).await;
    assert_eq!(site.counted(), 0);
    drop((head, not_modified, small));
}

#[tokio::test(start_paused = true)]
async fn who_reads_to_the_end_holds_nothing_any_more() {
    let site = site();
    site.stores("/a-200").await;
    let mut hit = fetch(&site.cache, get("/a-200")).await;
    let mut read = 0;
    while read < 200 * KIB {
        read += chunk(hit.body_mut()).await.unwrap().unwrap().len();
    }
    assert_eq!(site.counted(), 0);
    assert!(chunk(hit.body_mut()).await.is_none());
}

/// However it leaves memory.
#[tokio::test(start_paused = true)]
async fn a_body_that_has_left_memory_counts_until_its_last_reader_is_gone() {
    type Leaves = (&'static str, fn() -> Vec<crate::support::Asked>);
    let ways: [Leaves; 3] = [
        ("invalidated", || vec![request(Method::POST, "/a-200")]),
        ("replaced", || {
            vec![get_with("/a-200", "cache-control", "no-cache")]
        }),
        ("evicted", || {
            (0..8).map(|n| get(&format!("/{n}-250"))).collect()
        }),
    ];
    for (way, requests) in ways {
        for from_store in [true, false] {
            let site = site();
            if from_store {
                site.stores("/a-200").await;
            }
            let reader = site.stalled("/a-200").await;
            assert_eq!(site.counted(), 200, "{way}");
            for request in requests() {
                text(fetch(&site.cache, request).await).await;
                settle().await;
            }
            assert_eq!(site.counted(), 200, "{way}, {from_store}");
            let rest = text(reader).await.len();
            assert!(rest > 100 * KIB, "{way}");
            assert_eq!(site.counted(), 0, "{way}");
        }
    }
}

/// A head that is updated leaves the body where it is.
#[tokio::test(start_paused = true)]
async fn a_body_under_a_new_head_is_the_same_body() {
    let origin = Origin::answering(|call, _| {
        let mut answer: Answer = match call {
            1 => fresh(vec![7; 200 * KIB]),
            _ => crate::support::status(http::StatusCode::NOT_MODIFIED, ""),
        };
        for (name, value) in [("etag", "\"1\""), ("cache-control", "max-age=1")] {
            let value = HeaderValue::from_static(value);
            answer.headers_mut().insert(name, value);
        }
        Ok(answer)
    });
    let layer = CacheLayer::new(Memory::with_capacity(1 << 20));
    let cache = layer.layer(origin);
    text(fetch(&cache, get("/")).await).await;
    let old = fetch(&cache, get("/")).await;
    sleep(Duration::from_secs(2)).await;
    let revalidated = fetch(&cache, get("/")).await;
    assert!(matches!(
        outcome(&revalidated),
        CacheOutcome::Revalidated { .. }
    ));
    assert_eq!(layer.handle().stats().fill_bytes, 200 * KIB as u64);
    for answer in [old, revalidated] {
        assert_eq!(text(answer).await.len(), 200 * KIB);
    }
    assert_eq!(layer.handle().stats().fill_bytes, 0);
}

// === When there is no room ===

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_passed_on_whole_and_not_stored() {
    let site = site();
    let mut stalled = Vec::new();
    for n in 0..12 {
        let answer = site.stalled(&format!("/{n}-250")).await;
        assert_eq!(is_begun(&answer), n < 4, "{n}");
        assert!(site.counted() <= 1024);
        stalled.push(answer);
    }
    let field = stalled[11].headers()["cache-status"].to_str().unwrap();
    assert!(field.contains("detail=limit-reached"), "{field}");
    // Nor is anything refused or held up: each gets the whole.
    for n in 12..15 {
        let answer = fetch(&site.cache, get(&format!("/{n}-250"))).await;
        assert_eq!(text(answer).await.len(), 250 * KIB);
    }
    for answer in stalled {
        assert!(text(answer).await.len() > 100 * KIB);
    }
    assert_eq!(site.counted(), 0);
    assert!(is_begun(&fetch(&site.cache, get("/again-250")).await));
}

/// It says nothing about the response, so those who ask for it at once still share one call.
#[tokio::test(start_paused = true)]
async fn what_found_no_room_is_shared_all_the_same() {
    let site = site();
    let mut stalled = Vec::new();
    for n in 0..4 {
        stalled.push(site.stalled(&format!("/{n}-250")).await);
    }
    for _ in 0..3 {
        let before = site.origin.calls();
        let readers: Vec<_> = crowd_of(&site.cache, "/x-250")
            .into_iter()
            .map(|answer| tokio::spawn(async { text(answered(answer).await).await.len() }))
            .collect();
        for reader in readers {
            assert_eq!(soon(reader).await.unwrap(), 250 * KIB);
        }
        assert_eq!(site.origin.calls(), before + 1);
    }
}

fn crowd_of(cache: &Cache, path: &str) -> Vec<crate::support::Sent> {
    let aboard = Count::new();
    (0..10)
        .map(|_| crate::support::board(cache, get(path), &aboard))
        .collect()
}

/// A frame is no reason to hold more: an origin that sends all at once waits with the rest.
#[tokio::test(start_paused = true)]
async fn without_room_no_more_than_a_segment_is_held_of_each_body() {
    let (feeds, mut fed_bodies) = feeds();
    let origin = Origin::answering(move |_, _| feeds.answer());
    let layer = CacheLayer::new(Memory::with_capacity(1 << 20));
    let cache = layer.layer(origin);
    let (mut open, mut taken) = (Vec::new(), Vec::new());
    for n in 0..20 {
        let answer = fetch(&cache, get(&format!("/{n}"))).await;
        let feed = soon(fed_bodies.recv()).await.unwrap();
        let mut bytes = 0;
        settle().await;
        while feed.has_room() && bytes < 200 * KIB {
            feed.data(vec![0; 16 * KIB]).await;
            bytes += 16 * KIB;
            settle().await;
        }
        taken.push(bytes);
        open.push((answer, feed));
    }
    assert!(taken[0] >= 200 * KIB && taken[4] >= 200 * KIB, "{taken:?}");
    for bytes in &taken[6..] {
        // The window, and the frames that wait at its door.
        assert!(*bytes <= (64 + 3 * 16) * KIB, "{taken:?}");
    }
    assert!(layer.handle().stats().fill_bytes <= 1 << 20);
}

// === Who makes room ===

#[tokio::test(start_paused = true)]
async fn readers_that_stand_still_make_room_and_no_more_than_needed() {
    let site = site();
    let mut stalled = Vec::new();
    for path in ["/a-250", "/b-240", "/c-230", "/d-220"] {
        stalled.push(site.stalled(path).await);
    }
    // Their bodies are not in memory any more.
    for path in ["/a-250", "/b-240", "/c-230", "/d-220"] {
        text(fetch(&site.cache, request(Method::POST, path)).await).await;
    }
    settle().await;
    assert_eq!(site.counted(), 940);
    advance(STALL - Duration::from_secs(1)).await;
    let early = fetch(&site.cache, get("/early-200")).await;
    assert!(!is_begun(&early), "nobody has stood still for long enough");
    text(early).await;
    advance(Duration::from_secs(2)).await;
    let new = fetch(&site.cache, get("/new-200")).await;
    assert!(is_begun(&new));
    assert_eq!(text(new).await.len(), 200 * KIB);
    assert!(is_hit(&fetch(&site.cache, get("/new-200")).await));
    let mut cut = Vec::new();
    for answer in stalled {
        cut.push(is_cut_off(answer).await);
    }
    assert_eq!(cut, [true, false, false, false], "the largest is enough");
    assert_eq!(site.counted(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_only_readers_hold_goes_before_what_is_stored() {
    let site = site();
    let mut stalled = Vec::new();
    for path in ["/a-250", "/b-250", "/c-250", "/d-100"] {
        if path != "/d-100" {
            site.stores(path).await;
        }
        stalled.push(site.stalled(path).await);
    }
    text(fetch(&site.cache, request(Method::POST, "/d-100")).await).await;
    settle().await;
    advance(2 * STALL).await;
    // More than is free, and no more than the one that is not stored makes.
    let new = fetch(&site.cache, get("/new-200")).await;
    assert!(is_begun(&new));
    drop(new);
    let mut cut = Vec::new();
    for answer in stalled {
        cut.push(is_cut_off(answer).await);
    }
    assert_eq!(cut, [false, false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn where_all_is_stored_the_readers_of_what_is_stored_make_room() {
    let site = site();
    let mut stalled = Vec::new();
    for path in ["/a-250", "/b-250", "/c-250", "/d-200"] {
        stalled.push(site.stalled(path).await);
    }
    advance(2 * STALL).await;
    site.stores("/new-250").await;
    let mut cut = 0;
    for answer in stalled {
        cut += usize::from(is_cut_off(answer).await);
    }
    assert_eq!(cut, 1);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_is_not_cut_off() {
    let site = site();
    let mut slow = Vec::new();
    for path in ["/a-250", "/b-250", "/c-250", "/d-250"] {
        slow.push(site.stalled(path).await);
    }
    for n in 0..3 {
        advance(STALL - Duration::from_secs(1)).await;
        for answer in &mut slow {
            chunk(answer.body_mut()).await.unwrap().unwrap();
        }
        let new = fetch(&site.cache, get(&format!("/{n}-250"))).await;
        text(new).await;
    }
    for answer in slow {
        assert!(!is_cut_off(answer).await);
    }
}

/// All of the account is not worth what does not fit into it.
#[tokio::test(start_paused = true)]
async fn nobody_is_cut_off_in_vain() {
    let site = site();
    let mut held = vec![site.stalled("/a-200").await];
    for path in ["/b-250", "/c-250", "/d-250"] {
        held.push(site.stalled(path).await);
    }
    advance(2 * STALL).await;
    // All but one read on.
    for answer in &mut held[1..] {
        chunk(answer.body_mut()).await.unwrap().unwrap();
    }
    let new = fetch(&site.cache, get("/new-255")).await;
    assert!(is_begun(&new), "the one that stands still is enough");
    drop(new);
    assert!(is_cut_off(held.remove(0)).await);
    let held_still = held.len();
    let larger = fetch(&site.cache, get("/larger-256")).await;
    assert_eq!(text(larger).await.len(), 256 * KIB);
    for answer in held {
        assert!(!is_cut_off(answer).await, "{held_still}");
    }
}

/// A body too large to be stored is held for its readers only, and goes first.
#[tokio::test(start_paused = true)]
async fn readers_of_what_is_too_large_make_room_and_let_the_origin_go() {
    let (feeds, mut fed_bodies) = feeds();
    let origin = Origin::answering(move |_, request| match request.uri().path() {
        "/large" => feeds.answer(),
        path => Ok(fresh(vec![0; sized(path)])),
    });
    let layer = CacheLayer::new(Memory::with_capacity(1 << 20));
    let cache = layer.layer(origin);
    let large = fetch(&cache, get("/large")).await;
    let feed = soon(fed_bodies.recv()).await.unwrap();
    for _ in 0..64 {
        settle().await;
        if feed.has_room() {
            feed.data(vec![0; 16 * KIB]).await;
        }
    }
    assert!(layer.handle().stats().fill_bytes > 800 * KIB as u64);
    advance(2 * STALL).await;
    let new = fetch(&cache, get("/new-250")).await;
    assert!(is_begun(&new));
    text(new).await;
    feed.dropped().await;
    assert!(is_cut_off(large).await);
    settle().await;
    assert_eq!(layer.handle().stats().fill_bytes, 0);
}

/// An origin that is slow is no fault of its readers.
#[tokio::test(start_paused = true)]
async fn who_waits_for_the_origin_does_not_stand_still() {
    let (feeds, mut fed_bodies) = feeds();
    let origin = Origin::answering(move |_, request| match request.uri().path() {
        "/slow" => feeds.answer(),
        path => Ok(fresh(vec![0; sized(path)])),
    });
    let layer = CacheLayer::new(Memory::with_capacity(1 << 20));
    let cache = layer.layer(origin);
    let mut slow = fetch(&cache, get("/slow")).await;
    let feed = soon(fed_bodies.recv()).await.unwrap();
    feed.data(vec![0; 200 * KIB]).await;
    for _ in 0..4 {
        chunk(slow.body_mut()).await.unwrap().unwrap();
    }
    let mut others = Vec::new();
    for n in 0..4 {
        others.push(fetch(&cache, get(&format!("/{n}-250"))).await);
    }
    advance(2 * STALL).await;
    settle().await;
    text(fetch(&cache, get("/new-250")).await).await;
    feed.data("the end").await;
    drop(feed);
    assert_eq!(text(slow).await, "the end");
}

#[tokio::test(start_paused = true)]
async fn a_declared_length_is_room_that_must_be_there() {
    let origin = Origin::answering(|_, request| {
        let bytes = sized(request.uri().path());
        let mut answer = fresh(vec![0; bytes]);
        let length = HeaderValue::from(bytes);
        answer.headers_mut().insert(CONTENT_LENGTH, length);
        Ok(answer)
    });
    let layer = CacheLayer::new(Memory::with_capacity(1 << 20));
    let cache = layer.layer(origin);
    let mut held = Vec::new();
    for n in 0..3 {
        held.push(fetch(&cache, get(&format!("/{n}-250"))).await);
        settle().await;
    }
    // 274 KiB are left.
    let fits = fetch(&cache, get("/fits-250")).await;
    assert!(is_begun(&fits));
    settle().await;
    let does_not = fetch(&cache, get("/does-not-30")).await;
    assert!(!is_begun(&does_not));
    let small = fetch(&cache, get("/small-20")).await;
    assert!(is_begun(&small));
    for answer in [does_not, small] {
        assert!(answer.collect().await.is_ok());
    }
}
