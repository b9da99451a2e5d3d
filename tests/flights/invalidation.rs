//! Writes beside fetches: who asks after a write succeeded never sees what was there before.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::task::yield_now;

use crate::support::{
    Answer, Asked, Broken, Cache, Cached, Count, Origin, all_get, answered, chunk, crowd, feeds,
    fetch, fresh, get, is_hit, request, send, soon, text, with_directives,
};

/// Numbers that look random and are the same in every run.
#[derive(Clone)]
struct Dice(Arc<AtomicU64>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    fn roll(&self, sides: u64) -> u64 {
        let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    async fn dawdle(&self) {
        for _ in 0..self.roll(8) {
            yield_now().await;
        }
    }
}

/// A resource with a version, which a POST moves on. A GET reads it, and takes its time before,
/// between and after the parts of its answer.
fn versioned(dice: &Dice) -> Origin {
    let (dice, version) = (dice.clone(), Arc::new(AtomicU64::new(0)));
    Origin::new(move |_, request: Asked| {
        let (dice, version) = (dice.clone(), Arc::clone(&version));
        async move {
            dice.dawdle().await;
            if request.method() == Method::POST {
                let new = version.fetch_add(1, Ordering::SeqCst) + 1;
                dice.dawdle().await;
                return Ok(with_directives("no-store", new.to_string()));
            }
            let read = version.load(Ordering::SeqCst).to_string();
            dice.dawdle().await;
            Ok(trickling(&dice, read))
        }
    })
}

/// The text, one byte at a time.
fn trickling(dice: &Dice, text: String) -> Answer {
    let dice = dice.clone();
    let frames = futures_util::stream::unfold((text.into_bytes().into_iter(), dice), |it| async {
        let (mut bytes, dice) = it;
        dice.dawdle().await;
        let byte = bytes.next()?;
        let frame = Frame::data(bytes::Bytes::from(vec![byte]));
        Some((Ok::<_, Broken>(frame), (bytes, dice)))
    });
    fresh("").map(|_| StreamBody::new(frames).boxed_unsync())
}

async fn version(cache: &Cache, path: &str) -> u64 {
    number(fetch(cache, get(path)).await).await
}

async fn number(answer: Cached) -> u64 {
    let body = text(answer).await;
    std::str::from_utf8(&body).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_get_after_a_post_never_sees_what_was_there_before() {
    const ROUNDS: u64 = 1_000;
    let dice = Dice::new(20_240_607);
    let origin = versioned(&dice);
    let cache = origin.cached();
    let mut hits = 0;
    for round in 0..ROUNDS {
        // Mostly cold, so that fills are under way when the write comes.
        let path = match round % 4 {
            0 => "/thing".to_owned(),
            _ => format!("/thing/{round}"),
        };
        let readers: Vec<_> = (0..dice.roll(4))
            .map(|_| {
                let (cache, dice, path) = (cache.clone(), dice.clone(), path.clone());
                tokio::spawn(async move {
                    dice.dawdle().await;
                    version(&cache, &path).await
                })
            })
            .collect();
        dice.dawdle().await;
        let posted = number(fetch(&cache, request(Method::POST, &path)).await).await;
        for late in 0..3 {
            let seen = version(&cache, &path).await;
            assert!(
                seen >= posted,
                "round {round}: GET {late} after POST {posted} saw {seen}"
            );
        }
        for reader in readers {
            soon(reader).await.unwrap();
        }
        let last = fetch(&cache, get(&path)).await;
        hits += usize::from(is_hit(&last));
        let seen = number(last).await;
        assert!(seen >= posted, "round {round}: {posted}, then {seen}");
    }
    // The rounds mean something only if the cache was at work between the writes.
    assert!(hits as u64 > ROUNDS * 9 / 10, "{hits} hits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_after_a_post_is_not_stored_and_not_joined() {
    const ROUNDS: usize = 200;
    let (feeds, mut fed_bodies) = feeds();
    let origin = Origin::answering(move |call, request| match call % 3 {
        _ if request.method() == Method::POST => Ok(with_directives("no-store", "")),
        1 => feeds.answer(),
        _ => Ok(fresh("new")),
    });
    let cache = origin.cached();
    for round in 0..ROUNDS {
        // Calls 1, 2 and 3 of a round: the old GET, the POST, the new GET.
        let path = format!("/{round}");
        let mut old = fetch(&cache, get(&path)).await.into_body();
        let feed = soon(fed_bodies.recv()).await.unwrap();
        feed.data("o").await;
        assert_eq!(chunk(&mut old).await.unwrap().unwrap(), "o");
        fetch(&cache, request(Method::POST, &path)).await;
        let finish = async {
            feed.data("ld").await;
            drop(feed);
        };
        let ask = async {
            for _ in 0..round % 4 {
                yield_now().await;
            }
            text(fetch(&cache, get(&path)).await).await
        };
        let (body, ()) = tokio::join!(ask, finish);
        assert_eq!(body, "new");
        assert_eq!(chunk(&mut old).await.unwrap().unwrap(), "ld");
        assert!(soon(old.frame()).await.is_none());
        assert_eq!(text(fetch(&cache, get(&path)).await).await, "new");
    }
    assert_eq!(origin.calls(), ROUNDS * 3);
}

#[tokio::test]
async fn a_head_that_comes_after_a_post_is_not_shared_with_those_who_asked_later() {
    let (gate, aboard) = (Count::new(), Count::new());
    let origin = Origin::held_if(
        |call, _| call == 1,
        &gate,
        1,
        |call, request| {
            Ok(match call {
                _ if request.method() == Method::POST => with_directives("no-store", ""),
                1 => fresh("old"),
                _ => fresh("new"),
            })
        },
    );
    let cache = origin.cached();
    let before = crowd(&cache, 5, &aboard);
    aboard.reach(5).await;
    fetch(&cache, request(Method::POST, "/")).await;
    let after = send(&cache, get("/"));
    assert_eq!(text(answered(after).await).await, "new");
    gate.add();
    all_get(before, "old").await;
    assert_eq!(text(fetch(&cache, get("/")).await).await, "new");
    assert_eq!(origin.calls(), 3);
}
