//! An origin that is down, slow, or not to be understood.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use super::support::{Act, Origin, Proxy, command, field, ok, read_head, read_to_end, soon};

#[tokio::test]
async fn an_origin_that_cannot_be_reached_is_502_and_says_why() {
    // Bound and dropped: nobody listens there.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap().to_string();
    drop(unused);
    // There is no such name anywhere (RFC 6761 section 6.4).
    let nowhere = "no.such.invalid".to_owned();
    for (host, error, words) in [
        (&address, "connection_refused", "cannot be reached"),
        (&nowhere, "dns_error", "address"),
    ] {
        for scheme in ["http", "https"] {
            let mut command = command();
            let origin = format!("{scheme}://{host}");
            command.args(["--origin", &origin, "--port", "0"]);
            let proxy = Proxy::spawn(command).await;
            let reply = proxy.get("/", "").await;
            let said = (reply.status(), reply.error());
            assert_eq!(said, (502, Some(error)), "{origin}");
            assert!(reply.body.contains(words), "{reply:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_proxy_that_can_open_no_connection_is_503_until_it_can() {
    let origin = Origin::start(|_| ok("Cache-Control: no-store\r\n", "page")).await;
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    let mut client = proxy.connect().await;
    let id = proxy.child.id().unwrap().to_string();
    let limit = async |nofile: &str| {
        let status = Command::new("prlimit")
            .args(["--pid", &id, nofile])
            .status();
        assert!(status.await.unwrap().success());
    };
    // The connection is accepted once it has an answer.
    let ask = b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    client.write_all(ask).await.unwrap();
    soon(read_head(&mut client)).await.unwrap();
    limit("--nofile=3:").await;
    let mut content = Vec::new();
    for (path, method) in [("/a", "GET"), ("/b", "POST")] {
        let ask = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        client.write_all(ask.as_bytes()).await.unwrap();
        let head = soon(read_head(&mut client)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        let status = field(&head, "proxy-status").unwrap_or_default();
        assert!(status.contains("error=proxy_internal_error"), "{head}");
        let length = field(&head, "content-length").unwrap().parse().unwrap();
        content.resize(length, 0);
        soon(client.read_exact(&mut content)).await.unwrap();
        let text = String::from_utf8_lossy(&content);
        assert!(text.contains("no more connections"), "{text}");
    }
    limit("--nofile=100:").await;
    assert_eq!(proxy.get("/a", "").await.status(), 200);
}

#[tokio::test]
async fn an_origin_that_is_slow_is_504() {
    let origin = Origin::start(|_| Act::Hang).await;
    let proxy = Proxy::start(origin.address, &["--origin-timeout", "100ms"]).await;
    assert_eq!(proxy.get("/", "").await.status(), 504);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(proxy.ask(post).await.status(), 504);
}

#[tokio::test]
async fn a_client_that_pauses_its_upload_does_not_make_the_origin_slow() {
    for framing in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
        let (origin, mut connections) = Origin::by_hand().await;
        let proxy = Proxy::start(origin.address, &["--origin-timeout", "200ms"]).await;
        let mut client = proxy.connect().await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        let (first, second) = match framing {
            "Content-Length: 4" => ("hi", "ho"),
            _ => ("2\r\nhi\r\n", "2\r\nho\r\n0\r\n\r\n"),
        };
        // Before the first piece, and between two of them.
        for piece in [first, second] {
            tokio::time::sleep(Duration::from_millis(500)).await;
            client.write_all(piece.as_bytes()).await.unwrap();
            let mut content = vec![0; piece.len()];
            soon(stream.read_exact(&mut content)).await.unwrap();
            assert_eq!(content, piece.as_bytes(), "{framing}");
        }
        // From here on the origin is the one to be waited for.
        let head = soon(read_head(&mut client)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 504 "), "{framing}: {head}");
    }
}

#[tokio::test]
async fn a_client_that_never_ends_its_upload_is_408() {
    let (origin, mut connections) = Origin::by_hand().await;
    let flags = ["--origin-timeout", "100ms", "--client-timeout", "300ms"];
    let proxy = Proxy::start(origin.address, &flags).await;
    let mut client = proxy.connect().await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhi";
    client.write_all(post.as_bytes()).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    let reply = read_to_end(&mut client).await;
    assert_eq!(reply.status(), 408);
    // And the origin is not left waiting.
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"hi");
}

#[tokio::test]
async fn a_304_to_a_request_without_a_condition_is_502() {
    let origin = Origin::start(|head| {
        let etag = "Cache-Control: no-cache\r\nETag: \"1\"\r\n";
        if head.starts_with("GET /fine ") && field(head, "if-none-match").is_none() {
            return ok(etag, "fine");
        }
        Act::Say(format!("HTTP/1.1 304 Not Modified\r\n{etag}\r\n"))
    })
    .await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let unasked = proxy.get("/", "").await;
    assert_eq!(unasked.status(), 502);
    assert_eq!(unasked.error(), Some("http_protocol_error"));
    // A condition of the client's, on its way to the origin as it is.
    let past = "Cache-Control: no-store\r\nIf-None-Match: \"1\"\r\n";
    assert_eq!(proxy.get("/other", past).await.status(), 304);
    // A condition of the cache's own.
    for _ in 0..2 {
        let reply = proxy.get("/fine", "").await;
        assert_eq!((reply.status(), reply.body.as_str()), (200, "fine"));
    }
    let last = origin.heads().pop().unwrap();
    assert_eq!(field(&last, "if-none-match"), Some("\"1\""));
}

#[tokio::test]
async fn a_response_without_a_sure_end_is_502_and_its_connection_is_not_used_again() {
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Content-Length: five\r\n\r\nhello",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (origin, mut connections) = Origin::by_hand().await;
        let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
        let first = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            read_head(&mut stream).await.unwrap();
            let response = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{framing}");
            stream.write_all(response.as_bytes()).await.unwrap();
            stream
        };
        let (reply, _first) = tokio::join!(proxy.get("/", ""), first);
        assert_eq!(reply.status(), 502, "{framing:?}");
        let second = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            read_head(&mut stream).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            stream
        };
        let (reply, _second) = tokio::join!(proxy.get("/", ""), second);
        assert_eq!(
            (reply.status(), reply.body.as_str()),
            (200, "ok"),
            "{framing:?}"
        );
    }
}

