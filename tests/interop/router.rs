//! axum: a layer on a router, on its routes, and on routers nested in one another.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router, body::Body, extract::OriginalUri, response::IntoResponse, routing::get as on_get,
};
use cachewarp::{CacheLayer, CacheOutcome, FixedTtl, Memory};
use http::{
    Request, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG},
};
use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt};

use crate::support::{Calls, Reply, ask, asking, get, serve, settle, with};

const TEXT: &str = "0123456789";

fn cache() -> CacheLayer {
    CacheLayer::new(Memory::with_capacity(1 << 20))
}

/// A handler of a text with an ETag, fresh for an hour.
fn text(calls: &Calls) -> axum::routing::MethodRouter {
    let calls = calls.clone();
    on_get(move || {
        calls.add();
        async { ([(CACHE_CONTROL, "max-age=3600"), (ETAG, "\"v1\"")], TEXT) }
    })
}

/// A handler that says nothing about caching.
fn unlabelled(body: &'static str) -> axum::routing::MethodRouter {
    on_get(move || async move { body })
}

fn assert_answer(reply: &Reply, status: u16, x_cache: &str, body: &str) {
    let seen = (reply.status(), reply.x_cache(), &*reply.body);
    assert_eq!(seen, (status, x_cache, body.as_bytes()));
}

#[tokio::test]
async fn the_second_request_is_a_hit() {
    let (cache, calls) = (cache(), Calls::default());
    let app = Router::new().route("/text", text(&calls));
    let address = serve(app.layer(cache.clone())).await;
    assert_answer(&ask(address, get("/text")).await, 200, "MISS", TEXT);
    settle(&cache).await;
    let hit = ask(address, get("/text")).await;
    assert_answer(&hit, 200, "HIT", TEXT);
    assert_eq!(hit.field("age"), Some("0"));
    assert_eq!(hit.field("content-length"), Some("10"));
    assert_eq!(calls.count(), 1);
}

