//! `--max-origin-connections`: the origin gets no more connections than that, and who waits for one in
//! vain is told so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::support::{Origin, Proxy, read_head, read_to_end, soon};

const PAGE: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\r\npage";

/// An origin that takes a while, or for ever at `/hang`, or ends the connection at the second request
/// to `/end`. With the number of connections it has had.
async fn origin() -> (Origin, Arc<AtomicUsize>) {
    let (origin, mut connections) = Origin::by_hand().await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Some(mut stream) = connections.recv().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut ends = 0;
                while let Some(head) = read_head(&mut stream).await {
                    if head.contains(" /hang") {
                        let _ = read_head(&mut stream).await;
                        return;
                    }
                    ends += usize::from(head.contains(" /end"));
                    if ends == 2 {
                        return;
                    }
                    sleep(Duration::from_millis(50)).await;
                    if stream.write_all(PAGE.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (origin, count)
}

async fn start(most: &str) -> (Proxy, Origin, Arc<AtomicUsize>) {
    let (origin, count) = origin().await;
    let flags = ["--max-origin-connections", most, "--workers", "1"];
    let proxy = Proxy::start(origin.address, &[&flags[..], &["--timeout", "2"]].concat()).await;
    (proxy, origin, count)
}

async fn reaches(count: &AtomicUsize, wanted: usize) {
    while count.load(Ordering::SeqCst) < wanted {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_request_that_gets_no_connection_is_told_so() {
    let (proxy, _origin, count) = start("2").await;
    let mut hanging = Vec::new();
    for n in 0..2 {
        let mut client = proxy.connect().await;
        let fields = "Host: a.example\r\nConnection: close\r\nContent-Length: 0\r\n";
        let request = format!("POST /hang/{n} HTTP/1.1\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        hanging.push(client);
    }
    soon(reaches(&count, 2)).await;
    let began = Instant::now();
    let reply = proxy.get("/x", "").await;
    let took = began.elapsed();
    assert_eq!(reply.status(), 503);
    let status = reply.field("proxy-status").unwrap();
    assert!(
        status.contains("error=connection_limit_reached"),
        "{status}"
    );
    assert!(reply.body.contains("are in use"), "{}", reply.body);
    // Half of `--timeout`, which is also left to those that have a connection.
    let half = Duration::from_secs(1);
    assert!((half / 2..half * 2).contains(&took), "{took:?}");
    for mut client in hanging {
        assert_eq!(read_to_end(&mut client).await.status(), 504);
    }
    // They have left their places.
    assert_eq!(proxy.get("/x", "").await.status(), 200);
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

/// One client's requests would otherwise turn the origin off for all.
#[tokio::test]
async fn the_want_of_a_connection_does_not_open_the_breaker() {
    let (origin, count) = origin().await;
    let flags = [
        "--max-origin-connections",
        "1",
        "--workers",
        "1",
        "--breaker",
    ];
    let proxy = Proxy::start(origin.address, &[&flags[..], &["--timeout", "2"]].concat()).await;
    let mut hanging = proxy.connect().await;
    let fields = "Host: a.example\r\nConnection: close\r\nContent-Length: 0\r\n";
    let request = format!("POST /hang HTTP/1.1\r\n{fields}\r\n");
    hanging.write_all(request.as_bytes()).await.unwrap();
    soon(reaches(&count, 1)).await;
    // Far more in a row, and of more paths, than open it.
    let proxy = Arc::new(proxy);
    let mut asking = JoinSet::new();
    for n in 0..30 {
        let proxy = Arc::clone(&proxy);
        asking.spawn(async move { proxy.get(&format!("/{n}"), "").await });
    }
    for reply in soon(asking.join_all()).await {
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.error(), Some("connection_limit_reached"));
    }
    assert_eq!(read_to_end(&mut hanging).await.status(), 504);
    let reply = proxy.get("/x", "").await;
    assert_eq!(reply.status(), 200, "{}", reply.body);
}

#[tokio::test]
async fn requests_wait_for_one_another() {
    let (proxy, _origin, count) = start("2").await;
    let proxy = Arc::new(proxy);
    let mut asking = JoinSet::new();
    for n in 0..20 {
        let proxy = Arc::clone(&proxy);
        asking.spawn(async move { proxy.get(&format!("/{n}"), "").await.status() });
    }
    for status in soon(asking.join_all()).await {
        assert_eq!(status, 200);
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_second_attempt_finds_a_place() {
    let (proxy, _origin, count) = start("1").await;
    for connections in [1, 2] {
        assert_eq!(proxy.get("/end", "").await.status(), 200);
        assert_eq!(count.load(Ordering::SeqCst), connections);
    }
}
