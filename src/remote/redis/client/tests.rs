//! The client, against real servers that stop, vanish, come back, or refuse.

use std::time::Duration;

use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    error::ConfigError,
    remote::{
        log::{LogRequest, LogRow},
        redis::{
            client::Redis,
            support::redis::{Server, not_started, standalone, standalone_with},
            tests::{KEEP, READ, RECOVERY, came, connected, put_over, text, value},
        },
        store::{PutOutcome, RemoteStore},
    },
};

/// The longest wait, and the outcomes, of 64 callers at once.
async fn crowd(redis: &Redis) -> (Duration, usize) {
    let mut callers = JoinSet::new();
    for number in 0..64 {
        let redis = redis.clone();
        callers.spawn(async move {
            let start = Instant::now();
            let answered = redis.get(&format!("key-{number}")).await.is_ok();
            (start.elapsed(), answered)
        });
    }
    let ends = callers.join_all().await;
    let longest = ends.iter().map(|(wait, _)| *wait).max();
    let answered = ends.iter().filter(|(_, answered)| *answered).count();
    (longest.unwrap(), answered)
}

/// How long the first 64 callers wait when a server stops, and the next ones after them.
async fn waves(server: &Server) -> (Duration, Duration) {
    let redis = connected(Redis::builder(server.url())).await;
    assert_eq!(crowd(&redis).await.1, 64);
    server.pause();
    let (first, answered) = crowd(&redis).await;
    assert_eq!(answered, 0);
    assert!(!redis.is_available());
    let (next, answered) = crowd(&redis).await;
    assert_eq!(answered, 0);
    assert_eq!(redis.outages(), (1, 0));
    server.resume();
    (first, next)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_costs_one_timeout() {
    let server = standalone();
    // The best of a few, since a machine that is busy adds to all waits.
    let mut seen = Vec::new();
    for _ in 0..10 {
        let (first, next) = waves(&server).await;
        seen.push((first, next));
        if first < READ + Duration::from_millis(20) && next < Duration::from_millis(10) {
            return;
        }
    }
    panic!("the callers waited {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_looked_at_until_it_answers() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    server.pause();
    assert!(redis.get("a").await.is_err());

    // Of many that come after the pause one waits, and the others are refused.
    came(async || !redis.connections.pauses.refuses(0, redis.connections.now())).await;
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let redis = redis.clone();
        callers.spawn(async move { redis.get("a").await.map_err(|error| text(&error)) });
    }
    let ends = callers.join_all().await;
    let of = |what: &str| {
        let errors = ends.iter().filter_map(|end| end.as_ref().err());
        errors.filter(|error| error.contains(what)).count()
    };
    // By then fred may have noticed that nothing is connected, which takes no time.
    assert!(of("Request timed out") <= 1, "{ends:?}");
    assert!(of("a moment ago") + of("Canceled") >= 63, "{ends:?}");

    // While it stays stopped, no caller waits.
    let waits = async {
        let mut waits = 0;
        let end = Instant::now() + Duration::from_millis(1_600);
        while Instant::now() < end {
            let start = Instant::now();
            assert!(redis.get("a").await.is_err());
            waits += usize::from(start.elapsed() > READ / 2);
            sleep(Duration::from_millis(1)).await;
        }
        waits
    };
    let waits = waits.await;
    assert_eq!(waits, 0);

    server.resume();
    let recovery = came(async || redis.get("a").await.is_ok()).await;
    assert!(recovery < RECOVERY, "{recovery:?}");
    assert_eq!(crowd(&redis).await.1, 64);
    assert!(redis.is_available());
    assert_eq!(redis.outages(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_to_a_stopped_server_are_bounded_and_end() {
    let server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    server.pause();
    let mut writes = JoinSet::new();
    for number in 0..200 {
        let redis = redis.clone();
        writes.spawn(async move {
            let body = vec![7; 1 << 20];
            redis.put(&format!("key-{number}"), body.into(), KEEP).await
        });
    }
    let start = Instant::now();
    let ends = writes.join_all().await;
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    // What was on its way at once is what had to wait; everything else was refused.
    let errors = ends.into_iter().map(|end| text(&end.unwrap_err()));
    let waited = errors.filter(|error| error.contains("Timeout")).count();
    assert!((1..=64).contains(&waited), "{waited} of 200 waited");

    server.resume();
    let recovery = came(async || redis.get("a").await.is_ok()).await;
    assert!(recovery < RECOVERY, "{recovery:?}");
    came(async || redis.put("a", "x".into(), KEEP).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_is_used_again() {
    let mut server = standalone();
    let redis = connected(Redis::builder(server.url())).await;
    redis
        .put_if(put_over("a", (0, 0), value(0, 1, b"")))
        .await
        .unwrap();
    server.kill();
    came(async || !redis.is_available()).await;
    let (longest, answered) = crowd(&redis).await;
    assert_eq!(answered, 0);
    assert!(longest < Duration::from_millis(10), "{longest:?}");

    server.restart();
    let recovery = came(async || redis.get("a").await.is_ok()).await;
    assert!(recovery < RECOVERY, "{recovery:?}");
    assert_eq!(redis.get("a").await.unwrap(), None);
    let outcome = redis
        .put_if(put_over("a", (0, 0), value(0, 1, b"")))
        .await
        .unwrap();
    assert_eq!(outcome, PutOutcome::Stored);
    assert_eq!(redis.outages().0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_yet_is_found_later() {
    let mut server = not_started(&[]);
    let start = Instant::now();
    let redis = Redis::connect(server.url()).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(400),
        "{:?}",
        start.elapsed()
    );
    assert!(!redis.is_available());
    assert!(redis.get("a").await.is_err());
    came(async || redis.outages() == (1, 0)).await;
    server.restart();
    let found = came(async || redis.is_available()).await;
    assert!(found < RECOVERY, "{found:?}");
    assert_eq!(redis.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_full_server_is_read_from() {
    let server = standalone();
    server.command(&["SET", "a", "kept"]);
    let redis = connected(Redis::builder(server.url())).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..2 {
        let error = redis
            .put_if(put_over("b", (0, 0), value(0, 1, b"")))
            .await
            .unwrap_err();
        assert!(text(&error).contains("OOM"), "{error}");
        // What replaces something is taken.
        redis.put("c", "x".into(), KEEP).await.unwrap();
    }
    assert!(redis.is_available());
    assert_eq!(redis.get("a").await.unwrap(), Some("kept".into()));
    assert_eq!(redis.outages(), (0, 1));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.put("b", "x".into(), KEEP).await.unwrap();
}

#[tokio::test]
async fn a_server_that_became_a_replica_is_read_from() {
    let server = standalone();
    server.command(&["SET", "a", "kept"]);
    let redis = connected(Redis::builder(server.url())).await;
    let nobody = not_started(&[]).port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &nobody]);
    let error = redis
        .put_if(put_over("b", (0, 0), value(0, 1, b"")))
        .await
        .unwrap_err();
    assert!(text(&error).contains("READONLY"), "{error}");
    assert!(redis.acquire("c", b"token", KEEP).await.is_err());
    assert_eq!(redis.get("a").await.unwrap(), Some("kept".into()));
    server.command(&["REPLICAOF", "NO", "ONE"]);
    redis
        .put_if(put_over("b", (0, 0), value(0, 1, b"")))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loads_its_data_is_waited_for() {
    let mut server = standalone_with(&["--key-load-delay", "0"]);
    for number in 0..2_000 {
        server.command(&["SET", &format!("key-{number}"), "x"]);
    }
    assert_eq!(server.command(&["SAVE"]).text(), "OK");
    server.add(&["--key-load-delay", "500"]);
    server.launch();
    let redis = Redis::connect(server.url()).await.unwrap();
    let mut seen = Vec::new();
    came(async || match redis.get("key-7").await {
        Ok(found) => found.is_some(),
        Err(error) => {
            seen.push(text(&error));
            false
        }
    })
    .await;
    assert!(!seen.is_empty(), "it never loaded");
}

// === Connecting ===

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_repeated() {
    let server = standalone_with(&["--requirepass", "right-one"]);
    let right = Redis::builder(server.url()).password("right-one");
    assert_eq!(connected(right).await.get("a").await.unwrap(), None);
    let url = format!("redis://:right-one@{}", server.address());
    assert_eq!(
        connected(Redis::builder(url)).await.get("a").await.unwrap(),
        None
    );

    for wrong in [Some("wr0ng-one"), None] {
        let builder = Redis::builder(server.url());
        let builder = match wrong {
            Some(wrong) => builder.password(wrong),
            None => builder,
        };
        let error = builder.clone().require_at_start(true).connect().await;
        let error = error.unwrap_err();
        let (ConfigError::Unavailable { setting, .. }, said) = (&error, text(&error)) else {
            panic!("{error:?}");
        };
        assert_eq!(*setting, "require_at_start");
        let expected = if wrong.is_some() {
            "WRONGPASS"
        } else {
            "NOAUTH"
        };
        assert!(said.contains(expected), "{said}");
        assert!(said.contains(&server.address().to_string()), "{said}");
        assert!(
            !format!("{said}{error:?}{builder:?}").contains("wr0ng"),
            "{said}"
        );

        // Without being required, it is as if the server held nothing.
        let redis = builder.connect().await.unwrap();
        assert!(redis.get("a").await.is_err());
        assert!(!format!("{redis:?}").contains("wr0ng"));
        came(async || redis.outages().0 == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_required_and_missing_is_an_error() {
    let server = not_started(&[]);
    let start = Instant::now();
    let builder = Redis::builder(server.url()).require_at_start(true);
    let said = text(&builder.connect().await.unwrap_err());
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    assert!(said.contains("refused"), "{said}");
    assert!(said.contains(&server.address().to_string()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_tasks_end_with_the_last_copy() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let connections = |server: &Server| {
        let list = server.command(&["CLIENT", "LIST"]).text();
        // One of them asks.
        list.lines().count() - 1
    };
    let server = standalone();
    let redis = connected(Redis::builder(server.url()).pool_size(3)).await;
    let copy = redis.clone();
    assert_eq!(connections(&server), 3);
    assert!(tasks() > before);
    drop(redis);
    assert_eq!(copy.get("a").await.unwrap(), None);
    // What waits for a replica has a connection of its own.
    let append = [LogRow {
        mode: 1,
        subject: 1,
    }];
    let durable = copy.sync_log(LogRequest {
        name: "log",
        position: None,
        append: &append,
        new_id: 1,
        new_token: 1,
        keep: 1,
        urgent: false,
        replicas: 1,
    });
    assert!(durable.await.is_err());
    assert_eq!(connections(&server), 4);
    drop(copy);
    came(async || connections(&server) == 0).await;
    came(async || tasks() == before).await;

    // A server that stopped, and one that was never there.
    let redis = connected(Redis::builder(server.url())).await;
    server.pause();
    assert!(redis.get("a").await.is_err());
    drop(redis);
    came(async || tasks() == before).await;
    let redis = Redis::connect(not_started(&[]).url()).await.unwrap();
    came(async || redis.outages().0 == 1).await;
    assert!(tasks() > before);
    drop(redis);
    came(async || tasks() == before).await;
}
