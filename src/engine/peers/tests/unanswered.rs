//! Writes that were sent and got no answer: every node validates what it has before it is used, and
//! may serve it in place of an error, unless an invalidation came too, or may have come.

use std::time::Duration;

use cachewarp::{CacheBuilder, CacheOutcome};
use http::StatusCode;
use tokio::time::sleep;

use super::{
    node::{Node, are_connected, by_tenant, get_with},
    site::{NOTIFIED, SENT_AGAIN, Site, unpaused},
};
use crate::remote::in_memory::Fault;

/// A page without variants, and one with them.
const PATHS: [&str; 2] = ["/a", "/varies"];

#[tokio::test(start_paused = true)]
async fn the_other_nodes_serve_what_they_have_for_errors_only() {
    for path in PATHS {
        // A page that was never invalidated has no epoch yet.
        for invalidated_before in [false, true] {
            let site = Site::new();
            let [first, second, third] = site.nodes().await;
            if invalidated_before {
                site.answered(&first, path).await;
                first.settle().await;
                sleep(NOTIFIED).await;
            }
            let stored = site.stored(&[&first, &second, &third], path).await;
            site.unanswered(&first, path).await;
            first.settle().await;
            sleep(NOTIFIED).await;
            let what = format!("{path} {invalidated_before}");
            for node in [&first, &second] {
                site.serves_for_errors(node, path, &stored, &what).await;
            }
            // One that asks first when the origin works again, and the others.
            let new = third.get(path).await;
            assert!(!new.is_hit(), "{what}: {new:?}");
            assert_ne!(new.body, stored.body, "{what}");
            third.settle().await;
            sleep(NOTIFIED).await;
            for node in [&second, &first, &third] {
                let seen = node.get(path).await;
                assert!(seen.is_hit(), "{what}: {seen:?}");
                assert_eq!(seen.body, new.body, "{what}");
            }
        }
    }
}

