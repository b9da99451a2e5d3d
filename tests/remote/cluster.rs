//! Nodes over a Redis Cluster and under Sentinels, while servers come and go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::{Method, StatusCode};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    nodes::{Node, are_connected, connected_as, eventually, get_with, request},
    origin::Origin,
    support::{
        cluster::cluster,
        redis::{Reply, Server, Wire},
        sentinels::sentinels,
    },
};

/// What requests may take while a server is failing: the time that Redis has for a read, and the
/// rest because this is no release build and the processor is shared.
const MOST: Duration = Duration::from_millis(50 + 200);

/// For how long keys of servers that work may be without Redis.
const HEALTHY: Duration = Duration::from_secs(5);

async fn two(origin: &Origin, url: &str) -> [Node; 2] {
    let nodes = connected_as(async || Node::with(origin, url, |it| it).await).await;
    // The first requests of a node take longer: it sends its scripts.
    for node in &nodes {
        node.get(&new_path()).await;
        node.settle().await;
    }
    nodes
}

/// A path that no other test and no other call has.
fn new_path() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("/new/{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

/// How many keys are asked for at once to see which are shared.
const KEYS: usize = 36;

/// How many of as many keys are found by the second node, within a moment, after the first fetched
/// them.
async fn shared(nodes: &[Node; 2]) -> usize {
    let looks = (0..KEYS).map(|_| async {
        let path = new_path();
        nodes[0].get(&path).await;
        usize::from(nodes[1].finds(&path).await)
    });
    join_all(looks).await.into_iter().sum()
}

async fn share_all(nodes: &[Node; 2]) -> bool {
    shared(nodes).await == KEYS
}

/// What one node replaces or invalidates is gone from the other, on every master.
async fn are_coherent(nodes: &[Node; 2]) {
    let (mut coherent, mut unshared) = (0, 0);
    while coherent < 24 {
        let path = new_path();
        let old = nodes[0].get(&path).await;
        nodes[0].settle().await;
        if nodes[1].get(&path).await.body != old.body {
            // Once for each part of the keys that is tried again after a failure.
            unshared += 1;
            assert!(unshared < 100, "too little is shared");
            continue;
        }
        coherent += 1;
        let refetch = get_with(&path, "cache-control", "no-cache");
        let new = nodes[0].send(refetch).await;
        let took = eventually("replaced on the other node", async || {
            nodes[1].get(&path).await.body == new.body
        })
        .await;
        assert!(took < Duration::from_secs(1), "{path}: {took:?}");
        nodes[0].settle().await;
        nodes[1].send(request(Method::POST, &path)).await;
        let took = eventually("invalidated on the other node", async || {
            nodes[0].get(&path).await.body != new.body
        })
        .await;
        assert!(took < Duration::from_secs(1), "{path}: {took:?}");
    }
    println!("{coherent} keys are coherent, {unshared} were not shared");
}

/// Clients that ask for what is new and what is not, until stopped. None may fail or wait.
struct Load {
    clients: JoinSet<Duration>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn begin(nodes: &[Node; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..16 {
            let (node, stop) = (nodes[client % 2].clone(), Arc::clone(&stop));
            clients.spawn(async move {
                let mut slowest = Duration::ZERO;
                while !stop.load(Ordering::SeqCst) {
                    for path in [format!("/warm/{client}"), new_path()] {
                        let began = Instant::now();
                        assert_eq!(node.get(&path).await.status, StatusCode::OK);
                        slowest = slowest.max(began.elapsed());
                        sleep(Duration::from_millis(10)).await;
                    }
                }
                slowest
            });
        }
        Self { clients, stop }
    }

    async fn end(mut self) -> Duration {
        self.stop.store(true, Ordering::SeqCst);
        let mut slowest = Duration::ZERO;
        while let Some(client) = self.clients.join_next().await {
            slowest = slowest.max(client.unwrap());
        }
        slowest
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_and_stay_coherent_on_a_cluster() {
    let mut servers = cluster(3, 0);
    let origin = Origin::counting();
    let nodes = two(&origin, &servers.url()).await;
    assert!(share_all(&nodes).await);
    are_coherent(&nodes).await;
    for index in 0..60 {
        nodes[0].get(&format!("/spread/{index}")).await;
    }
    nodes[0].settle().await;
    for server in servers.nodes() {
        let Reply::Integer(keys) = server.command(&["dbsize"]) else {
            panic!("no number");
        };
        assert!(keys > 10, "a master holds {keys} keys only");
    }
}

/// One master fails, in the way that `fail` has it, while nodes serve.
async fn a_master_fails(fail: impl FnOnce(&mut Server)) {
    let mut servers = cluster(3, 3);
    let origin = Origin::counting();
    let nodes = two(&origin, &servers.url()).await;
    assert!(share_all(&nodes).await);
    let load = Load::begin(&nodes);
    sleep(Duration::from_millis(500)).await;
    fail(&mut servers.nodes()[1]);
    let failed = Instant::now();
    // Two thirds of the keys are on masters that work.
    let mut without = Duration::ZERO;
    let mut since = failed;
    let mut whole_since = None;
    while failed.elapsed() < Duration::from_secs(30) {
        let began = Instant::now();
        let shared = shared(&nodes).await;
        if shared > 0 {
            without = without.max(began.saturating_duration_since(since));
            since = Instant::now();
        }
        if shared == KEYS && failed.elapsed() > Duration::from_secs(1) {
            whole_since = Some(failed.elapsed());
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let slowest = load.end().await;
    println!(
        "healthy keys were without Redis for {without:?}, all were served after {whole_since:?}; \
         the slowest request took {slowest:?}"
    );
    assert!(whole_since.is_some(), "the successor is not used");
    are_connected(&nodes).await;
    println!("connected again {:?} after the failure", failed.elapsed());
    are_coherent(&nodes).await;
    assert!(
        without < HEALTHY,
        "healthy keys were without Redis for {without:?}"
    );
    assert!(slowest < MOST, "the slowest request took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_is_killed_is_replaced() {
    a_master_fails(Server::kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_hangs_is_replaced() {
    a_master_fails(|server| server.pause()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_the_successor_of_a_master_that_is_killed() {
    let mut servers = sentinels(3);
    let origin = Origin::counting();
    let nodes = two(&origin, &servers.url()).await;
    assert!(share_all(&nodes).await);
    are_coherent(&nodes).await;
    let load = Load::begin(&nodes);
    sleep(Duration::from_millis(500)).await;
    servers.servers()[0].kill();
    let killed = Instant::now();
    sleep(Duration::from_millis(100)).await;
    eventually("the nodes share again", async || share_all(&nodes).await).await;
    let back = killed.elapsed();
    let slowest = load.end().await;
    println!("shared again after {back:?}; the slowest request took {slowest:?}");
    are_connected(&nodes).await;
    are_coherent(&nodes).await;
    assert!(back < Duration::from_secs(15), "{back:?}");
    assert!(slowest < MOST, "the slowest request took {slowest:?}");
}

/// A server's answer, unless the sentinels end all connections to it meanwhile.
fn asked(server: &Server, command: &[&str]) -> Option<Reply> {
    let answer = Wire::connect(server.address()).and_then(|mut it| it.try_command(command));
    answer.ok()
}

/// How many connections nodes have to a server: not those of its sentinels, nor the one that asks.
fn connections(server: &Server) -> Option<usize> {
    let list = asked(server, &["client", "list", "type", "normal"])?.text();
    let others = |it: &&str| !it.contains(" name=sentinel-") && !it.contains(" cmd=client|list ");
    Some(list.lines().filter(others).count())
}

/// Whether a server says that it is this.
fn is(role: &str, server: &Server) -> bool {
    match asked(server, &["role"]) {
        Some(Reply::Array(parts)) => parts[0].text() == role,
        Some(other) => panic!("no role: {other:?}"),
        None => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_nodes_follow_sentinels_that_are_told_to_change_the_master() {
    /// Each node's pool, and its tracking connection.
    const CONNECTIONS: usize = 2 * (2 + 1);
    let mut servers = sentinels(3);
    let origin = Origin::counting();
    let nodes = two(&origin, &servers.url()).await;
    assert!(share_all(&nodes).await);
    assert_eq!(connections(&servers.servers()[0]), Some(CONNECTIONS));
    let load = Load::begin(&nodes);
    sleep(Duration::from_millis(500)).await;
    servers.fail_over();
    let begun = Instant::now();
    let [old, new] = servers.servers();
    eventually("there is a new master", async || is("master", new)).await;
    let promoted = begun.elapsed();
    // Until then the nodes' connections to it are as good as before.
    eventually("the old one is none any more", async || is("slave", old)).await;
    let demoted = begun.elapsed();
    eventually("both nodes use the new master", async || {
        connections(old) == Some(0) && connections(new) == Some(CONNECTIONS)
    })
    .await;
    let followed = begun.elapsed();
    // What it stores only the new one can have taken.
    eventually("the nodes share again", async || share_all(&nodes).await).await;
    let back = begun.elapsed();
    let slowest = load.end().await;
    println!(
        "a new master after {promoted:?}, the old one none after {demoted:?}, both nodes on the \
         new one after {followed:?}, shared again after {back:?}; the slowest request took \
         {slowest:?}"
    );
    are_connected(&nodes).await;
    are_coherent(&nodes).await;
    assert_eq!(connections(old), Some(0));
    assert!(back - demoted < HEALTHY, "{:?}", back - demoted);
    assert!(slowest < MOST, "the slowest request took {slowest:?}");
}
