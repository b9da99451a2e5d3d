//! Header fields: every line in its order, every byte as it came, and none that is about a
//! connection.

use axum::body::Body;
use cachewarp::{CacheLayer, CacheOutcome, Memory, NotStored, SetCookiePolicy, Storing};
use http::{HeaderName, HeaderValue, Response};
use tower::Layer;

use crate::support::{Wire, ask, call, field, fresh, get, origin, serve, settle, with};

fn cache() -> CacheLayer {
    CacheLayer::new(Memory::with_capacity(1 << 20))
}

/// A fresh response with these lines.
fn lines(lines: &[(&'static str, &[u8])]) -> Response<Body> {
    let mut response = fresh("text");
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a valid name");
        let value = HeaderValue::from_bytes(value).expect("a valid value");
        response.headers_mut().append(name, value);
    }
    response
}

// === Lines ===

#[tokio::test]
async fn every_line_of_a_field_is_kept_in_order() {
    let cache = cache();
    let (service, calls) = origin(|_| {
        lines(&[
            ("link", b"</1>; rel=preload"),
            ("x-other", b""),
            ("link", b"</2>; rel=preload, </3>; rel=next"),
            ("warning", b"199 - \"one\""),
            ("link", b"</1>; rel=preload"),
            ("vary", b"x-one"),
            ("vary", b"x-two"),
            ("cache-status", b"nearer; hit"),
        ])
    });
    let address = serve(cache.layer(service)).await;
    for x_cache in ["MISS", "HIT"] {
        let reply = ask(address, get("/")).await;
        assert_eq!(reply.x_cache(), x_cache);
        let links: [&[u8]; 3] = [
            b"</1>; rel=preload",
            b"</2>; rel=preload, </3>; rel=next",
            b"</1>; rel=preload",
        ];
        assert_eq!(reply.lines("link"), links);
        assert_eq!(reply.lines("x-other"), [b""]);
        assert_eq!(reply.lines("vary"), [b"x-one", b"x-two"]);
        let status = reply.lines("cache-status");
        assert_eq!(status[0], b"nearer; hit");
        assert!(status[1].starts_with(b"cachewarp;"), "ours comes last");
        assert_eq!(status.len(), 2);
        settle(&cache).await;
    }
    assert_eq!(calls.count(), 1);
}

#[tokio::test]
async fn cookies_are_stored_as_the_policy_says() {
    let cookies: [&[u8]; 2] = [b"a=1; Path=/", b"b=2"];
    for (policy, x_cache, kept) in [
        (SetCookiePolicy::Refuse, "MISS", &cookies[..]),
        (SetCookiePolicy::Strip, "HIT", &[]),
        (SetCookiePolicy::Store, "HIT", &cookies[..]),
    ] {
        let cache = CacheLayer::builder().set_cookie(policy).build().unwrap();
        let (service, _) = origin(move |_| {
            lines(&[
                ("set-cookie", cookies[0]),
                ("x-between", b"1"),
                ("set-cookie", cookies[1]),
            ])
        });
        let service = cache.layer(service);
        let first = call(&service, get("/")).await;
        // Its own client gets them in any case.
        assert_eq!(first.lines("set-cookie"), cookies, "{policy:?}");
        if let CacheOutcome::Fetched { storing, .. } = first.outcome() {
            let refused = storing == Storing::Refused(NotStored::SetCookie);
            assert_eq!(refused, policy == SetCookiePolicy::Refuse);
        }
        settle(&cache).await;
        let second = call(&service, get("/")).await;
        assert_eq!(second.x_cache(), x_cache, "{policy:?}");
        assert_eq!(second.lines("set-cookie"), kept, "{policy:?}");
        assert_eq!(second.lines("x-between"), [b"1"]);
    }
}

// === Bytes ===

#[tokio::test]
async fn bytes_beyond_ascii_go_both_ways_and_through_the_store() {
    let every: Vec<u8> = (0x80..=0xff).collect();
    let cache = cache();
    let (service, calls) = origin(|request| {
        let name = request.headers().get("x-name").map(HeaderValue::as_bytes);
        let name = name.unwrap_or_default();
        lines(&[
            ("vary", b"x-name"),
            ("x-echo", name),
            ("etag", &[b"\"", name, b"\""].concat()),
        ])
    });
    let address = serve(cache.layer(service)).await;
    let asking = |name: &[u8]| with(get("/"), "x-name", name);
    for x_cache in ["MISS", "HIT"] {
        let reply = ask(address, asking(&every)).await;
        assert_eq!((reply.x_cache(), reply.status()), (x_cache, 200));
        assert_eq!(reply.lines("x-echo"), [&*every]);
        settle(&cache).await;
    }
    // Another value is another variant, though neither is text.
    assert_eq!(ask(address, asking(b"\xff")).await.x_cache(), "MISS");
    settle(&cache).await;
    let tag = [b"\"", &*every, b"\""].concat();
    let reply = ask(address, with(asking(&every), "if-none-match", &tag)).await;
    assert_eq!((reply.x_cache(), reply.status()), ("HIT", 304));
    assert_eq!(calls.count(), 2);
}

#[tokio::test]
async fn bytes_beyond_ascii_in_a_target_are_part_of_the_key() {
    let cache = cache();
    let (service, calls) = origin(|request| fresh(request.uri().to_string()));
    let address = serve(cache.layer(service)).await;
    for (target, x_cache) in [("/\u{fc}", "MISS"), ("/\u{e4}", "MISS"), ("/\u{fc}", "HIT")] {
        let mut wire = Wire::connect(address).await;
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes())
            .await;
        let (head, body) = wire.read().await;
        assert_eq!((field(&head, "x-cache"), &*body), (Some(x_cache), target));
        settle(&cache).await;
    }
    assert_eq!(calls.count(), 2);
}

