//! What only the commands of Redis show; what they have in common with other servers is in
//! `conformance`.

use bytes::Bytes;

use crate::remote::{
    log::LogRequest,
    redis::{
        client::Redis,
        support::{
            cluster::cluster,
            redis::{Reply, standalone},
        },
        tests::{KEEP, connected, put_over, value},
    },
    store::{Invalidation, PutOutcome, RemoteStore, Unanswered},
};

#[tokio::test]
async fn the_limits_are_those_of_the_settings() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    assert!(redis.is_available());
    assert_eq!(redis.limits().namespace, "cachewarp");
    assert_eq!(redis.limits().compression_threshold, Some(1_024));
    assert_eq!(redis.limits().max_value_bytes, 8 << 20);
}

#[tokio::test]
async fn scripts_outlive_their_cache() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    for version in 0..3 {
        assert_eq!(server.command(&["SCRIPT", "FLUSH"]).text(), "OK");
        let next = value(0, version + 1, b"");
        let outcome = redis.put_if(put_over("a", (0, version), next)).await;
        assert_eq!(outcome.unwrap(), PutOutcome::Stored);
        redis.put("c", "x".into(), KEEP).await.unwrap();
        redis.release("b", b"token").await.unwrap();
        redis.extend("b", b"token", KEEP).await.unwrap();
        redis.delete_if("b", &"junk".into()).await.unwrap();
        let all = [invalidation("d"), invalidation("e")];
        assert_eq!(redis.invalidate(&all, KEEP).await.unwrap(), [true; 2]);
        let log = redis.sync_log(LogRequest {
            name: "log",
            position: None,
            append: &[],
            new_id: version,
            new_token: 1,
            keep: 1,
            urgent: false,
            replicas: 0,
        });
        assert_eq!(log.await.unwrap().head.id, 0);
    }
}

/// Where nothing can be added any more, what must not be served is still taken away.
#[tokio::test]
async fn invalidations_reach_a_full_server() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    redis.put("{d}", value(1, 1, b"old"), KEEP).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let all = [invalidation("d"), invalidation("e")];
    assert_eq!(redis.invalidate(&all, KEEP).await.unwrap(), [true; 2]);
    for Invalidation {
        main, tombstone, ..
    } in all
    {
        assert_eq!(redis.get(&main).await.unwrap(), Some(tombstone));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalidations_reach_every_server_of_a_cluster() {
    let cluster = cluster(3, 0);
    let redis = connected(Redis::builder(cluster.url())).await;
    let all: Vec<_> = (0..100).map(|it| invalidation(&it.to_string())).collect();
    let done = redis.invalidate(&all, KEEP).await.unwrap();
    assert_eq!(done, vec![true; all.len()]);
    for Invalidation {
        main, tombstone, ..
    } in all
    {
        assert_eq!(redis.get(&main).await.unwrap(), Some(tombstone));
    }
}

fn invalidation(resource: &str) -> Invalidation {
    Invalidation {
        main: format!("{{{resource}}}"),
        partitions: format!("{{{resource}}}:partitions"),
        tombstone: value(7, 7, b""),
        unanswered: None,
    }
}

#[tokio::test]
async fn a_value_above_the_limit_is_no_outage() {
    let server = standalone();
    let builder = Redis::builder(server.url()).max_value_bytes(1 << 10);
    let redis = connected(builder).await;
    let above = Bytes::from(vec![0; (1 << 10) + 1]);
    assert!(redis.put("a", above.clone(), KEEP).await.is_err());
    assert!(redis.put_if(put_over("a", (0, 0), above)).await.is_err());
    assert_eq!(redis.outages(), (0, 0));
}

#[tokio::test]
async fn a_key_of_another_type_is_deleted_when_it_is_read() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    server.command(&["RPUSH", "a", "a list"]);
    assert_eq!(redis.peek("a").await.unwrap(), None);
    assert_eq!(redis.get("a").await.unwrap(), None);
    assert_eq!(server.command(&["EXISTS", "a"]), Reply::Integer(0));
    assert_eq!(redis.outages(), (0, 0));
}

#[tokio::test]
async fn a_key_of_another_type_is_invalidated() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    server.command(&["RPUSH", "{a}", "a list"]);
    assert_eq!(redis.head("{a}").await.unwrap(), None);
    let plain = invalidation("a");
    let unanswered = Unanswered {
        notice: "{a}:unanswered".to_owned(),
        tombstone: value(7, 0, b""),
    };
    let tombstone = plain.tombstone.clone();
    let late = Invalidation {
        unanswered: Some(unanswered),
        ..plain
    };
    assert_eq!(redis.invalidate(&[late], KEEP).await.unwrap(), [true]);
    assert_eq!(redis.get("{a}").await.unwrap(), Some(tombstone));
}