/// What comes to a page, in this order: `true` is a write that is answered, `false` one that is not.
#[tokio::test(start_paused = true)]
async fn an_invalidation_is_stronger_before_and_after() {
    for path in PATHS {
        for invalidated_before in [false, true] {
            for (writes, is_looked_between) in [
                (&[true, false][..], false),
                (&[false, true], false),
                (&[false, true], true),
                (&[false, true, false], false),
                (&[false, true, false], true),
                (&[true, false, false], true),
            ] {
                // By which node the first of them is: the others take turns.
                for by in 0..3 {
                    let site = Site::new();
                    let nodes: [Node; 3] = site.nodes().await;
                    if invalidated_before {
                        site.answered(&nodes[0], path).await;
                        nodes[0].settle().await;
                        sleep(NOTIFIED).await;
                    }
                    let [first, second, third] = &nodes;
                    let stored = site.stored(&[first, second, third], path).await;
                    let what = format!("{path} {invalidated_before} {writes:?} {by}");
                    for (index, is_answered) in writes.iter().enumerate() {
                        let node = &nodes[(by + index) % 3];
                        if *is_answered {
                            site.answered(node, path).await;
                        } else {
                            site.unanswered(node, path).await;
                        }
                        node.settle().await;
                        sleep(NOTIFIED).await;
                        if is_looked_between && !writes[..=index].contains(&true) {
                            site.serves_for_errors(second, path, &stored, &what).await;
                        }
                    }
                    for node in &nodes {
                        site.serves_nothing(node, path, &what).await;
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn further_writes_without_an_answer_change_nothing() {
    for path in PATHS {
        let site = Site::new();
        let nodes: [Node; 3] = site.nodes().await;
        let [first, second, third] = &nodes;
        let stored = site.stored(&[first, second, third], path).await;
        for node in [first, first, second, first] {
            site.unanswered(node, path).await;
            node.settle().await;
            sleep(NOTIFIED).await;
        }
        for node in &nodes {
            site.serves_for_errors(node, path, &stored, path).await;
        }
    }
}

/// What was only in the shared tier is gone: it is nowhere left to be served.
#[tokio::test(start_paused = true)]
async fn a_node_that_has_nothing_in_memory_fetches() {
    for path in PATHS {
        let site = Site::new();
        let [first, second] = site.nodes().await;
        let stored = site.stored(&[&first], path).await;
        site.unanswered(&second, path).await;
        second.settle().await;
        sleep(NOTIFIED).await;
        let [cold] = site.nodes().await;
        site.serves_nothing(&cold, path, path).await;
        site.serves_nothing(&second, path, path).await;
        site.serves_for_errors(&first, path, &stored, path).await;
        let new = cold.get(path).await;
        assert!(!new.is_hit(), "{new:?}");
        assert_ne!(new.body, stored.body);
        cold.settle().await;
        assert_eq!(second.get(path).await.body, new.body);
    }
}

/// A node that did not hear of changes for a while may have missed an invalidation whose tombstone
/// is no longer there. A page that was invalidated before has an epoch, which says that there was
/// none.
#[tokio::test(start_paused = true)]
async fn a_node_that_may_have_missed_an_invalidation_serves_nothing() {
    for path in PATHS {
        for invalidated_before in [false, true] {
            let site = Site::new();
            let [first] = site.nodes().await;
            let [of_second, of_third] = [site.network.server.node(), site.network.server.node()];
            let [second, third] = [&of_second, &of_third]
                .map(|store| site.network.over(&site.origin, store, unpaused));
            are_connected(&[second.clone(), third.clone()]).await;
            if invalidated_before {
                site.answered(&first, path).await;
                first.settle().await;
                sleep(NOTIFIED).await;
            }
            let stored = site.stored(&[&first, &second, &third], path).await;
            of_second.disconnect();
            of_second.reconnect();
            sleep(NOTIFIED).await;
            site.unanswered(&first, path).await;
            first.settle().await;
            sleep(NOTIFIED).await;
            if invalidated_before {
                site.serves_for_errors(&second, path, &stored, path).await;
            } else {
                site.serves_nothing(&second, path, path).await;
            }
            // What was known before the connection was lost stays known.
            site.serves_for_errors(&third, path, &stored, path).await;
            for store in [&of_second, &of_third] {
                store.disconnect();
                store.reconnect();
            }
            sleep(NOTIFIED).await;
            site.serves_for_errors(&third, path, &stored, path).await;
            if invalidated_before {
                site.serves_for_errors(&second, path, &stored, path).await;
            }
        }
    }
}

/// The tombstone of an invalidation may be evicted. What is stored then has no epoch, like what was
/// never invalidated.
#[tokio::test(start_paused = true)]
async fn an_invalidation_counts_without_its_tombstone() {
    for path in PATHS {
        let site = Site::new();
        let [first, second, third] = site.nodes().await;
        site.stored(&[&first, &second, &third], path).await;
        site.answered(&first, path).await;
        first.settle().await;
        sleep(NOTIFIED).await;
        site.network.server.clear();
        // So long after it that a new response is certain to be newer.
        sleep(Duration::from_secs(10)).await;
        let [new] = site.nodes().await;
        let stored = site.stored(&[&new], path).await;
        site.unanswered(&first, path).await;
        first.settle().await;
        sleep(NOTIFIED).await;
        for node in [&second, &first, &third] {
            site.serves_nothing(node, path, path).await;
        }
        site.serves_for_errors(&new, path, &stored, path).await;
    }
}

/// If the tombstone is evicted before a node looks, the notification is all that is left: nothing is
/// served without the origin.
#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_counts_without_its_tombstone() {
    for path in PATHS {
        let site = Site::new();
        let [first] = site.nodes().await;
        let store = site.network.server.node();
        let second = site.network.over(&site.origin, &store, unpaused);
        second.is_connected().await;
        let stored = site.stored(&[&first, &second], path).await;
        site.unanswered(&first, path).await;
        first.settle().await;
        sleep(NOTIFIED).await;
        site.network.server.clear();
        site.serves_nothing(&second, path, path).await;
        // The node that knew of it before still does.
        site.serves_for_errors(&first, path, &stored, path).await;
        store.fail(Fault::Unavailable);
        site.serves_nothing(&second, path, path).await;
        assert_ne!(second.get(path).await.body, stored.body);
    }
}

/// While too many invalidations wait, all are given up, and nobody knows what they concerned.
#[tokio::test(start_paused = true)]
async fn what_is_distrusted_is_not_served_for_errors() {
    let site = Site::new();
    let [second] = site.nodes().await;
    let store = site.network.server.node();
    let first = site.network.over(&site.origin, &store, unpaused);
    first.is_connected().await;
    site.stored(&[&first, &second], "/a").await;
    site.stored(&[&first, &second], "/b").await;
    site.unanswered(&first, "/a").await;
    first.settle().await;
    store.fail(Fault::Unavailable);
    site.unanswered(&first, "/b").await;
    for index in 0..5_000 {
        site.answered(&first, &format!("/flood/{index}")).await;
    }
    store.fail(Fault::None);
    sleep(SENT_AGAIN).await;
    for node in [&second, &first] {
        for path in ["/a", "/b"] {
            site.serves_nothing(node, path, path).await;
        }
    }
}

/// What was fetched since is at most as doubtful as what was there before.
#[tokio::test(start_paused = true)]
async fn a_late_message_takes_nothing_new_away() {
    for path in PATHS {
        for fault in [Fault::Unavailable, Fault::LoseAnswers] {
            let site = Site::new();
            let [second] = site.nodes().await;
            let store = site.network.server.node();
            let first = site.network.over(&site.origin, &store, unpaused);
            first.is_connected().await;
            site.stored(&[&first, &second], path).await;
            // The node is to learn what its message replaces, before the answer to that is lost.
            let is_lost = fault == Fault::LoseAnswers;
            store.fail(if is_lost { Fault::Hang } else { fault });
            site.unanswered(&first, path).await;
            sleep(NOTIFIED).await;
            store.fail(fault);
            sleep(Duration::from_millis(500)).await;
            let reload = get_with(path, "cache-control", "no-cache");
            let new = second.send(reload).await;
            sleep(NOTIFIED).await;
            store.fail(Fault::None);
            sleep(SENT_AGAIN).await;
            if is_lost {
                // The message had arrived before, and is not repeated.
                let seen = second.get(path).await;
                assert!(seen.is_hit(), "{path}: {seen:?}");
                assert_eq!(seen.body, new.body);
                assert_eq!(first.get(path).await.body, new.body);
            } else {
                let what = format!("{path} {fault:?}");
                site.serves_for_errors(&second, path, &new, &what).await;
            }
        }
    }
}

/// While the message waits, and after it was sent, the node itself serves for errors what it has.
#[tokio::test(start_paused = true)]
async fn the_node_itself_knows_before_the_others() {
    for path in PATHS {
        let site = Site::new();
        let [second] = site.nodes().await;
        let store = site.network.server.node();
        let first = site.network.over(&site.origin, &store, unpaused);
        first.is_connected().await;
        let stored = site.stored(&[&first, &second], path).await;
        for fault in [Fault::Unavailable, Fault::Hang, Fault::LoseAnswers] {
            store.fail(fault);
            site.unanswered(&first, path).await;
            let what = format!("{path} {fault:?}");
            site.serves_for_errors(&first, path, &stored, &what).await;
            store.fail(Fault::None);
            sleep(SENT_AGAIN).await;
            for node in [&first, &second] {
                site.serves_for_errors(node, path, &stored, &what).await;
            }
        }
    }
}

/// The node does not take its own entry for current because it has yet to be notified of its own
/// message.
#[tokio::test(start_paused = true)]
async fn what_the_node_itself_fetches_next_is_shared() {
    for path in PATHS {
        let site = Site::new();
        let [second] = site.nodes().await;
        let store = site.network.server.node();
        let first = site.network.over(&site.origin, &store, unpaused);
        first.is_connected().await;
        let stored = site.stored(&[&first, &second], path).await;
        store.delay_events(Duration::from_secs(1));
        site.unanswered(&first, path).await;
        first.settle().await;
        let new = first.get(path).await;
        assert_ne!(new.body, stored.body, "{path}");
        first.settle().await;
        sleep(Duration::from_secs(2)).await;
        for node in [&second, &first] {
            let seen = node.get(path).await;
            assert!(seen.is_hit(), "{path}: {seen:?}");
            assert_eq!(seen.body, new.body, "{path}");
        }
    }
}

/// An invalidation of another node while this one's message waits is not covered by it.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_after_an_invalidation_does_not_hide_it() {
    for path in PATHS {
        let site = Site::new();
        let [second, third] = site.nodes().await;
        let store = site.network.server.node();
        let first = site.network.over(&site.origin, &store, unpaused);
        first.is_connected().await;
        site.stored(&[&first, &second, &third], path).await;
        store.fail(Fault::Unavailable);
        site.unanswered(&first, path).await;
        site.answered(&second, path).await;
        second.settle().await;
        store.fail(Fault::None);
        sleep(SENT_AGAIN).await;
        for node in [&third, &second, &first] {
            site.serves_nothing(node, path, path).await;
        }
    }
}

/// A stale answer for an error does not depend on whether the shared tier has the response.
#[tokio::test(start_paused = true)]
async fn an_origin_that_failed_is_left_alone_for_a_while() {
    let paused = |builder: CacheBuilder| builder.refresh_pause(Duration::from_secs(5));
    for path in PATHS {
        let site = Site::new();
        let nodes: [Node; 2] = site.network.nodes_with(&site.origin, paused).await;
        let [first, second] = &nodes;
        let stored = site.stored(&[first, second], path).await;
        site.unanswered(first, path).await;
        first.settle().await;
        sleep(NOTIFIED).await;
        for node in &nodes {
            for _ in 0..3 {
                let seen = site.while_down(node, path, "").await;
                assert_eq!(seen.body, stored.body);
                site.is_down(true);
                let calls = site.origin.calls();
                for _ in 0..5 {
                    let seen = node.get(path).await;
                    assert!(
                        matches!(seen.outcome, CacheOutcome::Stale { .. }),
                        "{seen:?}"
                    );
                }
                assert_eq!(site.origin.calls(), calls, "{path}");
                site.is_down(false);
                sleep(Duration::from_secs(6)).await;
            }
        }
        // An invalidation ends the pause as well.
        site.while_down(second, path, "").await;
        site.answered(first, path).await;
        first.settle().await;
        sleep(NOTIFIED).await;
        for node in [second, first] {
            site.serves_nothing(node, path, path).await;
        }
    }
}

/// Keys with extra parts are invalidated on the other nodes.
#[tokio::test(start_paused = true)]
async fn partitions_are_invalidated_on_the_other_nodes() {
    let site = Site::new();
    let [first, second] = site
        .network
        .nodes_with(&site.origin, |it| by_tenant(unpaused(it)))
        .await;
    let of_red = || get_with("/a", "x-tenant", "red");
    let stored = first.send(of_red()).await;
    first.settle().await;
    assert_eq!(second.send(of_red()).await.body, stored.body);
    site.unanswered(&first, "/a").await;
    first.settle().await;
    sleep(NOTIFIED).await;
    site.is_down(true);
    let seen = second.send(of_red()).await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE, "{seen:?}");
    site.is_down(false);
    for node in [&second, &first] {
        let seen = node.send(of_red()).await;
        assert_ne!(seen.body, stored.body);
        node.settle().await;
    }
}
