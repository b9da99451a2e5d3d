//! A layer that is turned off: what passes it is as it was.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{BreakerConfig, CacheLayer, CacheOutcome, FixedTtl, Memory};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

/// The same type, whether it caches or not.
fn layer(on: bool) -> CacheLayer {
    match on {
        true => CacheLayer::new(Memory::with_capacity(1 << 20)),
        false => CacheLayer::disabled(),
    }
}

/// Sends one request twice through a layer, and returns what came of the second one and how often
/// the service was called.
async fn second(
    layer: &CacheLayer,
    method: &Method,
    fields: &HeaderMap,
) -> (Response<Bytes>, usize) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = layer.layer(service_fn(move |request: Request<Full<Bytes>>| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        let mut response = Response::new(Full::<Bytes>::from(format!("{} {call}", request.uri())));
        response.headers_mut().extend(request.headers().clone());
        let fresh = HeaderValue::from_static("max-age=60");
        response.headers_mut().insert(header::CACHE_CONTROL, fresh);
        async { Ok::<_, Infallible>(response) }
    }));
    let mut last = None;
    for _ in 0..2 {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method.clone();
        *request.uri_mut() = "http://a.test/x?y".parse().unwrap();
        *request.headers_mut() = fields.clone();
        let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        last = Some(Response::from_parts(parts, body));
    }
    (last.unwrap(), calls.load(Ordering::SeqCst))
}

#[tokio::test]
async fn requests_and_responses_pass_untouched() {
    for method in [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::CONNECT,
        Method::TRACE,
    ] {
        for fields in [
            &[][..],
            &[("if-none-match", "\"a\"")],
            &[("range", "bytes=0-1")],
            &[("cache-control", "only-if-cached")],
            &[("connection", "upgrade"), ("upgrade", "websocket")],
            &[("x-http-method-override", "DELETE")],
            &[
                ("cache-status", "other; hit"),
                ("x-cache", "HIT"),
                ("age", "7"),
            ],
        ] {
            let fields: HeaderMap = fields
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<Vec<(header::HeaderName, HeaderValue)>>()
                .into_iter()
                .collect();
            let (response, calls) = second(&layer(false), &method, &fields).await;
            let mut expected = fields.clone();
            expected.insert(header::CACHE_CONTROL, "max-age=60".parse().unwrap());
            assert_eq!(response.headers(), &expected, "{method} {fields:?}");
            assert_eq!(
                response.body(),
                "http://a.test/x?y 1",
                "{method} {fields:?}"
            );
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.extensions().get(), Some(&CacheOutcome::Disabled));
            assert_eq!(calls, 2);
        }
    }
}

#[tokio::test]
async fn the_same_program_caches_when_it_is_on() {
    let (response, calls) = second(&layer(true), &Method::GET, &HeaderMap::new()).await;
    let outcome = response.extensions().get();
    assert!(
        matches!(outcome, Some(CacheOutcome::Hit { .. })),
        "{outcome:?}"
    );
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn layers_made_from_it_are_off_too() {
    let off = CacheLayer::disabled();
    let minute = FixedTtl::new(Duration::from_secs(60));
    let breaker = BreakerConfig::default();
    let with = off
        .with(|it| it.ttl(minute).breaker(breaker).max_entry_bytes(1 << 20))
        .unwrap();
    for layer in [off.clone(), off.scope("admin"), with.scope("x"), with] {
        let (response, calls) = second(&layer, &Method::GET, &HeaderMap::new()).await;
        assert_eq!(response.extensions().get(), Some(&CacheOutcome::Disabled));
        assert_eq!((calls, layer.handle().stats().entries), (2, 0));
        assert_eq!(layer.handle().drain(Duration::ZERO).await, 0);
    }
}
