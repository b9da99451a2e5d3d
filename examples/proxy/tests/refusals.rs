//! What hyper refuses: the client learns why, and the answer reaches it.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::support::{Act, Origin, Proxy, field, ok, read_head, read_to_end, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n";

/// A head, the status, and a word that says why.
fn malformed() -> Vec<(String, u16, &'static str)> {
    let long = "a".repeat(70_000);
    vec![
        ("G@T / HTTP/1.1\r\n\r\n".to_owned(), 400, "method"),
        ("G\u{e4}T / HTTP/1.1\r\n\r\n".to_owned(), 400, "method"),
        (" GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "method"),
        ("GET  / HTTP/1.1\r\n\r\n".to_owned(), 400, "URI"),
        ("GET /a\u{1}b HTTP/1.1\r\n\r\n".to_owned(), 400, "URI"),
        ("GET http://a:b:c/ HTTP/1.1\r\n\r\n".to_owned(), 400, "URI"),
        ("GET / HTTP/1.2\r\n\r\n".to_owned(), 400, "version"),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), 400, "version"),
        ("GET / http/1.1\r\n\r\n".to_owned(), 400, "version"),
        ("GET /\r\n\r\n".to_owned(), 400, "URI"),
        (format!("{GET}X : 1\r\n\r\n"), 400, "header"),
        (format!("{GET}X\t: 1\r\n\r\n"), 400, "header"),
        (format!("{GET}: 1\r\n\r\n"), 400, "header"),
        (format!("{GET}no colon\r\n\r\n"), 400, "header"),
        (format!("{GET}X: 1\r\n folded\r\n\r\n"), 400, "header"),
        (format!("{GET}X: \u{7f}\r\n\r\n"), 400, "header"),
        (
            format!("{GET}Content-Length: -1\r\n\r\n"),
            400,
            "content-length",
        ),
        (
            format!("{GET}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            400,
            "content-length",
        ),
        (
            format!("{GET}Transfer-Encoding: gzip\r\n\r\n"),
            400,
            "transfer-encoding",
        ),
        (
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            400,
            "transfer-encoding",
        ),
        ("\0\0\0\0".to_owned(), 400, "method"),
        (format!("{GET}X: {long}"), 431, "too large"),
        (format!("GET /{long}"), 431, "too large"),
        (
            format!("{GET}{}\r\n", "X: 1\r\n".repeat(200)),
            431,
            "too large",
        ),
    ]
}

#[tokio::test]
async fn the_client_learns_why() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &["--name", "edge"]).await;
    for (head, status, why) in malformed() {
        let shown = head.get(..head.len().min(60)).unwrap_or_default();
        let mut client = proxy.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        let reply = read_to_end(&mut client).await;
        assert_eq!(reply.status(), status, "{shown:?}");
        assert!(reply.body.contains(why), "{shown:?}: {reply:?}");
        let length = reply.body.len().to_string();
        assert_eq!(reply.field("content-length"), Some(&*length), "{reply:?}");
        assert_eq!(reply.head.matches("\ncontent-length:").count(), 1);
        assert_eq!(reply.field("connection"), Some("close"));
        assert!(reply.field("date").is_some(), "{reply:?}");
        let named = reply.field("proxy-status").unwrap();
        assert!(named.starts_with("edge; error=http_request_error; details="));
    }
    assert!(origin.heads().is_empty());
}

/// Behind a good request, and at once.
#[tokio::test]
async fn the_answers_before_it_are_whole() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "page")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for times in [1, 3] {
        let mut client = proxy.connect().await;
        let requests = format!("{GET}\r\n").repeat(times) + "BAD\r\n\r\n";
        client.write_all(requests.as_bytes()).await.unwrap();
        for _ in 0..times {
            let head = soon(read_head(&mut client)).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let mut body = [0; 4];
            soon(client.read_exact(&mut body)).await.unwrap();
            assert_eq!(&body, b"page");
        }
        let reply = read_to_end(&mut client).await;
        assert_eq!(reply.status(), 400);
        assert!(reply.body.starts_with("This request is not valid"));
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_answer() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        client.write_all(b"BAD\r\n\r\n").await.unwrap();
        for _ in 0..10 {
            client.write_all(&[b'x'; 16 * 1024]).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
        let mut all = String::new();
        soon(client.read_to_string(&mut all))
            .await
            .expect("no reset");
        assert!(all.ends_with("send it again.\n"), "{all:?}");
    }
}

