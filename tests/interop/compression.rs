//! Compression on either side of the cache: no client gets a coding that it did not accept.

use axum::body::Body;
use cachewarp::{CacheLayer, CacheOutcome, ForwardReason, Memory, Storing};
use http::{
    HeaderValue, Request, Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY},
};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Reply, call, fresh, get, origin, settle, with};

fn cache() -> CacheLayer {
    CacheLayer::new(Memory::with_capacity(1 << 20))
}

fn wants_gzip<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(ACCEPT_ENCODING)
}

fn assert_answer(reply: &Reply, x_cache: &str, coding: Option<&str>, body: &str) {
    let seen = (reply.x_cache(), reply.field("content-encoding"));
    assert_eq!(seen, (x_cache, coding));
    assert_eq!(reply.body, body);
}

/// The cache outside of a handler that encodes and forgets to say that it varies.
#[tokio::test]
async fn a_coding_without_vary_is_kept_from_those_who_did_not_ask() {
    let cache = cache();
    let (service, calls) = origin(|request| {
        if !wants_gzip(request) {
            return fresh("plain");
        }
        let mut response = fresh("gzipped");
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
        response
    });
    let service = cache.layer(service);
    let gzip = || with(get("/text"), "accept-encoding", b"gzip");

    let reply = call(&service, gzip()).await;
    assert_answer(&reply, "MISS", Some("gzip"), "gzipped");
    settle(&cache).await;
    let reply = call(&service, get("/text")).await;
    assert_answer(&reply, "MISS", None, "plain");
    let outcome = reply.outcome();
    let stored = matches!(
        outcome,
        CacheOutcome::Fetched {
            forward: ForwardReason::VaryMiss,
            storing: Storing::Begun { ttl: 3600, .. },
            ..
        }
    );
    assert!(stored, "{outcome:?}");
    settle(&cache).await;

    let reply = call(&service, gzip()).await;
    assert_answer(&reply, "HIT", Some("gzip"), "gzipped");
    let reply = call(&service, get("/text")).await;
    assert_answer(&reply, "HIT", None, "plain");
    assert_eq!(calls.count(), 2);
    // The field is added to what is compared, not to what is sent.
    assert_eq!(reply.field("vary"), None);
}

/// The cache inside: it holds the plain bytes, and each client's answer is encoded anew.
#[tokio::test]
async fn a_compression_layer_around_the_cache_encodes_hits() {
    let cache = cache();
    let (service, calls) = origin(|_| fresh("text"));
    let cached = cache.layer(service);
    let compressed = service_fn(move |request: Request<Body>| {
        let cached = cached.clone();
        async move {
            let encode = wants_gzip(&request);
            let (mut head, body) = cached.oneshot(request).await?.into_parts();
            head.headers
                .append(VARY, HeaderValue::from_static("accept-encoding"));
            if !encode {
                return Ok::<_, cachewarp::BoxError>(Response::from_parts(head, Body::new(body)));
            }
            let plain = body.collect().await?.to_bytes();
            let plain = String::from_utf8_lossy(&plain);
            head.headers.remove(CONTENT_LENGTH);
            let gzip = HeaderValue::from_static("gzip");
            head.headers.insert(CONTENT_ENCODING, gzip);
            let encoded = Body::from(format!("gzip({plain})"));
            Ok(Response::from_parts(head, encoded))
        }
    });
    let gzip = || with(get("/text"), "accept-encoding", b"gzip");

    let reply = call(&compressed, gzip()).await;
    assert_answer(&reply, "MISS", Some("gzip"), "gzip(text)");
    settle(&cache).await;
    let reply = call(&compressed, get("/text")).await;
    assert_answer(&reply, "HIT", None, "text");
    let reply = call(&compressed, gzip()).await;
    assert_answer(&reply, "HIT", Some("gzip"), "gzip(text)");
    assert_eq!(calls.count(), 1);
}
