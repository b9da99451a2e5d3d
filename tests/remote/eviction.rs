//! A Redis that must evict something keeps what nodes answer from memory, though it sees no read of
//! it.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    nodes::{Node, connected_as, eventually},
    origin::Origin,
    support::redis::{Reply, Server, standalone_with},
};

/// What is written at a time, of which nothing is ever read.
const KEYS: usize = 20;
const VALUE: &[u8] = &[b'x'; 4 << 10];

/// Values that Redis has evicted so far.
fn evicted(redis: &Server) -> u64 {
    let stats = redis.command(&["INFO", "stats"]).text();
    let line = stats
        .lines()
        .find_map(|it| it.strip_prefix("evicted_keys:"));
    line.unwrap().trim().parse().unwrap()
}

fn values(redis: &Server) -> u64 {
    match redis.command(&["DBSIZE"]) {
        Reply::Integer(count) => u64::try_from(count).unwrap(),
        other => panic!("no number: {other:?}"),
    }
}

/// How often the one value of the nodes was read, as Redis estimates it: a number that grows with
/// the logarithm of the reads. A value begins with 5.
fn frequency(redis: &Server) -> i64 {
    let Reply::Array(names) = redis.command(&["KEYS", "cachewarp:v1:{*}"]) else {
        panic!("no list of names");
    };
    match redis.command(&["OBJECT", "FREQ", &names[0].text()]) {
        Reply::Integer(frequency) => frequency,
        other => panic!("no number: {other:?}"),
    }
}

/// Writes what nobody reads until all that Redis holds was replaced twice, and asks for `/hot` all
/// the while.
async fn flood(redis: &Server, node: &Node, pause: Duration) {
    let mut wire = redis.wire();
    let mut written = 0;
    while evicted(redis) < 2 * values(redis) {
        let mut command = vec![b"MSET".to_vec()];
        let mut read = vec![b"MGET".to_vec()];
        for _ in 0..KEYS {
            let name = format!("other:{written}").into_bytes();
            read.push(name.clone());
            command.extend([name, VALUE.to_vec()]);
            written += 1;
        }
        assert!(wire.command(&command).is_ok());
        for _ in 0..3 {
            wire.command(&read);
        }
        for _ in 0..10 {
            assert_eq!(
                node.get("/hot").await.body,
                "/hot 0",
                "after {written} others"
            );
        }
        sleep(pause).await;
    }
}

/// A node with `/hot` in memory, and a Redis that evicts by this policy.
async fn warm(policy: &str) -> (Server, Origin, Node) {
    let redis = standalone_with(&["--maxmemory", "12mb", "--maxmemory-policy", policy]);
    let origin = Origin::counting();
    let [node] = connected_as(async || Node::patient(&origin, &redis).await).await;
    node.get("/hot").await;
    node.settle().await;
    (redis, origin, node)
}

/// Nobody had to ask the origin again, and a node that joins finds it.
async fn assert_is_there(redis: &Server, origin: &Origin) {
    assert!(Node::patient(origin, redis).await.finds("/hot").await);
    assert_eq!(origin.calls_of("/hot"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_response_stays_where_the_least_frequently_used_go() {
    let (redis, origin, node) = warm("allkeys-lfu").await;
    eventually("Redis takes it for popular", async || {
        node.get("/hot").await;
        frequency(&redis) >= 9
    })
    .await;
    flood(&redis, &node, Duration::from_millis(8)).await;
    assert_is_there(&redis, &origin).await;
}

/// The clock of this policy counts seconds, so the flood must take several.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_response_stays_where_the_least_recently_used_go() {
    let (redis, origin, node) = warm("allkeys-lru").await;
    flood(&redis, &node, Duration::from_millis(20)).await;
    assert_is_there(&redis, &origin).await;
}