// === Fields about the connection ===

/// Those that RFC 9111 §3.1 and RFC 9110 §7.6.1 keep from the store.
const HOP_BY_HOP: [(&str, &[u8]); 12] = [
    ("connection", b"x-named, Keep-Alive"),
    ("connection", b"X-Also-Named"),
    ("x-named", b"1"),
    ("x-also-named", b"1"),
    ("keep-alive", b"timeout=5"),
    ("proxy-authenticate", b"Basic"),
    ("proxy-authentication-info", b"nextnonce=1"),
    ("proxy-authorization", b"Basic eDp5"),
    ("proxy-connection", b"keep-alive"),
    ("te", b"trailers"),
    ("trailer", b"x-sum"),
    ("upgrade", b"h2c"),
];

#[tokio::test]
async fn nothing_about_a_connection_is_replayed() {
    let cache = cache();
    let (service, calls) = origin(|_| lines(&HOP_BY_HOP));
    let service = cache.layer(service);
    let miss = call(&service, get("/")).await;
    settle(&cache).await;
    let hit = call(&service, get("/")).await;
    assert_eq!((hit.x_cache(), calls.count()), ("HIT", 1));
    for (name, _) in HOP_BY_HOP {
        // The live exchange is the server's business.
        assert!(miss.field(name).is_some(), "{name} got lost");
        assert_eq!(hit.lines(name), [b""; 0], "{name} is replayed");
    }
}

#[tokio::test]
async fn transfer_encoding_is_not_replayed() {
    let cache = cache();
    let (service, calls) = origin(|_| lines(&[("transfer-encoding", b"chunked")]));
    let address = serve(cache.layer(service)).await;
    let miss = ask(address, get("/")).await;
    assert_eq!(miss.field("transfer-encoding"), Some("chunked"));
    settle(&cache).await;
    let hit = ask(address, get("/")).await;
    assert_eq!((hit.x_cache(), calls.count()), ("HIT", 1));
    assert_eq!(hit.field("transfer-encoding"), None);
    assert_eq!(hit.field("content-length"), Some("4"));
}

/// A response may not declare away what decides whether and for whom it is.
#[tokio::test]
async fn a_connection_option_that_names_a_meaning_is_not_stored() {
    for option in ["cache-control", "Vary", "close, ETag", "set-cookie"] {
        let cache = cache();
        let (service, _) = origin(|_| lines(&[("connection", option.as_bytes())]));
        let service = cache.layer(service);
        for _ in 0..2 {
            let reply = call(&service, get("/")).await;
            assert_eq!(reply.x_cache(), "MISS", "{option}");
            settle(&cache).await;
        }
    }
}
