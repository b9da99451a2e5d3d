//! WebSocket: a tunnel from the 101 on, and not a byte before.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;

use super::support::{Act, Origin, Proxy, field, ok, read_head, read_to_end, soon};

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn a_websocket_goes_through() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let proxy = Proxy::start(origin, &[]).await;
    let url = format!("ws://{}/chat", proxy.address);
    let (mut socket, response) = soon(tokio_tungstenite::connect_async(url)).await.unwrap();
    assert_eq!(response.status(), 101);
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        let echo = soon(socket.next()).await.unwrap().unwrap();
        assert_eq!(echo, Message::text(text));
    }
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn bytes_flow_only_after_the_101() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = proxy.connect().await;
    // What follows the head at once is either the next protocol or a smuggled request.
    client
        .write_all(format!("{REQUEST}early").as_bytes())
        .await
        .unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    let head = soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "connection"), Some("upgrade"));
    // Nothing has come before our 101: had it, it would have been read here.
    assert!(stream.try_read(&mut [0; 8]).is_err());
    stream.write_all(SWITCH.as_bytes()).await.unwrap();
    let head = soon(read_head(&mut client)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut early = [0; 5];
    soon(stream.read_exact(&mut early)).await.unwrap();
    assert_eq!(&early, b"early");
    stream.write_all(b"late").await.unwrap();
    let mut late = [0; 4];
    soon(client.read_exact(&mut late)).await.unwrap();
    assert_eq!(&late, b"late");
}

#[tokio::test]
async fn bytes_after_a_refused_upgrade_reach_nobody() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = proxy.connect().await;
    client
        .write_all(format!("{REQUEST}not HTTP\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    let response = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nno";
    stream.write_all(response.as_bytes()).await.unwrap();
    let reply = read_to_end(&mut client).await;
    assert_eq!(reply.status(), 200);
    drop(proxy);
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn the_answer_to_a_refused_upgrade_is_not_kept() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "x")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for _ in 0..2 {
        let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        assert_eq!(proxy.get("/", upgrade).await.status(), 200);
    }
    assert_eq!(origin.heads().len(), 2);
}

/// A server may ignore an upgrade, so the answer is one for everybody.
#[tokio::test]
async fn another_upgrade_is_a_plain_request() {
    for (method, protocol) in [
        ("GET", "h2c"),
        ("GET", "raw"),
        ("GET", "TLS/1.0, HTTP/1.1"),
        ("GET", "websocket/13"),
        ("GET", "xwebsocket"),
        ("HEAD", "websocket"),
        ("POST", "websocket"),
        ("PUT", "raw"),
    ] {
        let origin = Origin::start(|head| match head.starts_with("HEAD") {
            true => Act::Say("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n".to_owned()),
            false => ok("Cache-Control: max-age=60\r\n", "x"),
        })
        .await;
        let proxy = Proxy::start(origin.address, &[]).await;
        let mut client = proxy.connect().await;
        let upgrade = format!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAAA\r\n"
        );
        // The connection goes on as it was.
        for x_cache in ["MISS", "HIT"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n{upgrade}\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let head = soon(read_head(&mut client)).await.expect("it goes on");
            assert!(head.starts_with("HTTP/1.1 200 "), "{protocol}: {head}");
            if method != "HEAD" {
                soon(client.read_exact(&mut [0; 1])).await.unwrap();
            }
            if method == "GET" {
                assert_eq!(field(&head, "x-cache"), Some(x_cache), "{protocol}");
            }
        }
        let head = origin.heads().remove(0);
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(field(&head, name), None, "{method} {protocol}: {head}");
        }
    }
}

