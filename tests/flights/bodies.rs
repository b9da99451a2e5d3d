//! Bodies while they arrive: too large to keep, too long, too short, abandoned, or never ending.

use std::{task::Poll, time::Duration};

use cachewarp::{CacheBuilder, CacheLayer, FillError, Memory, OnAbandoned, RangeMiss};
use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE},
};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{advance, sleep},
};
use tower::{Layer, ServiceExt};

use crate::support::{
    Answer, BoxError, Cache, Cached, Count, Feed, Origin, answered, board, chunk, crowd, fed,
    feeds, fetch, fresh, get, get_with, is_hit, outcome, send, settle, soon, text, whole,
};

const KIB: usize = 1024;

/// An origin whose bodies are fed by hand, under heads that `adjust` completes.
fn fed_origin(
    adjust: impl Fn(&mut Answer) + Send + Sync + 'static,
) -> (Origin, UnboundedReceiver<Feed>) {
    let (feeds, fed_bodies) = feeds();
    let origin = Origin::answering(move |_, _| {
        let mut answer = feeds.answer()?;
        adjust(&mut answer);
        Ok(answer)
    });
    (origin, fed_bodies)
}

/// Keeps bodies of 64 KiB, and 64 KiB of longer ones.
fn narrow(builder: CacheBuilder) -> CacheBuilder {
    builder
        .max_entry_bytes(64 * KIB as u64)
        .fill_window(64 * KIB as u64)
        .reader_stall(Duration::from_secs(10))
}

/// The answers to `count` requests, the first of which leads, and the hand that feeds them.
async fn readers(
    cache: &Cache,
    feeds: &mut UnboundedReceiver<Feed>,
    count: usize,
) -> (Vec<Cached>, Feed) {
    let mut answers = Vec::new();
    for request in crowd(cache, count, &Count::new()) {
        answers.push(answered(request).await);
    }
    (answers, soon(feeds.recv()).await.unwrap())
}

fn reason(error: &BoxError) -> FillError {
    *error.downcast_ref().expect("an error of the fill")
}

#[tokio::test]
async fn a_body_too_large_to_keep_reaches_all_who_waited_for_it() {
    const WAITERS: usize = 20;
    let aboard = Count::new();
    let sent = vec![7; 2 << 20];
    let origin = Origin::new({
        let (aboard, sent) = (aboard.clone(), sent.clone());
        move |_, _| {
            let (aboard, sent) = (aboard.clone(), sent.clone());
            async move {
                aboard.reach(WAITERS + 1).await;
                let (feed, answer) = fed();
                // As fast as it is taken, before any waiter gets its turn.
                tokio::spawn(async move {
                    for part in sent.chunks(16 * KIB) {
                        feed.data(part.to_vec()).await;
                    }
                });
                Ok(answer)
            }
        }
    });
    let cache = origin.cached_with(narrow);
    let requests: Vec<_> = (0..=WAITERS)
        .map(|_| {
            let request = board(&cache, get("/"), &aboard);
            tokio::spawn(async move { text(request.await.unwrap().unwrap()).await })
        })
        .collect();
    for request in requests {
        assert!(soon(request).await.unwrap() == sent);
    }
    assert_eq!(origin.calls(), 1);
    assert!(!is_hit(&fetch(&cache, get("/")).await));
}