/// axum tells the length of a body that it leaves out, and of one that is left out before it.
#[tokio::test]
async fn a_head_that_is_forwarded_is_answered_with_the_length_of_the_content() {
    let streamed = || async {
        let chunks = futures_util::stream::iter([Ok::<_, Infallible>(TEXT)]);
        Body::from_stream(chunks)
    };
    let app = Router::new()
        .route("/text", unlabelled(TEXT))
        .route("/stream", on_get(streamed))
        .route("/left-out", on_get(|| async { Body::empty() }))
        .route("/none", on_get(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/stated",
            on_get(|| async { ([(CONTENT_LENGTH, "7")], "seven..") }),
        );
    let address = serve(app.layer(cache())).await;
    for (path, length) in [
        ("/text", Some("10")),
        ("/stream", None),
        ("/left-out", None),
        ("/none", None),
        ("/stated", Some("7")),
    ] {
        let reply = ask(address, asking("HEAD", path)).await;
        assert_eq!(reply.field("content-length"), length, "{path}");
        assert!(reply.body.is_empty());
    }
}

#[tokio::test]
async fn conditions_ranges_and_head_are_answered_from_the_store() {
    let (cache, calls) = (cache(), Calls::default());
    let app = Router::new().route("/text", text(&calls));
    let address = serve(app.layer(cache.clone())).await;
    ask(address, get("/text")).await;
    settle(&cache).await;

    let not_modified = ask(address, with(get("/text"), "if-none-match", b"W/\"v1\"")).await;
    assert_answer(&not_modified, 304, "HIT", "");
    assert_eq!(not_modified.field("etag"), Some("\"v1\""));
    let modified = ask(address, with(get("/text"), "if-none-match", b"\"v0\"")).await;
    assert_answer(&modified, 200, "HIT", TEXT);

    let part = ask(address, with(get("/text"), "range", b"bytes=2-4")).await;
    assert_answer(&part, 206, "HIT", "234");
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    let beyond = ask(address, with(get("/text"), "range", b"bytes=10-")).await;
    assert_answer(&beyond, 416, "HIT", "");

    let head = ask(address, asking("HEAD", "/text")).await;
    assert_answer(&head, 200, "HIT", "");
    assert_eq!(head.field("content-length"), Some("10"));
    assert_eq!(calls.count(), 1);
}

/// axum runs the GET handler for HEAD, and takes the body off outside of `Router::layer`.
#[tokio::test]
async fn a_head_that_came_first_leaves_no_empty_response_behind() {
    let (cache, calls) = (cache(), Calls::default());
    let app = Router::new().route("/text", text(&calls));
    for address in [
        serve(app.clone().layer(cache.clone())).await,
        serve(tower::Layer::layer(&cache.scope("around"), app)).await,
    ] {
        assert_answer(
            &ask(address, asking("HEAD", "/text")).await,
            200,
            "MISS",
            "",
        );
        settle(&cache).await;
        assert_answer(&ask(address, get("/text")).await, 200, "MISS", TEXT);
        settle(&cache).await;
        assert_answer(&ask(address, get("/text")).await, 200, "HIT", TEXT);
    }
}

#[tokio::test]
async fn nested_routers_with_equal_inner_paths_do_not_collide() {
    let cache = cache();
    let inner = |body| {
        let fresh = [(CACHE_CONTROL, "max-age=3600")];
        let handler = on_get(move || async move { (fresh, body).into_response() });
        Router::new().route("/item", handler).layer(cache.clone())
    };
    let app = Router::new()
        .nest("/a", inner("of a"))
        .nest("/b", inner("of b"));
    let address = serve(app).await;
    for (path, body) in [("/a/item", "of a"), ("/b/item", "of b")] {
        assert_answer(&ask(address, get(path)).await, 200, "MISS", body);
        settle(&cache).await;
        assert_answer(&ask(address, get(path)).await, 200, "HIT", body);
    }
}

/// What middleware within the router makes of a URI, by a header field that the key does not have.
#[tokio::test]
async fn a_uri_that_was_rewritten_within_the_router_is_part_of_the_key() {
    type Rewrite = fn(&Uri, &str) -> String;
    let rewrites: [(&str, Rewrite); 9] = [
        ("a tenant before the path", |uri, tenant| {
            format!("/{tenant}{}", uri.path())
        }),
        ("a tenant after it", |uri, tenant| {
            format!("{}/{tenant}", uri.path())
        }),
        ("another path", |_, tenant| format!("/{tenant}")),
        ("an added query", |uri, tenant| {
            format!("{}?tenant={tenant}", uri.path())
        }),
        ("a changed query", |uri, tenant| {
            format!("{uri}&tenant={tenant}")
        }),
        ("an authority", |uri, tenant| {
            format!("http://{tenant}.test{uri}")
        }),
        ("a scheme", |uri, tenant| match tenant {
            "one" => format!("http://a.test{uri}"),
            _ => format!("https://a.test{uri}"),
        }),
        ("the letter case", |uri, tenant| match tenant {
            "one" => uri.path().to_uppercase(),
            _ => uri.to_string(),
        }),
        ("a removed query", |uri, tenant| match tenant {
            "one" => uri.path().to_owned(),
            _ => uri.to_string(),
        }),
    ];
    for (name, rewrite) in rewrites {
        for nested in [false, true] {
            let cache = cache();
            let calls = Calls::default();
            let counted = calls.clone();
            let echo = on_get(move |uri: Uri| {
                counted.add();
                async move { ([(CACHE_CONTROL, "max-age=3600")], uri.to_string()) }
            });
            let change = axum::middleware::map_request(move |mut asked: Request<Body>| {
                let tenant = asked.headers()["x-tenant"].to_str().unwrap().to_owned();
                *asked.uri_mut() = rewrite(asked.uri(), &tenant).parse().unwrap();
                async { asked }
            });
            let routes = Router::new().route("/page", echo);
            let routes = routes.layer(cache.clone()).layer(change);
            let (app, path) = match nested {
                false => (routes, "/page?q=1"),
                true => (Router::new().nest("/a", routes), "/a/page?q=1"),
            };
            let address = serve(app).await;
            let inside = "/page?q=1".parse().unwrap();
            for (round, expected) in [(1, "MISS"), (2, "HIT")] {
                for tenant in ["one", "two"] {
                    let asked = with(get(path), "x-tenant", tenant.as_bytes());
                    let reply = ask(address, asked).await;
                    let seen = String::from_utf8(reply.body.to_vec()).unwrap();
                    let context = format!("{name}, nested: {nested}, {tenant}, {round}");
                    assert_eq!(seen, rewrite(&inside, tenant), "{context}");
                    assert_eq!(reply.x_cache(), expected, "{context}");
                    settle(&cache).await;
                }
            }
            assert_eq!(calls.count(), 2);
        }
    }
}

/// The circuit breaker tells the pages of nested routers apart by what was asked for.
#[tokio::test]
async fn pages_of_nested_routers_are_different_ones_for_the_breaker() {
    use cachewarp::{BreakerConfig, breaker::BreakerState};

    for (paths, state) in [
        (["/a/x", "/b/x", "/c/x"], BreakerState::Open),
        (["/a/x", "/a/x", "/a/x"], BreakerState::Closed),
    ] {
        for method in ["GET", "POST"] {
            let breaker = BreakerConfig::builder().consecutive_failures(3);
            let breaker = breaker.build().unwrap();
            let cache = cache().with(|it| it.breaker(breaker)).unwrap();
            let fails = || axum::routing::any(async || StatusCode::SERVICE_UNAVAILABLE);
            let inner = || Router::new().route("/x", fails()).layer(cache.clone());
            let app = Router::new()
                .nest("/a", inner())
                .nest("/b", inner())
                .nest("/c", inner());
            let address = serve(app).await;
            for path in paths {
                assert_eq!(ask(address, asking(method, path)).await.status(), 503);
            }
            let handle = cache.breaker_handle().unwrap();
            assert_eq!(handle.state(""), state, "{method} {paths:?}");
        }
    }
}

/// A write concerns the URI that its client sent, and the one that the handler got.
#[tokio::test]
async fn a_write_whose_uri_was_rewritten_invalidates_both() {
    let cache = cache();
    let calls = Calls::default();
    let done = axum::routing::post(async |mut body: String| {
        body.push('!');
        body
    });
    let change = axum::middleware::map_request(async |mut asked: Request<Body>| {
        if asked.uri().path() == "/edit" {
            *asked.uri_mut() = "/text".parse().unwrap();
        }
        asked
    });
    let routes = Router::new()
        .route("/text", text(&calls))
        .route("/edit", text(&calls).merge(done));
    let address = serve(routes.layer(cache.clone()).layer(change)).await;
    for path in ["/text", "/edit"] {
        for expected in ["MISS", "HIT"] {
            assert_answer(&ask(address, get(path)).await, 200, expected, TEXT);
            settle(&cache).await;
        }
    }
    assert_eq!(ask(address, asking("POST", "/edit")).await.status(), 200);
    for path in ["/text", "/edit"] {
        assert_eq!(ask(address, get(path)).await.x_cache(), "MISS", "{path}");
    }
}

/// The URI before the router removed a prefix is one that handlers can read too.
#[tokio::test]
async fn ignored_parameters_are_in_no_uri_that_a_handler_sees() {
    for change in [None, Some("/changed")] {
        let cache = cache().with(|c| c.ignore_query(["utm_*"])).unwrap();
        let echo = on_get(|uri: Uri, OriginalUri(original): OriginalUri| async move {
            (
                [(CACHE_CONTROL, "max-age=3600")],
                format!("{uri} {original}"),
            )
        });
        let rewrite = axum::middleware::map_request(move |mut asked: Request<Body>| {
            let query = asked.uri().query().unwrap_or_default();
            if let Some(path) = change {
                *asked.uri_mut() = format!("{path}?{query}").parse().unwrap();
            }
            async { asked }
        });
        let routes = Router::new().route("/page", echo);
        let routes = routes.layer(cache.clone()).layer(rewrite);
        let address = serve(Router::new().nest("/a", routes)).await;
        let body = format!("{}?id=1 /a/page?id=1", change.unwrap_or("/page"));
        for (path, x_cache) in [
            ("/a/page?utm_source=x&id=1", "MISS"),
            ("/a/page?id=1", "HIT"),
            ("/a/page?id=1&utm_medium=y", "HIT"),
        ] {
            assert_answer(&ask(address, get(path)).await, 200, x_cache, &body);
            settle(&cache).await;
        }
    }
}

/// A request that turns out to go past the cache is what it was, for both.
#[tokio::test]
async fn a_request_past_the_cache_has_both_of_its_uris_whole() {
    let change =
        |c: cachewarp::CacheBuilder| c.ignore_query(["utm_*"]).ttl(Duration::from_secs(60));
    let cache = cache().with(change).unwrap();
    let echo = on_get(|uri: Uri, OriginalUri(original): OriginalUri| async move {
        format!("{uri} {original}")
    });
    let routes = Router::new().route("/page", echo).layer(cache.clone());
    let address = serve(Router::new().nest("/a", routes)).await;
    let asked = || get("/a/page?utm_source=x&id=1");
    let normal = "/page?id=1 /a/page?id=1";
    assert_answer(&ask(address, asked()).await, 200, "MISS", normal);
    settle(&cache).await;
    let own = with(asked(), "cookie", b"session=1");
    let whole = "/page?utm_source=x&id=1 /a/page?utm_source=x&id=1";
    assert_answer(&ask(address, own).await, 200, "BYPASS", whole);
}

#[tokio::test]
async fn every_service_of_one_layer_shares_its_cache() {
    let (cache, calls) = (cache(), Calls::default());
    let per_route = Router::new()
        .route("/text", text(&calls).layer(cache.clone()))
        .route("/other", text(&calls).layer(cache.clone()));
    let whole = Router::new().route("/text", text(&calls));
    let per_route = serve(per_route).await;
    let whole = serve(whole.layer(cache.clone())).await;

    assert_answer(&ask(per_route, get("/text")).await, 200, "MISS", TEXT);
    assert_answer(&ask(per_route, get("/other")).await, 200, "MISS", TEXT);
    settle(&cache).await;
    assert_answer(&ask(per_route, get("/text")).await, 200, "HIT", TEXT);
    assert_answer(&ask(whole, get("/text")).await, 200, "HIT", TEXT);
    assert_answer(&ask(whole, get("/other")).await, 200, "HIT", TEXT);
    assert_eq!(calls.count(), 2);
}

#[tokio::test]
async fn a_write_through_one_route_invalidates_what_another_stored() {
    let (cache, calls) = (cache(), Calls::default());
    let other = cache.with(|c| c.without_cache_status()).unwrap();
    let reads = serve(Router::new().route("/text", text(&calls).layer(cache.clone()))).await;
    let write = axum::routing::put(|| async { "done" });
    let writes = serve(Router::new().route("/text", write.layer(other))).await;
    ask(reads, get("/text")).await;
    settle(&cache).await;
    assert_eq!(ask(reads, get("/text")).await.x_cache(), "HIT");
    let written = ask(writes, asking("PUT", "/text")).await;
    assert_answer(&written, 200, "BYPASS", "done");
    assert_eq!(ask(reads, get("/text")).await.x_cache(), "MISS");
    assert_eq!(calls.count(), 2);
}

#[tokio::test]
async fn routes_have_policies_of_their_own_over_one_cache() {
    let plain = cache();
    let hour = Duration::from_secs(3600);
    let slow = plain.with(|c| c.ttl(FixedTtl::new(hour))).unwrap();
    let app = Router::new()
        .route("/slow", unlabelled("slow").layer(slow.clone()))
        .route("/live", unlabelled("live").layer(plain.clone()));
    let address = serve(app).await;
    for path in ["/slow", "/live"] {
        ask(address, get(path)).await;
        settle(&plain).await;
    }
    assert_answer(&ask(address, get("/slow")).await, 200, "HIT", "slow");
    assert_answer(&ask(address, get("/live")).await, 200, "MISS", "live");
    // What one policy stored, another finds.
    let others = serve(Router::new().route("/slow", unlabelled("?").layer(plain))).await;
    assert_answer(&ask(others, get("/slow")).await, 200, "HIT", "slow");
}

#[tokio::test]
async fn a_scope_sees_nothing_of_another() {
    let cache = cache();
    let routes = |name: &'static str| {
        let fresh = [(CACHE_CONTROL, "max-age=3600")];
        let handler = on_get(move || async move { (fresh, name) });
        Router::new().route("/text", handler)
    };
    let public = serve(routes("public").layer(cache.clone())).await;
    let admin = serve(routes("admin").layer(cache.scope("admin"))).await;
    for (address, body) in [(public, "public"), (admin, "admin")] {
        assert_answer(&ask(address, get("/text")).await, 200, "MISS", body);
        settle(&cache).await;
        assert_answer(&ask(address, get("/text")).await, 200, "HIT", body);
    }
}

