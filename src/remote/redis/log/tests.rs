//! What only Redis shows of the log of purges; what it has in common with other servers is in
//! `conformance`.

use std::time::Duration;

use crate::error::StoreError;
use crate::remote::{
    log::{Continuity, LogPosition, LogReply, LogRequest, LogRow},
    redis::{
        client::Redis,
        support::{
            cluster::cluster,
            redis::{Reply, Server, standalone},
            sentinels::sentinels,
        },
        tests::{came, connected},
    },
    store::RemoteStore,
};

const LOG: &str = "cachewarp:v1:purges";

fn row(subject: u128) -> LogRow {
    LogRow { mode: 1, subject }
}

/// Appends rows after a position. The number is the new id, and the new token.
async fn sync(
    redis: &Redis,
    position: Option<LogPosition>,
    append: &[LogRow],
    (number, replicas): (u64, u32),
) -> Result<LogReply, StoreError> {
    let request = LogRequest {
        name: LOG,
        position,
        append,
        new_id: number,
        new_token: number,
        keep: 100,
        urgent: false,
        replicas,
    };
    redis.sync_log(request).await
}

async fn add(redis: &Redis, position: Option<LogPosition>, subject: u128, number: u64) -> LogReply {
    let reply = sync(redis, position, &[row(subject)], (number, 0)).await;
    reply.unwrap()
}

// === What is found there ===

/// A log that cannot be used must not stand in the way for ever.
#[tokio::test]
async fn what_is_no_log_is_replaced() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    let id = 7_u64.to_be_bytes();
    let with = |prefix: u8, rest: &[u8]| [&[prefix], rest].concat();
    let (mark, token) = (with(b'I', &id), with(b'T', &id));
    let (floor, row_5) = (b"F".to_vec(), with(b'R', &row(5).encode()));
    let add = |score: &str, member: &[u8]| {
        let command: [&[u8]; 4] = [b"ZADD", LOG.as_bytes(), score.as_bytes(), member];
        assert_eq!(server.command(&command), Reply::Integer(1));
    };
    type Members<'a> = Vec<(&'a str, &'a [u8])>;
    let whole: Members<'_> = vec![("-1", &mark), ("-2", &floor), ("3", &row_5), ("3", &token)];
    let without = |at: usize| {
        let mut members = whole.clone();
        members.remove(at);
        members
    };
    let and = |score, member| [&whole[..], &[(score, member)]].concat();
    let instead = |at: usize, score| {
        let mut members = whole.clone();
        members[at].0 = score;
        members
    };
    let mut flood: Vec<_> = (0..300).map(|it| it.to_string().into_bytes()).collect();
    flood.iter_mut().for_each(|it| it.insert(0, b'x'));
    let flooded: Members<'_> = flood.iter().map(|it| ("2.5", &it[..])).collect();
    let short = b"I123".to_vec();
    let cases: [(&str, Members<'_>); 13] = [
        ("something else", vec![("1", b"x")]),
        ("without an id", without(0)),
        ("without a floor", without(1)),
        ("without the end", without(3)),
        ("with two ids", and("-1", b"Iabcdefgh")),
        (
            "with a short id",
            [&without(0)[..], &[("-1", &short[..])]].concat(),
        ),
        ("with a floor above the end", instead(1, "-7")),
        ("with a floor below zero", instead(1, "-1.5")),
        ("with an end that is no number", and("inf", b"x")),
        ("with an end that is too large", and("1e17", b"Tabcdefgh")),
        ("with a fraction as its end", and("3.5", b"Tabcdefgh")),
        ("with the end of nobody", and("4", b"x")),
        ("with more than is kept", [&whole[..], &flooded].concat()),
    ];
    for (number, (what, members)) in (100..).zip(cases) {
        server.command(&["DEL", LOG]);
        members
            .iter()
            .for_each(|(score, member)| add(score, member));
        let reply = self::add(&redis, None, 1, number).await;
        assert_eq!(reply.head.id, number, "{what}");
        assert_eq!(
            (reply.head.seq, reply.rows),
            (1, vec![(1, row(1))]),
            "{what}"
        );
    }
    for command in [["RPUSH", LOG, "x"], ["SADD", LOG, "x"], ["SET", LOG, "x"]] {
        server.command(&["DEL", LOG]);
        server.command(&command);
        let reply = self::add(&redis, None, 1, 200).await;
        assert_eq!((reply.head.id, reply.head.seq), (200, 1), "{command:?}");
    }
    // This is one.
    server.command(&["DEL", LOG]);
    whole.iter().for_each(|(score, member)| add(score, member));
    let reply = self::add(&redis, None, 1, 201).await;
    assert_eq!(reply.rows, [(3, row(5)), (4, row(1))]);
    assert_eq!(reply.head.id, 7);
    assert_eq!(redis.outages(), (0, 0));
}

#[tokio::test]
async fn what_is_no_row_is_passed_over() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    let head = add(&redis, None, 1, 7).await.head;
    for (score, member) in [
        ("0.5", "R"),
        ("1", "Rx"),
        ("1", "X"),
        ("1", "R12345678901234567x"),
    ] {
        server.command(&["ZADD", LOG, score, member]);
    }
    server.command(&["ZADD", LOG, "0.25", "R12345678901234567"]);
    let reply = add(&redis, None, 2, 8).await;
    assert_eq!(reply.rows, [(1, row(1)), (2, row(2))]);
    let reply = add(&redis, Some(head), 3, 9).await;
    assert_eq!(reply.continuity, Continuity::Continuous);
    assert_eq!(reply.rows, [(2, row(2)), (3, row(3))]);
}