#[tokio::test(start_paused = true)]
async fn a_window_does_not_move_on_before_those_who_waited_are_there() {
    let (aboard, (feeds, mut fed_bodies)) = (Count::new(), feeds());
    let origin = Origin::held(&aboard, 2, move |_, _| feeds.answer());
    let cache = origin.cached_with(narrow);
    let leader = board(&cache, get("/"), &aboard);
    aboard.reach(1).await;
    let mut waiter = tokio_test::task::spawn(cache.clone().oneshot(get("/")));
    assert!(waiter.poll().is_pending());
    aboard.add();
    let leader = answered(leader).await;
    let leader = tokio::spawn(async move { text(leader).await.len() });
    let feed = soon(fed_bodies.recv()).await.unwrap();
    let feeding = tokio::spawn(async move {
        for _ in 0..64 {
            feed.data(vec![0; 16 * KIB]).await;
        }
    });
    settle().await;
    assert!(waiter.is_woken() && !leader.is_finished());
    // Only now does it get its turn.
    let Poll::Ready(answer) = waiter.poll() else {
        panic!("it has nothing to wait for");
    };
    assert_eq!(text(answer.unwrap()).await.len(), 64 * 16 * KIB);
    assert_eq!(soon(leader).await.unwrap(), 64 * 16 * KIB);
    soon(feeding).await.unwrap();
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_slowest_reader_sets_the_pace_of_a_body_too_large_to_keep() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(narrow);
    let (answers, feed) = readers(&cache, &mut feeds, 2).await;
    let [fast, slow] = answers.try_into().unwrap();
    let fast = tokio::spawn(async move { text(fast).await.len() });
    let mut slow = slow.into_body();
    let mut taken = 0;
    let mut fill = async || {
        while feed.has_room() {
            feed.data(vec![0; 16 * KIB]).await;
            taken += 16 * KIB;
            settle().await;
        }
        taken
    };
    let full = fill().await;
    // What may be kept, the window, and the frames that wait at its door.
    assert!((64 * KIB..=192 * KIB).contains(&full), "{full} taken");
    // Nine seconds of standing still are no offence.
    sleep(Duration::from_secs(9)).await;
    assert_eq!(fill().await, full);
    let read = chunk(&mut slow).await.unwrap().unwrap().len();
    settle().await;
    let more = fill().await;
    assert!(
        more > full && more <= full + read + 32 * KIB,
        "{more} after {full} and {read}"
    );
    drop(feed);
    let slow = soon(slow.collect()).await.unwrap().to_bytes().len();
    assert_eq!(read + slow, more);
    assert_eq!(soon(fast).await.unwrap(), more);
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_holds_others_back_too_long_is_cut_off() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(narrow);
    let (answers, feed) = readers(&cache, &mut feeds, 3).await;
    let [one, other, stalled] = answers.try_into().unwrap();
    let others: Vec<_> = [one, other]
        .map(|answer| tokio::spawn(async move { text(answer).await.len() }))
        .into();
    let mut stalled = stalled.into_body();
    for _ in 0..64 {
        // Far more than fits, so that this passes only once the stalled one is out of the way.
        feed.data(vec![0; 16 * KIB]).await;
    }
    drop(feed);
    for other in others {
        assert_eq!(soon(other).await.unwrap(), 64 * 16 * KIB);
    }
    let error = chunk(&mut stalled).await.unwrap().unwrap_err();
    assert_eq!(reason(&error), FillError::TooSlow);
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_alone_may_stand_still() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(narrow);
    let (answers, feed) = readers(&cache, &mut feeds, 1).await;
    let mut alone = answers.into_iter().next().unwrap().into_body();
    let mut taken = 0;
    while feed.has_room() {
        feed.data(vec![0; 16 * KIB]).await;
        taken += 16 * KIB;
        settle().await;
    }
    sleep(Duration::from_secs(3600)).await;
    let first = chunk(&mut alone).await.unwrap().unwrap().len();
    drop(feed);
    let rest = soon(alone.collect()).await.unwrap().to_bytes().len();
    assert_eq!(first + rest, taken);
}

#[tokio::test]
async fn the_origin_is_let_go_when_all_readers_of_a_large_body_left() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(narrow);
    let (answers, feed) = readers(&cache, &mut feeds, 3).await;
    let tasks: Vec<_> = answers
        .into_iter()
        .map(|answer| {
            tokio::spawn(async move {
                let mut body = answer.into_body();
                let mut read = 0;
                while read < 128 * KIB {
                    read += chunk(&mut body).await.unwrap().unwrap().len();
                }
            })
        })
        .collect();
    for _ in 0..8 {
        feed.data(vec![0; 16 * KIB]).await;
    }
    for task in tasks {
        soon(task).await.unwrap();
    }
    feed.dropped().await;
}

#[tokio::test]
async fn an_abandoned_body_is_fetched_to_its_end_or_let_go_as_configured() {
    for policy in [OnAbandoned::Continue, OnAbandoned::Discard] {
        let (origin, mut feeds) = fed_origin(|_| {});
        let cache = origin.cached_with(|builder| builder.on_abandoned(policy));
        let (answers, feed) = readers(&cache, &mut feeds, 2).await;
        let [one, other] = answers.try_into().unwrap();
        feed.data("begun, ").await;
        drop(one);
        settle().await;
        assert!(!feed.is_dropped(), "somebody still reads");
        drop(other);
        match policy {
            OnAbandoned::Continue => {
                feed.data("and done").await;
                drop(feed);
                settle().await;
                let hit = fetch(&cache, get("/")).await;
                assert!(is_hit(&hit));
                assert_eq!(text(hit).await, "begun, and done");
            }
            _ => {
                feed.dropped().await;
                settle().await;
                // It says nothing about the key, so the next requests share one call.
                let (answers, feed) = readers(&cache, &mut feeds, 10).await;
                feed.data("anew").await;
                drop(feed);
                for answer in answers {
                    assert_eq!(text(answer).await, "anew");
                }
                assert_eq!(origin.calls(), 2);
            }
        }
    }
}

