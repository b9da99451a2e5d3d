//! Nodes that are cut off or begin anew, and a Redis that loses what it had.

use std::time::{Duration, Instant};

use cachewarp::{Purge, PurgeError, PurgedShared};
use tokio::time::sleep;

use super::pages::{LOG, Pages, id, is_seen, purge, rows, told, version, warm};
use crate::{
    nodes::{Node, connected, eventually},
    support::{
        redis::{Reply, standalone},
        sentinels::sentinels,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_is_in_force_here_at_once_and_elsewhere_when_it_was_heard() {
    let redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a", "/b"]).await;
    let new = pages.publish();
    let seq = purge(&first).await;
    assert_eq!(version(&first, "/a").await, new);
    is_seen(&second, "/b", new).await;
    assert_eq!(version(&second, "/a").await, new);
    // What was reported is what Redis has.
    assert_eq!(rows(&redis).last().unwrap().1, seq);
    let several = Purge::tag("page").tag("other").url("/a");
    let purged = second.layer.handle().purge(several).await.unwrap();
    assert_eq!(told(&purged), seq + 3);
    assert_eq!(purged.subjects, 3);
    // A row for each subject, the tag's is the same as before.
    let numbers: Vec<u64> = rows(&redis).iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, [seq + 1, seq + 2, seq + 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_begins_anew_uses_nothing_that_was_purged_before() {
    let redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a", "/b"]).await;
    let new = pages.publish();
    let url = Purge::url("http://a.test/a");
    let purged = first.layer.handle().purge(url).await.unwrap();
    assert_eq!(purged.here.variants, Some(1));
    told(&purged);
    drop(second);
    let restarted = Node::new(&pages.origin, &redis).await;
    assert_eq!(version(&restarted, "/a").await, new);
    assert_eq!(version(&restarted, "/b").await, 1, "it is in Redis still");
    assert_eq!(pages.origin.calls_of("/b"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_is_pending_while_redis_hangs_and_told_when_it_is_back() {
    let redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a", "/b"]).await;
    redis.pause();
    let new = pages.publish();
    let began = Instant::now();
    let refused = first.layer.handle().purge(Purge::tag("page")).await;
    let Err(PurgeError::Pending(purged)) = refused else {
        panic!("not pending: {refused:?}");
    };
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(purged.here.in_force);
    assert_eq!(purged.shared, PurgedShared::Pending);
    assert_eq!(version(&first, "/a").await, new);
    redis.resume();
    is_seen(&second, "/a", new).await;
    assert_eq!(version(&second, "/b").await, new);
    assert_eq!(version(&first, "/b").await, new);
    eventually("a purge is told again", async || {
        let again = first.layer.handle().purge(Purge::tag("other")).await;
        again.is_ok()
    })
    .await;
    assert_eq!(rows(&redis).len(), 2);
}

/// What is gone with Redis was purged by nobody who can still be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_while_redis_was_gone_is_told_to_the_empty_one_that_comes_back() {
    let mut redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a", "/b"]).await;
    redis.kill();
    let new = pages.publish();
    let refused = first.layer.handle().purge(Purge::tag("page")).await;
    assert!(
        matches!(refused, Err(PurgeError::Pending(_))),
        "{refused:?}"
    );
    assert_eq!(version(&first, "/a").await, new);
    redis.restart();
    is_seen(&second, "/a", new).await;
    assert_eq!(version(&second, "/b").await, new);
    assert_eq!(version(&first, "/b").await, new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_flushed_or_evicted_brings_nothing_back() {
    for lose in [&[b"FLUSHALL".as_slice()][..], &[b"DEL", LOG]] {
        for purges_again in [false, true] {
            let redis = standalone();
            let pages = Pages::new();
            let [first, second] = connected(&pages.origin, &redis).await;
            warm([&first, &second], &["/a", "/b"]).await;
            let new = pages.publish();
            purge(&first).await;
            let before = id(&redis);
            redis.command(lose);
            let third = Node::new(&pages.origin, &redis).await;
            assert_eq!(version(&third, "/a").await, new, "{lose:?}");
            is_seen(&second, "/a", new).await;
            assert_eq!(version(&second, "/b").await, new, "{lose:?}");
            let new = if purges_again {
                let new = pages.publish();
                purge(&first).await;
                new
            } else {
                new
            };
            assert_eq!(version(&first, "/a").await, new, "{lose:?}");
            assert_ne!(id(&redis), before);
            is_seen(&second, "/a", new).await;
            is_seen(&third, "/b", new).await;
        }
    }
}

/// The other node cannot tell that anything is missing: only the one that had appended can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_has_lost_its_end_is_replaced() {
    let redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a", "/b"]).await;
    purge_other(&first).await;
    let Reply::Bulk(earlier) = redis.command(&[b"DUMP".as_slice(), LOG]) else {
        panic!("no dump");
    };
    let before = id(&redis);
    let new = pages.publish();
    purge(&first).await;
    let restore = [b"RESTORE".as_slice(), LOG, b"0", &earlier, b"REPLACE"];
    assert!(redis.command(&restore).is_ok());
    eventually("the log has another id", async || id(&redis) != before).await;
    let third = Node::new(&pages.origin, &redis).await;
    assert_eq!(version(&third, "/a").await, new);
    is_seen(&second, "/a", new).await;
    assert_eq!(version(&second, "/b").await, new);
    assert_eq!(version(&first, "/b").await, new);
}

async fn purge_other(node: &Node) {
    told(
        &node
            .layer
            .handle()
            .purge(Purge::tag("other"))
            .await
            .unwrap(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_brings_nothing_back() {
    let mut servers = sentinels(1);
    let pages = Pages::new();
    let first = Node::with(&pages.origin, &servers.url(), |it| it).await;
    let second = Node::with(&pages.origin, &servers.url(), |it| it).await;
    first.is_connected().await;
    second.is_connected().await;
    warm([&first, &second], &["/a", "/b"]).await;
    // The replica does not get this.
    servers.servers()[1].pause();
    let new = pages.publish();
    purge(&first).await;
    is_seen(&second, "/a", new).await;
    servers.servers()[0].kill();
    servers.servers()[1].resume();
    eventually("a purge is told to the new master", async || {
        let purged = first.layer.handle().purge(Purge::tag("other")).await;
        assert!(version(&first, "/b").await >= new);
        assert!(version(&second, "/b").await >= new);
        purged.is_ok()
    })
    .await;
    sleep(Duration::from_millis(200)).await;
    let third = Node::with(&pages.origin, &servers.url(), |it| it).await;
    for node in [&first, &second, &third] {
        assert_eq!(version(node, "/a").await, new);
        assert_eq!(version(node, "/b").await, new);
    }
}
