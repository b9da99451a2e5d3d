//! Proxies over one Redis: they share what they store, and depend on neither it nor each other.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::{Instant, timeout},
};

use super::{
    servers::redis::{Reply, Server, not_started, standalone, until},
    support::{Origin, Proxy, before, command, ok, read_head, read_to_end, soon},
};

/// How long a node that died keeps the others from fetching what it was fetching.
const LEASE: Duration = Duration::from_secs(3);

/// What a debug build on a busy machine may take beyond that. Together with [`EARLY`] it has to be
/// less than the five seconds after which a node asks the origin whoever else does.
const SLACK: Duration = Duration::from_secs(1);
const EARLY: Duration = Duration::from_millis(500);

async fn node(origin: SocketAddr, redis: &Server) -> Proxy {
    let url = redis.url();
    Proxy::start(origin, &["--backend", "redis", "--redis-url", &url]).await
}

/// How many resources Redis has something for.
fn kept(redis: &Server) -> usize {
    match redis.command(&["keys", "*}"]) {
        Reply::Array(keys) => keys.len(),
        other => panic!("not a list: {other:?}"),
    }
}

fn cache_of(reply: &super::support::Reply) -> Option<&str> {
    reply.field("x-cache")
}

async fn fresh() -> Origin {
    Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "kept")).await
}

#[tokio::test]
async fn a_proxy_answers_with_what_another_stored() {
    let (redis, origin) = (standalone(), fresh().await);
    let first = node(origin.address, &redis).await;
    let second = node(origin.address, &redis).await;
    assert_eq!(cache_of(&first.get("/x", "").await), Some("MISS"));
    until("the response is in Redis", || kept(&redis) == 1);
    for proxy in [&second, &second, &first] {
        let reply = proxy.get("/x", "").await;
        assert_eq!(
            (cache_of(&reply), reply.body.as_str()),
            (Some("HIT"), "kept")
        );
        assert!(reply.field("age").is_some());
    }
    assert_eq!(origin.heads().len(), 1);

    // Under another namespace it is not there.
    let url = redis.url();
    let flags = ["--backend", "redis", "--redis-url", &url];
    let apart = [&flags[..], &["--redis-namespace", "other"]].concat();
    let third = Proxy::start(origin.address, &apart).await;
    assert_eq!(cache_of(&third.get("/x", "").await), Some("MISS"));
}

#[tokio::test]
async fn the_log_says_which_tier_a_response_was_read_from() {
    let (redis, origin) = (standalone(), fresh().await);
    let first = node(origin.address, &redis).await;
    first.get("/x", "").await;
    until("the response is in Redis", || kept(&redis) == 1);
    let url = redis.url();
    let flags = ["--backend", "redis", "--redis-url", &url];
    let mut second = before(origin.address, &flags);
    second.env("RUST_LOG", "access=info").stderr(Stdio::piped());
    let mut second = Proxy::spawn(second).await;
    let stderr = second.child.stderr.take().unwrap();
    let mut lines = BufReader::new(stderr).lines();
    for tier in ["remote", "memory"] {
        assert_eq!(cache_of(&second.get("/x", "").await), Some("HIT"));
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        assert!(line.contains(&format!("tier=\"{tier}\"")), "{tier}: {line}");
    }
}

#[tokio::test]
async fn the_environment_chooses_redis_as_well() {
    let (redis, origin) = (standalone(), fresh().await);
    let start = async || {
        let mut node = command();
        node.args(["--origin", &format!("http://{}", origin.address)])
            .args(["--port", "0"])
            .env("CACHE_BACKEND", "redis")
            .env("REDIS_URL", redis.url());
        Proxy::spawn(node).await
    };
    let (first, second) = (start().await, start().await);
    assert_eq!(cache_of(&first.get("/x", "").await), Some("MISS"));
    until("the response is in Redis", || kept(&redis) == 1);
    assert_eq!(cache_of(&second.get("/x", "").await), Some("HIT"));
}

#[tokio::test]
async fn what_was_answered_before_sigterm_is_there_after_a_restart() {
    let (redis, origin) = (standalone(), fresh().await);
    let mut before = node(origin.address, &redis).await;
    let paths: Vec<String> = (0..4).map(|index| format!("/{index}")).collect();
    for path in &paths {
        assert_eq!(cache_of(&before.get(path, "").await), Some("MISS"));
    }
    before.signal("-TERM").await;
    let status = soon(before.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(kept(&redis), paths.len());
    let after = node(origin.address, &redis).await;
    for path in &paths {
        assert_eq!(cache_of(&after.get(path, "").await), Some("HIT"), "{path}");
    }
    assert_eq!(origin.heads().len(), paths.len());
}

#[tokio::test]
async fn what_is_fetched_for_nobody_any_more_is_written_before_the_end() {
    let redis = standalone();
    let (origin, mut connections) = Origin::by_hand().await;
    let mut proxy = node(origin.address, &redis).await;
    let mut client = proxy.connect().await;
    let request = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut fetch = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut fetch)).await.unwrap();
    let half = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nha";
    fetch.write_all(half).await.unwrap();
    soon(read_head(&mut client)).await.unwrap();
    drop(client);

    proxy.signal("-TERM").await;
    let ended = timeout(Duration::from_millis(500), proxy.child.wait()).await;
    assert!(ended.is_err(), "half a response was given up");
    fetch.write_all(b"lf").await.unwrap();
    let status = soon(proxy.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(kept(&redis), 1);
}

