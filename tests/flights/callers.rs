//! Callers that ask and leave: how many of their fetches go on, and whose.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cachewarp::{CacheBuilder, Caller};
use tokio::time::sleep;

use crate::support::{
    Answer, Asked, BoxError, Cache, Count, Feed, Origin, Sent, answered, feeds, fetch, fresh, get,
    get_with, is_hit, send, settle, soon, text,
};

/// What `max_abandoned` is by default.
const MOST: usize = 64;

/// The paths of calls under way, in the order in which they began.
#[derive(Clone, Default)]
struct UnderWay(Arc<Mutex<Vec<String>>>);

struct Call(UnderWay, String);

impl UnderWay {
    fn begin(&self, path: &str) -> Call {
        self.0.lock().unwrap().push(path.to_owned());
        Call(self.clone(), path.to_owned())
    }

    fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().retain(|path| *path != self.1);
    }
}

/// An origin that answers when the gate opens, and its calls under way.
fn gated(gate: &Count) -> (Origin, UnderWay) {
    let under_way = UnderWay::default();
    let origin = Origin::new({
        let (gate, under_way) = (gate.clone(), under_way.clone());
        move |_, request| {
            let call = under_way.begin(request.uri().path());
            let gate = gate.clone();
            async move {
                gate.reach(1).await;
                Ok::<Answer, BoxError>(fresh(call.1.clone()))
            }
        }
    });
    (origin, under_way)
}

fn of(caller: &Caller, mut request: Asked) -> Asked {
    request.extensions_mut().insert(caller.clone());
    request
}

/// Asks for each path and leaves.
async fn asks_and_leaves(cache: &Cache, caller: Option<&Caller>, paths: &[String]) {
    for path in paths {
        let request = match caller {
            Some(caller) => of(caller, get(path)),
            None => get(path),
        };
        leave(send(cache, request)).await;
    }
}

async fn leave(request: Sent) {
    settle().await;
    request.abort();
    settle().await;
}

fn paths(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/{name}/{n}")).collect()
}

fn settings(builder: CacheBuilder) -> CacheBuilder {
    builder.origin_timeout(Duration::from_secs(3_600))
}

#[tokio::test]
async fn of_what_a_caller_leaves_behind_the_newest_go_on() {
    let (origin, under_way) = gated(&Count::new());
    let cache = origin.cached_with(settings);
    let (caller, all) = (Caller::new(), paths("a", 100));
    asks_and_leaves(&cache, Some(&caller), &all).await;
    assert_eq!(origin.calls(), 100, "nobody was refused");
    assert_eq!(under_way.paths(), all[100 - MOST..]);
}

#[tokio::test]
async fn what_one_caller_leaves_behind_costs_another_nothing() {
    let (origin, under_way) = gated(&Count::new());
    let cache = origin.cached_with(|builder| settings(builder).max_abandoned(3));
    let (one, other) = (Caller::new(), Caller::new());
    let (of_one, of_other) = (paths("one", 10), paths("other", 3));
    asks_and_leaves(&cache, Some(&other), &of_other).await;
    // A clone is the same caller.
    asks_and_leaves(&cache, Some(&one.clone()), &of_one).await;
    let expected = [&of_other[..], &of_one[7..]].concat();
    assert_eq!(under_way.paths(), expected);
}

#[tokio::test]
async fn without_a_caller_all_go_on() {
    let (origin, under_way) = gated(&Count::new());
    let cache = origin.cached_with(|builder| settings(builder).max_abandoned(3));
    let all = paths("a", 100);
    asks_and_leaves(&cache, None, &all).await;
    assert_eq!(under_way.paths(), all);
}

#[tokio::test]
async fn none_may_go_on_where_none_may_be_abandoned() {
    let (origin, under_way) = gated(&Count::new());
    let cache = origin.cached_with(|builder| settings(builder).max_abandoned(0));
    asks_and_leaves(&cache, Some(&Caller::new()), &paths("a", 3)).await;
    assert_eq!(origin.calls(), 3);
    assert!(under_way.paths().is_empty());
}

