//! Fields for one connection stay on that connection, fresh or from the cache.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Act, Origin, Proxy, field, ok, read_head, soon};

const NINE: [(&str, &str); 9] = [
    ("Connection", "X-Hop, Keep-Alive"),
    ("X-Hop", "1"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "gzip"),
    ("Upgrade", "h2c"),
    ("Proxy-Authenticate", "Basic"),
    ("Proxy-Authentication-Info", "x=1"),
    ("Proxy-Authorization", "Basic eDp5"),
];

fn lines(fields: &[(&str, &str)]) -> String {
    fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

#[tokio::test]
async fn a_request_loses_them() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let fields = lines(&NINE) + "X-Keep: 1\r\n";
    assert_eq!(proxy.get("/", &fields).await.status(), 200);
    let head = origin.heads().remove(0);
    for (name, _) in NINE {
        assert_eq!(field(&head, name), None, "{name}");
    }
    assert_eq!(field(&head, "x-keep"), Some("1"));
}

#[tokio::test]
async fn a_response_loses_them_when_fresh_and_when_stored() {
    let fields = lines(&NINE) + "X-Keep: 1\r\nCache-Control: max-age=60\r\n";
    let origin = Origin::start(move |_| ok(&fields, "x")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for outcome in ["MISS", "HIT"] {
        let reply = proxy.get("/", "").await;
        assert_eq!(reply.field("x-cache"), Some(outcome), "{reply:?}");
        for (name, _) in NINE {
            // Our own, as this client asked for it.
            let expected = (name == "Connection").then_some("close");
            assert_eq!(reply.field(name), expected, "{outcome}: {name}");
        }
        assert_eq!(reply.field("x-keep"), Some("1"));
    }
    assert_eq!(origin.heads().len(), 1);
}

#[tokio::test]
async fn a_client_that_takes_away_a_needed_field_goes_around_the_cache() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "x")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let tampering = "Connection: Accept-Language\r\nAccept-Language: de\r\n";
    for _ in 0..2 {
        let reply = proxy.get("/", tampering).await;
        assert_eq!(
            (reply.status(), reply.field("x-cache")),
            (200, Some("BYPASS"))
        );
        let member = "cachewarp; fwd=bypass; detail=connection-header";
        assert_eq!(reply.field("cache-status"), Some(member));
    }
    // Nothing of it was kept.
    assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("MISS"));
    assert_eq!(origin.heads().len(), 3);
    assert_eq!(field(&origin.heads()[0], "accept-language"), None);
}

#[tokio::test]
async fn the_wish_for_trailers_goes_on_and_so_do_they() {
    let origin = Origin::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
        super::support::Act::Say(format!("{head}2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"))
    })
    .await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let reply = proxy.get("/", "TE: trailers\r\n").await;
    assert!(
        reply.body.to_ascii_lowercase().contains("x-sum: 7"),
        "{reply:?}"
    );
    assert_eq!(field(&origin.heads()[0], "te"), Some("trailers"));
}

/// An origin of HTTP/1.0 does not end the connection of the client.
#[tokio::test]
async fn a_response_has_the_version_of_the_proxy() {
    let old = "HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nhere";
    let origin = Origin::start(|_| Act::SayAndClose(old.to_owned())).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = proxy.connect().await;
    for (path, x_cache) in [("/a", "MISS"), ("/b", "MISS"), ("/b", "HIT")] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let head = soon(read_head(&mut client))
            .await
            .expect("the connection is open");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        assert_eq!(field(&head, "x-cache"), Some(x_cache), "{path}: {head}");
        soon(client.read_exact(&mut [0; 4])).await.unwrap();
    }
}
