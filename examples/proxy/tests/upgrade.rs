//! WebSocket and other upgrades: a tunnel from the 101 on, and not a byte before.

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_tungstenite::tungstenite::Message;

use super::support::{Origin, Proxy, field, ok, read_head, read_to_end, soon};

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: raw\r\n\r\n";

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
    assert_eq!(field(&head, "upgrade"), Some("raw"));
    assert_eq!(field(&head, "connection"), Some("upgrade"));
    // Nothing has come before our 101: had it, it would have been read here.
    assert!(stream.try_read(&mut [0; 8]).is_err());
    let response =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n";
    stream.write_all(response.as_bytes()).await.unwrap();
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
        let upgrade = "Connection: upgrade\r\nUpgrade: raw\r\n";
        assert_eq!(proxy.get("/", upgrade).await.status(), 200);
    }
    assert_eq!(origin.heads().len(), 2);
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
    let origin = Origin::start(|_| {
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n";
        super::support::Act::Say(head.to_owned())
    })
    .await;
    let proxy = Proxy::start(origin.address, &[]).await;
    assert_eq!(proxy.get("/", "").await.status(), 502);
}
