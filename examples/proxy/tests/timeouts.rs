//! `--client-timeout`: clients that say nothing, and clients that read nothing.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    frames::{
        self, DATA, END_HEADERS, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, frame, get,
        window_update,
    },
    support::{Act, Origin, Proxy, ok, read_head, soon},
};

const LIMIT: Duration = Duration::from_millis(500);
const FLAGS: [&str; 2] = ["--client-timeout", "0.5"];

/// Both within the time that a connection may take to end after its limit.
const LATE: Duration = Duration::from_secs(3);

/// Waits until the origin's side of an exchange is closed. What it can still write is written.
async fn released(mut origin: TcpStream) {
    let piece = [b'x'; 16 * 1024];
    soon(async { while origin.write_all(&piece).await.is_ok() {} }).await;
}

#[tokio::test]
async fn an_idle_or_stuck_http2_connection_is_told_and_ends() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "page")).await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let whole = frame(HEADERS, END_HEADERS | 1, 5, &frames::fields("GET", "/"));
    let unfinished = frame(HEADERS, 1, 5, &frames::fields("GET", "/"));
    let cases: [(&str, u32, &[u8]); 6] = [
        ("nothing", 0, b""),
        ("one request", 1, b""),
        ("two requests", 2, b""),
        ("half a frame", 2, &whole[..20]),
        ("half a head", 2, &unfinished),
        ("half a frame and no request", 0, &whole[..5]),
    ];
    for (what, requests, rest) in cases {
        let mut client = frames::connect(proxy.address, 65_535).await;
        for n in 0..requests {
            client.write_all(&get(2 * n + 1, "/")).await.unwrap();
            let answer = frames::read_to(&mut client, DATA).await.unwrap();
            assert_eq!(answer.payload, b"page", "{what}");
        }
        let since = Instant::now();
        client.write_all(rest).await.unwrap();
        let told = frames::read_to(&mut client, GOAWAY).await;
        assert!(told.is_some(), "{what}: no GOAWAY");
        assert!(since.elapsed() + LIMIT / 4 > LIMIT, "{what}: too early");
        while frames::read(&mut client).await.is_some() {}
        assert!(since.elapsed() < LATE, "{what}: {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn a_clients_pings_are_no_requests() {
    let origin = Origin::start(|_| ok("", "page")).await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let mut client = frames::connect(proxy.address, 65_535).await;
    client.write_all(&get(1, "/")).await.unwrap();
    frames::read_to(&mut client, DATA).await.unwrap();
    let since = Instant::now();
    loop {
        let ping = frame(PING, 0, 0, b"12345678");
        if client.write_all(&ping).await.is_err() {
            break;
        }
        let Some(next) = frames::read_to(&mut client, PING).await else {
            break;
        };
        // Its own ping belongs to its GOAWAY.
        assert_eq!(next.payload.len(), 8);
        assert!(since.elapsed() < LATE, "still open");
        sleep(LIMIT / 10).await;
    }
}

#[tokio::test]
async fn a_connection_that_waits_for_the_origin_is_not_idle() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let mut http2 = frames::connect(proxy.address, 65_535).await;
    http2.write_all(&get(1, "/http2")).await.unwrap();
    let mut first = soon(connections.recv()).await.unwrap();
    let mut http1 = proxy.connect().await;
    let request = b"GET /http1 HTTP/1.1\r\nHost: a.example\r\n\r\n";
    http1.write_all(request).await.unwrap();
    let mut second = soon(connections.recv()).await.unwrap();
    for origin in [&mut first, &mut second] {
        read_head(origin).await.unwrap();
    }
    // Before the head of the answer, and again before its end.
    sleep(3 * LIMIT).await;
    for origin in [&mut first, &mut second] {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npa";
        origin.write_all(head).await.unwrap();
    }
    sleep(3 * LIMIT).await;
    for origin in [&mut first, &mut second] {
        origin.write_all(b"ge").await.unwrap();
    }
    let mut body = Vec::new();
    while body.len() < 4 {
        let data = frames::read_to(&mut http2, DATA).await.expect("not cut");
        body.extend(data.payload);
    }
    assert_eq!(body, b"page");
    read_head(&mut http1).await.expect("not cut");
    let mut body = [0; 4];
    soon(http1.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"page");
}

#[tokio::test]
async fn a_silent_client_is_cut_off_wherever_it_stops() {
    let origin = Origin::start(|_| ok("", "page")).await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let whole = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let chunked =
        b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    let cases: [(&str, u32, &[u8]); 7] = [
        ("nothing", 0, b""),
        ("half a preface", 0, &PREFACE[..9]),
        ("half a line", 0, &whole[..9]),
        ("half a head", 0, &whole[..20]),
        ("between requests", 2, b""),
        ("half a second head", 1, &whole[..20]),
        ("half a chunk", 1, chunked),
    ];
    for (what, requests, rest) in cases {
        let mut client = proxy.connect().await;
        for _ in 0..requests {
            client.write_all(whole).await.unwrap();
            read_head(&mut client).await.unwrap();
            soon(client.read_exact(&mut [0; 4])).await.unwrap();
        }
        let since = Instant::now();
        client.write_all(rest).await.unwrap();
        // Either an answer and the end, or the end alone.
        let _ = soon(client.read_to_end(&mut Vec::new())).await;
        let took = since.elapsed();
        assert!(
            took + LIMIT / 4 > LIMIT && took < LATE,
            "{what}: after {took:?}"
        );
    }
}

