//! What goes on while Redis is asked: leaders that leave, reloads, refreshes by another node.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use cachewarp::{CacheOutcome, Executor, Redis};
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::time::{sleep, timeout};

use crate::{
    crowds::switchable,
    nodes::{Node, are_told, eventually, get_with},
    origin::Origin,
    support::redis::standalone,
};

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

/// The other node's refresh is slow, but nothing failed: past its window nothing is served stale.
#[tokio::test]
async fn past_the_window_nothing_is_stale_while_another_node_refreshes() {
    let redis = standalone();
    let (origin, _) = switchable("max-age=2, stale-while-revalidate=1, stale-if-error=3600");
    let a = Node::new(&origin, &redis).await;
    let b = Node::new(&origin, &redis).await;
    are_told(&[a.clone(), b.clone()]).await;
    a.get("/a").await;
    a.settle().await;
    assert!(b.get("/a").await.is_hit());
    sleep(Duration::from_millis(2300)).await;
    let before = origin.calls();
    origin.close();
    let stale = a.get("/a").await;
    assert!(
        matches!(stale.outcome, CacheOutcome::Stale { .. }),
        "{stale:?}"
    );
    eventually("the refresh is under way", || async {
        origin.calls() == before + 1
    })
    .await;
    let mut outcomes: Vec<String> = vec![];
    for _ in 0..60 {
        sleep(Duration::from_millis(50)).await;
        let Ok(seen) = timeout(Duration::from_millis(500), b.get("/a")).await else {
            outcomes.push("waits".to_owned());
            break;
        };
        let outcome = format!("{:?}", seen.outcome);
        if outcomes.last() != Some(&outcome) {
            outcomes.push(outcome);
        }
    }
    origin.open();
    assert!(
        !outcomes.iter().any(|it| it.contains("Paused")),
        "nothing failed"
    );
}

