//! What the operator says to have no meaning: it is neither keyed nor forwarded, unless the request
//! goes past the cache.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use cachewarp::{
    CacheBuilder, CacheLayer, CacheOutcome, KeyExtension, Keying, Memory, clock::ManualClock,
};
use http::{
    Method, Request, Response,
    header::{ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LOCATION, COOKIE, LOCATION, VARY},
    request::Parts,
};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Calls, settle};

/// The end of a target that the origin answers with a `Location`.
const MOVES: &str = "/moves-to/";

/// A page without a lifetime of its own.
const UNLABELLED: &str = "/unlabelled";

type Change = fn(CacheBuilder) -> CacheBuilder;

/// A cache in front of an origin that tells what it got, with a lifetime.
struct Site {
    cache: CacheLayer,
    calls: Calls,
    clock: ManualClock,
}

impl Site {
    fn new(change: Change) -> Self {
        let clock = ManualClock::at(1_700_000_000);
        let memory = Memory::with_capacity(1 << 20);
        let builder = CacheLayer::builder().memory(memory).clock(clock.clone());
        Self {
            cache: change(builder).build().unwrap(),
            calls: Calls::default(),
            clock,
        }
    }

    /// The `X-Cache` of the answer, and the URI, the languages and the cookies that the origin got for
    /// it.
    async fn ask(&self, method: Method, uri: &str, fields: &[(&str, &str)]) -> (String, String) {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let calls = self.calls.clone();
        let service = self
            .cache
            .layer(service_fn(move |asked: Request<Full<Bytes>>| {
                calls.add();
                let languages = asked.headers().get_all(ACCEPT_LANGUAGE).iter();
                let languages: Vec<_> = languages.map(|it| it.to_str().unwrap()).collect();
                let mut got = format!("{} {}", asked.uri(), languages.join("|"));
                if let Some(cookie) = asked.headers().get(COOKIE) {
                    got = format!("{got} {}", cookie.to_str().unwrap());
                }
                let directives = match asked.uri().path() {
                    UNLABELLED => "",
                    _ => "max-age=60, stale-while-revalidate=60",
                };
                let mut response = Response::builder()
                    .header(CACHE_CONTROL, directives)
                    .header(VARY, "accept-language")
                    .header(CONTENT_LOCATION, asked.uri().to_string());
                if let Some((_, location)) = asked.uri().path().split_once(MOVES) {
                    response = response.header(LOCATION, format!("/{location}?utm_a=1&b=2&a=1"));
                }
                let response = response.body(Full::<Bytes>::from(got)).unwrap();
                async { Ok::<_, Infallible>(response) }
            }));
        let answer = service.oneshot(request).await.unwrap();
        assert!(answer.extensions().get::<CacheOutcome>().is_some());
        let x_cache = answer.headers().get("x-cache");
        let x_cache = x_cache.map_or("", |it| it.to_str().unwrap()).to_owned();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        settle(&self.cache).await;
        (x_cache, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, uri: &str) -> (String, String) {
        self.ask(Method::GET, uri, &[]).await
    }

    async fn accepting(&self, languages: &str) -> (String, String) {
        let field = [("accept-language", languages)];
        self.ask(Method::GET, "/page", &field).await
    }
}

fn answer(x_cache: &str, got: &str) -> (String, String) {
    (x_cache.to_owned(), got.to_owned())
}

const BOTH: Change = |it| it.ignore_query(["utm_*", "fbclid"]).sort_query();

#[tokio::test]
async fn queries_with_one_meaning_have_one_response() {
    let site = Site::new(BOTH);
    for (uri, x_cache, got) in [
        ("/p?b=2&utm_a=1&a=1", "MISS", "/p?a=1&b=2 "),
        ("/p?a=1&b=2", "HIT", "/p?a=1&b=2 "),
        ("/p?utm_z&b=2&a=1&fbclid=", "HIT", "/p?a=1&b=2 "),
        ("http://localhost/p?ut%6D_a=1&b=2&a=1", "HIT", "/p?a=1&b=2 "),
        ("/p?utm_a=1", "MISS", "/p "),
        ("/p", "HIT", "/p "),
        ("/p?", "MISS", "/p? "),
        ("/p?a=2&a=1", "MISS", "/p?a=2&a=1 "),
        ("/p?a=1&a=2", "MISS", "/p?a=1&a=2 "),
        ("/p?a=%31&b=2", "MISS", "/p?a=%31&b=2 "),
        ("/p?UTM_a=1", "MISS", "/p?UTM_a=1 "),
        ("/p?a;utm_a=1", "MISS", "/p?a;utm_a=1 "),
    ] {
        assert_eq!(site.get(uri).await, answer(x_cache, got), "{uri}");
    }
}

#[tokio::test]
async fn each_setting_does_its_part_only() {
    for (change, got) in [
        ((|it| it) as Change, "/p?b=2&utm_a=1&a=1 "),
        (|it| it.ignore_query(["utm_*"]), "/p?b=2&a=1 "),
        (|it| it.sort_query(), "/p?a=1&b=2&utm_a=1 "),
        (
            |it| it.ignore_query(["utm_*"]).ignore_query(["b"]),
            "/p?utm_a=1&a=1 ",
        ),
        (|it| it.ignore_query(["*"]), "/p "),
        (|it| it.ignore_query([""; 0]), "/p?b=2&utm_a=1&a=1 "),
    ] {
        let site = Site::new(change);
        assert_eq!(site.get("/p?b=2&utm_a=1&a=1").await, answer("MISS", got));
    }
}

#[tokio::test]
async fn a_layer_over_the_same_cache_starts_with_the_settings() {
    let mut site = Site::new(|it| BOTH(it).languages(["en", "de"]));
    let field = [("accept-language", "de-AT")];
    site.cache = site.cache.with(|it| it.max_variants(4)).unwrap();
    let got = site.ask(Method::GET, "/p?b&a&utm_x", &field).await;
    assert_eq!(got, answer("MISS", "/p?a&b de"));
    site.cache = site
        .cache
        .with(|it| it.ignore_query(["b"]).languages(["en"]))
        .unwrap();
    let got = site.ask(Method::GET, "/p?b&a&utm_x", &field).await;
    assert_eq!(got, answer("MISS", "/p?a&utm_x en"));
}

/// What the origin gets of a request that no other client is answered with.
#[tokio::test]
async fn a_request_that_goes_past_the_cache_is_forwarded_as_it_came() {
    fn bypassing(parts: &Parts, _: &mut KeyExtension<'_>) -> Keying {
        match parts.headers.contains_key("x-bypass") {
            true => Keying::Bypass,
            false => Keying::Use,
        }
    }
    let site = Site::new(|it| BOTH(it).languages(["en", "de"]).key(bypassing));
    let uri = "/p?b=2&utm_a=1&a=1";
    let got = format!("{uri} fr|de-AT");
    for (method, name, value) in [
        (Method::POST, "x", "x"),
        (Method::OPTIONS, "x", "x"),
        (Method::GET, "upgrade", "websocket"),
        (Method::GET, "x-bypass", "1"),
        (Method::GET, "x-http-method-override", "PUT"),
        (Method::GET, "if-match", "\"1\""),
    ] {
        let fields = [
            (name, value),
            ("accept-language", "fr"),
            ("accept-language", "de-AT"),
        ];
        let (x_cache, seen) = site.ask(method.clone(), uri, &fields).await;
        assert!(
            ["BYPASS", ""].contains(&&*x_cache),
            "{method} {name}: {x_cache}"
        );
        assert_eq!(seen, got, "{method} {name}");
    }
    // That it goes past the cache may turn out only when something is stored.
    let site = Site::new(|it| {
        BOTH(it)
            .languages(["en", "de"])
            .ttl(Duration::from_secs(60))
    });
    let uri = format!("{UNLABELLED}?b=2&utm_a=1&a=1");
    let own = [("accept-language", "fr"), ("accept-language", "de-AT")];
    let normal = answer("MISS", &format!("{UNLABELLED}?a=1&b=2 de"));
    assert_eq!(site.ask(Method::GET, &uri, &own).await, normal);
    for who in [
        ("cookie", "a=1"),
        ("authorization", "x"),
        ("x-api-key", "x"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let calls = site.calls.count();
            let seen = site
                .ask(method.clone(), &uri, &[&own[..], &[who]].concat())
                .await;
            let cookie = if who.0 == "cookie" { " a=1" } else { "" };
            let got = match method {
                Method::GET => format!("{uri} fr|de-AT{cookie}"),
                _ => String::new(),
            };
            assert_eq!(seen, answer("BYPASS", &got), "{method} {who:?}");
            assert_eq!(site.calls.count(), calls + 1);
        }
    }
    // One that could be answered from the store is not.
    let site = Site::new(|it| BOTH(it).languages(["en", "de"]));
    let uri = "/p?b=2&utm_a=1&a=1";
    for (name, value) in [
        ("authorization", "x"),
        ("cookie", "a=1"),
        ("cache-control", "no-store"),
    ] {
        let fields = [(name, value), ("accept-language", "de-AT")];
        let (_, seen) = site.ask(Method::GET, uri, &fields).await;
        assert!(seen.starts_with("/p?a=1&b=2 de"), "{name}: {seen}");
    }
}

/// The response to such a POST may be everybody's.
#[tokio::test]
async fn a_post_that_may_fill_is_as_normal_as_a_get() {
    let site = Site::new(|it| BOTH(it).languages(["en", "de"]).post_fills_get("/fills"));
    let own = [("accept-language", "de-AT"), ("cookie", "_ga=1; session=1")];
    for (path, got) in [
        ("/fills", "/fills?a&b de session=1"),
        ("/other", "/other?b&utm_a&a de-AT _ga=1; session=1"),
    ] {
        let seen = site
            .ask(Method::POST, &format!("{path}?b&utm_a&a"), &own)
            .await;
        assert_eq!(seen, answer("BYPASS", got));
    }
    let hit = site
        .ask(
            Method::GET,
            "/fills?a&utm_b&b",
            &[("accept-language", "de")],
        )
        .await;
    assert_eq!(hit, answer("HIT", "/fills?a&b de session=1"));
}

#[tokio::test]
async fn a_write_invalidates_what_its_uri_means() {
    for (change, write, page) in [
        (BOTH, "/p?utm_b=2&b=2&a=1", "/p?a=1&b=2"),
        (BOTH, "/p?utm_b=2", "/p"),
        (BOTH, "/x/moves-to/p", "/p?b=2&a=1"),
        ((|it| it.sort_query()) as Change, "/p?b&a", "/p?a&b"),
        (
            |it| it.ignore_query(["utm_*"]),
            "/x/moves-to/p",
            "/p?b=2&utm_c&a=1",
        ),
    ] {
        let site = Site::new(change);
        for (method, uri, x_cache) in [
            (Method::GET, page, "MISS"),
            (Method::GET, page, "HIT"),
            (Method::POST, write, "BYPASS"),
            (Method::GET, page, "MISS"),
        ] {
            let (seen, _) = site.ask(method, uri, &[]).await;
            assert_eq!(seen, x_cache, "{write}, {page}");
        }
    }
}

#[tokio::test]
async fn every_request_to_the_origin_is_normal() {
    let site = Site::new(|it| BOTH(it).languages(["en", "de"]));
    let uri = "/p?b&utm_a&a";
    for (after, method, field, x_cache) in [
        (0, Method::HEAD, ("x", "x"), "MISS"),
        // A full response all the same.
        (0, Method::GET, ("range", "bytes=0-"), "MISS"),
        (0, Method::GET, ("x", "x"), "HIT"),
        // The refresh behind it, and what it stored.
        (90, Method::GET, ("x", "x"), "STALE"),
        (1, Method::GET, ("x", "x"), "HIT"),
        (0, Method::GET, ("cache-control", "no-cache"), "MISS"),
    ] {
        site.clock.advance(Duration::from_secs(after));
        let is_head = method == Method::HEAD;
        let seen = site.ask(method.clone(), uri, &[field]).await;
        let got = if is_head { "" } else { "/p?a&b en" };
        assert_eq!(seen, answer(x_cache, got), "{method} {field:?}");
    }
}

#[tokio::test]
async fn a_request_has_one_of_the_languages_of_the_origin() {
    let site = Site::new(|it| it.languages(["en", "de", "pt-BR"]));
    for (accepted, x_cache, language) in [
        ("de", "MISS", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "HIT", "de"),
        ("fr, DE;q=0.5", "HIT", "de"),
        ("fr", "MISS", "en"),
        ("en-GB, en", "HIT", "en"),
        ("*", "HIT", "en"),
        ("", "HIT", "en"),
        ("de;q=0", "HIT", "en"),
        ("pt-br", "MISS", "pt-BR"),
        ("pt", "HIT", "en"),
    ] {
        let got = answer(x_cache, &format!("/page {language}"));
        assert_eq!(site.accepting(accepted).await, got, "{accepted:?}");
    }
    assert_eq!(site.get("/page").await, answer("HIT", "/page en"));
    assert_eq!(site.calls.count(), 3);
}

#[tokio::test]
async fn a_keyed_field_is_the_normal_one() {
    let site = Site::new(|it| it.languages(["en", "de"]).key_headers(["accept-language"]));
    assert_eq!(site.accepting("de-AT").await, answer("MISS", "/page de"));
    assert_eq!(site.accepting("de-CH").await, answer("HIT", "/page de"));
    assert_eq!(site.accepting("en").await, answer("MISS", "/page en"));
}
