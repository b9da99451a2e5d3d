//! Content of requests that is malformed or does not arrive whole: the client's trouble, and nobody
//! else's.

use std::{io, net::SocketAddr, process::Stdio, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{Semaphore, mpsc},
};

use super::support::{Origin, Proxy, before, read_head, read_to_end, soon};

const CHUNKED: &str =
    "POST /write HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
const SIZED: &str = "POST /write HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n";

/// A proxy that logs warnings, but no word more.
pub(crate) async fn warning(origin: SocketAddr, flags: &[&str]) -> Proxy {
    let mut command = before(origin, flags);
    command.env("RUST_LOG", "warn").stderr(Stdio::piped());
    Proxy::spawn(command).await
}

/// What it has logged in all its life, which this ends.
pub(crate) async fn warnings(mut proxy: Proxy) -> String {
    proxy.child.start_kill().unwrap();
    let mut text = String::new();
    let mut log = proxy.child.stderr.take().unwrap();
    soon(log.read_to_string(&mut text)).await.unwrap();
    text
}

/// An origin that reads content to its end, and counts requests that have one.
async fn http2_origin() -> (SocketAddr, Arc<Semaphore>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let whole = Arc::new(Semaphore::new(0));
    let counted = Arc::clone(&whole);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let whole = Arc::clone(&counted);
            let service = service_fn(move |request: Request<Incoming>| {
                let whole = Arc::clone(&whole);
                async move {
                    request.into_body().collect().await?;
                    whole.add_permits(1);
                    Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, whole)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The client waits for an answer.
    Waits,
    /// The client has no more to send, and waits for an answer.
    HalfCloses,
}

/// The head, what follows it, and what the client does then.
fn broken() -> Vec<(&'static str, String, Then)> {
    let text = str::to_owned;
    vec![
        (CHUNKED, text("2\r\nhi\r\nzz\r\n"), Then::Waits),
        (CHUNKED, text("-1\r\n"), Then::Waits),
        (CHUNKED, text("2\r\nhixx0\r\n\r\n"), Then::Waits),
        (CHUNKED, text("ffffffffffffffffff\r\n"), Then::Waits),
        (CHUNKED, text("\r\n"), Then::Waits),
        (CHUNKED, text("2 2\r\nhi\r\n"), Then::Waits),
        (CHUNKED, text("0\r\nno trailer\r\n\r\n"), Then::Waits),
        (
            CHUNKED,
            format!("2;{}\r\nhi", "e".repeat(20_000)),
            Then::Waits,
        ),
        (CHUNKED, text("2\r\nhi\r\n"), Then::HalfCloses),
        (CHUNKED, text("9\r\nha"), Then::HalfCloses),
        (CHUNKED, text(""), Then::HalfCloses),
        (SIZED, text("half"), Then::HalfCloses),
        (SIZED, text(""), Then::HalfCloses),
    ]
}

#[tokio::test]
async fn broken_content_is_400_and_says_nothing_of_the_origin() {
    let (origin, mut connections) = Origin::by_hand().await;
    let flags = ["--breaker", "--workers", "1"];
    let proxy = warning(origin.address, &flags).await;
    for (head, content, then) in broken() {
        let mut client = proxy.connect().await;
        let request = format!("{head}{content}");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut stream = soon(connections.recv()).await.unwrap();
        if then == Then::HalfCloses {
            client.shutdown().await.unwrap();
        }
        let reply = read_to_end(&mut client).await;
        assert_eq!(reply.status(), 400, "{head}{content}");
        let status = reply.field("proxy-status").unwrap();
        assert!(status.contains("error=http_request_error"), "{status}");
        assert!(reply.body.starts_with("The content of this request"));
        // The origin never sees an end of the content, but that of its connection.
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await;
        let rest = String::from_utf8_lossy(&rest);
        // The last field of the head may end in 0 itself.
        let received = rest
            .split_once("\r\n\r\n")
            .map_or("", |(_, content)| content);
        assert!(!received.ends_with("0\r\n\r\n"), "{head}{content}");
    }
    // The breaker is closed, and nothing was logged.
    let answering = async {
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        let done = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(done).await.unwrap();
        stream
    };
    let (reply, _stream) = tokio::join!(proxy.get("/page", ""), answering);
    assert_eq!(reply.status(), 204);
    assert_eq!(warnings(proxy).await, "");
}

#[tokio::test]
async fn broken_content_is_400_with_an_http2_origin_too() {
    let (origin, whole) = http2_origin().await;
    let proxy = warning(origin, &["--origin-http2"]).await;
    for (head, content, then) in broken() {
        let mut client = proxy.connect().await;
        let request = format!("{head}{content}");
        client.write_all(request.as_bytes()).await.unwrap();
        if then == Then::HalfCloses {
            client.shutdown().await.unwrap();
        }
        let reply = read_to_end(&mut client).await;
        assert_eq!(reply.status(), 400, "{head}{content}");
    }
    assert_eq!(whole.available_permits(), 0);
    // The connection that they shared is sound.
    let post = format!("{CHUNKED}2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(proxy.ask(&post).await.status(), 200);
    assert_eq!(warnings(proxy).await, "");
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_news() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = warning(origin.address, &[]).await;
    for request in [
        format!("{CHUNKED}2\r\nhi\r\n"),
        format!("{CHUNKED}9\r\nha"),
        format!("{SIZED}half"),
        SIZED.to_owned(),
        format!("{CHUNKED}2\r\nhi\r\n0\r\n\r\n"),
        "DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(),
    ] {
        let mut client = proxy.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        drop(client);
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    }
    assert_eq!(warnings(proxy).await, "");
}

pub(crate) type Content = BoxBody<Bytes, io::Error>;

/// Content over HTTP/2, piece by piece. An error resets the stream.
pub(crate) fn content() -> (mpsc::UnboundedSender<io::Result<Frame<Bytes>>>, Content) {
    let (sender, mut pieces) = mpsc::unbounded_channel();
    let pieces = stream::poll_fn(move |cx| pieces.poll_recv(cx));
    (sender, StreamBody::new(pieces).boxed())
}

pub(crate) async fn connect(proxy: &Proxy) -> http2::SendRequest<Content> {
    let io = TokioIo::new(proxy.connect().await);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_stream_that_is_reset_is_no_news() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = warning(origin.address, &[]).await;
    let mut client = connect(&proxy).await;
    for how in ["reset", "given up", "too short", "too long"] {
        let (piece, body) = content();
        let mut post = Request::post("http://a.example/write");
        match how {
            "too short" => post = post.header("content-length", "9"),
            "too long" => post = post.header("content-length", "3"),
            _ => {}
        }
        piece.send(Ok(Frame::data(Bytes::from("ha")))).unwrap();
        let answer = tokio::spawn(client.send_request(post.body(body).unwrap()));
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        soon(stream.read_u8()).await.unwrap();
        match how {
            "reset" => piece.send(Err(io::ErrorKind::Other.into())).unwrap(),
            "given up" => answer.abort(),
            _ => piece.send(Ok(Frame::data(Bytes::from("lf")))).unwrap(),
        }
        drop(piece);
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{how}");
        if let Ok(Ok(response)) = soon(answer).await {
            assert_eq!(response.status(), 400, "{how}");
        }
    }
    // The connection goes on.
    let (piece, body) = content();
    drop(piece);
    let get = Request::post("http://a.example/").body(body).unwrap();
    let answering = async {
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        let done = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(done).await.unwrap();
        stream
    };
    let (response, _stream) = tokio::join!(soon(client.send_request(get)), answering);
    assert_eq!(response.unwrap().status(), 204);
    assert_eq!(warnings(proxy).await, "");
}
