//! Requests that are more than a GET, on nodes that know nothing but what is in the shared tier.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cachewarp::{Bypass, CacheBuilder, CacheOutcome, FixedTtl};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tokio::time::sleep;

use super::{
    network::Network,
    node::{Node, get_with, request},
    origin::{Origin, fresh},
};

/// A node that knows nothing of `path`, which another node fetched.
async fn cold(network: &Network, origin: &Origin, path: &str) -> Node {
    let [warm, cold] = network.nodes(origin).await;
    assert_eq!(warm.get(path).await.status, StatusCode::OK);
    warm.settle().await;
    cold
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_in_the_tier_is_validated_by_a_node_that_never_had_it() {
    let network = Network::new();
    let validated = Arc::new(AtomicUsize::new(0));
    let origin = Origin::new({
        let validated = Arc::clone(&validated);
        move |request| {
            let mut response = Response::builder().header("etag", "\"v1\"");
            if request
                .headers()
                .get("if-none-match")
                .is_some_and(|it| it == "\"v1\"")
            {
                validated.fetch_add(1, Ordering::SeqCst);
                response = response.status(StatusCode::NOT_MODIFIED);
                let response = response.header("cache-control", "max-age=3600");
                return response.body(Full::default()).unwrap();
            }
            let response = response.header("cache-control", "max-age=1");
            response.body(Full::new("a body".into())).unwrap()
        }
    });
    let cold = cold(&network, &origin, "/a").await;
    sleep(Duration::from_millis(2_100)).await;
    let seen = cold.get("/a").await;
    assert_eq!(
        (seen.status, seen.body.as_str()),
        (StatusCode::OK, "a body")
    );
    assert!(
        matches!(seen.outcome, CacheOutcome::Revalidated { .. }),
        "{seen:?}"
    );
    assert_eq!((origin.calls(), validated.load(Ordering::SeqCst)), (2, 1));
    // And all nodes use what it validated.
    cold.settle().await;
    let [third] = network.nodes(&origin).await;
    let third = third.get("/a").await;
    assert!(third.is_hit(), "{third:?}");
    assert_eq!(third.body, "a body");
    assert_eq!(third.age, Some(0));
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_response_goes_with_it() {
    let network = Network::new();
    let origin = Origin::new(|_| fresh("0123456789"));
    let cold = cold(&network, &origin, "/a").await;
    sleep(Duration::from_millis(41_900)).await;
    let seen = cold.get("/a").await;
    assert_eq!((seen.is_hit(), seen.age), (true, Some(41)), "{seen:?}");
    // A node that began later has a younger clock.
    let [young] = network.nodes(&origin).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(young.get("/a").await.age, Some(42));
}

#[tokio::test(start_paused = true)]
async fn a_range_is_cut_from_what_is_in_the_tier() {
    let network = Network::new();
    let origin = Origin::new(|_| fresh("0123456789"));
    let cold = cold(&network, &origin, "/a").await;
    let seen = cold.send(get_with("/a", "range", "bytes=2-4")).await;
    assert_eq!(
        (seen.status, seen.body.as_str()),
        (StatusCode::PARTIAL_CONTENT, "234")
    );
    assert_eq!(seen.headers["content-range"], "bytes 2-4/10");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_is_answered_from_the_tier() {
    let network = Network::new();
    let origin = Origin::new(|_| fresh("0123456789"));
    let cold = cold(&network, &origin, "/a").await;
    let seen = cold.send(request(Method::HEAD, "/a")).await;
    assert!(seen.is_hit(), "{seen:?}");
    assert_eq!((seen.status, seen.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(seen.headers["content-length"], "10");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_evaluated_on_what_is_in_the_tier() {
    let network = Network::new();
    let origin = Origin::new(|_| {
        let mut response = fresh("0123456789");
        response
            .headers_mut()
            .insert("etag", "\"v1\"".parse().unwrap());
        response
    });
    let cold = cold(&network, &origin, "/a").await;
    let seen = cold.send(get_with("/a", "if-none-match", "\"v1\"")).await;
    assert_eq!(
        (seen.status, seen.body.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_finds_what_is_in_the_tier_and_nothing_else() {
    let network = Network::new();
    let origin = Origin::counting();
    let cold = cold(&network, &origin, "/a").await;
    let only = |path| get_with(path, "cache-control", "only-if-cached");
    let seen = cold.send(only("/a")).await;
    assert!(seen.is_hit(), "{seen:?}");
    assert_eq!(
        cold.send(only("/b")).await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_with_credentials_get_what_is_public_from_the_tier_and_nothing_else() {
    let network = Network::new();
    let origin = Origin::new(|request| {
        let cache_control = match request.uri().path() {
            "/public" => "public, max-age=3600",
            _ => "max-age=3600",
        };
        Response::builder()
            .header("cache-control", cache_control)
            .body(Full::new("a body".into()))
            .unwrap()
    });
    let asked = |path| get_with(path, "authorization", "Basic dTpw");
    let [warm, cold] = network.nodes(&origin).await;
    for path in ["/public", "/not"] {
        warm.send(asked(path)).await;
        warm.settle().await;
    }
    assert!(cold.send(asked("/public")).await.is_hit());
    assert_eq!(origin.calls(), 2);
    assert!(!cold.send(asked("/not")).await.is_hit());
    assert!(!cold.get("/not").await.is_hit());
    assert_eq!(origin.calls(), 4);
}

/// Who stored a response, and where, does not change for whom it is.
#[tokio::test(start_paused = true)]
async fn a_lifetime_by_policy_in_the_tier_is_for_plain_requests() {
    fn for_a_minute(builder: CacheBuilder) -> CacheBuilder {
        builder.ttl(FixedTtl::new(Duration::from_secs(60)))
    }
    let fields = [
        ("cookie", "session=1", Bypass::Cookie),
        ("authorization", "Basic dTpw", Bypass::Credentials),
        ("x-api-key", "1", Bypass::Credentials),
    ];
    for (name, value, reason) in fields {
        let network = Network::new();
        let origin = Origin::new(|request| {
            let mut response = Response::new(Full::new("a body".into()));
            if request.uri().path() == "/public" {
                let public = "public".parse().unwrap();
                response.headers_mut().insert("cache-control", public);
            }
            response
        });
        let [warm, cold, head] = network.nodes_with(&origin, for_a_minute).await;
        for path in ["/policy", "/public"] {
            warm.get(path).await;
            warm.settle().await;
        }
        let bypassed = CacheOutcome::Bypassed(reason);
        for node in [&cold, &cold, &warm] {
            let seen = node.send(get_with("/policy", name, value)).await;
            assert_eq!(seen.outcome, bypassed, "{name}");
            assert!(node.send(get_with("/public", name, value)).await.is_hit());
        }
        let mut asked = request(Method::HEAD, "/policy");
        asked.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(head.send(asked).await.outcome, bypassed, "{name}");
        let calls = origin.calls();
        for node in [&cold, &head, &warm] {
            assert!(node.get("/policy").await.is_hit());
        }
        assert_eq!((calls, origin.calls()), (6, 6), "{name}");
    }
}
