//! The commands, against a real server.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{
    codec::Stamp,
    remote::{
        redis::{
            client::Redis,
            support::redis::{Reply, standalone},
            tests::{KEEP, came, connected, put_over, text, value},
        },
        store::{ConditionalPut, PutOutcome, RemoteStore},
    },
};

#[tokio::test]
async fn what_was_put_is_read() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    assert!(redis.is_available());
    assert_eq!(redis.limits().namespace, "cachewarp");
    assert_eq!(redis.limits().compression_threshold, Some(1_024));
    assert_eq!(redis.get("a").await.unwrap(), None);
    assert_eq!(redis.get_two("a", "b").await.unwrap(), (None, None));
    assert_eq!(redis.peek("a").await.unwrap(), None);

    let first = value(0, 1, b"first");
    let placed = redis
        .put_if(put_over("a", (0, 0), first.clone()))
        .await
        .unwrap();
    assert_eq!(placed, PutOutcome::Stored);
    assert_eq!(redis.get("a").await.unwrap(), Some(first.clone()));
    let stamp = Stamp {
        epoch: 0,
        version: 1,
    };
    assert_eq!(redis.peek("a").await.unwrap(), Some(stamp));
    let both = redis.get_two("b", "a").await.unwrap();
    assert_eq!(both, (None, Some(first)));
    let Reply::Integer(left) = server.command(&["PTTL", "a"]) else {
        panic!("no expiry");
    };
    assert!((50_000..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_put_compares_the_stamp() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    /// What it is, what is there, the stamp that is expected there, and how it ends.
    type Case = (&'static str, Option<Bytes>, (u64, u64), PutOutcome);
    let table: &[Case] = &[
        ("nothing there", None, (0, 0), PutOutcome::Stored),
        ("gone meanwhile", None, (0, 1), PutOutcome::VersionChanged),
        (
            "gone meanwhile, with its epoch",
            None,
            (1, 0),
            PutOutcome::EpochChanged,
        ),
        (
            "as it was",
            Some(value(3, 9, b"")),
            (3, 9),
            PutOutcome::Stored,
        ),
        (
            "newer",
            Some(value(3, 10, b"")),
            (3, 9),
            PutOutcome::VersionChanged,
        ),
        (
            "fenced",
            Some(value(4, 9, b"")),
            (3, 9),
            PutOutcome::EpochChanged,
        ),
        (
            "both differ",
            Some(value(4, 8, b"")),
            (3, 9),
            PutOutcome::EpochChanged,
        ),
        (
            "there by now",
            Some(value(0, 1, b"")),
            (0, 0),
            PutOutcome::VersionChanged,
        ),
        (
            "every byte counts",
            Some(value(u64::MAX, 1 << 63, b"")),
            (u64::MAX, 1 << 63),
            PutOutcome::Stored,
        ),
        (
            "the first byte differs",
            Some(value(1 << 56, 0, b"")),
            (2 << 56, 0),
            PutOutcome::EpochChanged,
        ),
        (
            "too short to be ours",
            Some("junk".into()),
            (0, 0),
            PutOutcome::Stored,
        ),
    ];
    for (name, there, stamp, expected) in table {
        server.command(&["FLUSHALL"]);
        if let Some(there) = there {
            server.command(&[b"SET".as_slice(), b"a", there]);
        }
        let new = value(7, 7, b"new");
        let companion = Some(("beside".to_owned(), Bytes::from("body"), KEEP));
        let wish = ConditionalPut {
            companion,
            ..put_over("a", *stamp, new.clone())
        };
        assert_eq!(redis.put_if(wish).await.unwrap(), *expected, "{name}");
        let (now, body) = redis.get_two("a", "beside").await.unwrap();
        if *expected == PutOutcome::Stored {
            assert_eq!((now, body), (Some(new), Some("body".into())), "{name}");
        } else {
            assert_eq!((now, body), (there.clone(), None), "{name}");
        }
    }
}

#[tokio::test]
async fn of_puts_at_once_one_is_stored() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    let mut puts = JoinSet::new();
    for number in 0..50_u8 {
        let redis = redis.clone();
        puts.spawn(async move {
            let value = value(0, 1, &[number]);
            redis.put_if(put_over("a", (0, 0), value)).await.unwrap()
        });
    }
    let placed = puts.join_all().await;
    let stored = placed
        .iter()
        .filter(|placed| **placed == PutOutcome::Stored);
    assert_eq!(stored.count(), 1, "{placed:?}");
}

#[tokio::test]
async fn a_fence_replaces_what_is_there_and_keeps_older_puts_out() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    redis
        .put_if(put_over("a", (0, 0), value(0, 1, b"")))
        .await
        .unwrap();
    let fence = value(5, 0, b"");
    redis.put("a", fence.clone(), KEEP).await.unwrap();
    assert_eq!(redis.get("a").await.unwrap(), Some(fence));
    let late = redis
        .put_if(put_over("a", (0, 1), value(0, 2, b"")))
        .await
        .unwrap();
    assert_eq!(late, PutOutcome::EpochChanged);
    let next = redis
        .put_if(put_over("a", (5, 0), value(5, 1, b"")))
        .await
        .unwrap();
    assert_eq!(next, PutOutcome::Stored);
}