/// An origin of a resource of 1 MiB, fed by hand, whose head says how long it is.
fn declared_origin(adjust: fn(&mut Answer)) -> (Origin, UnboundedReceiver<Feed>) {
    fed_origin(move |answer| {
        let length = HeaderValue::from_static("1048576");
        answer.headers_mut().insert(CONTENT_LENGTH, length);
        adjust(answer);
    })
}

/// One range of what may not be stored costs no more than the range and what comes before it.
#[tokio::test(start_paused = true)]
async fn a_range_of_a_body_that_is_not_stored_ends_its_fetch() {
    type Head = (&'static str, fn(&mut Answer));
    let heads: [Head; 2] = [
        ("body-too-large", |_| {}),
        ("no-store", |answer| {
            let no_store = HeaderValue::from_static("no-store");
            answer.headers_mut().insert(CACHE_CONTROL, no_store);
        }),
    ];
    for (reason, adjust) in heads {
        let (origin, mut feeds) = declared_origin(adjust);
        let fill = |builder| narrow(builder).range_miss(RangeMiss::Fill);
        let cache = origin.cached_with(fill);
        let answer = fetch(&cache, get_with("/", "range", "bytes=100000-100001")).await;
        let feed = soon(feeds.recv()).await.unwrap();
        assert_eq!(answer.status(), 206, "{reason}");
        assert_eq!(answer.headers()[CONTENT_LENGTH], "2");
        let of_all = "bytes 100000-100001/1048576";
        assert_eq!(answer.headers()[CONTENT_RANGE], of_all);
        let status = answer.headers()["cache-status"].to_str().unwrap();
        assert!(status.contains(reason), "{status}");
        let mut body = answer.into_body();
        // More than is kept and more than the window, before the range begins.
        feed.data(vec![b'-'; 100_000]).await;
        settle().await;
        assert!(!feed.is_dropped(), "{reason}: somebody still reads");
        feed.data("012345").await;
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "01");
        // Its client need not have gone away.
        feed.dropped().await;
        assert!(chunk(&mut body).await.is_none());
        let next = send(&cache, get("/"));
        soon(feeds.recv()).await.unwrap();
        assert!(!is_hit(&soon(next).await.unwrap().unwrap()), "{reason}");
        assert_eq!(origin.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_range_ends_the_fetch() {
    let (origin, mut feeds) = declared_origin(|_| {});
    let fill = |builder| narrow(builder).range_miss(RangeMiss::Fill);
    let cache = origin.cached_with(fill);
    let answer = fetch(&cache, get_with("/", "range", "bytes=-1")).await;
    let feed = soon(feeds.recv()).await.unwrap();
    feed.data(vec![0; 16 * KIB]).await;
    settle().await;
    assert!(!feed.is_dropped());
    drop(answer);
    feed.dropped().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_length_is_not_cut_and_ends_with_its_client() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let fill = |builder| narrow(builder).range_miss(RangeMiss::Fill);
    let cache = origin.cached_with(fill);
    let answer = fetch(&cache, get_with("/", "range", "bytes=0-0")).await;
    let feed = soon(feeds.recv()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    // Twice as much as is kept.
    for _ in 0..8 {
        feed.data(vec![0; 16 * KIB]).await;
        assert_eq!(chunk(&mut body).await.unwrap().unwrap().len(), 16 * KIB);
    }
    assert!(!feed.is_dropped());
    drop(body);
    feed.dropped().await;
}

#[tokio::test(start_paused = true)]
async fn a_range_of_a_body_that_may_be_stored_fetches_all_of_it_and_stores_it() {
    let (origin, mut feeds) = fed_origin(|answer| {
        let ten = HeaderValue::from_static("10");
        answer.headers_mut().insert(CONTENT_LENGTH, ten);
    });
    let cache = origin.cached_with(|builder| builder.range_miss(RangeMiss::Fill));
    let answer = fetch(&cache, get_with("/", "range", "bytes=0-0")).await;
    let feed = soon(feeds.recv()).await.unwrap();
    feed.data("0").await;
    assert_eq!(answer.status(), 206);
    assert_eq!(text(answer).await, "0");
    feed.data("123456789").await;
    drop(feed);
    settle().await;
    let hit = fetch(&cache, get("/")).await;
    assert!(is_hit(&hit));
    assert_eq!(text(hit).await, "0123456789");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_body_that_does_not_end_as_declared_fails_for_all_and_is_not_stored() {
    type Ending = (&'static str, Option<&'static str>, FillError);
    let endings: [Ending; 3] = [
        ("too short", Some("1234"), FillError::Length),
        ("too long", Some("12345678901"), FillError::Length),
        ("broken", None, FillError::Origin),
    ];
    for (case, sent, expected) in endings {
        let (origin, mut feeds) = fed_origin(|answer| {
            let ten = HeaderValue::from_static("10");
            answer.headers_mut().insert(CONTENT_LENGTH, ten);
        });
        let cache = origin.cached_with(|builder| builder);
        let (answers, feed) = readers(&cache, &mut feeds, 3).await;
        match sent {
            Some(sent) => feed.data(sent).await,
            None => feed.fail().await,
        }
        drop(feed);
        for answer in answers {
            let error = whole(answer).await.unwrap_err();
            assert_eq!(reason(&error), expected, "{case}");
        }
        let (answers, feed) = readers(&cache, &mut feeds, 1).await;
        feed.data("1234567890").await;
        drop(feed);
        for answer in answers {
            assert!(!is_hit(&answer), "{case} was stored");
            assert_eq!(text(answer).await, "1234567890");
        }
        let hit = fetch(&cache, get("/")).await;
        assert!(is_hit(&hit));
        assert_eq!(origin.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_has_so_much_time() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(|builder| {
        builder
            .fill_timeout(Duration::from_secs(60))
            .body_idle_timeout(Duration::from_secs(3_600))
    });
    let (answers, feed) = readers(&cache, &mut feeds, 1).await;
    feed.data("slow").await;
    // It does not count while it has a reader.
    sleep(Duration::from_secs(600)).await;
    assert!(!feed.is_dropped());
    drop(answers);
    settle().await;
    advance(Duration::from_secs(59)).await;
    settle().await;
    assert!(
        !feed.is_dropped(),
        "the time counts from when the reader left"
    );
    advance(Duration::from_secs(2)).await;
    feed.dropped().await;
    settle().await;
    let (_answers, _feed) = readers(&cache, &mut feeds, 1).await;
    assert_eq!(origin.calls(), 2, "nothing was stored");
}

#[tokio::test]
async fn trailers_reach_those_who_read_along() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(|builder| builder);
    let (answers, feed) = readers(&cache, &mut feeds, 3).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("42"));
    feed.data("body").await;
    feed.trailers(trailers.clone()).await;
    drop(feed);
    for answer in answers {
        let body = whole(answer).await.unwrap();
        assert_eq!(body.trailers(), Some(&trailers));
        assert_eq!(body.to_bytes(), "body");
    }
}

#[tokio::test]
async fn one_who_comes_late_reads_from_the_beginning() {
    let (origin, mut feeds) = fed_origin(|_| {});
    let cache = origin.cached_with(|builder| builder);
    let (mut answers, feed) = readers(&cache, &mut feeds, 1).await;
    let mut first = answers.remove(0).into_body();
    for part in ["one ", "two "] {
        feed.data(part).await;
        assert_eq!(chunk(&mut first).await.unwrap().unwrap(), part);
    }
    let late = send(&cache, get("/"));
    let late = soon(late).await.unwrap().unwrap();
    assert!(matches!(
        outcome(&late),
        cachewarp::CacheOutcome::Collapsed { .. }
    ));
    feed.data("three").await;
    drop(feed);
    assert_eq!(text(late).await, "one two three");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_read_a_body_to_its_end_finds_it_stored() {
    let origin = Origin::answering(|_, request| Ok(fresh(request.uri().to_string())));
    let cache = origin.cached();
    for n in 0..1_000 {
        let path = format!("/{n}");
        assert_eq!(text(fetch(&cache, get(&path)).await).await, *path);
        assert!(is_hit(&fetch(&cache, get(&path)).await));
    }
}

/// What is kept for readers that stand still is bounded for all bodies together.
#[tokio::test(start_paused = true)]
async fn readers_that_stand_still_on_many_bodies_hold_no_more_than_may_be_held() {
    const BODIES: usize = 30;
    let (origin, mut feeds) = fed_origin(|_| {});
    let layer = CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .fill_window(KIB as u64)
        .build()
        .unwrap();
    let cache = layer.layer(origin.clone());
    let (mut taken, mut unread, mut open) = (0, Vec::new(), Vec::new());
    for n in 0..BODIES {
        unread.push(fetch(&cache, get(&format!("/{n}"))).await);
        let feed = soon(feeds.recv()).await.unwrap();
        settle().await;
        for _ in 0..200 {
            if !feed.has_room() {
                break;
            }
            feed.data(vec![0; KIB]).await;
            taken += KIB;
            settle().await;
        }
        open.push(feed);
    }
    // For each a window, the frame that began it, and one that waits at its door.
    let (least, most) = (1024 * KIB, 1024 * KIB + BODIES * 3 * KIB);
    assert!(taken <= most, "{taken} taken, {most} may be held");
    // Only what may not be held was refused.
    assert!(taken >= least, "{taken} taken, {least} may be held");
}
