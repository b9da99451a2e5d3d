//! Writes that get no response: what reached the origin decides what happens to stored responses.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::UnboundedReceiver,
};

use super::support::{Act, Origin, Proxy, ok, read_head, soon};

const STORED: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600, stale-if-error=600\r\n\
                      Content-Length: 6\r\nConnection: close\r\n\r\nstored";

/// Whether the reply came from the store without a question to the origin.
async fn is_hit(proxy: &Proxy) -> bool {
    proxy.get("/", "").await.field("x-cache") == Some("HIT")
}

/// A proxy that has stored a page, and the connections that its origin will get.
async fn with_page() -> (Proxy, Origin, UnboundedReceiver<TcpStream>) {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let answering = async {
        let mut stream = soon(connections.recv()).await.unwrap();
        read_head(&mut stream).await.unwrap();
        stream.write_all(STORED.as_bytes()).await.unwrap();
    };
    let (reply, ()) = tokio::join!(proxy.get("/", ""), answering);
    assert_eq!(reply.status(), 200);
    assert!(is_hit(&proxy).await);
    (proxy, origin, connections)
}

/// Sends a request that its client does not wait for, and returns once the proxy has given it up.
async fn leave(proxy: &Proxy, connections: &mut UnboundedReceiver<TcpStream>, request: &str) {
    let mut client = proxy.connect().await;
    client.write_all(request.as_bytes()).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    let head = soon(read_head(&mut stream)).await.unwrap();
    // All content that there is, so that the proxy has seen it too.
    let content = request.split_once("\r\n\r\n").unwrap().1;
    let mut taken = vec![0; content.len()];
    soon(stream.read_exact(&mut taken)).await.unwrap();
    assert!(head.starts_with("POST") || head.starts_with("DELETE"));
    drop(client);
    let mut rest = Vec::new();
    // The connection ends or is reset.
    let _ = soon(stream.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn content_that_did_not_come_whole_changes_nothing() {
    let (proxy, _origin, mut connections) = with_page().await;
    for request in [
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    ] {
        leave(&proxy, &mut connections, request).await;
        assert!(is_hit(&proxy).await, "{request}");
    }
}

#[tokio::test]
async fn a_whole_request_without_an_answer_has_the_page_validated() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nfull",
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfull\r\n0\r\n\r\n",
        "DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ] {
        let (proxy, _origin, mut connections) = with_page().await;
        leave(&proxy, &mut connections, request).await;
        let answering = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            read_head(&mut stream).await.unwrap();
            stream.write_all(STORED.as_bytes()).await.unwrap();
        };
        let (reply, ()) = tokio::join!(proxy.get("/", ""), answering);
        assert_ne!(reply.field("x-cache"), Some("HIT"), "{request}");
        assert!(is_hit(&proxy).await);
    }
}

#[tokio::test]
async fn a_write_to_an_origin_that_is_down_changes_nothing() {
    let fields = "Cache-Control: max-age=600, stale-if-error=600\r\n";
    let origin = Origin::start(move |head| match head.starts_with("GET") {
        true => ok(fields, "stored"),
        false => Act::Hang,
    })
    .await;
    let proxy = Proxy::start(origin.address, &[]).await;
    proxy.get("/", "").await;
    let _port = origin.die().await;
    for request in [
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi",
        "DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ] {
        assert_eq!(proxy.ask(request).await.status(), 502);
        assert!(is_hit(&proxy).await, "{request}");
    }
}

#[tokio::test]
async fn a_write_that_an_origin_breaks_off_leaves_the_page_for_errors() {
    let fields = "Cache-Control: max-age=600, stale-if-error=600\r\n";
    let origin = Origin::start(move |head| match head.starts_with("GET") {
        true => ok(fields, "stored"),
        false => Act::SayAndClose(String::new()),
    })
    .await;
    let proxy = Proxy::start(origin.address, &[]).await;
    proxy.get("/", "").await;
    let delete = "DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert_eq!(proxy.ask(delete).await.status(), 502);
    let _port = origin.die().await;
    let reply = proxy.get("/", "").await;
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.field("x-cache"), Some("STALE"));
}
