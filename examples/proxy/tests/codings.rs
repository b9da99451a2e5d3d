//! Transfer codings of requests: chunked, once, and nothing else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Origin, Proxy, ok, read_to_end, soon};

/// What hyper reads as chunked, and what it refuses itself because it sees no end of the content.
#[tokio::test]
async fn another_transfer_coding_is_neither_dropped_nor_passed_on() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for (coding, status) in [
        ("gzip, chunked", 501),
        ("GZIP,Chunked", 501),
        ("identity, chunked", 501),
        ("chunked, chunked", 501),
        ("gzip;q=1, chunked", 501),
        ("chunked;a=b, chunked", 501),
        ("gzip, , chunked", 501),
        (", chunked", 501),
        ("gzip\r\nTransfer-Encoding: chunked", 501),
        ("chunked\r\nTransfer-Encoding: chunked", 501),
        ("x\r\ntransfer-encoding:\r\nTRANSFER-ENCODING:chunked", 501),
        (
            "chunked\r\nContent-Length: 2\r\nTransfer-Encoding: gzip, chunked",
            501,
        ),
        ("xchunked, chunked", 501),
        ("gzip", 400),
        ("identity", 400),
        ("chunked, gzip", 400),
        ("chunked, identity", 400),
        ("chunked;q=1", 400),
        ("chunked,", 400),
        ("\"chunked\"", 400),
        ("chunked\r\nTransfer-Encoding: gzip", 400),
        ("", 400),
        ("xchunked", 400),
        ("chunke\u{fd}", 400),
    ] {
        for method in ["POST", "GET", "OPTIONS"] {
            let mut client = proxy.connect().await;
            let content = "2\r\nhi\r\n0\r\n\r\n";
            let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: {coding}\r\n\r\n\
                 {content}{smuggled}"
            );
            client.write_all(request.as_bytes()).await.unwrap();
            let reply = read_to_end(&mut client).await;
            assert_eq!(reply.status(), status, "{method}, {coding:?}");
            assert_eq!(reply.field("connection"), Some("close"), "{coding:?}");
            // One answer, and the connection is over.
            assert!(!reply.body.contains("HTTP/1.1"), "{coding:?}: {reply:?}");
        }
    }
    assert_eq!(origin.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn http_1_0_has_no_transfer_codings() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for coding in ["chunked", "gzip, chunked", "identity", ""] {
        for more in ["", "Content-Length: 2\r\n", "Connection: keep-alive\r\n"] {
            let mut client = proxy.connect().await;
            let request = format!(
                "POST / HTTP/1.0\r\nHost: a.example\r\n{more}Transfer-Encoding: {coding}\r\n\r\n\
                 2\r\nhi\r\n0\r\n\r\n"
            );
            client.write_all(request.as_bytes()).await.unwrap();
            let reply = read_to_end(&mut client).await;
            assert_eq!(reply.status(), 400, "{coding:?} {more:?}");
        }
    }
    assert_eq!(origin.heads(), Vec::<String>::new());
}

/// However it is written.
#[tokio::test]
async fn chunked_content_arrives() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for line in [
        "Transfer-Encoding: chunked",
        "transfer-encoding:CHUNKED",
        "TRANSFER-ENCODING: \t Chunked \t",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
        let serve = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            let head = soon(super::support::read_head(&mut stream)).await.unwrap();
            let codings = head.matches("chunked").count();
            assert_eq!(codings, 1, "{line}: {head}");
            let mut content = [0; 12];
            soon(stream.read_exact(&mut content)).await.unwrap();
            assert_eq!(&content, b"2\r\nhi\r\n0\r\n\r\n", "{line}");
            let done = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            stream.write_all(done).await.unwrap();
        };
        let (reply, ()) = tokio::join!(proxy.ask(&request), serve);
        assert_eq!(reply.status(), 204, "{line}");
    }
}
