//! Which connections to an origin of HTTP/1 are used again, and when.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

use super::support::{Origin, Proxy, Reply, field, read_head, read_to_end, soon};

/// An origin that answers every request with `answer`, in which `{n}` is the number of the
/// connection, and the rest of which says what a request with that path gets.
async fn numbered(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = std::sync::Arc::new(answer);
    tokio::spawn(async move {
        for number in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = std::sync::Arc::clone(&answer);
            tokio::spawn(async move {
                while let Some(head) = read_head(&mut stream).await {
                    let text = answer(&head).replace("{n}", &number.to_string());
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

/// A response that is not stored, on the connection `X-On`.
const PLAIN: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nX-On: {n}\r\nContent-Length: 2\r\n\r\nok";

async fn one_worker(origin: SocketAddr) -> Proxy {
    Proxy::start(origin, &["--workers", "1"]).await
}

async fn ask(proxy: &Proxy, method: &str, path: &str) -> Reply {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: a.example\r\nIf-None-Match: \"1\"\r\n\
         Cache-Control: no-store\r\n\r\n"
    );
    proxy.ask(&request).await
}

#[tokio::test]
async fn a_response_that_tells_of_content_it_must_not_have_ends_its_connection() {
    for (head, reused) in [
        ("204 No Content\r\n", true),
        ("204 No Content\r\nContent-Length: 0\r\n", true),
        ("204 No Content\r\nContent-Length: 5\r\n", false),
        ("204 No Content\r\nTransfer-Encoding: chunked\r\n", false),
        ("304 Not Modified\r\nETag: \"1\"\r\n", true),
        (
            "304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 0\r\n",
            true,
        ),
        (
            "304 Not Modified\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n",
            false,
        ),
    ] {
        let origin = numbered(move |request| match request.contains(" /odd ") {
            true => format!("HTTP/1.1 {head}X-On: {{n}}\r\n\r\n"),
            false => PLAIN.to_owned(),
        })
        .await;
        let proxy = one_worker(origin).await;
        let odd = ask(&proxy, "GET", "/odd").await;
        assert_eq!(odd.field("x-on"), Some("1"), "{head}");
        let next = ask(&proxy, "GET", "/next").await;
        let expected = if reused { "1" } else { "2" };
        assert_eq!(next.field("x-on"), Some(expected), "{head}");
    }
}

#[tokio::test]
async fn content_behind_a_response_without_any_is_nobodys_answer() {
    for (method, head) in [
        ("HEAD", "200 OK\r\nContent-Length: 49\r\n"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n"),
        (
            "GET",
            "304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 49\r\n",
        ),
    ] {
        let (origin, mut connections) = Origin::by_hand().await;
        let proxy = one_worker(origin.address).await;
        let first = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            soon(read_head(&mut stream)).await.unwrap();
            let head = format!("HTTP/1.1 {head}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream
        };
        let (_, mut first) = tokio::join!(ask(&proxy, method, "/odd"), first);
        let second = async {
            // The request came before the content, and on another connection.
            let mut stream = soon(connections.recv()).await.unwrap();
            soon(read_head(&mut stream)).await.unwrap();
            let evil = b"HTTP/1.1 200 OK\r\nX-On: 1\r\nContent-Length: 4\r\n\r\nevil";
            first.write_all(evil).await.unwrap();
            let plain = PLAIN.replace("{n}", "2");
            stream.write_all(plain.as_bytes()).await.unwrap();
            stream
        };
        let (next, _second) = tokio::join!(ask(&proxy, "GET", "/next"), second);
        assert_eq!(next.field("x-on"), Some("2"), "{method} {head}");
        assert_eq!(next.body, "ok");
        // The first one is not kept.
        assert_eq!(soon(first.read(&mut [0])).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn a_304_that_tells_the_length_of_what_it_stands_for_ends_its_connection() {
    let origin = numbered(|_| {
        "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nX-On: {n}\r\nContent-Length: 5\r\n\r\n"
            .to_owned()
    })
    .await;
    let proxy = one_worker(origin).await;
    ask(&proxy, "GET", "/").await;
    // However long the origin is silent.
    sleep(Duration::from_millis(500)).await;
    let next = ask(&proxy, "GET", "/").await;
    assert_eq!((next.status(), next.field("x-on")), (304, Some("2")));
}

#[tokio::test]
async fn the_answer_to_a_head_keeps_its_connection_once_the_origin_was_silent() {
    let origin = numbered(|_| PLAIN.trim_end_matches("ok").to_owned()).await;
    let proxy = one_worker(origin).await;
    ask(&proxy, "HEAD", "/").await;
    sleep(Duration::from_millis(500)).await;
    let next = ask(&proxy, "HEAD", "/").await;
    assert_eq!((next.status(), next.field("x-on")), (200, Some("1")));
}

#[tokio::test]
async fn a_second_response_is_nobodys_answer() {
    const EVIL: &str = "HTTP/1.1 200 OK\r\nX-On: evil\r\nContent-Length: 4\r\n\r\nevil";
    let first = PLAIN.replace("{n}", "1");
    for (with, after) in [
        // At once, and while the connection rests.
        (format!("{first}{EVIL}"), ""),
        (first.clone(), EVIL),
        (first.clone(), "\r\n"),
        (first.clone(), "HTTP/1.1 100 Continue\r\n\r\n"),
        // One of the others, with content or without.
        (
            format!("HTTP/1.1 204 No Content\r\nX-On: 1\r\n\r\n{EVIL}"),
            "",
        ),
        (
            format!("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nX-On: 1\r\n\r\n{EVIL}"),
            "",
        ),
        // An interim response that tells of content.
        (
            format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\n\r\n{first}"),
            "",
        ),
        (
            format!("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n{first}"),
            "",
        ),
    ] {
        let (origin, mut connections) = Origin::by_hand().await;
        let proxy = one_worker(origin.address).await;
        let answering = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            soon(read_head(&mut stream)).await.unwrap();
            stream.write_all(with.as_bytes()).await.unwrap();
            stream
        };
        let (reply, mut stream) = tokio::join!(ask(&proxy, "GET", "/"), answering);
        assert_eq!(reply.field("x-on"), Some("1"), "{with}");
        stream.write_all(after.as_bytes()).await.unwrap();
        let answering = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            soon(read_head(&mut stream)).await.unwrap();
            let plain = PLAIN.replace("{n}", "2");
            stream.write_all(plain.as_bytes()).await.unwrap();
            stream
        };
        let (next, _stream) = tokio::join!(ask(&proxy, "POST", "/"), answering);
        assert_eq!(next.field("x-on"), Some("2"), "{with}{after}");
    }
}

/// It greets whoever connects, as servers of other protocols do, and answers the request too.
#[tokio::test]
async fn the_answer_behind_an_early_one_is_nobodys() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = one_worker(origin.address).await;
    for _ in 0..10 {
        let early = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            let early = PLAIN.replace("{n}", "early");
            stream.write_all(early.as_bytes()).await.unwrap();
            // Nothing, if the proxy has seen that before it sent its request.
            soon(read_head(&mut stream)).await?;
            let late = PLAIN.replace("{n}", "late");
            stream.write_all(late.as_bytes()).await.ok()?;
            Some(stream)
        };
        let (first, _stream) = tokio::join!(ask(&proxy, "POST", "/a"), early);
        assert!(
            matches!(first.field("x-on"), Some("early") | None),
            "{first:?}"
        );
        let own = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            soon(read_head(&mut stream)).await.unwrap();
            let own = PLAIN.replacen("\r\n", "\r\nConnection: close\r\n", 1);
            let own = own.replace("{n}", "own");
            stream.write_all(own.as_bytes()).await.unwrap();
        };
        let (second, ()) = tokio::join!(ask(&proxy, "POST", "/b"), own);
        assert_eq!(second.field("x-on"), Some("own"));
    }
}

#[tokio::test]
async fn content_of_unknown_length_reaches_an_origin_that_knows_no_chunks() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = one_worker(origin.address).await;
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    let answering = async {
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        stream.write_all(old.as_bytes()).await.unwrap();
        stream
    };
    let (reply, mut first) = tokio::join!(ask(&proxy, "GET", "/"), answering);
    assert_eq!(reply.status(), 200);
    let mut client = proxy.connect().await;
    let put = "PUT / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\
               Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    client.write_all(put.as_bytes()).await.unwrap();
    let mut stream = tokio::select! {
        stream = connections.recv() => stream.unwrap(),
        Some(head) = read_head(&mut first) => panic!("on the old connection: {head}"),
    };
    let head = soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    let mut content = [0; 15];
    soon(stream.read_exact(&mut content)).await.unwrap();
    assert_eq!(&content, b"5\r\nhello\r\n0\r\n\r\n");
    stream.write_all(old.as_bytes()).await.unwrap();
    assert_eq!(read_to_end(&mut client).await.status(), 200);
}

#[tokio::test]
async fn a_connection_rests_no_longer_than_its_origin_waits() {
    for (said, pause, reused) in [
        ("timeout=0", 0, false),
        ("timeout=1", 0, true),
        ("timeout=1", 700, false),
        ("timeout=60", 700, true),
        ("timeout=60, max=1", 0, false),
        ("timeout=60, max=100", 0, true),
    ] {
        let origin =
            numbered(move |_| PLAIN.replacen("\r\n", &format!("\r\nKeep-Alive: {said}\r\n"), 1))
                .await;
        let proxy = one_worker(origin).await;
        assert_eq!(ask(&proxy, "GET", "/").await.field("x-on"), Some("1"));
        sleep(Duration::from_millis(pause)).await;
        let expected = if reused { "1" } else { "2" };
        let next = ask(&proxy, "POST", "/").await;
        assert_eq!(next.field("x-on"), Some(expected), "{said} after {pause}");
    }
}

#[tokio::test]
async fn a_connection_that_has_rested_long_enough_is_closed() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = one_worker(origin.address).await;
    let answering = async {
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        let plain = PLAIN.replacen("\r\n", "\r\nKeep-Alive: timeout=2\r\n", 1);
        stream.write_all(plain.as_bytes()).await.unwrap();
        stream
    };
    let (_, mut stream) = tokio::join!(ask(&proxy, "GET", "/"), answering);
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
}
