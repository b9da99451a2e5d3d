//! A write that gets no answer, by way of a real Redis: what the other nodes have is validated before
//! it is used, and may be served in place of an error. The table of what else may come is in
//! `src/engine/peers/tests`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cachewarp::CacheOutcome;
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use crate::{
    node::{Seen, begin},
    nodes::{Node, connected_as, eventually, request},
    origin::{Origin, status},
    support::{cluster::cluster, redis::standalone},
};

/// An origin that can be down, and its pages, which are fresh and may be served for a day in place
/// of an error.
fn site() -> (Origin, Arc<AtomicBool>) {
    let (down, version) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
    let is_down = Arc::clone(&down);
    let origin = Origin::new(move |request| {
        if is_down.load(Ordering::SeqCst) {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        if request.method() != Method::GET {
            return status(StatusCode::NO_CONTENT);
        }
        let version = version.fetch_add(1, Ordering::SeqCst);
        let directives = "max-age=3600, stale-while-revalidate=600, stale-if-error=86400";
        Response::builder()
            .header("cache-control", directives)
            .body(Full::new(version.to_string().into()))
            .unwrap()
    });
    (origin, down)
}

/// A write that the origin gets and does not answer: its client disconnects.
async fn unanswered(origin: &Origin, node: &Node, path: &str) {
    let calls = origin.calls();
    origin.close();
    let write = begin(node, request(Method::POST, path));
    origin.called(calls + 1).await;
    write.abort();
    assert!(write.await.unwrap_err().is_cancelled());
    origin.open();
}

fn is_for_an_error(seen: &Seen, stored: &Seen) -> bool {
    matches!(seen.outcome, CacheOutcome::Stale { .. }) && seen.body == stored.body
}

/// Both nodes have the page.
async fn stored([first, second]: &[Node; 2], path: &str) -> Seen {
    let stored = first.get(path).await;
    first.settle().await;
    eventually("the other node has it", async || {
        let seen = second.get(path).await;
        seen.is_hit() && seen.body == stored.body
    })
    .await;
    stored
}

/// Of several pages, so that in a Cluster each server has some.
async fn is_told(nodes: &[Node; 2], origin: &Origin, down: &AtomicBool) {
    let [first, second] = nodes;
    for page in 0..6 {
        let path = format!("/b/{page}");
        // The second time it has been invalidated before.
        for _ in 0..2 {
            let stored = stored(nodes, &path).await;
            unanswered(origin, first, &path).await;
            down.store(true, Ordering::SeqCst);
            eventually("the other node asks the origin", async || {
                is_for_an_error(&second.get(&path).await, &stored)
            })
            .await;
            first.settle().await;
            for node in nodes {
                let seen = node.get(&path).await;
                assert!(is_for_an_error(&seen, &stored), "{path}: {seen:?}");
            }
            down.store(false, Ordering::SeqCst);
            eventually("it is fetched", async || {
                let new = second.get(&path).await;
                new.status == StatusCode::OK && new.body != stored.body
            })
            .await;
            second.settle().await;

            // An invalidation ends that.
            self::stored(nodes, &path).await;
            unanswered(origin, second, &path).await;
            second.settle().await;
            let seen = first.send(request(Method::POST, &path)).await;
            assert_eq!(seen.status, StatusCode::NO_CONTENT);
            first.settle().await;
            unanswered(origin, second, &path).await;
            second.settle().await;
            down.store(true, Ordering::SeqCst);
            for node in [second, first] {
                eventually("nothing is served", async || {
                    node.get(&path).await.status == StatusCode::SERVICE_UNAVAILABLE
                })
                .await;
            }
            down.store(false, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn the_other_node_serves_for_errors_what_may_have_changed() {
    let redis = standalone();
    let (origin, down) = site();
    let nodes = connected_as(async || {
        Node::with(&origin, &redis.url(), |it| it.refresh_pause(Duration::ZERO)).await
    })
    .await;
    is_told(&nodes, &origin, &down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_so_on_every_server_of_a_cluster() {
    let cluster = cluster(3, 0);
    let (origin, down) = site();
    let nodes = connected_as(async || {
        Node::with(&origin, &cluster.url(), |it| {
            it.refresh_pause(Duration::ZERO)
        })
        .await
    })
    .await;
    is_told(&nodes, &origin, &down).await;
}