#[tokio::test]
async fn what_was_written_before_sigkill_is_there_after_a_restart() {
    let (redis, origin) = (standalone(), fresh().await);
    let mut before = node(origin.address, &redis).await;
    assert_eq!(cache_of(&before.get("/x", "").await), Some("MISS"));
    until("the response is in Redis", || kept(&redis) == 1);
    before.child.kill().await.unwrap();
    let after = node(origin.address, &redis).await;
    assert_eq!(cache_of(&after.get("/x", "").await), Some("HIT"));
    assert_eq!(origin.heads().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_is_killed_while_it_fetches_holds_nobody_up_for_long() {
    // On a busy machine Redis may seem to hang. Then nobody waits, and there is nothing to see.
    for _ in 0..3 {
        if let Kill::Waited = kill_while_fetching().await {
            return;
        }
    }
    panic!("both fetched");
}

/// What became of the proxy that is not killed.
enum Kill {
    Fetched,
    Waited,
}

async fn kill_while_fetching() -> Kill {
    let redis = standalone();
    let (origin, mut connections) = Origin::by_hand().await;
    let mut doomed = node(origin.address, &redis).await;
    let other = node(origin.address, &redis).await;
    let request = b"GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

    let mut lost = doomed.connect().await;
    lost.write_all(request).await.unwrap();
    let mut fetch = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut fetch)).await.unwrap();

    // While that one fetches, the other waits for it.
    let mut client = other.connect().await;
    client.write_all(request).await.unwrap();
    if timeout(EARLY, connections.recv()).await.is_ok() {
        return Kill::Fetched;
    }

    doomed.child.kill().await.unwrap();
    let killed = Instant::now();
    let mut fetch = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut fetch)).await.unwrap();
    fetch
        .write_all(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    let reply = read_to_end(&mut client).await;
    let took = killed.elapsed();
    assert_eq!((reply.status(), reply.body.as_str()), (200, "ok"));
    println!("answered {took:?} after the other was killed");
    assert!(took < LEASE + SLACK, "{took:?}");
    Kill::Waited
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_one_warning_until_it_is() {
    let (mut redis, origin) = (not_started(&[]), fresh().await);
    let mut flags = command();
    flags
        .args(["--origin", &format!("http://{}", origin.address)])
        .args(["--port", "0", "--backend", "redis", "--redis-url"])
        .arg(redis.url().replace("redis://", "redis://user:secret@"))
        .env("RUST_LOG", "warn")
        .stderr(Stdio::piped());
    let mut proxy = Proxy::spawn(flags).await;
    let mut log = BufReader::new(proxy.child.stderr.take().unwrap());
    for path in ["/x", "/y"] {
        assert_eq!(cache_of(&proxy.get(path, "").await), Some("MISS"));
        assert_eq!(proxy.get(path, "").await.body, "kept");
    }
    let mut warning = String::new();
    soon(log.read_line(&mut warning)).await.unwrap();
    assert!(
        warning.contains("WARN") && warning.contains("Redis"),
        "{warning}"
    );

    redis.add(&["--user", "user", "on", ">secret", "~*", "&*", "+@all"]);
    redis.restart();
    let mut asked = 0;
    soon(async {
        while kept(&redis) == 0 {
            // Another path each time: what is in memory need not be written again.
            asked += 1;
            proxy.get(&format!("/{asked}"), "").await;
        }
    })
    .await;

    proxy.signal("-TERM").await;
    let mut more = String::new();
    soon(log.read_to_string(&mut more)).await.unwrap();
    assert_eq!(more, "");
    assert!(!warning.contains("secret"), "{warning}");
}

#[tokio::test]
async fn the_demo_shares_as_well() {
    let redis = standalone();
    let mut demo = command();
    demo.args(["--demo", "--port", "0", "--backend", "redis"])
        .args(["--redis-url", &redis.url()]);
    let proxy = Proxy::spawn(demo).await;
    assert_eq!(cache_of(&proxy.get("/report", "").await), Some("MISS"));
    until("the response is in Redis", || kept(&redis) == 1);
    assert_eq!(cache_of(&proxy.get("/report", "").await), Some("HIT"));
}