#[tokio::test]
async fn of_several_protocols_only_websocket_goes_on() {
    for protocols in [
        "h2c, WebSocket",
        "websocket, raw",
        "raw\r\nUpgrade: websocket",
    ] {
        let (origin, mut connections) = Origin::by_hand().await;
        let proxy = Proxy::start(origin.address, &[]).await;
        let mut client = proxy.connect().await;
        let request = REQUEST.replacen("Upgrade: websocket", &format!("Upgrade: {protocols}"), 1);
        client.write_all(request.as_bytes()).await.unwrap();
        let mut stream = soon(connections.recv()).await.unwrap();
        let head = soon(read_head(&mut stream)).await.unwrap();
        let asked: Vec<_> = head
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("upgrade:"))
            .collect();
        assert_eq!(asked, ["upgrade: websocket"], "{protocols}");
        stream.write_all(SWITCH.as_bytes()).await.unwrap();
        let head = soon(read_head(&mut client)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{protocols}: {head}");
        stream.write_all(b"yes").await.unwrap();
        soon(client.read_exact(&mut [0; 3])).await.unwrap();
    }
}

#[tokio::test]
async fn a_101_to_another_protocol_is_502() {
    for named in [
        "",
        "Upgrade: raw\r\n",
        "Upgrade: websocket, raw\r\n",
        "Upgrade: h2c\r\n",
    ] {
        let (origin, mut connections) = Origin::by_hand().await;
        let proxy = Proxy::start(origin.address, &[]).await;
        let mut client = proxy.connect().await;
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        let response =
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n{named}\r\nraw");
        stream.write_all(response.as_bytes()).await.unwrap();
        let head = soon(read_head(&mut client)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 502 "), "{named:?}: {head}");
        // And that connection is over.
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty());
    }
}

/// A proxy with these flags, and both ends of a tunnel through it.
async fn tunnel(flags: &[&str]) -> (Proxy, Origin, TcpStream, TcpStream) {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, flags).await;
    let mut client = proxy.connect().await;
    client.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    stream.write_all(SWITCH.as_bytes()).await.unwrap();
    soon(read_head(&mut client)).await.unwrap();
    (proxy, origin, client, stream)
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_and_one_side_is_enough_to_keep_it() {
    let limit = Duration::from_millis(600);
    for speaker in ["client", "origin"] {
        let flags = ["--tunnel-timeout", "0.6", "--client-timeout", "0.1"];
        let (_proxy, _origin, mut client, mut stream) = tunnel(&flags).await;
        let mut last = tokio::time::Instant::now();
        for _ in 0..6 {
            tokio::time::sleep(limit / 4).await;
            let (from, to) = match speaker {
                "client" => (&mut client, &mut stream),
                _ => (&mut stream, &mut client),
            };
            last = tokio::time::Instant::now();
            from.write_all(b"x").await.unwrap();
            soon(to.read_exact(&mut [0; 1])).await.expect("it is open");
        }
        for end in [&mut client, &mut stream] {
            assert_eq!(soon(end.read(&mut [0; 1])).await.unwrap_or(0), 0);
        }
        assert!(last.elapsed() >= limit, "{speaker}");
    }
}

/// It keeps its place among the clients, which nobody takes from it.
#[tokio::test]
async fn a_tunnel_counts_among_connections() {
    let flags = ["--workers", "1", "--max-connections", "1"];
    let (proxy, _origin, mut client, mut stream) = tunnel(&flags).await;
    let mut next = proxy.connect().await;
    let own = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    next.write_all(own.as_bytes()).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(300), read_head(&mut next)).await;
    assert!(waited.is_err(), "{waited:?}");
    client.write_all(b"x").await.unwrap();
    soon(stream.read_exact(&mut [0; 1])).await.unwrap();
    drop((client, stream));
    let head = soon(read_head(&mut next)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
}

#[tokio::test]
async fn a_tunnel_ends_at_shutdown() {
    let (mut proxy, _origin, mut client, mut stream) = tunnel(&["--shutdown-timeout", "15m"]).await;
    proxy.signal("-TERM").await;
    for end in [&mut client, &mut stream] {
        assert_eq!(soon(end.read(&mut [0; 1])).await.unwrap_or(0), 0);
    }
    let status = soon(proxy.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn http2_in_cleartext_is_no_upgrade() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n";
    assert_eq!(proxy.get("/", h2c).await.status(), 200);
    let head = origin.heads().remove(0);
    assert_eq!(field(&head, "upgrade"), None);
    assert_eq!(field(&head, "http2-settings"), None);
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_502() {
    let origin = Origin::start(|_| Act::Say(SWITCH.to_owned())).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    assert_eq!(proxy.get("/", "").await.status(), 502);
}
