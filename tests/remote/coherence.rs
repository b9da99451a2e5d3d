//! In which order a node serves what another node replaces, while both are busy. How soon it does
//! is asserted under paused time, in `src/engine/peers/tests`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{sync::watch, task::yield_now};

use crate::{
    nodes::{Node, connected_as, get_with, soon},
    origin::{Origin, version},
    support::redis::standalone,
};

const ROUNDS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_replaces_is_gone_from_the_others_for_good() {
    let redis = standalone();
    let origin = Origin::counting();
    let [first, second] = connected_as(async || Node::patient(&origin, &redis).await).await;
    // Of two that are fetched at once, by two nodes, either may be the later one.
    first.get("/a").await;
    first.settle().await;
    assert!(second.finds("/a").await);
    let seen = Arc::new(watch::Sender::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let polling = tokio::spawn({
        let (node, seen, done) = (second.clone(), Arc::clone(&seen), Arc::clone(&done));
        async move {
            let mut last = 0;
            while !done.load(Ordering::SeqCst) {
                let now = version(&node.get("/a").await.body);
                assert!(now >= last, "{now} after {last}");
                if now > last {
                    last = now;
                    seen.send_replace(last);
                }
                yield_now().await;
            }
        }
    });
    let mut seeing = seen.subscribe();
    for _ in 0..ROUNDS {
        let asked = get_with("/a", "cache-control", "no-cache");
        let new = version(&first.send(asked).await.body);
        soon(seeing.wait_for(|seen| *seen >= new)).await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    soon(polling).await.unwrap();
    // The other node has them from Redis, but for what it fetched before there was anything.
    assert!(origin.calls_of("/a") <= ROUNDS + 1);
}
