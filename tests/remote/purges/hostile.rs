//! A Redis that has in its log and in its values what no node wrote: it costs fetches.

use std::time::Instant;

use cachewarp::Purge;
use xxhash_rust::xxh3::Xxh3;

use super::pages::{LOG, Pages, add, id, is_seen, members, purge, rows, version, warm};
use crate::{
    nodes::{Node, connected, eventually},
    support::redis::{Reply, Server, standalone},
};

const LAST_SEQ: u64 = 1 << 52;

fn row(mode: u8, subject: u128) -> Vec<u8> {
    let mut row = vec![b'R', mode];
    row.extend(subject.to_be_bytes());
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_none_is_replaced() {
    type Spoil = fn(&Server);
    let spoils: [Spoil; 5] = [
        |redis| assert!(redis.command(&[b"SET".as_slice(), LOG, b"text"]).is_ok()),
        |redis| {
            redis.command(&[b"DEL".as_slice(), LOG]);
            redis.command(&[b"LPUSH".as_slice(), LOG, b"a", b"b"]);
        },
        // A row without the token of an append.
        |redis| add(redis, 7, &row(3, 1)),
        |redis| add(redis, LAST_SEQ + 2, b"T12345678"),
        |redis| {
            for number in 0..80_u32 {
                let mut command = vec![b"ZADD".to_vec(), LOG.to_vec()];
                for member in 0..1_000_u32 {
                    command.push((number * 1_000 + member + 1).to_string().into_bytes());
                    command.push(row(3, u128::from(number) << 64 | u128::from(member)));
                }
                redis.command(&command);
            }
        },
    ];
    for (index, spoil) in spoils.iter().enumerate() {
        let redis = standalone();
        let pages = Pages::new();
        let [first, second] = connected(&pages.origin, &redis).await;
        warm([&first, &second], &["/a", "/b"]).await;
        let new = pages.publish();
        purge(&first).await;
        let before = id(&redis);
        spoil(&redis);
        eventually("the log is another one", async || {
            matches!(redis.command(&[b"TYPE".as_slice(), LOG]), Reply::Simple(it) if it == "zset")
                && id(&redis) != before
        })
        .await;
        for node in [&first, &second] {
            is_seen(node, "/a", new).await;
            assert_eq!(version(node, "/b").await, new, "{index}");
        }
        let newer = pages.publish();
        purge(&second).await;
        assert_eq!(version(&second, "/a").await, newer, "{index}");
        is_seen(&first, "/a", newer).await;
        assert_eq!(version(&first, "/b").await, newer, "{index}");
        assert!(members(&redis).len() < 40_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_nobody_knows_purges_everything() {
    for unknown in [row(9, 1), row(0, 1), row(3, u128::MAX), row(3, 0xff << 120)] {
        let redis = standalone();
        let pages = Pages::new();
        let [first, second] = connected(&pages.origin, &redis).await;
        warm([&first, &second], &["/a", "/b"]).await;
        let new = pages.publish();
        let mut both = vec![b"ZADD".to_vec(), LOG.to_vec()];
        both.extend([b"1".to_vec(), unknown.clone()]);
        both.extend([b"1".to_vec(), b"T12345678".to_vec()]);
        let before = id(&redis);
        assert_eq!(redis.command(&both), Reply::Integer(2));
        for node in [&first, &second] {
            is_seen(node, "/a", new).await;
            assert_eq!(version(node, "/b").await, new, "{unknown:?}");
        }
        assert_eq!(id(&redis), before, "the log goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_rows_holds_up_no_purge_for_long() {
    let redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a", "/b"]).await;
    for number in 0..10_u64 {
        let mut command = vec![b"ZADD".to_vec(), LOG.to_vec()];
        for member in 1..=1_500_u64 {
            let seq = number * 1_500 + member;
            command.push(seq.to_string().into_bytes());
            command.push(row(3, 3 << 120 | u128::from(seq)));
        }
        let last = (number + 1) * 1_500;
        command.push(last.to_string().into_bytes());
        command.push([b"T".as_slice(), &last.to_be_bytes()].concat());
        redis.command(&command);
    }
    let began = Instant::now();
    let new = pages.publish();
    eventually("a purge is told", async || {
        let purged = first.layer.handle().purge(Purge::tag("page")).await;
        assert_eq!(version(&first, "/a").await, new);
        purged.is_ok()
    })
    .await;
    is_seen(&second, "/a", new).await;
    assert_eq!(version(&second, "/b").await, new);
    println!("told and heard after {:?}", began.elapsed());
    // A node that begins now reads them all.
    let third = Node::new(&pages.origin, &redis).await;
    assert_eq!(version(&third, "/b").await, new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_of_the_log_begin_anew_at_their_end() {
    let redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a", "/b"]).await;
    add(&redis, LAST_SEQ - 2, b"T12345678");
    for _ in 0..6 {
        let new = pages.publish();
        let seq = purge(&first).await;
        assert!(seq <= LAST_SEQ + 1);
        assert_eq!(version(&first, "/a").await, new);
        is_seen(&second, "/a", new).await;
        assert_eq!(version(&second, "/b").await, new);
    }
    assert!(rows(&redis).last().unwrap().1 < 10, "{:?}", rows(&redis));
}

/// Overwrites every value of Redis: its applied row, which follows the id of the log.
fn forge(redis: &Server, from: &[u8], log: &[u8], seq: u64) -> usize {
    let Reply::Array(names) = redis.command(&["KEYS", "cachewarp:v1:{*"]) else {
        panic!("no list of names");
    };
    let mut forged = 0;
    for name in names.iter().map(Reply::text) {
        let Reply::Bulk(mut value) = redis.command(&["GET", &name]) else {
            continue;
        };
        let Some(at) = value.windows(8).position(|it| it == from) else {
            continue;
        };
        value[at..at + 8].copy_from_slice(log);
        value[at + 8..at + 16].copy_from_slice(&seq.to_be_bytes());
        let mut checksum = Xxh3::new();
        checksum.update(&value[..20]);
        checksum.update(&value[28..]);
        let checksum = checksum.digest().to_be_bytes();
        value[20..28].copy_from_slice(&checksum);
        redis.command(&[b"SET".as_slice(), name.as_bytes(), &value]);
        forged += 1;
    }
    forged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_another_log_is_not_used() {
    let redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a"]).await;
    let own = id(&redis);
    assert_eq!(forge(&redis, &own, b"another!", 0), 1);
    let new = pages.publish();
    let third = Node::new(&pages.origin, &redis).await;
    assert_eq!(version(&third, "/a").await, new);
}

/// It would be younger than any purge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_from_beyond_the_log_is_not_used() {
    let redis = standalone();
    let pages = Pages::new();
    let [first, second] = connected(&pages.origin, &redis).await;
    warm([&first, &second], &["/a"]).await;
    let own = id(&redis);
    for seq in [3, 1 << 40, u64::MAX] {
        assert_eq!(forge(&redis, &own, &own, seq), 1);
        let new = pages.publish();
        purge(&first).await;
        let third = Node::new(&pages.origin, &redis).await;
        assert_eq!(version(&third, "/a").await, new, "{seq}");
        third.settle().await;
        is_seen(&second, "/a", new).await;
        assert_eq!(version(&first, "/a").await, new, "{seq}");
        first.settle().await;
        second.settle().await;
    }
}
