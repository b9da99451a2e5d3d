//! What the tests of the client share, and the topologies: Cluster and Sentinel.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::Redis,
    settings::RedisBuilder,
    support::{
        cluster::cluster,
        redis::{Reply, Server, standalone},
        sentinels::sentinels,
    },
};
use crate::{
    codec::Stamp,
    remote::store::{ConditionalPut, Invalidation, PutOutcome, RemoteStore},
};

pub(super) const KEEP: Duration = Duration::from_secs(60);
pub(super) const READ: Duration = Duration::from_millis(50);

/// How long it may take until a stopped or vanished server is used again.
pub(super) const RECOVERY: Duration = Duration::from_secs(1);

/// A value as it is stored: its kind, its stamp, and the rest.
pub(super) fn value(epoch: u64, version: u64, rest: &[u8]) -> Bytes {
    let mut bytes = b"CW\x01E".to_vec();
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes.into()
}

/// A write in place of a value with this epoch and version.
pub(super) fn put_over(
    name: &str,
    (epoch, version): (u64, u64),
    value: Bytes,
) -> ConditionalPut<'_> {
    ConditionalPut {
        name,
        expected: Stamp { epoch, version },
        value,
        keep: KEEP,
        companion: None,
    }
}

/// A client that is connected already.
pub(super) async fn connected(builder: RedisBuilder) -> Redis {
    let redis = builder.require_at_start(true).connect().await;
    redis.expect("the server is running")
}

/// Waits until a state has come, for ten seconds at most. Returns how long that took.
pub(super) async fn came(mut is: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    let wait = async {
        while !is().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), wait)
        .await
        .expect("within ten seconds");
    start.elapsed()
}

pub(super) fn text(error: &impl ToString) -> String {
    error.to_string()
}

// === Cluster ===

/// An alarm for something that is worth none would hide the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_may_not_touch_is_no_outage() {
    let server = standalone();
    let allowed = server.command(&["ACL", "SETUSER", "default", "-touch"]);
    assert!(allowed.is_ok());
    let redis = connected(Redis::builder(server.url())).await;
    redis.touch(&["a".to_owned()]).await.unwrap();
}

/// One command takes names of one hash slot only.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_touched_on_every_server() {
    let mut cluster = cluster(3, 0);
    let redis = connected(Redis::builder(cluster.url())).await;
    let names: Vec<String> = (0..50).map(|at| format!("key-{at}")).collect();
    for name in &names {
        redis.put(name, "x".into(), KEEP).await.unwrap();
    }
    let mut idle = || -> Vec<Option<i64>> {
        let servers = cluster.nodes();
        let idle = |name| {
            let asked = |server: &Server| match server.command(&["OBJECT", "IDLETIME", name]) {
                Reply::Integer(seconds) => Some(seconds),
                _ => None,
            };
            servers.iter().find_map(asked)
        };
        names.iter().map(|name| idle(name)).collect()
    };
    came(async || idle().iter().all(|seconds| *seconds >= Some(2))).await;
    redis.touch(&names).await.unwrap();
    let idle = idle();
    assert!(idle.iter().all(|it| matches!(it, Some(0 | 1))), "{idle:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_serves_every_command() {
    let cluster = cluster(3, 0);
    let redis = connected(Redis::builder(cluster.url())).await;
    for number in 0..50 {
        let name = format!("key-{number}");
        let other = format!("key-{}", number + 1);
        let companion = format!("{{{name}}}-companion");
        let new = value(0, 1, name.as_bytes());
        let wish = ConditionalPut {
            companion: Some((companion.clone(), "body".into(), KEEP)),
            ..put_over(&name, (0, 0), new.clone())
        };
        assert_eq!(redis.put_if(wish).await.unwrap(), PutOutcome::Stored);
        assert_eq!(redis.get(&name).await.unwrap(), Some(new.clone()));
        // On one server, and on different ones.
        let both = redis.get_two(&name, &companion).await.unwrap();
        assert_eq!(both, (Some(new.clone()), Some("body".into())));
        let both = redis.get_two(&other, &name).await.unwrap();
        assert_eq!(both, (None, Some(new.clone())));
        let again = redis
            .put_if(put_over(&name, (0, 0), new.clone()))
            .await
            .unwrap();
        assert_eq!(again, PutOutcome::VersionChanged);
        redis.put(&name, value(9, 0, b""), KEEP).await.unwrap();
        let late = redis.put_if(put_over(&name, (0, 1), new)).await.unwrap();
        assert_eq!(late, PutOutcome::EpochChanged);
        redis.delete_if(&name, &value(9, 0, b"")).await.unwrap();
        assert_eq!(redis.get(&name).await.unwrap(), None);
        assert!(redis.acquire(&name, b"token", KEEP).await.unwrap());
        assert!(!redis.acquire(&name, b"token", KEEP).await.unwrap());
        assert!(redis.release(&name, b"token").await.unwrap());
    }
    assert_eq!(redis.outages(), (0, 0));
}