/// Starts a response without an end that is not stored.
async fn endless(origin: &mut TcpStream) {
    read_head(origin).await.unwrap();
    let head = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 99999999999\r\n\r\n";
    origin.write_all(head).await.unwrap();
}

#[tokio::test]
async fn an_http1_client_that_reads_nothing_loses_its_connection_and_the_origins() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let mut client = frames::small(proxy.address).await;
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut origin = soon(connections.recv()).await.unwrap();
    endless(&mut origin).await;
    let since = Instant::now();
    released(origin).await;
    assert!(since.elapsed() > LIMIT, "too early");
    assert!(since.elapsed() < 2 * LATE, "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_http2_client_that_reads_nothing_loses_its_connection_and_the_origins() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    // Its windows are wide, so it is the socket that stops.
    let mut client = frames::connect(proxy.address, 1 << 30).await;
    let wide = window_update(0, 1 << 30);
    client.write_all(&wide).await.unwrap();
    let mut origins = Vec::new();
    for n in 0..3 {
        client.write_all(&get(2 * n + 1, "/")).await.unwrap();
        let mut origin = soon(connections.recv()).await.unwrap();
        endless(&mut origin).await;
        origins.push(tokio::spawn(released(origin)));
    }
    let since = Instant::now();
    for origin in origins {
        origin.await.unwrap();
    }
    assert!(since.elapsed() < 2 * LATE, "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_http2_stream_that_nobody_reads_is_reset_and_the_others_go_on() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let mut client = frames::connect(proxy.address, 20_000).await;
    client.write_all(&window_update(0, 1 << 30)).await.unwrap();
    client.write_all(&get(1, "/stuck")).await.unwrap();
    let mut stuck = soon(connections.recv()).await.unwrap();
    endless(&mut stuck).await;
    let stuck = tokio::spawn(released(stuck));
    client.write_all(&get(3, "/read")).await.unwrap();
    let mut origin = soon(connections.recv()).await.unwrap();
    endless(&mut origin).await;
    let origin = tokio::spawn(released(origin));
    // One of them is read, slowly, for some times the limit.
    let (since, mut read, mut next, mut was_reset) = (Instant::now(), 0, 0, false);
    while since.elapsed() < 6 * LIMIT {
        match frames::read(&mut client).await.expect("it goes on") {
            frame if frame.kind == DATA && frame.stream == 3 => {
                read += frame.payload.len();
                let more = u32::try_from(frame.payload.len()).unwrap();
                client.write_all(&window_update(3, more)).await.unwrap();
                if read > next {
                    next = read + 16 * 1024;
                    sleep(LIMIT / 4).await;
                }
            }
            frame if frame.kind == RST_STREAM => {
                assert_eq!(frame.stream, 1);
                assert!(since.elapsed() > LIMIT / 2, "too early");
                was_reset = true;
            }
            _ => {}
        }
    }
    assert!(was_reset);
    assert!(read > 100_000, "{read} bytes");
    stuck.await.unwrap();
    assert!(!origin.is_finished());
    drop(client);
    origin.await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    const BODY: usize = 2 << 20;
    // Longer than a busy machine holds a task up.
    const LIMIT: Duration = Duration::from_secs(2);
    let origin = Origin::start(|_| {
        let body = "x".repeat(BODY);
        Act::Say(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n{body}"
        ))
    })
    .await;
    let proxy = Proxy::start(origin.address, &["--client-timeout", "2"]).await;
    let mut client = frames::small(proxy.address).await;
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    client.write_all(request).await.unwrap();
    read_head(&mut client).await.unwrap();
    let (since, mut read, mut piece) = (Instant::now(), 0, vec![0; 128 * 1024]);
    while read < BODY {
        // Twice the limit in all, and no step longer than a tenth.
        sleep(LIMIT / 10).await;
        for _ in 0..3 {
            let end = piece.len().min(BODY - read);
            let count = soon(client.read(&mut piece[..end])).await.unwrap();
            assert!(count > 0 || end == 0, "cut off after {read} bytes");
            read += count;
        }
        if since.elapsed() > 2 * LIMIT {
            // Slow enough; the rest at once.
            let mut rest = vec![0; BODY - read];
            soon(client.read_exact(&mut rest)).await.unwrap();
            read = BODY;
        }
    }
}