#[tokio::test]
async fn what_somebody_waits_for_does_not_count() {
    let gate = Count::new();
    let (origin, under_way) = gated(&gate);
    let cache = origin.cached_with(|builder| settings(builder).max_abandoned(2));
    let (caller, all) = (Caller::new(), paths("a", 10));
    // One stays from the beginning; another comes when the first has left.
    let staying = send(&cache, of(&caller, get("/staying")));
    let leaving = send(&cache, of(&caller, get("/waited-for")));
    settle().await;
    let waiting = send(&cache, get("/waited-for"));
    leave(leaving).await;
    asks_and_leaves(&cache, Some(&caller), &["/joined".to_owned()]).await;
    let joined = send(&cache, of(&caller, get("/joined")));
    settle().await;
    asks_and_leaves(&cache, Some(&caller), &all).await;
    let expected = ["/staying", "/waited-for", "/joined"].map(str::to_owned);
    assert_eq!(under_way.paths(), [&expected[..], &all[8..]].concat());
    gate.add();
    for (request, path) in [staying, waiting, joined].into_iter().zip(expected) {
        assert_eq!(text(answered(request).await).await, *path);
    }
    assert_eq!(origin.calls(), 13);
}

/// Once the last waiter is gone, it counts like any other.
#[tokio::test]
async fn what_was_waited_for_counts_when_its_waiters_have_left() {
    let (origin, under_way) = gated(&Count::new());
    let cache = origin.cached_with(|builder| settings(builder).max_abandoned(1));
    let caller = Caller::new();
    let leaving = send(&cache, of(&caller, get("/first")));
    settle().await;
    let waiters = [send(&cache, get("/first")), send(&cache, get("/first"))];
    leave(leaving).await;
    for waiter in waiters {
        leave(waiter).await;
    }
    asks_and_leaves(&cache, Some(&caller), &["/second".to_owned()]).await;
    assert_eq!(under_way.paths(), ["/second"]);
}

#[tokio::test]
async fn who_asks_for_what_was_cancelled_has_it_fetched() {
    let gate = Count::new();
    let (origin, _) = gated(&gate);
    let cache = origin.cached_with(|builder| settings(builder).max_abandoned(1));
    let caller = Caller::new();
    asks_and_leaves(&cache, Some(&caller), &paths("a", 2)).await;
    let again = send(&cache, of(&caller, get("/a/0")));
    settle().await;
    assert_eq!(origin.calls(), 3);
    gate.add();
    assert_eq!(text(answered(again).await).await, "/a/0");
    // What went on is stored.
    assert!(is_hit(&fetch(&cache, get("/a/1")).await));
}

/// What has ended makes room.
#[tokio::test]
async fn only_what_is_under_way_counts() {
    let gate = Count::new();
    let (origin, under_way) = gated(&gate);
    let cache = origin.cached_with(|builder| settings(builder).max_abandoned(2));
    let caller = Caller::new();
    asks_and_leaves(&cache, Some(&caller), &paths("a", 2)).await;
    gate.add();
    settle().await;
    assert!(under_way.paths().is_empty());
    for path in paths("a", 2) {
        assert!(is_hit(&fetch(&cache, get(&path)).await));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_whose_head_has_arrived_is_fetched_to_its_end() {
    let (feeds, mut fed_bodies) = feeds();
    let origin = Origin::answering(move |_, _| feeds.answer());
    let cache = origin.cached_with(|builder| settings(builder).max_abandoned(0));
    let caller = Caller::new();
    let mut bodies: Vec<Feed> = Vec::new();
    for path in paths("a", 5) {
        drop(fetch(&cache, of(&caller, get(&path))).await);
        bodies.push(soon(fed_bodies.recv()).await.unwrap());
    }
    sleep(Duration::from_secs(1)).await;
    for feed in bodies {
        feed.data("whole").await;
    }
    settle().await;
    for path in paths("a", 5) {
        assert!(is_hit(&fetch(&cache, get(&path)).await), "{path}");
    }
}

/// What is fetched for one client alone ends with it, as ever.
#[tokio::test]
async fn what_is_fetched_for_one_client_alone_ends_with_it() {
    let (origin, under_way) = gated(&Count::new());
    let cache = origin.cached_with(settings);
    let caller = Caller::new();
    for name in ["authorization", "if-match"] {
        leave(send(&cache, of(&caller, get_with("/", name, "\"x\"")))).await;
        assert!(under_way.paths().is_empty(), "{name}");
    }
    assert_eq!(origin.calls(), 2);
}
