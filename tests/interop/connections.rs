//! Connections that carry more than one request: none takes another's bytes.

use axum::body::Body;
use cachewarp::{CacheLayer, Memory};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::Layer;

use crate::support::{Calls, Wire, field, fresh, get, origin, serve, settle};

const GET: &str = "GET /text HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn cache() -> CacheLayer {
    CacheLayer::new(Memory::with_capacity(1 << 20))
}

#[tokio::test]
async fn pipelined_hits_come_one_after_the_other() {
    let cache = cache();
    let (service, calls) = origin(|request| fresh(request.uri().path().to_owned()));
    let service = cache.layer(service);
    crate::support::call(&service, get("/text")).await;
    settle(&cache).await;

    let mut wire = Wire::connect(serve(service).await).await;
    let other = GET.replace("/text", "/other");
    wire.send(format!("{GET}{GET}{other}{GET}").as_bytes())
        .await;
    for (path, x_cache) in [
        ("/text", "HIT"),
        ("/text", "HIT"),
        ("/other", "MISS"),
        ("/text", "HIT"),
    ] {
        let (head, body) = wire.read().await;
        assert_eq!((field(&head, "x-cache"), &*body), (Some(x_cache), path));
    }
    assert_eq!(calls.count(), 2);
}

/// The content of a GET or HEAD is never left on the connection, where the next request is read.
#[tokio::test]
async fn content_of_a_get_bypasses_and_is_not_taken_for_a_request() {
    let cache = cache();
    // This handler drops the content unread.
    let (service, calls) = origin(|_| fresh("text"));
    let service = cache.layer(service);
    crate::support::call(&service, get("/text")).await;
    settle(&cache).await;

    let address = serve(service).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    let length = smuggled.len();
    for framing in [
        format!("Content-Length: {length}\r\n\r\n{smuggled}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
    ] {
        let mut wire = Wire::connect(address).await;
        let fat = format!("GET /text HTTP/1.1\r\nHost: a.test\r\n{framing}");
        wire.send(format!("{fat}{GET}{fat}{GET}").as_bytes()).await;
        for x_cache in ["BYPASS", "HIT", "BYPASS", "HIT"] {
            let (head, body) = wire.read().await;
            assert_eq!((field(&head, "x-cache"), &*body), (Some(x_cache), "text"));
        }
    }
    assert_eq!(calls.count(), 5);
}

#[tokio::test]
async fn content_of_a_get_reaches_a_handler_that_reads_it() {
    let cache = cache();
    let seen = Calls::default();
    let counter = seen.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let counter = counter.clone();
        async move {
            counter.add();
            let content = request.into_body().collect().await?;
            Ok::<_, axum::Error>(Response::new(Body::from(content.to_bytes())))
        }
    });
    let mut wire = Wire::connect(serve(cache.layer(service)).await).await;
    for content in ["first", "second"] {
        let length = content.len();
        wire.send(
            format!("GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{content}")
                .as_bytes(),
        )
        .await;
        let (head, body) = wire.read().await;
        assert_eq!((field(&head, "x-cache"), &*body), (Some("BYPASS"), content));
    }
    assert_eq!(seen.count(), 2);
}

#[tokio::test]
async fn a_connection_goes_on_after_every_kind_of_hit() {
    let cache = cache();
    let (service, calls) = origin(|_| {
        let mut response = fresh("0123456789");
        let tag = http::HeaderValue::from_static("\"v1\"");
        response.headers_mut().insert("etag", tag);
        response
    });
    let service = cache.layer(service);
    crate::support::call(&service, get("/text")).await;
    settle(&cache).await;

    let mut wire = Wire::connect(serve(service).await).await;
    for (fields, status) in [
        ("", "200"),
        ("If-None-Match: \"v1\"\r\n", "304"),
        ("Range: bytes=1-2\r\n", "206"),
        ("Range: bytes=10-\r\n", "416"),
        ("Content-Length: 0\r\n", "200"),
    ] {
        wire.send(
            GET.replace("\r\n\r\n", &format!("\r\n{fields}\r\n"))
                .as_bytes(),
        )
        .await;
        let head = if status == "304" {
            wire.read_head().await
        } else {
            wire.read().await.0
        };
        assert_eq!(field(&head, "x-cache"), Some("HIT"), "{fields}");
        assert_eq!(head.split(' ').nth(1), Some(status), "{fields}");
    }
    wire.send(GET.replace("GET", "HEAD").as_bytes()).await;
    assert_eq!(field(&wire.read_head().await, "x-cache"), Some("HIT"));
    wire.send(GET.as_bytes()).await;
    assert_eq!(wire.read().await.1, "0123456789");
    assert_eq!(calls.count(), 1);
}

/// A client that disconnects in the middle of a hit does no harm to others.
#[tokio::test]
async fn a_client_that_leaves_during_a_hit_leaves_the_entry() {
    let cache = cache();
    let (service, calls) = origin(|_| fresh(vec![b'x'; 200_000]));
    let service = cache.layer(service);
    crate::support::call(&service, get("/text")).await;
    settle(&cache).await;
    let address = serve(service).await;
    let mut wire = Wire::connect(address).await;
    wire.send(GET.as_bytes()).await;
    wire.read_head().await;
    drop(wire);
    let whole = crate::support::ask(address, get("/text")).await;
    assert_eq!((whole.x_cache(), whole.body.len()), ("HIT", 200_000));
    assert_eq!(calls.count(), 1);
}
