//! Connections to an origin of HTTP/2: refused streams, the end of a connection, and their number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::mpsc::UnboundedReceiver,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    peer::{END_STREAM, HEADERS, INTERNAL_ERROR, NO_ERROR, Peer, REFUSED_STREAM},
    support::{Origin, Proxy, Reply, read_to_end, soon},
};

const MAX_CONCURRENT_STREAMS: u16 = 3;

async fn start() -> (Proxy, Origin, UnboundedReceiver<TcpStream>) {
    let (origin, connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &["--origin-http2", "--workers", "1"]).await;
    (proxy, origin, connections)
}

async fn next(connections: &mut UnboundedReceiver<TcpStream>, streams: u32) -> Peer {
    let stream = soon(connections.recv()).await.unwrap();
    Peer::new(stream, &[(MAX_CONCURRENT_STREAMS, streams)]).await
}

/// Sends a request and does not wait.
async fn ask(proxy: &Proxy, line: &str, content: &str) -> JoinHandle<Reply> {
    let mut client = proxy.connect().await;
    let length = content.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Content-Length: {length}\r\n\r\n{content}"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    tokio::spawn(async move { read_to_end(&mut client).await })
}

async fn body(reply: JoinHandle<Reply>) -> String {
    let reply = soon(reply).await.unwrap();
    assert_eq!(reply.status(), 200, "{reply:?}");
    reply.body
}

/// A connection that has brought a response.
async fn used(proxy: &Proxy, connections: &mut UnboundedReceiver<TcpStream>) -> Peer {
    let asked = ask(proxy, "GET /first", "").await;
    let mut peer = next(connections, 100).await;
    let stream = soon(peer.request()).await.unwrap();
    peer.answer(stream, "first").await;
    body(asked).await;
    peer
}

#[tokio::test]
async fn what_the_origin_refused_is_sent_again_with_any_method() {
    for (line, content) in [("POST /", "hello"), ("PATCH /", "hello"), ("GET /", "")] {
        for refusal in [
            "reset",
            "early reset",
            "goaway",
            "goaway on a used connection",
        ] {
            let (proxy, _origin, mut connections) = start().await;
            let (mut peer, asked) = if refusal.ends_with("used connection") {
                let peer = used(&proxy, &mut connections).await;
                (peer, ask(&proxy, line, content).await)
            } else {
                let asked = ask(&proxy, line, content).await;
                (next(&mut connections, 100).await, asked)
            };
            let stream = soon(peer.request()).await.unwrap();
            if !content.is_empty() && refusal != "early reset" {
                assert_eq!(peer.content(stream).await, content.as_bytes());
            }
            match refusal {
                "reset" | "early reset" => peer.reset(stream, REFUSED_STREAM).await,
                _ => peer.go_away(stream - 1, NO_ERROR).await,
            }
            let mut other = next(&mut connections, 100).await;
            let stream = soon(other.request()).await.unwrap();
            if !content.is_empty() {
                assert_eq!(other.content(stream).await, content.as_bytes());
            }
            other.answer(stream, "done").await;
            assert!(body(asked).await.contains("done"), "{line} {refusal}");
        }
    }
}

#[tokio::test]
async fn an_origin_that_refuses_every_time_is_asked_three_times() {
    let (proxy, _origin, mut connections) = start().await;
    let asked = ask(&proxy, "POST /", "hello").await;
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = next(&mut connections, 100).await;
        let stream = soon(peer.request()).await.unwrap();
        peer.reset(stream, REFUSED_STREAM).await;
        peers.push(peer);
    }
    assert_eq!(soon(asked).await.unwrap().status(), 502);
    assert!(connections.try_recv().is_err());
}

#[tokio::test]
async fn what_the_origin_may_have_done_is_not_sent_again() {
    for (line, content) in [("POST /", "hello"), ("PUT /", "hello"), ("GET /", "")] {
        let (proxy, _origin, mut connections) = start().await;
        let mut peer = used(&proxy, &mut connections).await;
        let asked = ask(&proxy, line, content).await;
        let stream = soon(peer.request()).await.unwrap();
        peer.reset(stream, INTERNAL_ERROR).await;
        assert_eq!(soon(asked).await.unwrap().status(), 502, "{line}");
        // The stream was among those that the origin has taken.
        let asked = ask(&proxy, "POST /", "hello").await;
        let stream = soon(peer.request()).await.unwrap();
        peer.go_away(stream, NO_ERROR).await;
        peer.close().await;
        assert_eq!(soon(asked).await.unwrap().status(), 502, "{line}");
        assert!(connections.try_recv().is_err(), "{line}");
    }
}

#[tokio::test]
async fn an_idempotent_request_on_a_dead_connection_is_sent_once_more() {
    for (line, content) in [("PUT /", "hello"), ("DELETE /", ""), ("GET /", "")] {
        let (proxy, _origin, mut connections) = start().await;
        let mut peer = used(&proxy, &mut connections).await;
        let asked = ask(&proxy, line, content).await;
        let stream = soon(peer.request()).await.unwrap();
        if !content.is_empty() {
            assert_eq!(peer.content(stream).await, content.as_bytes());
        }
        peer.close().await;
        let mut other = next(&mut connections, 100).await;
        let stream = soon(other.request()).await.unwrap();
        if !content.is_empty() {
            assert_eq!(other.content(stream).await, content.as_bytes());
        }
        other.answer(stream, "done").await;
        assert!(body(asked).await.contains("done"), "{line}");
    }
}