/// Names that the servers of a Cluster of three masters have, in the order of the servers.
fn names_of_three() -> [String; 3] {
    let slot = |name: &str| usize::from(fred::util::redis_keyslot(name.as_bytes()));
    let on = |server: usize| {
        let mut names = (0..).map(|number| format!("key-{number}"));
        names
            .find(|name| slot(name) * 3 / 16_384 == server)
            .unwrap()
    };
    [on(0), on(1), on(2)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_of_a_cluster_leaves_the_others_in_use() {
    let mut cluster = cluster(3, 0);
    // fred gives up a connection soon after the longest timeout, and the others with it.
    let builder = Redis::builder(cluster.url())
        .read_timeout(Duration::from_millis(200))
        .write_timeout(Duration::from_secs(5));
    let redis = connected(builder).await;
    let [first, second, third] = names_of_three();
    for name in [&first, &second, &third] {
        assert_eq!(redis.get(name).await.unwrap(), None);
    }
    cluster.nodes()[1].pause();
    assert!(redis.get(&second).await.is_err());
    // Commands for that server are refused now, and those for the others are not.
    let start = Instant::now();
    for number in 0..1_000 {
        let name = format!("other-{number}");
        let slot = usize::from(fred::util::redis_keyslot(name.as_bytes()));
        // A pause covers sections of 64 slots, two of which have slots of two servers.
        if [5_461 / 64, 10_922 / 64].contains(&(slot / 64)) {
            continue;
        }
        let found = redis.get(&name).await;
        assert_eq!(found.is_err(), slot * 3 / 16_384 == 1, "{name}: {found:?}");
        // After 1.5 s the Cluster itself gives up, since it does not cover all slots.
        if start.elapsed() > Duration::from_millis(800) {
            assert!(number > 50, "{number} in 0.8 s");
            break;
        }
    }
    assert!(redis.get_two(&first, &second).await.is_err());
    assert!(redis.get_two(&first, &third).await.is_ok());
    let all = [&first, &second, &third].map(|name| Invalidation {
        main: name.clone(),
        partitions: format!("{{{name}}}:partitions"),
        tombstone: value(7, 7, b""),
        unanswered: None,
    });
    let done = redis.invalidate(&all, KEEP).await;
    assert_eq!(done.unwrap(), [true, false, true]);
    assert!(redis.is_available());
    cluster.nodes()[1].resume();
    came(async || redis.get(&second).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_on_without_a_killed_master() {
    let mut cluster = cluster(3, 1);
    let redis = connected(Redis::builder(cluster.url())).await;
    let [_, second, _] = names_of_three();
    let outcome = redis
        .put_if(put_over(&second, (0, 0), value(0, 1, b"")))
        .await
        .unwrap();
    assert_eq!(outcome, PutOutcome::Stored);
    let mut replica = cluster.nodes()[4].wire();
    assert!(replica.command(&["READONLY"]).is_ok());
    came(async || matches!(replica.command(&["GET", &second]), Reply::Bulk(_))).await;
    cluster.nodes()[1].kill();
    came(async || {
        let now = redis.get(&second).await;
        now.is_ok_and(|now| now == Some(value(0, 1, b"")))
    })
    .await;
    came(async || {
        let next = put_over(&second, (0, 1), value(0, 2, b""));
        redis.put_if(next).await.is_ok()
    })
    .await;
}

// === Sentinel ===

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_is_replaced() {
    let mut set = sentinels(3);
    let redis = connected(Redis::builder(set.url())).await;
    let outcome = redis
        .put_if(put_over("a", (0, 0), value(0, 1, b"")))
        .await
        .unwrap();
    assert_eq!(outcome, PutOutcome::Stored);
    assert_eq!(redis.get("a").await.unwrap(), Some(value(0, 1, b"")));

    set.servers()[0].kill();
    let found = came(async || redis.put("b", "x".into(), KEEP).await.is_ok()).await;
    assert!(found < Duration::from_secs(5), "{found:?}");
    assert_eq!(set.servers()[1].command(&["GET", "b"]).text(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_master_is_replaced() {
    let mut set = sentinels(1);
    let redis = connected(Redis::builder(set.url())).await;
    redis.put("a", "x".into(), KEEP).await.unwrap();
    let [old, new] = set.servers();
    old.pause();
    came(async || redis.put("a", "y".into(), KEEP).await.is_ok()).await;
    assert_eq!(new.command(&["GET", "a"]).text(), "y");
    // The clients do not return to it.
    old.resume();
    redis.put("a", "z".into(), KEEP).await.unwrap();
    assert_eq!(new.command(&["GET", "a"]).text(), "z");
}
