//! What memory answers is touched in the shared tier, so that a server that evicts what is not used
//! keeps it: rarely, in the background, and never more than a bounded number at a time.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    network::Network,
    node::{Node, by_tenant, get_with},
    origin::{Origin, fresh},
};
use crate::remote::in_memory::Fault;

/// Somewhat longer than touches are gathered for.
const GATHERED: Duration = Duration::from_millis(300);

/// A node that has the response to each of these paths in memory, and nothing to touch yet.
async fn warm(network: &Network, origin: &Origin, paths: &[String]) -> Node {
    let [node] = network.nodes(origin).await;
    for path in paths {
        node.get(path).await;
    }
    node.settle().await;
    assert_eq!(network.server.touched(), [""; 0], "nothing was hit");
    node
}

async fn hit(node: &Node, path: &str) {
    let seen = node.get(path).await;
    assert!(seen.is_hit(), "{path}: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn hits_are_told_together_and_no_hit_asks() {
    let network = Network::new();
    let origin = Origin::counting();
    let node = warm(&network, &origin, &["/a".to_owned()]).await;
    let names = network.server.names();
    for _ in 0..3 {
        let before = network.server.operations();
        for _ in 0..1_000 {
            hit(&node, "/a").await;
        }
        assert_eq!(network.server.operations(), before, "no hit asks anything");
        sleep(GATHERED).await;
        assert_eq!(network.server.touched(), names);
        assert_eq!(network.server.operations(), before + 1);
        sleep(Duration::from_secs(1)).await;
        // Nothing was hit since.
        assert_eq!(network.server.touched(), [""; 0]);
    }
    assert_eq!(origin.calls(), 1);
}

/// The more often it is hit, the more often it is touched, eight times a second at most.
#[tokio::test(start_paused = true)]
async fn a_popular_entry_is_touched_more_often_than_another() {
    let network = Network::new();
    let origin = Origin::counting();
    let paths = ["/popular", "/other"].map(str::to_owned);
    let node = warm(&network, &origin, &paths).await;
    for at in 0..10_000 {
        hit(&node, "/popular").await;
        if at % 1_000 == 0 {
            hit(&node, "/other").await;
        }
        sleep(Duration::from_millis(1)).await;
    }
    sleep(GATHERED).await;
    let touched = network.server.touched();
    let mut times: Vec<_> = network
        .server
        .names()
        .iter()
        .map(|name| touched.iter().filter(|it| *it == name).count())
        .collect();
    times.sort_unstable();
    assert!(times[0] == 10 && (80..=81).contains(&times[1]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn all_that_a_lookup_reads_is_touched() {
    let network = Network::new();
    let origin = Origin::new(|_| {
        let mut response = fresh("text".to_owned());
        let vary = "accept-language".parse().unwrap();
        response.headers_mut().insert("vary", vary);
        response
    });
    let [node] = network.nodes_with(&origin, by_tenant).await;
    let ask = || {
        let mut asked = get_with("/a", "accept-language", "en");
        asked.headers_mut().insert("x-tenant", "t".parse().unwrap());
        asked
    };
    node.send(ask()).await;
    node.settle().await;
    let mut names = network.server.names();
    assert!(node.send(ask()).await.is_hit());
    sleep(GATHERED).await;
    let mut touched = network.server.touched();
    names.sort();
    touched.sort();
    // The list of variants, the variant, and the tombstone that the partition is compared with.
    assert_eq!(names.len(), 3);
    assert_eq!(touched, names);
}

#[tokio::test(start_paused = true)]
async fn so_many_are_touched_at_a_time_and_the_others_later() {
    let network = Network::new();
    let origin = Origin::counting();
    let paths: Vec<_> = (0..1_500).map(|at| format!("/{at}")).collect();
    let node = warm(&network, &origin, &paths).await;
    // Names that share a slot make each other look changed, until they are hit.
    for path in &paths {
        hit(&node, path).await;
    }
    sleep(Duration::from_secs(2)).await;
    network.server.touched();
    let mut touched = Vec::new();
    // First come, first served; then half of the room is for those that are still waiting.
    for expected in [1_024, 512 + 476, 512] {
        for path in &paths {
            hit(&node, path).await;
        }
        sleep(GATHERED).await;
        let now = network.server.touched();
        assert_eq!(now.len(), expected);
        touched.extend(now);
    }
    touched.sort();
    touched.dedup();
    assert_eq!(touched.len(), paths.len(), "each in its turn");
}

/// A tier that does not answer is not asked, and what is missed is made up for by later hits.
#[tokio::test(start_paused = true)]
async fn a_tier_that_fails_costs_no_hit() {
    let network = Network::new();
    let origin = Origin::counting();
    let store = network.server.node();
    let node = network.over(&origin, &store, |it| it);
    node.is_connected().await;
    node.get("/a").await;
    node.settle().await;
    for fault in [Fault::Unavailable, Fault::Hang] {
        store.fail(fault);
        sleep(Duration::from_secs(1)).await;
        hit(&node, "/a").await;
        sleep(Duration::from_secs(1)).await;
        hit(&node, "/a").await;
        store.fail(Fault::None);
        sleep(Duration::from_secs(1)).await;
        network.server.touched();
        hit(&node, "/a").await;
        sleep(GATHERED).await;
        assert_eq!(
            network.server.touched(),
            network.server.names(),
            "{fault:?}"
        );
    }
}

/// What is only in memory, or is fetched, is not.
#[tokio::test(start_paused = true)]
async fn a_miss_touches_nothing() {
    let network = Network::new();
    let origin = Origin::counting();
    let node = warm(&network, &origin, &["/a".to_owned()]).await;
    for _ in 0..3 {
        let reload = get_with("/a", "cache-control", "no-cache");
        assert!(!node.send(reload).await.is_hit());
        node.get("/b").await;
        sleep(GATHERED).await;
    }
    // The second and third time `/b` was a hit.
    assert_eq!(network.server.touched().len(), 2);
}
