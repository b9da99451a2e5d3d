//! What an origin is told about a request, and what it is not.

use tokio::io::AsyncWriteExt;

use super::support::{Origin, Proxy, command, field, ok, read_head, soon};

#[tokio::test]
async fn host_goes_on_unless_told_otherwise() {
    let origin = Origin::start(|_| ok("", "")).await;
    let keeps = Proxy::start(origin.address, &[]).await;
    keeps.get("/", "").await;
    let rewrites = Proxy::start(origin.address, &["--rewrite-host"]).await;
    rewrites.get("/", "").await;
    let heads = origin.heads();
    assert_eq!(field(&heads[0], "host"), Some("a.example"));
    assert_eq!(field(&heads[1], "host"), Some(&*origin.address.to_string()));
    assert_eq!(field(&heads[1], "x-forwarded-host"), Some("a.example"));
}

#[tokio::test]
async fn the_road_so_far_is_ours_to_tell() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let claims = "Forwarded: host=evil\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: evil\r\n\
                  X-Forwarded-Scheme: evil\r\nX-Forwarded-Port: evil\r\nX-Forwarded-Prefix: evil\r\n\
                  X-Forwarded-Server: evil\r\nX-Host: evil\r\nX-Forwarded-For: 192.0.2.1\r\n\
                  Via: 1.1 other\r\nEarly-Data: 1\r\n";
    proxy.get("/", claims).await;
    let head = origin.heads().remove(0);
    assert!(!head.contains("evil"), "{head}");
    assert_eq!(field(&head, "x-forwarded-host"), Some("a.example"));
    assert_eq!(field(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(
        field(&head, "x-forwarded-for"),
        Some("192.0.2.1, 127.0.0.1")
    );
    assert_eq!(field(&head, "via"), Some("1.1 other"));
    assert!(head.contains("via: 1.1 cachewarp-"), "{head}");
    // RFC 8470: a request that may be a replay stays marked as one.
    assert_eq!(field(&head, "early-data"), Some("1"));
}

#[tokio::test]
async fn an_absolute_target_goes_on_as_host_and_path() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    proxy
        .ask("GET http://b.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    proxy
        .ask("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let heads = origin.heads();
    assert!(heads[0].starts_with("GET /x?y HTTP/1.1\r\n"), "{heads:?}");
    assert_eq!(field(&heads[0], "host"), Some("b.example"));
    assert!(heads[1].starts_with("OPTIONS * HTTP/1.1\r\n"), "{heads:?}");
}

#[tokio::test]
async fn a_loop_is_found() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let mut itself = command();
    let (origin, port) = (format!("http://{address}"), address.port().to_string());
    itself.args(["--origin", &origin, "--port", &port]);
    let proxy = Proxy::spawn(itself).await;
    let reply = proxy.get("/", "").await;
    assert_eq!(reply.status(), 508);
}

#[tokio::test]
async fn max_forwards_ends_here() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let trace = "TRACE /x HTTP/1.1\r\nHost: a.example\r\nCookie: secret\r\nMax-Forwards: 0\r\n\r\n";
    let reply = proxy.ask(trace).await;
    assert_eq!(reply.field("content-type"), Some("message/http"));
    assert!(reply.body.starts_with("TRACE /x HTTP/1.1\r\n"), "{reply:?}");
    assert!(!reply.body.contains("secret"), "{reply:?}");
    let options = "OPTIONS / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n";
    assert_eq!(proxy.ask(options).await.status(), 204);
    assert!(origin.heads().is_empty());
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_when_the_origin_gives_it() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = proxy.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    let head = soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(field(&head, "expect"), Some("100-continue"));
    stream
        .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        .await
        .unwrap();
    let interim = soon(read_head(&mut client)).await.unwrap();
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    client.write_all(b"hi").await.unwrap();
    let mut content = [0; 2];
    soon(tokio::io::AsyncReadExt::read_exact(
        &mut stream,
        &mut content,
    ))
    .await
    .unwrap();
    assert_eq!(&content, b"hi");
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    let last = soon(read_head(&mut client)).await.unwrap();
    assert!(last.starts_with("HTTP/1.1 204 "), "{last}");
}

#[tokio::test]
async fn an_origin_may_refuse_content_before_it_is_sent() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = proxy.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    stream
        .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    // No 100 comes first.
    let head = soon(read_head(&mut client)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}

#[tokio::test]
async fn content_of_unknown_length_arrives_whatever_the_method() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for method in ["POST", "GET"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        );
        let serve = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            let head = soon(read_head(&mut stream)).await.unwrap();
            assert_eq!(
                field(&head, "transfer-encoding"),
                Some("chunked"),
                "{method}"
            );
            assert_eq!(field(&head, "content-length"), None, "{method}");
            let mut content = [0; 12];
            soon(tokio::io::AsyncReadExt::read_exact(
                &mut stream,
                &mut content,
            ))
            .await
            .unwrap();
            assert_eq!(&content, b"2\r\nhi\r\n0\r\n\r\n", "{method}");
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
        };
        let (reply, ()) = tokio::join!(proxy.ask(&request), serve);
        assert_eq!(reply.status(), 204);
    }
}
