//! What goes on while the shared tier is asked: leaders that leave, reloads, promotions that are
//! late.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use cachewarp::{Executor, Tier};
use futures_util::future::join_all;
use http::{Response, StatusCode};
use http_body_util::Full;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::{Instant, sleep};

use super::{
    crowds::switchable,
    network::Network,
    node::{get_with, soon},
    origin::Origin,
};
use crate::remote::in_memory::Fault;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Default)]
struct Holding {
    hold: Arc<AtomicBool>,
    held: Arc<Mutex<Vec<Task>>>,
}

impl Executor for Holding {
    fn execute(&self, task: Task) {
        if self.hold.load(Ordering::SeqCst) {
            self.held.lock().unwrap().push(task);
        } else {
            tokio::spawn(task);
        }
    }
}

/// An origin whose answer is another once the switch is thrown.
fn changing(after: &'static str) -> (Origin, Arc<AtomicBool>) {
    let changed = Arc::new(AtomicBool::new(false));
    let has_changed = Arc::clone(&changed);
    let origin = Origin::new(move |_| {
        let (directives, body) = if has_changed.load(Ordering::SeqCst) {
            (after, "new")
        } else {
            ("max-age=3600", "old")
        };
        Response::builder()
            .header("cache-control", directives)
            .body(Full::from(body))
            .unwrap()
    });
    (origin, changed)
}

/// The tier of a hit is where the response was read for this request.
#[tokio::test(start_paused = true)]
async fn a_hit_says_which_tier_it_is_from() {
    let network = Network::new();
    let (origin, _) = changing("no-store");
    let [a, b] = network.nodes(&origin).await;
    a.get("/a").await;
    a.settle().await;
    assert_eq!(a.get("/a").await.outcome.tier(), Some(Tier::Memory));
    // Together: one asks the shared tier for all.
    let crowd = join_all((0..3).map(|_| b.get("/a"))).await;
    for seen in crowd {
        assert!(seen.is_hit(), "{seen:?}");
        assert_eq!(seen.outcome.tier(), Some(Tier::Remote));
        assert_eq!(seen.headers["x-cache"], "HIT");
    }
    b.settle().await;
    // Often enough for the entry to keep a rendered head.
    for _ in 0..4 {
        assert_eq!(b.get("/a").await.outcome.tier(), Some(Tier::Memory));
    }
    assert_eq!(origin.calls(), 1);
}

/// What stands in for an error is in memory by then.
#[tokio::test(start_paused = true)]
async fn a_stale_answer_says_which_tier_it_is_from() {
    for (directives, is_failing, tier) in [
        ("max-age=1, stale-while-revalidate=60", false, Tier::Remote),
        ("max-age=1, stale-if-error=60", true, Tier::Memory),
    ] {
        let network = Network::new();
        let (origin, fails) = switchable(directives);
        let [a, b] = network.nodes(&origin).await;
        a.get("/a").await;
        a.settle().await;
        sleep(Duration::from_secs(3)).await;
        fails.store(is_failing, Ordering::SeqCst);
        let seen = b.get("/a").await;
        assert_eq!(seen.outcome.as_str(), "stale", "{seen:?}");
        assert_eq!(seen.outcome.tier(), Some(tier), "{seen:?}");
    }
}

/// A response that was found there goes on to the client from there, and from memory afterwards.
#[tokio::test(start_paused = true)]
async fn the_bytes_that_clients_get_from_the_shared_tier_are_told_from_those_of_memory() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let sent = || {
        let figures = snapshotter.snapshot().into_vec().into_iter();
        let sent = figures.filter_map(|(key, _, _, value)| match value {
            DebugValue::Counter(bytes) if bytes > 0 && key.key().name().contains("_sent_") => {
                Some((key.key().labels().next()?.value().to_owned(), bytes))
            }
            _ => None,
        });
        sent.collect::<Vec<_>>()
    };
    let (origin, _) = changing("max-age=3600");
    let [a, b] = Network::new().nodes(&origin).await;
    for (node, from) in [
        (&a, "origin"),
        (&a, "memory"),
        (&b, "remote"),
        (&b, "memory"),
    ] {
        node.get("/a").await;
        node.settle().await;
        assert_eq!(sent(), [(from.to_owned(), 3)]);
    }
}

