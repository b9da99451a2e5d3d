//! What clients make the proxy hold beside `--max-memory`, and that it stays below one number.
//!
//! Each row is a test, so that the peak is that of one load alone. `README.md` has the table.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rlimit::Resource;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    frames::{
        self, CONTINUATION, DATA, END_HEADERS, HEADERS, fields, frame, get, reset, window_update,
    },
    support::{Origin, Proxy, read_head, soon},
};

const MIB: u64 = 1 << 20;
const MAX_MEMORY: u64 = 64 * MIB;

/// The constant of `README.md`. What a connection costs is the same in a release build but for the
/// tasks, which are larger here.
const BESIDE: u64 = 160 * MIB;

/// One of the bodies that fill the memory.
const FILL: u64 = MIB;

const PIECE: usize = 64 * 1024;
const WIDE: u32 = 1 << 30;

/// A proxy whose memory for responses is full.
async fn start(origin: SocketAddr) -> Proxy {
    let proxy = Proxy::start(origin, &["--max-memory", "64MiB"]).await;
    let mut client = proxy.connect().await;
    let mut body = vec![0; FILL as usize];
    for n in 0..2 * MAX_MEMORY / FILL {
        let ask = format!("GET /fill/{n} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        client.write_all(ask.as_bytes()).await.unwrap();
        read_head(&mut client).await.unwrap();
        soon(client.read_exact(&mut body)).await.unwrap();
    }
    proxy
}

fn check(row: &str, proxy: &Proxy) {
    let peak = proxy.peak();
    let beside = peak.saturating_sub(MAX_MEMORY) / MIB;
    println!("| {row} | {} MiB | {beside} MiB |", peak / MIB);
    assert!(peak < MAX_MEMORY + BESIDE, "{row}: {} MiB", peak / MIB);
}

/// What an origin does with requests, but for those that fill the cache.
#[derive(Clone)]
enum Rule {
    /// This header and a body of so many bytes, as fast as the proxy takes it.
    Answer(String, u64),
    /// It reads no more and says nothing.
    Hold,
}

/// An origin and the bytes that it has sent.
async fn origin(rule: Rule) -> (Origin, Arc<AtomicU64>) {
    let (origin, mut connections) = Origin::by_hand().await;
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    tokio::spawn(async move {
        let mut bodies = JoinSet::new();
        while let Some(mut stream) = connections.recv().await {
            let (sent, rule) = (Arc::clone(&counted), rule.clone());
            bodies.spawn(async move {
                while let Some(asked) = read_head(&mut stream).await {
                    let (head, mut left) = match &rule {
                        _ if asked.starts_with("GET /fill") => (stored(FILL), FILL),
                        Rule::Answer(head, body) => (head.clone(), *body),
                        Rule::Hold => return std::future::pending().await,
                    };
                    let mut written = stream.write_all(head.as_bytes()).await;
                    while left > 0 && written.is_ok() {
                        let piece = left.min(PIECE as u64);
                        written = stream.write_all(&[b'x'; PIECE][..piece as usize]).await;
                        left -= piece;
                        sent.fetch_add(piece, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    (origin, sent)
}

/// Waits until nothing moves any more, or for some seconds.
async fn settled(moved: &AtomicU64) {
    let since = Instant::now();
    let (mut before, mut quiet) = (0, 0);
    while quiet < 3 && since.elapsed() < Duration::from_secs(4) {
        sleep(Duration::from_millis(200)).await;
        let now = moved.load(Ordering::Relaxed);
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
}

fn stored(body: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {body}\r\n\r\n")
}

fn endless() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\r\n",
        u64::MAX / 2
    )
}

fn request(n: usize) -> String {
    format!("GET /{n} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// A client of HTTP/2 that leaves it to the socket to stop the proxy.
async fn wide(proxy: &Proxy) -> TcpStream {
    let mut client = frames::connect(proxy.address, WIDE).await;
    client.write_all(&window_update(0, WIDE)).await.unwrap();
    client
}

#[tokio::test]
async fn a_full_cache() {
    let (origin, _) = origin(Rule::Hold).await;
    let proxy = start(origin.address).await;
    check("none, the cache is full", &proxy);
}

#[tokio::test]
async fn stalled_readers_over_http1() {
    const BODY: u64 = 16 * MIB;
    let (origin, sent) = origin(Rule::Answer(stored(BODY), BODY)).await;
    let proxy = start(origin.address).await;
    let mut clients = Vec::new();
    for n in 0..60 {
        let mut client = frames::small(proxy.address).await;
        client.write_all(request(n).as_bytes()).await.unwrap();
        soon(read_head(&mut client)).await.unwrap();
        clients.push(client);
    }
    settled(&sent).await;
    assert!(sent.load(Ordering::Relaxed) > 3 * MAX_MEMORY);
    check("60 readers of 16 MiB that stop, HTTP/1.1", &proxy);
}

#[tokio::test]
async fn stalled_readers_over_http2() {
    const BODY: u64 = 16 * MIB;
    let (origin, sent) = origin(Rule::Answer(stored(BODY), BODY)).await;
    let proxy = start(origin.address).await;
    let mut clients = Vec::new();
    for n in 0..30 {
        // One that leaves it to the socket, and one that does not widen its window.
        let mut client = wide(&proxy).await;
        client.write_all(&get(1, &format!("/{n}"))).await.unwrap();
        clients.push(client);
        let mut client = frames::connect(proxy.address, 100).await;
        client
            .write_all(&get(1, &format!("/{}", n + 30)))
            .await
            .unwrap();
        clients.push(client);
    }
    settled(&sent).await;
    assert!(sent.load(Ordering::Relaxed) > 3 * MAX_MEMORY);
    check("60 readers of 16 MiB that stop, HTTP/2", &proxy);
}

#[tokio::test]
async fn stalled_readers_on_one_http2_connection() {
    const BODY: u64 = 16 * MIB;
    let (origin, sent) = origin(Rule::Answer(stored(BODY), BODY)).await;
    let proxy = start(origin.address).await;
    let mut client = wide(&proxy).await;
    for n in 0..120 {
        let ask = get(2 * n + 1, &format!("/{n}"));
        client.write_all(&ask).await.unwrap();
    }
    settled(&sent).await;
    assert!(sent.load(Ordering::Relaxed) > 3 * MAX_MEMORY);
    check(
        "120 readers of 16 MiB that stop, one connection of HTTP/2",
        &proxy,
    );
}

#[tokio::test]
async fn unfinished_heads() {
    let (origin, _) = origin(Rule::Hold).await;
    let proxy = start(origin.address).await;
    let mut clients = Vec::new();
    let long = "a".repeat(31 * 1024);
    for n in 0..500 {
        let client = if n % 2 == 0 {
            let mut client = proxy.connect().await;
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}");
            client.write_all(head.as_bytes()).await.unwrap();
            client
        } else {
            let mut client = frames::connect(proxy.address, 65_535).await;
            let mut block = fields("GET", "/");
            // A field of 15 KiB, which is not there to its end (RFC 7541 section 5.1).
            block.extend([0, 1, b'x', 0x7f, 0x81, 0x77]);
            block.extend(&long.as_bytes()[..8 * 1024]);
            let head = frame(HEADERS, 1, 1, &block);
            let more = frame(CONTINUATION, 0, 1, &long.as_bytes()[..6 * 1024]);
            client.write_all(&[head, more].concat()).await.unwrap();
            client
        };
        clients.push(client);
    }
    sleep(Duration::from_secs(1)).await;
    check("500 heads without an end", &proxy);
    // The proxy has held each of them: it reads the end, and knows what came before.
    for (n, mut client) in clients.into_iter().enumerate() {
        if n % 2 == 0 {
            client.write_all(b"\r\n\r\n").await.unwrap();
            let head = soon(read_head(&mut client)).await.unwrap_or_default();
            assert!(head.starts_with("HTTP/1.1 431 "), "{n}: {head}");
        } else {
            let end = frame(CONTINUATION, END_HEADERS, 1, &long.as_bytes()[..1024]);
            client.write_all(&end).await.unwrap();
            assert!(frames::has_read(&mut client).await, "{n}");
        }
    }
}

#[tokio::test]
async fn stuck_uploads() {
    let (origin, _) = origin(Rule::Hold).await;
    let proxy = start(origin.address).await;
    let mut clients = JoinSet::new();
    for n in 0..100 {
        let (mut client, piece) = if n % 2 == 0 {
            let mut client = proxy.connect().await;
            let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n";
            client.write_all(head).await.unwrap();
            (client, vec![b'x'; PIECE])
        } else {
            let mut client = wide(&proxy).await;
            let head = frame(HEADERS, END_HEADERS, 1, &fields("POST", "/"));
            client.write_all(&head).await.unwrap();
            (client, frame(DATA, 0, 1, &[b'x'; 16_000]))
        };
        clients.spawn(async move {
            // As much as the window of the proxy has room for, over HTTP/2.
            let pieces = if n % 2 == 0 { usize::MAX } else { 16 };
            for _ in 0..pieces {
                if client.write_all(&piece).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        });
    }
    sleep(Duration::from_secs(3)).await;
    check("100 uploads that the origin does not read", &proxy);
}

/// As many as there are descriptors for, up to 5,000.
async fn idle(proxy: &Proxy, http2: bool) -> Vec<TcpStream> {
    let (_, hard) = Resource::NOFILE.get().unwrap();
    let _ = Resource::NOFILE.set(hard, hard);
    let (files, _) = Resource::NOFILE.get().unwrap();
    let count = 5000.min(files.saturating_sub(500) / 3 * 2);
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(if http2 {
            let mut client = frames::connect(proxy.address, 65_535).await;
            frames::read(&mut client).await.unwrap();
            client
        } else {
            let mut client = proxy.connect().await;
            let options = b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
            client.write_all(options).await.unwrap();
            let mut head = [0; 12];
            soon(client.read_exact(&mut head)).await.unwrap();
            client
        });
    }
    clients
}

#[tokio::test]
async fn idle_http1_connections() {
    let (origin, _) = origin(Rule::Hold).await;
    let proxy = start(origin.address).await;
    let clients = idle(&proxy, false).await;
    check(
        &format!("{} idle connections, HTTP/1.1", clients.len()),
        &proxy,
    );
}

#[tokio::test]
async fn idle_http2_connections() {
    let (origin, _) = origin(Rule::Hold).await;
    let proxy = start(origin.address).await;
    let clients = idle(&proxy, true).await;
    check(
        &format!("{} idle connections, HTTP/2", clients.len()),
        &proxy,
    );
}

#[tokio::test]
async fn reset_streams() {
    const STREAMS: u32 = 20_000;
    let (origin, _) = origin(Rule::Hold).await;
    let proxy = start(origin.address).await;
    let mut client = frames::connect(proxy.address, 65_535).await;
    let mut stream = 1;
    while stream < 2 * STREAMS {
        let streams: Vec<u32> = (0..16).map(|n| stream + 2 * n).collect();
        stream += 32;
        let asks = streams.iter().flat_map(|&id| get(id, &format!("/{id}")));
        client.write_all(&asks.collect::<Vec<_>>()).await.unwrap();
        assert!(frames::has_read(&mut client).await);
        let resets = streams.iter().flat_map(|&id| reset(id));
        client.write_all(&resets.collect::<Vec<_>>()).await.unwrap();
        assert!(frames::has_read(&mut client).await);
    }
    check("20,000 streams that are reset", &proxy);
}

#[tokio::test]
async fn endless_bodies() {
    let (origin, sent) = origin(Rule::Answer(endless(), u64::MAX / 2)).await;
    let proxy = start(origin.address).await;
    let mut clients = JoinSet::new();
    for n in 0..30 {
        let mut client = if n % 2 == 0 {
            let mut client = proxy.connect().await;
            client.write_all(request(n).as_bytes()).await.unwrap();
            client
        } else {
            let mut client = wide(&proxy).await;
            client.write_all(&get(1, &format!("/{n}"))).await.unwrap();
            client
        };
        clients.spawn(async move {
            // Half of them read, of either version.
            let mut read = vec![0; PIECE];
            while n % 4 < 2 && client.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {}
            std::future::pending::<()>().await;
        });
    }
    let _ = timeout(Duration::from_secs(3), std::future::pending::<()>()).await;
    assert!(sent.load(Ordering::Relaxed) > 3 * MAX_MEMORY);
    check("30 bodies without an end, half of them read", &proxy);
}
