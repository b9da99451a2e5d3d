//! So much and no more: what outlives its client, and what one key may hold.

use std::time::Duration;

use cachewarp::{CacheLayer, CacheOutcome, Memory, RangeMiss, Storing};
use tower::Layer;

use crate::support::{
    Asked, Cache, Count, Origin, answered, feeds, fetch, fresh, get, get_with, is_hit, outcome,
    send, settle, soon, text, with_directives,
};

const FILLS: usize = 3;

fn layer() -> CacheLayer {
    CacheLayer::builder()
        .memory(Memory::with_capacity(1 << 20))
        .max_fills(FILLS)
        .build()
        .unwrap()
}

/// An origin that answers once the gate is open.
fn gated(gate: &Count) -> Origin {
    Origin::held(gate, 1, |_, request| Ok(fresh(request.uri().to_string())))
}

/// Sends so many requests that every fill there may be is under way.
async fn occupy(cache: &Cache) {
    for n in 0..FILLS {
        let leaving = send(cache, get(&format!("/occupied/{n}")));
        settle().await;
        leaving.abort();
    }
    settle().await;
}

#[tokio::test]
async fn a_fetch_too_many_ends_with_its_client() {
    let gate = Count::new();
    let (origin, layer) = (gated(&gate), layer());
    let cache = layer.layer(origin.clone());
    for n in 0..10 {
        let leaving = send(&cache, get(&format!("/{n}")));
        settle().await;
        leaving.abort();
        settle().await;
    }
    assert_eq!(origin.calls(), 10);
    assert_eq!(layer.handle().stats().tasks, FILLS);
    gate.add();
    assert_eq!(layer.handle().drain(Duration::from_secs(60)).await, 0);
    for n in 0..10 {
        let answer = fetch(&cache, get(&format!("/{n}"))).await;
        assert_eq!(is_hit(&answer), n < FILLS, "/{n}");
    }
}

#[tokio::test]
async fn to_wait_for_a_flight_takes_no_place() {
    let gate = Count::new();
    let (origin, layer) = (gated(&gate), layer());
    let cache = layer.layer(origin.clone());
    occupy(&cache).await;
    let waiting: Vec<_> = (0..10).map(|_| send(&cache, get("/occupied/0"))).collect();
    settle().await;
    assert_eq!(origin.calls(), FILLS);
    gate.add();
    for request in waiting {
        assert_eq!(
            text(soon(request).await.unwrap().unwrap()).await,
            "/occupied/0"
        );
    }
    assert_eq!(origin.calls(), FILLS);
}

#[tokio::test]
async fn a_body_too_many_reaches_its_client_and_is_not_stored() {
    let gate = Count::new();
    let occupied = |_, request: &Asked| request.uri().path().starts_with("/occupied");
    let origin = Origin::held_if(occupied, &gate, 1, |_, _| {
        Ok(with_directives("public, max-age=600", "whole"))
    });
    let layer = layer();
    let cache = layer.layer(origin.clone());
    occupy(&cache).await;
    // One that would have led, and one that goes alone in any case.
    for request in [get("/"), get_with("/", "authorization", "Basic YTpi")] {
        let answer = fetch(&cache, request).await;
        assert!(
            matches!(
                outcome(&answer),
                CacheOutcome::Fetched {
                    storing: Storing::Full,
                    ..
                }
            ),
            "{:?}",
            outcome(&answer)
        );
        let field = answer.headers()["cache-status"].to_str().unwrap();
        assert!(field.contains("detail=limit-reached"), "{field}");
        assert_eq!(layer.handle().stats().tasks, FILLS);
        assert_eq!(text(answer).await, "whole");
    }
    gate.add();
    assert_eq!(layer.handle().drain(Duration::from_secs(60)).await, 0);
    assert_eq!(text(fetch(&cache, get("/")).await).await, "whole");
    assert!(
        is_hit(&fetch(&cache, get("/")).await),
        "there is room again"
    );
}

/// A fill that begins without a flight has its place until its body ended.
#[tokio::test]
async fn a_fill_without_a_flight_takes_a_place() {
    let (feeds, mut fed_bodies) = feeds();
    let origin = Origin::answering(move |_, _| {
        let mut answer = feeds.answer()?;
        let public = "public, max-age=600".parse().unwrap();
        answer.headers_mut().insert("cache-control", public);
        Ok(answer)
    });
    let layer = layer();
    let cache = layer.layer(origin.clone());
    let mut open = Vec::new();
    for n in 0..=FILLS {
        let request = get_with(&format!("/{n}"), "authorization", "Basic YTpi");
        let answer = fetch(&cache, request).await;
        open.push((answer, soon(fed_bodies.recv()).await.unwrap()));
    }
    assert_eq!(layer.handle().stats().tasks, FILLS);
    for (n, (answer, feed)) in open.into_iter().enumerate() {
        let begun = matches!(
            outcome(&answer),
            CacheOutcome::Fetched {
                storing: Storing::Begun { .. },
                ..
            }
        );
        assert_eq!(begun, n < FILLS);
        feed.data("text").await;
        drop(feed);
        assert_eq!(text(answer).await, "text");
    }
    assert_eq!(layer.handle().drain(Duration::from_secs(60)).await, 0);
    let cached = fetch(&cache, get("/0")).await;
    assert!(is_hit(&cached));
}

