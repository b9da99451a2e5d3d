//! The cache around a client: the recipe of `examples/hyper_client.rs`, against a server.
//! `examples/reqwest` has tests of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use axum::{Router, body::Body, routing};
use bytes::Bytes;
use cachewarp::{CacheBuilder, CacheLayer, CacheOutcome, CacheService, Memory};
use http::{
    HeaderValue, Request, Response,
    header::{AUTHORIZATION, CACHE_CONTROL},
};
use http_body_util::{BodyExt, Full};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, util::BoxCloneService};

use crate::support::{Calls, call, get, origin, settle};

#[path = "../../examples/hyper_client.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a program")]
mod hyper_client;

/// A server whose answers are for one user, and its URL.
async fn server(directives: &'static str) -> (String, Calls) {
    let calls = Calls::default();
    let counted = calls.clone();
    let answer = move || {
        counted.add();
        async move { ([(CACHE_CONTROL, directives)], "yours") }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = Router::new().route("/", routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, calls)
}

async fn ask<S>(client: &CacheService<S>, url: &str, token: &str) -> CacheOutcome
where
    S: cachewarp::CacheableService<Full<Bytes>, Error: std::fmt::Debug>,
{
    let request = Request::get(url).header(AUTHORIZATION, token);
    let request = request.body(Full::default()).unwrap();
    let response = client.clone().oneshot(request).await.unwrap();
    let outcome = response.extensions().get().cloned().unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "yours"
    );
    outcome
}

#[tokio::test]
async fn hypers_client_asks_once_for_what_is_its_own() {
    let (url, calls) = server("private, max-age=60").await;
    let client = hyper_client::client().unwrap();
    ask(&client, &url, "Bearer mine").await;
    let again = ask(&client, &url, "Bearer mine").await;
    assert!(matches!(again, CacheOutcome::Hit { .. }), "{again:?}");
    assert_eq!(calls.count(), 1);
    let other = ask(&client, &url, "Bearer another").await;
    assert!(matches!(other, CacheOutcome::Fetched { .. }), "{other:?}");
    assert_eq!(calls.count(), 2);
}

#[tokio::test]
async fn what_must_not_be_stored_is_asked_for_again() {
    let (url, calls) = server("no-store").await;
    let client = hyper_client::client().unwrap();
    for _ in 0..3 {
        ask(&client, &url, "Bearer mine").await;
    }
    assert_eq!(calls.count(), 3);
}

/// A private layer and a shared one over one cache keep apart, also if one is inside of the other.
#[tokio::test]
async fn what_is_private_stays_private_beside_a_shared_layer() {
    for order in ["shared outside", "private outside", "side by side"] {
        let shared = CacheLayer::new(Memory::with_capacity(1 << 20));
        let private = shared.with(CacheBuilder::private_client).unwrap();
        let (service, calls) = origin(|_| {
            let mut response = Response::new(Body::from("yours"));
            let mine = HeaderValue::from_static("private, max-age=60");
            response.headers_mut().insert(CACHE_CONTROL, mine);
            response
        });
        let through = |one: &CacheLayer, other: Option<&CacheLayer>| {
            let inner = service.clone();
            match other {
                None => BoxCloneService::new(one.layer(inner).map_response(|it| it.map(Body::new))),
                Some(other) => BoxCloneService::new(
                    one.layer(other.layer(inner))
                        .map_response(|it| it.map(Body::new)),
                ),
            }
        };
        let (first, second) = match order {
            "shared outside" => (
                through(&shared, Some(&private)),
                through(&shared, Some(&private)),
            ),
            "private outside" => (through(&private, Some(&shared)), through(&shared, None)),
            _ => (through(&private, None), through(&shared, None)),
        };
        let mut mine = get("/page");
        let token = HeaderValue::from_static("Bearer mine");
        mine.headers_mut().insert(AUTHORIZATION, token);
        call(&first, mine).await;
        settle(&shared).await;
        call(&second, get("/page")).await;
        assert_eq!(calls.count(), 2, "{order}");
    }
}