/// What the origin superseded does not come back by a promotion that was late.
#[tokio::test]
async fn a_late_promotion_does_not_bring_back_what_was_superseded() {
    let redis = standalone();
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    let origin = Origin::new(move |_| {
        let (directives, body) = match is_gone.load(Ordering::SeqCst) {
            true => ("no-store", "new"),
            false => ("max-age=3600", "old"),
        };
        Response::builder()
            .header("cache-control", directives)
            .body(Full::from(body))
            .unwrap()
    });
    let a = Node::new(&origin, &redis).await;
    let executor = Holding::default();
    let own = executor.clone();
    let b = Node::with(&origin, &redis.url(), |b| b.executor(own)).await;
    are_told(&[a.clone(), b.clone()]).await;
    a.get("/a").await;
    a.settle().await;
    executor.hold.store(true, Ordering::SeqCst);
    assert!(b.get("/a").await.is_hit());
    executor.hold.store(false, Ordering::SeqCst);
    let held = std::mem::take(&mut *executor.held.lock().unwrap());
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

/// A leader that leaves before it asked anybody is no failure of the origin.
#[tokio::test]
async fn a_leader_that_leaves_during_the_lookup_is_no_bad_gateway() {
    let redis = standalone();
    let (origin, _) = switchable("max-age=100");
    let tier = Redis::builder(redis.url())
        .read_timeout(Duration::from_secs(3))
        .write_timeout(Duration::from_secs(3))
        .require_at_start(true)
        .connect()
        .await
        .unwrap();
    let b = Node::over(&origin, tier, |b| b.max_fills(1));
    are_told(std::slice::from_ref(&b)).await;
    redis.pause();
    let node = b.clone();
    let mut leader = Box::pin(async move { node.get("/a").await });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(leader.as_mut().poll(&mut cx).is_pending());
    let node = b.clone();
    let waiter = tokio::spawn(async move { node.get("/a").await });
    sleep(Duration::from_millis(50)).await;
    // The client of the leader goes away, and another request comes.
    drop(leader);
    let mut other = pin!(b.get("/b"));
    assert!(other.as_mut().poll(&mut cx).is_pending());
    let seen = timeout(Duration::from_millis(500), waiter).await;
    redis.resume();
    if let Ok(seen) = seen {
        assert_eq!(seen.unwrap().status, StatusCode::OK);
    }
}

/// A forced reload replaces what all nodes have, whoever else asks at that moment.
#[tokio::test]
async fn a_reload_beside_a_lookup_is_not_lost() {
    for answer in ["no-store", "max-age=3600"] {
        let redis = standalone();
        let changed = Arc::new(AtomicBool::new(false));
        let has_changed = Arc::clone(&changed);
        let origin = Origin::new(move |_| {
            let (directives, body) = if has_changed.load(Ordering::SeqCst) {
                (answer, "new")
            } else {
                ("max-age=3600", "old")
            };
            Response::builder()
                .header("cache-control", directives)
                .body(Full::from(body))
                .unwrap()
        });
        let a = Node::new(&origin, &redis).await;
        let b = Node::new(&origin, &redis).await;
        are_told(&[a.clone(), b.clone()]).await;
        a.get("/a").await;
        a.settle().await;
        changed.store(true, Ordering::SeqCst);
        let (plain, reload) = tokio::join!(
            b.get("/a"),
            b.send(get_with("/a", "cache-control", "no-cache"))
        );
        println!(
            "{answer}: plain {:?} {}; reload {:?} {}",
            plain.outcome, plain.body, reload.outcome, reload.body
        );
        b.settle().await;
        sleep(Duration::from_millis(1200)).await;
        let (on_a, on_b) = (a.get("/a").await, b.get("/a").await);
        println!(
            "{answer}: 1.2 s later on a: {:?} {}; on b: {:?} {}",
            on_a.outcome, on_a.body, on_b.outcome, on_b.body
        );
        assert_eq!(reload.body, "new");
        assert_eq!((&*on_a.body, &*on_b.body), ("new", "new"), "{answer}");
    }
}

/// With all fetches under way taken, what Redis has is still found.
#[tokio::test]
async fn what_redis_has_is_found_when_no_more_fetches_may_begin() {
    let redis = standalone();
    let (origin, _) = switchable("max-age=3600");
    let a = Node::new(&origin, &redis).await;
    let b = Node::with(&origin, &redis.url(), |b| b.max_fills(1)).await;
    are_told(&[a.clone(), b.clone()]).await;
    for path in ["/a", "/b", "/c"] {
        a.get(path).await;
    }
    a.settle().await;
    let before = origin.calls();
    origin.close();
    let node = b.clone();
    let busy = tokio::spawn(async move { node.get("/busy").await });
    eventually("a fetch is under way", || async {
        origin.calls() == before + 1
    })
    .await;
    let mut late = vec![];
    for path in ["/a", "/b", "/c"] {
        if timeout(Duration::from_secs(1), b.get(path)).await.is_err() {
            late.push(path);
        }
    }
    origin.open();
    busy.await.unwrap();
    assert!(late.is_empty());
}

/// How long the origin takes goes with the response, so that every node can refresh it in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_fetched_is_refreshed_early_too() {
    let redis = standalone();
    let origin = Origin::new(|_| {
        std::thread::sleep(Duration::from_millis(100));
        let response = Response::builder().header("cache-control", "max-age=8");
        response.body(Full::from("slow")).unwrap()
    });
    let a = Node::new(&origin, &redis).await;
    // So early that it is nearly certain, once half of the lifetime is over.
    let b = Node::with(&origin, &redis.url(), |b| b.early_refresh(100.0)).await;
    are_told(&[a.clone(), b.clone()]).await;
    a.get("/a").await;
    a.settle().await;
    assert!(b.get("/a").await.is_hit());
    sleep(Duration::from_secs(5)).await;
    eventually("it is refreshed", || async {
        assert!(b.get("/a").await.is_hit());
        origin.calls() == 2
    })
    .await;
}