/// The first request on every connection is answered, the second one breaks it.
async fn brittle() -> (Origin, Proxy) {
    let (origin, mut connections) = Origin::by_hand().await;
    tokio::spawn(async move {
        while let Some(mut stream) = connections.recv().await {
            tokio::spawn(async move {
                read_head(&mut stream).await?;
                let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                stream.write_all(ok).await.ok()?;
                read_head(&mut stream).await
            });
        }
    });
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    assert_eq!(proxy.get("/", "").await.status(), 200);
    (origin, proxy)
}

#[tokio::test]
async fn a_safe_request_is_sent_once_more_on_a_new_connection() {
    let (_origin, proxy) = brittle().await;
    let reply = proxy.get("/", "").await;
    assert_eq!((reply.status(), reply.body.as_str()), (200, "ok"));
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let (_origin, proxy) = brittle().await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let reply = proxy.ask(post).await;
    assert_eq!(reply.status(), 502);
    assert_eq!(reply.error(), Some("connection_terminated"));
}

#[tokio::test]
async fn a_request_on_a_new_connection_is_sent_once() {
    let origin = Origin::start(|_| Act::SayAndClose(String::new())).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    assert_eq!(proxy.get("/", "").await.status(), 502);
    assert_eq!(origin.heads().len(), 1);
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_is_passed_on_but_not_kept() {
    let asked = AtomicUsize::new(0);
    let origin = Origin::start(move |_| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        Act::SayAndClose(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n{number}"
        ))
    })
    .await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for number in ["0", "1"] {
        let reply = proxy.get("/", "").await;
        assert_eq!(reply.status(), 200);
        assert!(reply.body.contains(number), "{reply:?}");
    }
}

#[tokio::test]
async fn a_large_or_odd_head_is_refused_before_the_origin_sees_it() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let many = "X: 1\r\n".repeat(65);
    let more = "X: 1\r\n".repeat(200);
    let long = format!("X: {}\r\n", "x".repeat(16 * 1024));
    for fields in [many, more, long] {
        assert_eq!(proxy.get("/", &fields).await.status(), 431);
    }
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nx",
    ] {
        assert_eq!(proxy.ask(request).await.status(), 400, "{request:?}");
    }
    assert_eq!(
        proxy
            .ask("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
            .await
            .status(),
        501
    );
    assert!(origin.heads().is_empty());
}

#[tokio::test]
async fn a_silent_client_is_hung_up_on_but_not_a_waiting_one() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &["--client-timeout", "200ms"]).await;
    let mut waiting = proxy.connect().await;
    waiting
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();

    // No byte, half a head, and nothing after a first request.
    let done = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    for sent in ["", "GET / HTTP/1.1\r\nHo", done] {
        let mut client = proxy.connect().await;
        client.write_all(sent.as_bytes()).await.unwrap();
        read_to_end(&mut client).await;
    }
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    assert!(
        soon(read_head(&mut waiting))
            .await
            .unwrap()
            .starts_with("HTTP/1.1 204 ")
    );
}

/// Everybody waits for the same page, and the origin closes each connection without an answer.
#[tokio::test]
async fn a_crowd_makes_two_calls_at_most_of_an_origin_that_closes_without_an_answer() {
    const CROWD: usize = 50;
    const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n";
    for connection in ["new", "used"] {
        let (origin, mut connections) = Origin::by_hand().await;
        let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
        let other = || proxy.get("/other", "");
        let mut open = None;
        if connection == "used" {
            let answering = async {
                let mut stream = soon(connections.recv()).await.unwrap();
                read_head(&mut stream).await.unwrap();
                stream.write_all(EMPTY).await.unwrap();
                open = Some(stream);
            };
            tokio::join!(other(), answering);
        }
        let crowd = join_all((0..CROWD).map(|_| proxy.get("/page", "")));
        let closing = async {
            let mut first = match open {
                Some(stream) => stream,
                None => soon(connections.recv()).await.unwrap(),
            };
            let head = read_head(&mut first).await.unwrap();
            assert!(head.starts_with("GET /page"), "{head}");
            // The one worker of the proxy has read what all of them sent before it answers these.
            for _ in 0..3 {
                let answering = async {
                    let mut stream = soon(connections.recv()).await.unwrap();
                    read_head(&mut stream).await.unwrap();
                    let closing = String::from_utf8_lossy(EMPTY).replacen(
                        "\r\n",
                        "\r\nConnection: close\r\n",
                        1,
                    );
                    stream.write_all(closing.as_bytes()).await.unwrap();
                };
                tokio::join!(other(), answering);
            }
            drop(first);
            let mut calls = 1;
            while let Some(mut stream) = connections.recv().await {
                calls += usize::from(read_head(&mut stream).await.is_some());
                assert!(calls <= 2, "one more call on a {connection} connection");
            }
        };
        tokio::select! {
            replies = crowd => {
                for reply in replies {
                    assert_eq!(reply.status(), 502);
                }
            }
            () = closing => panic!("the origin is gone"),
        }
    }
}