/// Fallbacks, extractors and bodies of axum's own come through as they are.
#[tokio::test]
async fn what_is_not_found_is_not_found() {
    let cache = cache();
    let app: Router = Router::new().route("/text", unlabelled(TEXT));
    let address = serve(app.layer(cache)).await;
    assert_eq!(ask(address, get("/nothing")).await.status(), 404);
    let post = asking("POST", "/text").map(|_| Body::from("content"));
    let refused = ask(address, post).await;
    assert_eq!((refused.status(), refused.x_cache()), (405, "BYPASS"));
}

// === Another version of axum ===

#[test]
#[should_panic(expected = "is not of axum 0.8, for which the feature `axum` is")]
fn a_router_of_another_axum_is_refused() {
    let _ = axum_0_7::Router::<()>::new()
        .route("/x", axum_0_7::routing::get(|| async { "x" }))
        .layer(cache());
}

/// The cache cannot see at first what is behind another layer.
#[tokio::test]
async fn nested_routers_of_another_axum_never_answer_for_each_other() {
    let cache = cache();
    let nested = |body: &'static str| {
        let fresh = [("cache-control", "max-age=60")];
        let layers = ServiceBuilder::new()
            .layer(cache.clone())
            .concurrency_limit(8);
        axum_0_7::Router::new()
            .route(
                "/x",
                axum_0_7::routing::get(move || async move { (fresh, body) }),
            )
            .layer(layers)
    };
    let app = axum_0_7::Router::new()
        .nest("/a", nested("from a"))
        .nest("/b", nested("from b"));
    for (path, body) in [("/a/x", "from a"), ("/b/x", "from b"), ("/a/x", "from a")] {
        let request = Request::get(path).body(axum_0_7::body::Body::empty());
        let answer = app.clone().oneshot(request.unwrap()).await.unwrap();
        let outcome = answer.extensions().get().cloned();
        assert_eq!(outcome, Some(CacheOutcome::Disabled), "{path}");
        let got = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(got, body, "{path}");
        settle(&cache).await;
    }
}