/// A body that is only passed on ends with its client, and takes no place, however long that client
/// reads nothing.
#[tokio::test]
async fn clients_that_stop_reading_what_is_not_stored_leave_the_others_their_places() {
    const PIECE: usize = 50_000;
    const PIECES: usize = 200;
    const LARGE: usize = PIECE * PIECES;
    let kinds: [(&str, Option<usize>, &str); 5] = [
        (
            "larger than the memory for one",
            None,
            "public, max-age=600",
        ),
        ("declared so", Some(LARGE), "public, max-age=600"),
        ("a range of what is not stored", Some(LARGE), "no-store"),
        (
            "a range of what is too large",
            Some(LARGE),
            "public, max-age=600",
        ),
        ("without a flight", None, "public, max-age=600"),
    ];
    for (kind, length, directives) in kinds {
        let (feeds, mut fed_bodies) = feeds();
        let origin = Origin::answering(move |_, request| {
            if !request.uri().path().starts_with("/large") {
                return Ok(fresh("small"));
            }
            let mut answer = feeds.answer()?;
            let headers = answer.headers_mut();
            headers.insert("cache-control", directives.parse()?);
            if let Some(length) = length {
                headers.insert("content-length", length.into());
            }
            Ok(answer)
        });
        let layer = CacheLayer::builder()
            .memory(Memory::with_capacity(1 << 20))
            .range_miss(RangeMiss::Fill)
            .max_fills(FILLS)
            .build()
            .unwrap();
        let cache = layer.layer(origin.clone());
        let mut stalled = Vec::new();
        for n in 0..FILLS {
            let path = format!("/large/{n}");
            let request = match kind {
                "without a flight" => get_with(&path, "authorization", "Basic YTpi"),
                _ if kind.starts_with("a range") => get_with(&path, "range", "bytes=0-9999998"),
                _ => get(&path),
            };
            stalled.push(fetch(&cache, request).await);
            let feed = soon(fed_bodies.recv()).await.unwrap();
            tokio::spawn(async move {
                for _ in 0..PIECES {
                    feed.try_data(vec![0; PIECE]).await;
                }
            });
        }
        settle().await;
        text(fetch(&cache, get("/small")).await).await;
        let small = fetch(&cache, get("/small")).await;
        assert!(is_hit(&small), "{kind}: {:?}", outcome(&small));
    }
}

/// Nobody who waits is left without an answer because there is no place for a second attempt.
#[tokio::test(start_paused = true)]
async fn without_a_place_for_a_second_attempt_the_wait_goes_on() {
    let gate = Count::new();
    let (origin, layer) = (gated(&gate), layer());
    let cache = layer.layer(origin.clone());
    occupy(&cache).await;
    let waiting = send(&cache, get("/occupied/0"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(origin.calls(), FILLS);
    gate.add();
    let answer = answered(waiting).await;
    assert_eq!(answer.status(), http::StatusCode::OK);
    assert_eq!(text(answer).await, "/occupied/0");
}

/// More variants than memory has room for leave the latest, not none.
#[tokio::test]
async fn variants_too_large_for_the_memory_together_go_one_by_one() {
    const KIB: usize = 1024;
    let origin = Origin::answering(|_, _| {
        let mut answer = fresh(vec![0; 150 * KIB]);
        let vary = "x-variant".parse().unwrap();
        answer.headers_mut().insert("vary", vary);
        Ok(answer)
    });
    let layer = CacheLayer::new(Memory::with_capacity(1 << 20));
    let cache = layer.layer(origin.clone());
    for n in 1..=8 {
        let variant = get_with("/", "x-variant", &n.to_string());
        text(fetch(&cache, variant).await).await;
    }
    for n in (1..=8).rev() {
        let variant = get_with("/", "x-variant", &n.to_string());
        let mut only = variant;
        let directive = "only-if-cached".parse().unwrap();
        only.headers_mut().insert("cache-control", directive);
        // Half of the memory, without what is set aside in it for ready heads.
        assert_eq!(is_hit(&fetch(&cache, only).await), n > 5, "{n}");
    }
    assert_eq!(origin.calls(), 8);
}