/// However much it sends and however little it reads.
#[tokio::test]
async fn a_client_that_does_not_stop_is_not_waited_for_long() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut sending = proxy.connect().await;
    sending.write_all(b"BAD\r\n\r\n").await.unwrap();
    let flood = async { while sending.write_all(&[b'x'; 64 * 1024]).await.is_ok() {} };
    soon(flood).await;
    let mut silent = proxy.connect().await;
    silent.write_all(b"BAD\r\n\r\n").await.unwrap();
    let closed = async {
        // It fails once the proxy has let go of its end.
        while silent.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    soon(closed).await;
}

/// hyper's answer to what it refuses, byte for byte but for the time.
fn like_hypers() -> String {
    "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
     date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
        .to_owned()
}

#[tokio::test]
async fn what_only_looks_like_it_goes_on_as_it_is() {
    // An answer of the origin that goes past the cache, so that nothing is added to it.
    let origin = Origin::start(|_| Act::Say(like_hypers())).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let reply = proxy.get("/", "Connection: accept\r\nAccept: x\r\n").await;
    assert_eq!((reply.status(), &*reply.body), (400, ""));
    assert_eq!(reply.field("content-length"), Some("0"));
    assert_eq!(reply.field("proxy-status"), None);

    // The end of a body, and its middle.
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    for rest in ["", "more"] {
        let like = like_hypers();
        let mut client = proxy.connect().await;
        client
            .write_all(format!("{GET}\r\n").as_bytes())
            .await
            .unwrap();
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        let length = 5 + like.len() + rest.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\nfirst"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        soon(read_head(&mut client)).await.unwrap();
        soon(client.read_exact(&mut [0; 5])).await.unwrap();
        for piece in [like.as_str(), rest] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        let mut body = vec![0; length - 5];
        soon(client.read_exact(&mut body)).await.unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), like + rest);
    }
}

#[tokio::test]
async fn a_tunnel_may_carry_it() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client: TcpStream = proxy.connect().await;
    let upgrade = format!("{GET}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    client.write_all(upgrade.as_bytes()).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(switch.as_bytes()).await.unwrap();
    soon(read_head(&mut client)).await.unwrap();
    let like = like_hypers();
    stream.write_all(like.as_bytes()).await.unwrap();
    let head = soon(read_head(&mut client)).await.unwrap();
    assert_eq!(head, like);
}

/// The client is told hyper's reason, and nothing of what the origin sent.
#[tokio::test]
async fn what_the_origin_sends_is_refused_with_a_reason() {
    for (response, why) in [
        ("SECRET\r\n\r\n", "version"),
        ("HTTP/9.9 200 SECRET\r\n\r\n", "version"),
        ("HTTP/1.1 SECRET\r\n\r\n", "status"),
        ("HTTP/1.1 200 OK\r\nSECRET\r\n\r\n", "header"),
        ("HTTP/1.1 200 OK\r\n: SECRET\r\n\r\n", "header"),
        ("HTTP/1.1 200 OK\r\nX: SECRET\u{1}\r\n\r\n", "header"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "both Transfer-Encoding and Content-Length",
        ),
    ] {
        let origin = Origin::start(move |_| Act::SayAndClose(response.to_owned())).await;
        let proxy = Proxy::start(origin.address, &[]).await;
        let reply = proxy.get("/", "").await;
        assert_eq!(reply.status(), 502, "{response:?}");
        let status = reply.field("proxy-status").unwrap();
        assert!(status.contains("error=http_protocol_error"), "{status}");
        for text in [status, &*reply.body] {
            assert!(text.contains(why), "{response:?}: {text}");
            assert!(!text.contains("SECRET"), "{response:?}: {text}");
        }
        assert_eq!(field(&reply.head, "x-secret"), None);
    }
}
