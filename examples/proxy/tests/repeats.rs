//! Requests on a connection that the origin has closed: which are sent again, and with what.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::UnboundedReceiver,
};

use super::support::{Origin, Proxy, read_head, read_to_end, soon};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok";

/// No content.
const NONE: &str = "X: y\r\n\r\n";

/// A proxy with a connection that has brought a response, which the test holds the other end of.
async fn with_connection() -> (Proxy, Origin, TcpStream, UnboundedReceiver<TcpStream>) {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    let answering = async {
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        stream.write_all(OK).await.unwrap();
        stream
    };
    let (_, stream) = tokio::join!(proxy.get("/", ""), answering);
    (proxy, origin, stream, connections)
}

/// What the origin gets of a request with that much content.
async fn take(stream: &mut TcpStream, content: usize) -> (String, Vec<u8>) {
    let head = soon(read_head(stream)).await.unwrap();
    let mut taken = vec![0; content];
    soon(stream.read_exact(&mut taken)).await.unwrap();
    (head, taken)
}

fn request(line: &str, content: &str) -> (String, usize) {
    let request = format!("{line} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{content}");
    let length = content.split_once("\r\n\r\n").unwrap().1.len();
    (request, length)
}

#[tokio::test]
async fn an_idempotent_request_is_sent_once_more_with_all_of_its_content() {
    let long = format!("Content-Length: 65536\r\n\r\n{}", "x".repeat(65_536));
    for (line, content) in [
        ("GET /a", NONE),
        ("OPTIONS /a", NONE),
        ("DELETE /a", NONE),
        ("DELETE /a", "Content-Length: 0\r\n\r\n"),
        ("DELETE /a", "Content-Length: 5\r\n\r\nhello"),
        ("PUT /a", "Content-Length: 0\r\n\r\n"),
        ("PUT /a", "Content-Length: 5\r\n\r\nhello"),
        (
            "PUT /a",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        ("PUT /a", &long),
    ] {
        let (proxy, _origin, mut dead, mut connections) = with_connection().await;
        let (request, length) = request(line, content);
        let mut client = proxy.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let (head, _) = take(&mut dead, length).await;
        drop(dead);
        let mut stream = soon(connections.recv()).await.unwrap();
        let (again, content) = take(&mut stream, length).await;
        assert_eq!(again, head);
        assert!(request.ends_with(std::str::from_utf8(&content).unwrap()));
        stream.write_all(OK).await.unwrap();
        assert_eq!(read_to_end(&mut client).await.status(), 200, "{line}");
    }
}

#[tokio::test]
async fn content_that_was_still_to_come_reaches_the_second_attempt() {
    let (proxy, _origin, mut dead, mut connections) = with_connection().await;
    let mut client = proxy.connect().await;
    let (request, _) = request("PUT /a", "Content-Length: 10\r\n\r\nhello");
    client.write_all(request.as_bytes()).await.unwrap();
    take(&mut dead, 5).await;
    drop(dead);
    let mut stream = soon(connections.recv()).await.unwrap();
    assert_eq!(take(&mut stream, 5).await.1, b"hello");
    client.write_all(b"world").await.unwrap();
    let mut rest = [0; 5];
    soon(stream.read_exact(&mut rest)).await.unwrap();
    assert_eq!(&rest, b"world");
    stream.write_all(OK).await.unwrap();
    assert_eq!(read_to_end(&mut client).await.status(), 200);
}

#[tokio::test]
async fn what_may_do_harm_twice_or_is_no_longer_whole_is_sent_once() {
    let long = format!("Content-Length: 65537\r\n\r\n{}", "x".repeat(65_537));
    for (line, content, answer) in [
        ("POST /a", "Content-Length: 0\r\n\r\n", ""),
        ("POST /a", "Content-Length: 5\r\n\r\nhello", ""),
        ("PATCH /a", "Content-Length: 5\r\n\r\nhello", ""),
        ("BREW /a", "Content-Length: 5\r\n\r\nhello", ""),
        ("PUT /a", long.as_str(), ""),
        // Something of a response came.
        ("PUT /a", "Content-Length: 5\r\n\r\nhello", "HTTP/1.1 200 "),
        (
            "DELETE /a",
            "Content-Length: 0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ),
    ] {
        let (proxy, _origin, mut dead, mut connections) = with_connection().await;
        let (request, length) = request(line, content);
        let mut client = proxy.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        take(&mut dead, length).await;
        dead.write_all(answer.as_bytes()).await.unwrap();
        dead.shutdown().await.unwrap();
        let status = read_to_end(&mut client).await.status();
        assert_eq!(status, 502, "{line} {answer}");
        assert!(connections.try_recv().is_err(), "{line} {answer}");
    }
}

#[tokio::test]
async fn a_request_is_sent_twice_at_most() {
    let (proxy, _origin, mut dead, mut connections) = with_connection().await;
    let mut client = proxy.connect().await;
    let (request, _) = request("PUT /a", "Content-Length: 5\r\n\r\nhello");
    client.write_all(request.as_bytes()).await.unwrap();
    take(&mut dead, 5).await;
    drop(dead);
    let mut stream = soon(connections.recv()).await.unwrap();
    take(&mut stream, 5).await;
    drop(stream);
    assert_eq!(read_to_end(&mut client).await.status(), 502);
    assert!(connections.try_recv().is_err());
}

/// The first attempt may have done it, and the second one finds nobody.
#[tokio::test]
async fn a_delete_that_was_sent_once_and_then_not_has_the_page_validated() {
    let stored = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600, stale-if-error=600\r\n\
                  Content-Length: 6\r\n\r\nstored";
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    let answering = async {
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        stream.write_all(stored.as_bytes()).await.unwrap();
        stream
    };
    let (_, mut dead) = tokio::join!(proxy.get("/", ""), answering);
    assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("HIT"));
    let mut client = proxy.connect().await;
    let (request, _) = request("DELETE /", "Content-Length: 0\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    take(&mut dead, 0).await;
    let _port = origin.die().await;
    drop(connections);
    drop(dead);
    assert_eq!(read_to_end(&mut client).await.status(), 502);
    assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("STALE"));
}
