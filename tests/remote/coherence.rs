//! How soon a node stops serving what another node replaced, and in which order it serves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::yield_now};

use crate::{
    nodes::{get_with, soon, told},
    origin::{Origin, version},
    support::redis::standalone,
};

const ROUNDS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_replaces_is_gone_from_the_others_at_once_and_for_good() {
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second] = told(&origin, &redis).await;
    // Of two that are fetched at once, by two nodes, either may be the later one.
    first.get("/a").await;
    first.settle().await;
    assert!(second.finds("/a").await);
    let seen = Arc::new(watch::Sender::new((0, Instant::now())));
    let done = Arc::new(AtomicBool::new(false));
    let polling = tokio::spawn({
        let (node, seen, done) = (second.clone(), Arc::clone(&seen), Arc::clone(&done));
        async move {
            let mut last = 0;
            let mut polls = 0_u64;
            while !done.load(Ordering::SeqCst) {
                let now = version(&node.get("/a").await.body);
                assert!(now >= last, "{now} after {last}");
                polls += 1;
                if now > last {
                    last = now;
                    seen.send_replace((now, Instant::now()));
                }
                yield_now().await;
            }
            polls
        }
    });
    let mut seeing = seen.subscribe();
    let mut waits = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let asked = get_with("/a", "cache-control", "no-cache");
        let new = version(&first.send(asked).await.body);
        let answered = Instant::now();
        let (_, at) = *soon(seeing.wait_for(|(seen, _)| *seen >= new))
            .await
            .unwrap();
        waits.push(at.saturating_duration_since(answered));
    }
    done.store(true, Ordering::SeqCst);
    let polls = soon(polling).await.unwrap();
    waits.sort();
    let (median, p99, max) = (
        waits[ROUNDS / 2],
        waits[ROUNDS * 99 / 100],
        waits[ROUNDS - 1],
    );
    println!(
        "until the other node served the new one: median {median:?}, p99 {p99:?}, max {max:?} \
         ({polls} requests, {} calls)",
        origin.calls_of("/a")
    );
    // p99 is below 50 ms on a machine of one's own; here others may have the processor.
    assert!(median < Duration::from_millis(50), "median {median:?}");
    assert!(max < Duration::from_secs(1), "max {max:?}");
    // The other node has them from Redis, but for what it fetched before there was anything.
    assert!(origin.calls_of("/a") <= ROUNDS + 1);
}

/// A question to Redis is for what may have changed: what a node just fetched has not.
#[tokio::test]
async fn what_a_node_fetched_or_found_it_serves_from_memory_without_a_question() {
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second] = told(&origin, &redis).await;
    for index in 0..20 {
        let path = format!("/{index}");
        first.get(&path).await;
        first.settle().await;
        assert!(second.get(&path).await.is_hit());
    }
    // Whatever is told of that has been told.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(redis.command(&["config", "resetstat"]).is_ok());
    for index in 0..20 {
        for node in [&first, &second] {
            assert!(node.get(&format!("/{index}")).await.is_hit());
        }
    }
    let stats = redis.command(&["info", "commandstats"]).text();
    let asked = |command: &str| stats.contains(&format!("cmdstat_{command}:"));
    // The masters' own keys are read with `get`.
    assert!(!asked("getrange") && !asked("mget"), "{stats}");
}
