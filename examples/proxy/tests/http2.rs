//! HTTP/2 with prior knowledge, on either side.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::{body::Incoming, client::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::support::{Origin, Proxy, field, ok, read_head, soon};

pub(crate) async fn connect(proxy: &Proxy) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let io = TokioIo::new(stream);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_client_of_either_version_shares_what_the_other_fetched() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "x")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = connect(&proxy).await;
    let miss = soon(client.send_request(get("http://a.example/")))
        .await
        .unwrap();
    assert_eq!(miss.version(), Version::HTTP_2);
    assert_eq!(miss.headers()["x-cache"], "MISS");
    assert_eq!(miss.into_body().collect().await.unwrap().to_bytes(), "x");
    assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("HIT"));
    let head = origin.heads().remove(0);
    assert_eq!(field(&head, "host"), Some("a.example"));
    assert!(head.contains("via: 2 cachewarp-"), "{head}");
}

#[tokio::test]
async fn two_names_for_one_request_are_refused() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = connect(&proxy).await;
    let mut request = get("http://a.example/");
    let other = HeaderValue::from_static("b.example");
    request.headers_mut().insert("host", other);
    let reply = soon(client.send_request(request)).await.unwrap();
    assert_eq!(reply.status(), 400);
    assert!(origin.heads().is_empty());
}

/// An origin that speaks nothing but HTTP/2, echoes `:authority` and ends with a trailer.
async fn http2_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |request: Request<Incoming>| async move {
        assert!(!request.headers().contains_key("host"));
        let authority = request.uri().authority().unwrap().to_string();
        let te = request.headers().get("te").cloned();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frames = [
            Frame::data(Bytes::from(authority)),
            Frame::trailers(trailers),
        ];
        let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
        let mut response = Response::new(body);
        if let Some(te) = te {
            response.headers_mut().insert("x-te", te);
        }
        Ok::<_, Infallible>(response)
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(echo)));
        }
    });
    address
}

#[tokio::test]
async fn an_http2_origin_is_asked_for_the_clients_host_and_its_trailers_arrive() {
    let origin = http2_origin().await;
    let proxy = Proxy::start(origin, &["--origin-http2"]).await;
    let mut client = connect(&proxy).await;
    let mut request = get("http://a.example/");
    let te = HeaderValue::from_static("trailers");
    request.headers_mut().insert("te", te);
    let response = soon(client.send_request(request)).await.unwrap();
    assert_eq!(response.headers()["x-te"], "trailers");
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(body.to_bytes(), "a.example");
}

#[tokio::test]
async fn an_http1_client_reaches_an_http2_origin_with_content() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |request: Request<Incoming>| async move {
        let content = request.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Response::new(Full::new(content)))
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(echo)));
        }
    });
    let proxy = Proxy::start(address, &["--origin-http2"]).await;
    let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
    let reply = proxy.ask(post).await;
    assert_eq!((reply.status(), reply.body.as_str()), (200, "hello"));
}

/// A client that resets its streams before the origin has answered.
#[tokio::test]
async fn a_connection_leaves_a_bounded_number_of_calls_behind() {
    const STREAMS: usize = 100;
    const LEFT: usize = 64;
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    let mut client = connect(&proxy).await;
    let asked: Vec<_> = (0..STREAMS)
        .map(|path| tokio::spawn(client.send_request(get(&format!("http://a.example/{path}")))))
        .collect();
    let ended = Arc::new(Semaphore::new(0));
    for _ in 0..STREAMS {
        let mut stream = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut stream)).await.unwrap();
        let ended = Arc::clone(&ended);
        tokio::spawn(async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
            ended.add_permits(1);
        });
    }
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    let cancelled = soon(ended.acquire_many((STREAMS - LEFT) as u32)).await;
    cancelled.unwrap().forget();
    // Nobody is refused, and what somebody waits for goes on.
    let next = tokio::spawn(client.send_request(get("http://a.example/next")));
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer).await.unwrap();
    assert_eq!(soon(next).await.unwrap().unwrap().status(), 200);
    assert_eq!(ended.available_permits(), 0, "more were cancelled");
}