/// It is the tokens that tell, then.
#[tokio::test]
async fn a_server_need_not_say_which_it_is() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    let head = add(&redis, None, 1, 7).await.head;
    let denied = server.command(&["ACL", "SETUSER", "default", "-info"]);
    assert!(denied.is_ok());
    let reply = add(&redis, Some(head), 2, 8).await;
    assert_eq!(reply.continuity, Continuity::Continuous);
    let lost = LogPosition { token: 9, ..head };
    let reply = add(&redis, Some(lost), 3, 9).await;
    assert_eq!(reply.continuity, Continuity::Replaced);
    assert_eq!(reply.head.id, 9);
    // Once it does again, that alone is no news.
    assert!(
        server
            .command(&["ACL", "SETUSER", "default", "+info"])
            .is_ok()
    );
    let again = add(&redis, Some(reply.head), 4, 10).await;
    assert_eq!(again.continuity, Continuity::Continuous);
    assert_eq!(redis.outages(), (0, 0));
}

/// Where nothing can be added any more, what must not be served is still taken away.
#[tokio::test]
async fn purges_reach_a_full_server() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let head = add(&redis, None, 1, 7).await.head;
    let reply = add(&redis, Some(head), 2, 8).await;
    assert_eq!(reply.rows, [(2, row(2))]);
}

#[tokio::test]
async fn these_permissions_are_enough() {
    let server = standalone();
    let commands = "+eval +evalsha +type +unlink +zadd +zcard +zcount +zrangebyscore +zrem \
                    +zremrangebyscore +zrevrange +zscore";
    let rules = format!("on >secret -@all ~cachewarp:* {commands}");
    let mut command = vec!["ACL", "SETUSER", "node"];
    command.extend(rules.split(' ').filter(|rule| !rule.is_empty()));
    assert!(server.command(&command).is_ok());
    let url = format!("redis://node:secret@{}", server.address());
    let redis = connected(Redis::builder(url)).await;
    let mut head = add(&redis, None, 1, 7).await.head;
    for number in 8..300 {
        head = add(&redis, Some(head), 1, number).await.head;
    }
    // Not by a script, as they are many.
    let many: Vec<_> = (0..2_000).map(row).collect();
    let reply = redis.sync_log(LogRequest {
        name: LOG,
        position: Some(head),
        append: &many,
        new_id: 1,
        new_token: 1,
        keep: 5_000,
        urgent: false,
        replicas: 0,
    });
    assert_eq!(reply.await.unwrap().rows.len(), 2_000);
}

// === Replicas ===

/// The other server took over without the last row, and gave its number to another purge.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_lost_is_noticed() {
    let mut set = sentinels(1);
    let redis = connected(Redis::builder(set.url())).await;
    let head = add(&redis, None, 1, 7).await.head;
    let [master, replica] = set.servers();
    came(async || replica.command(&["ZCARD", LOG]) == Reply::Integer(4)).await;
    assert!(replica.command(&["REPLICAOF", "127.0.0.1", "1"]).is_ok());
    let lost = add(&redis, Some(head), 2, 8).await.head;
    master.kill();
    let mut first = None;
    came(async || {
        let reply = sync(&redis, Some(head), &[row(3)], (9, 0)).await;
        first = reply.ok();
        first.is_some()
    })
    .await;
    let first = first.unwrap();
    assert_eq!(first.continuity, Continuity::Replaced);
    assert_eq!(first.head.id, 9);
    assert!(first.head.seq > lost.seq, "{first:?}");
    assert!(!first.rows.iter().any(|it| it.1 == row(2)), "{first:?}");
    let other = add(&redis, Some(lost), 4, 10).await;
    assert_eq!(other.continuity, Continuity::Replaced);
    assert_eq!(other.head.id, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_waits_for_replicas() {
    let mut set = sentinels(1);
    let redis = connected(Redis::builder(set.url())).await;
    let replica = &set.servers()[1];
    waits_for_replica(&redis, replica).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_waits_for_replicas_of_a_cluster() {
    let mut cluster = cluster(3, 1);
    let redis = connected(Redis::builder(cluster.url())).await;
    let slot = usize::from(fred::util::redis_keyslot(LOG.as_bytes()));
    let replica = &cluster.nodes()[3 + slot * 3 / 16_384];
    waits_for_replica(&redis, replica).await;
    let head = add(&redis, None, 4, 7).await.head;
    let next = add(&redis, Some(head), 5, 8).await;
    assert_eq!(next.continuity, Continuity::Continuous);
}

async fn waits_for_replica(redis: &Redis, replica: &Server) {
    let appended = sync(redis, None, &[row(1)], (7, 1)).await;
    assert_eq!(appended.unwrap().appended, Some(1..=1));
    let mut wire = replica.wire();
    wire.command(&["READONLY"]);
    assert_eq!(wire.command(&["ZCARD", LOG]), Reply::Integer(4));
    replica.pause();
    let started = tokio::time::Instant::now();
    let error = sync(redis, None, &[row(2)], (8, 1)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(400));
    let error = error.to_string();
    assert!(
        error.ends_with("0 of 1 replicas have acknowledged"),
        "{error}"
    );
    // Others do not wait meanwhile.
    let append = [row(3)];
    let (appended, read) = tokio::join!(sync(redis, None, &append, (9, 1)), redis.get("x"));
    assert!(appended.is_err());
    assert_eq!(read.unwrap(), None);
    replica.resume();
    came(async || sync(redis, None, &[row(3)], (10, 1)).await.is_ok()).await;
    assert_eq!(redis.outages(), (0, 0));
}