#[tokio::test]
async fn a_discard_deletes_nothing_else() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    server.command(&["SET", "a", "junk"]);
    let junk = redis.get("a").await.unwrap().unwrap();
    server.command(&["SET", "a", "better"]);
    redis.delete_if("a", &junk).await.unwrap();
    assert_eq!(redis.get("a").await.unwrap(), Some("better".into()));
    redis.delete_if("a", &"better".into()).await.unwrap();
    assert_eq!(redis.get("a").await.unwrap(), None);
    redis.delete_if("a", &junk).await.unwrap();
}

#[tokio::test]
async fn a_lease_is_held_by_one_and_given_back_by_its_holder() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    let lease = Duration::from_secs(5);
    assert!(redis.acquire("lease", b"mine", lease).await.unwrap());
    assert!(!redis.acquire("lease", b"other", lease).await.unwrap());
    assert!(!redis.acquire("lease", b"mine", lease).await.unwrap());
    assert!(!redis.release("lease", b"other").await.unwrap());
    assert!(redis.release("lease", b"mine").await.unwrap());
    assert!(!redis.release("lease", b"mine").await.unwrap());
    assert!(redis.acquire("lease", b"other", lease).await.unwrap());
    // One can be held for longer by its holder alone.
    server.command(&["PEXPIRE", "lease", "5000"]);
    let longer = Duration::from_secs(60);
    assert!(!redis.extend("lease", b"mine", longer).await.unwrap());
    assert!(redis.extend("lease", b"other", longer).await.unwrap());
    let Reply::Integer(left) = server.command(&["PTTL", "lease"]) else {
        panic!("no expiry");
    };
    assert!((50_000..=60_000).contains(&left), "{left}");
    // One that was never given back ends by itself.
    server.command(&["PEXPIRE", "lease", "1"]);
    came(async || redis.acquire("lease", b"mine", lease).await.unwrap()).await;
}

#[tokio::test]
async fn scripts_outlive_their_cache() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    for version in 0..3 {
        assert_eq!(server.command(&["SCRIPT", "FLUSH"]).text(), "OK");
        let next = value(0, version + 1, b"");
        let placed = redis
            .put_if(put_over("a", (0, version), next))
            .await
            .unwrap();
        assert_eq!(placed, PutOutcome::Stored);
        redis.release("b", b"token").await.unwrap();
        redis.extend("b", b"token", KEEP).await.unwrap();
        redis.delete_if("b", &"junk".into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_value_above_the_bound_is_not_sent() {
    let server = standalone();
    let builder = Redis::builder(server.url()).max_value_bytes(1 << 10);
    let redis = connected(builder).await;
    assert_eq!(redis.limits().max_value_bytes, 1 << 10);
    let fits = value(0, 1, &[0; (1 << 10) - 20]);
    redis
        .put_if(put_over("a", (0, 0), fits.clone()))
        .await
        .unwrap();
    let above = Bytes::from([&fits[..], b"x"].concat());
    let error = redis.put("b", above, KEEP).await.unwrap_err();
    assert!(text(&error).contains("1025 bytes"), "{error}");
    let wish = ConditionalPut {
        companion: Some(("c".to_owned(), "x".into(), KEEP)),
        ..put_over("a", (0, 1), fits)
    };
    assert!(redis.put_if(wish).await.is_err());
    assert_eq!(server.command(&["EXISTS", "b", "c"]), Reply::Integer(0));
    assert_eq!(redis.outages(), (0, 0));
}

#[tokio::test]
async fn a_long_keep_and_a_short_one_are_taken() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    redis.put("a", "x".into(), Duration::MAX).await.unwrap();
    assert_eq!(redis.get("a").await.unwrap(), Some("x".into()));
    redis.put("b", "x".into(), Duration::ZERO).await.unwrap();
    came(async || redis.get("b").await.unwrap().is_none()).await;
}