/// What the origin superseded does not come back by a promotion that was late.
#[tokio::test(start_paused = true)]
async fn a_late_promotion_does_not_bring_back_what_was_superseded() {
    let network = Network::new();
    let (origin, gone) = changing("no-store");
    let [a] = network.nodes(&origin).await;
    let executor = Holding::default();
    let own = executor.clone();
    let b = network.over(&origin, &network.server.node(), |b| b.executor(own));
    b.is_connected().await;
    a.get("/a").await;
    a.settle().await;
    executor.hold.store(true, Ordering::SeqCst);
    assert!(b.get("/a").await.is_hit());
    executor.hold.store(false, Ordering::SeqCst);
    let held = std::mem::take(&mut *executor.held.lock().unwrap());
    assert!(!held.is_empty(), "nothing is promoted later");
    gone.store(true, Ordering::SeqCst);
    b.send(get_with("/a", "cache-control", "no-cache")).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(b.get("/a").await.body, "new");
    for task in held {
        task.await;
    }
    b.get("/a").await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(b.get("/a").await.body, "new");
}

/// A leader that leaves before it called the origin is no failure of the origin.
#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_during_the_lookup_is_no_bad_gateway() {
    let network = Network::new();
    let (origin, _) = switchable("max-age=100");
    let store = network.server.node();
    let b = network.over(&origin, &store, |b| b.max_fills(1));
    b.is_connected().await;
    store.fail(Fault::Hang);
    let node = b.clone();
    let mut leader = Box::pin(async move { node.get("/a").await });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(leader.as_mut().poll(&mut cx).is_pending());
    let node = b.clone();
    let waiter = tokio::spawn(async move { node.get("/a").await });
    sleep(Duration::from_millis(10)).await;
    assert!(!waiter.is_finished());
    // The client of the leader goes away, and another request comes.
    drop(leader);
    let mut other = pin!(b.get("/b"));
    assert!(other.as_mut().poll(&mut cx).is_pending());
    let left = Instant::now();
    store.fail(Fault::None);
    let seen = soon(waiter).await.unwrap();
    assert_eq!(seen.status, StatusCode::OK);
    assert_eq!(left.elapsed(), Duration::ZERO);
    assert_eq!(soon(other).await.status, StatusCode::OK);
}

/// A forced reload replaces what all nodes have, whichever requests run at that moment.
#[tokio::test(start_paused = true)]
async fn a_reload_beside_a_lookup_is_not_lost() {
    for answer in ["no-store", "max-age=3600"] {
        let network = Network::new();
        let (origin, changed) = changing(answer);
        let [a, b] = network.nodes(&origin).await;
        a.get("/a").await;
        a.settle().await;
        changed.store(true, Ordering::SeqCst);
        let (plain, reload) = tokio::join!(
            b.get("/a"),
            b.send(get_with("/a", "cache-control", "no-cache"))
        );
        assert_eq!(plain.status, StatusCode::OK);
        b.settle().await;
        // The notifications as well.
        sleep(Duration::from_millis(1)).await;
        let (on_a, on_b) = (a.get("/a").await, b.get("/a").await);
        assert_eq!(reload.body, "new");
        assert_eq!((&*on_a.body, &*on_b.body), ("new", "new"), "{answer}");
    }
}

/// With all fetches under way taken, what the shared tier has is still found.
#[tokio::test(start_paused = true)]
async fn what_the_tier_has_is_found_when_no_more_fetches_may_begin() {
    let network = Network::new();
    let (origin, _) = switchable("max-age=3600");
    let [a] = network.nodes(&origin).await;
    let b = network.over(&origin, &network.server.node(), |b| b.max_fills(1));
    b.is_connected().await;
    for path in ["/a", "/b", "/c"] {
        a.get(path).await;
    }
    a.settle().await;
    let before = origin.calls();
    origin.close();
    let node = b.clone();
    let busy = tokio::spawn(async move { node.get("/busy").await });
    origin.called(before + 1).await;
    let began = Instant::now();
    for path in ["/a", "/b", "/c"] {
        assert!(b.get(path).await.is_hit(), "{path}");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    origin.open();
    busy.await.unwrap();
}