#[tokio::test]
async fn a_connection_that_the_origin_gives_up_finishes_and_takes_nothing_new() {
    let (proxy, _origin, mut connections) = start().await;
    let old = ask(&proxy, "GET /old", "").await;
    let mut peer = next(&mut connections, 100).await;
    let stream = soon(peer.request()).await.unwrap();
    peer.ok(stream, 0, &[("cache-control", "no-store")]).await;
    peer.go_away(stream, NO_ERROR).await;
    peer.settle().await;
    // POST, of which there must be no second attempt.
    let new = ask(&proxy, "POST /new", "hello").await;
    let mut other = tokio::select! {
        other = next(&mut connections, 100) => other,
        Some(_) = peer.request() => panic!("a request after the GOAWAY"),
    };
    let second = soon(other.request()).await.unwrap();
    other.answer(second, "new").await;
    assert!(body(new).await.contains("new"));
    peer.data(stream, END_STREAM, b"old").await;
    assert!(body(old).await.contains("old"));
}

#[tokio::test]
async fn no_request_goes_out_before_the_settings_have_come() {
    let (proxy, _origin, mut connections) = start().await;
    let first = ask(&proxy, "GET /1", "").await;
    let second = ask(&proxy, "GET /2", "").await;
    let stream = soon(connections.recv()).await.unwrap();
    let mut peer = Peer::silent(stream).await;
    let early = timeout(Duration::from_millis(300), async {
        while soon(peer.frame()).await.unwrap().kind != HEADERS {}
    });
    assert!(early.await.is_err(), "a request");
    peer.settings(&[(MAX_CONCURRENT_STREAMS, 1)]).await;
    let stream = soon(peer.request()).await.unwrap();
    // The other one needs a connection of its own, as this one has no stream left.
    let mut other = tokio::select! {
        other = next(&mut connections, 1) => other,
        Some(_) = peer.request() => panic!("more streams than there may be"),
    };
    let second_stream = soon(other.request()).await.unwrap();
    other.answer(second_stream, "ok").await;
    peer.answer(stream, "ok").await;
    body(first).await;
    body(second).await;
}

#[tokio::test]
async fn a_burst_gets_four_connections_and_waits_for_their_streams() {
    let (proxy, _origin, mut connections) = start().await;
    let mut asked = Vec::new();
    let mut peers = Vec::new();
    for n in 0..4 {
        asked.push(ask(&proxy, &format!("GET /{n}"), "").await);
        let mut peer = next(&mut connections, 1).await;
        let stream = soon(peer.request()).await.unwrap();
        // It has begun to answer, and has not ended.
        peer.ok(stream, 0, &[("cache-control", "no-store")]).await;
        peers.push((peer, stream));
    }
    let waiting = ask(&proxy, "POST /5", "hello").await;
    let (last, stream) = peers.last_mut().unwrap();
    let early = timeout(Duration::from_millis(200), last.request()).await;
    assert!(early.is_err(), "more streams than there may be");
    assert!(connections.try_recv().is_err(), "a fifth connection");
    last.data(*stream, END_STREAM, b"ok").await;
    let stream = soon(last.request()).await.unwrap();
    last.answer(stream, "waited").await;
    assert!(body(waiting).await.contains("waited"));
    body(asked.pop().unwrap()).await;
}

#[tokio::test]
async fn a_further_connection_that_fails_leaves_the_others() {
    let (proxy, origin, mut connections) = start().await;
    let first = ask(&proxy, "GET /1", "").await;
    let mut peer = next(&mut connections, 1).await;
    let stream = soon(peer.request()).await.unwrap();
    // Nobody listens any more.
    drop(connections);
    let _port = origin.die().await;
    let second = ask(&proxy, "GET /2", "").await;
    assert!(
        timeout(Duration::from_millis(200), peer.request())
            .await
            .is_err()
    );
    peer.answer(stream, "ok").await;
    body(first).await;
    let stream = soon(peer.request()).await.unwrap();
    peer.answer(stream, "second").await;
    assert!(body(second).await.contains("second"));
}

#[tokio::test]
async fn an_origin_without_settings_is_given_up() {
    let (origin, mut connections) = Origin::by_hand().await;
    let flags = ["--origin-http2", "--workers", "1", "--timeout", "300ms"];
    let proxy = Proxy::start(origin.address, &flags).await;
    let asked = ask(&proxy, "GET /", "").await;
    let stream = soon(connections.recv()).await.unwrap();
    let _peer = Peer::silent(stream).await;
    assert_eq!(soon(asked).await.unwrap().status(), 504);
}

/// Every stream that ends is one for somebody who waits.
#[tokio::test]
async fn a_crowd_is_answered_over_few_streams() {
    const CROWD: usize = 200;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connected = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connected);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            let service = service_fn(|request: Request<Incoming>| async move {
                let content = request.into_body().collect().await?.to_bytes();
                sleep(Duration::from_millis(2)).await;
                Ok::<_, hyper::Error>(Response::new(Full::new(content)))
            });
            let mut server = Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(3);
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    let proxy = Proxy::start(address, &["--origin-http2", "--workers", "1"]).await;
    let mut asked = Vec::new();
    for n in 0..CROWD {
        let (line, content) = if n % 2 == 0 {
            ("GET", "")
        } else {
            ("PUT", "hello")
        };
        asked.push((ask(&proxy, &format!("{line} /{n}"), content).await, content));
    }
    for (asked, content) in asked {
        assert!(body(asked).await.contains(content));
    }
    assert_eq!(connected.load(Ordering::Relaxed), 4);
}
