//! Bodies that the origin does not send whole: no client takes one for whole, and none is stored.

use std::process::Stdio;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::UnboundedReceiver,
};

use super::{
    peer::{CANCEL, END_STREAM, NO_ERROR, Peer},
    support::{Act, Origin, Proxy, Reply, before, read_head, read_to_end, soon},
};

/// How an origin of HTTP/2 ends a body.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Stream,
    /// With trailers.
    Trailers,
    /// The end, then a reset, as of an upload that it needs no more of.
    StreamAndReset,
    Reset(u32),
    GoAway,
    Close,
}

const FIELDS: [(&str, &str); 2] = [("cache-control", "max-age=60"), ("etag", "\"1\"")];

async fn serve(connections: &mut UnboundedReceiver<TcpStream>, ending: Ending) -> Peer {
    let stream = soon(connections.recv()).await.unwrap();
    let mut peer = Peer::new(stream, &[]).await;
    let stream = soon(peer.request()).await.unwrap();
    peer.ok(stream, 0, &FIELDS).await;
    peer.data(stream, 0, b"some").await;
    // The client has had its head and a part of the body.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    match ending {
        Ending::Stream => peer.data(stream, END_STREAM, b"").await,
        Ending::Trailers => {
            let block = [&[0, 5][..], b"x-sum", &[1], b"1"].concat();
            peer.send(super::peer::HEADERS, 4 | END_STREAM, stream, &block)
                .await;
        }
        Ending::StreamAndReset => {
            peer.data(stream, END_STREAM, b"").await;
            peer.reset(stream, NO_ERROR).await;
        }
        Ending::Reset(reason) => peer.reset(stream, reason).await,
        Ending::GoAway => peer.go_away(0, NO_ERROR).await,
        Ending::Close => peer.close().await,
    }
    peer
}

/// Whether a response of HTTP/1.1 in chunks is whole.
fn is_whole(reply: &Reply) -> bool {
    assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
    reply.body.contains("some") && reply.body.ends_with("0\r\n\r\n")
}

#[tokio::test]
async fn a_body_of_http2_is_whole_after_the_end_of_its_stream_alone() {
    for (ending, whole) in [
        (Ending::Stream, true),
        (Ending::Trailers, true),
        (Ending::StreamAndReset, true),
        (Ending::Reset(NO_ERROR), false),
        (Ending::Reset(CANCEL), false),
        (Ending::GoAway, false),
        (Ending::Close, false),
    ] {
        let (origin, mut connections) = Origin::by_hand().await;
        let flags = ["--origin-http2", "--workers", "1"];
        let proxy = Proxy::start(origin.address, &flags).await;
        let asked = proxy.get("/", "");
        let (reply, peer) = tokio::join!(asked, serve(&mut connections, ending));
        assert_eq!(is_whole(&reply), whole, "{ending:?}: {reply:?}");
        if whole {
            assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("HIT"));
            continue;
        }
        // It is not stored.
        let asked = proxy.get("/", "");
        let again = async {
            match ending {
                Ending::Reset(_) => {
                    let mut peer = peer;
                    let stream = soon(peer.request()).await.unwrap();
                    peer.answer(stream, "some more").await;
                    peer
                }
                _ => serve(&mut connections, Ending::Stream).await,
            }
        };
        let (reply, _peer) = tokio::join!(asked, again);
        assert!(is_whole(&reply), "{ending:?}: {reply:?}");
        assert_eq!(reply.field("x-cache"), Some("MISS"), "{ending:?}");
    }
}

/// A reset connection is no end, also where the end of the connection is that of the body.
#[tokio::test]
async fn a_body_of_http1_that_is_cut_does_not_look_whole() {
    for (head, ends) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
            "closes",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n",
            "closes",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nsome",
            "closes",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nsome", "resets"),
        ("HTTP/1.0 200 OK\r\n\r\nsome", "resets"),
        ("HTTP/1.0 200 OK\r\n\r\nsome", "closes whole"),
    ] {
        let (origin, mut connections) = Origin::by_hand().await;
        let proxy = Proxy::start(origin.address, &[]).await;
        let answering = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            soon(super::support::read_head(&mut stream)).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            if ends == "resets" {
                let socket = socket2::SockRef::from(&stream);
                socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
            }
        };
        let (reply, ()) = tokio::join!(proxy.get("/", ""), answering);
        assert_eq!(
            is_whole(&reply),
            ends == "closes whole",
            "{head:?}: {reply:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_shorter_than_its_length_does_not_look_whole() {
    let origin = Origin::start(|_| {
        Act::SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome".to_owned())
    })
    .await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = proxy.connect().await;
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    client.write_all(request).await.unwrap();
    // To the end of the connection, which must not go on.
    let reply = read_to_end(&mut client).await;
    assert_ne!(reply.body.len(), 9);
}

#[tokio::test]
async fn the_log_warns_of_a_response_that_breaks_off_once_a_second() {
    let (origin, mut connections) = Origin::by_hand().await;
    let mut command = before(origin.address, &["--log-level", "warn"]);
    command.env_remove("RUST_LOG").stderr(Stdio::piped());
    let mut proxy = Proxy::spawn(command).await;
    for _ in 0..3 {
        let cut = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            soon(read_head(&mut stream)).await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
            stream.write_all(head).await.unwrap();
        };
        let (reply, ()) = tokio::join!(proxy.get("/", ""), cut);
        assert_eq!(reply.body, "half");
    }
    proxy.signal("-TERM").await;
    let mut log = String::new();
    let mut stderr = proxy.child.stderr.take().unwrap();
    soon(stderr.read_to_string(&mut log)).await.unwrap();
    let lines = log.lines().count();
    assert!((1..=2).contains(&lines), "{log}");
    assert!(log.contains("a response of the origin broke off"), "{log}");
    assert!(log.contains("error="), "{log}");
}
