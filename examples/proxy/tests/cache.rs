//! The proxy caches: MISS, then HIT, on every runtime and over every version.

use super::support::{Origin, Proxy, command, ok, soon};

#[tokio::test]
async fn a_miss_and_then_hits_on_all_runtimes() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "kept")).await;
    let proxy = Proxy::start(origin.address, &["--workers", "4"]).await;
    assert_eq!(proxy.get("/x", "").await.field("x-cache"), Some("MISS"));
    // Each connection may end up on another runtime.
    for _ in 0..32 {
        let reply = proxy.get("/x", "").await;
        assert_eq!(
            (reply.field("x-cache"), reply.body.as_str()),
            (Some("HIT"), "kept")
        );
        assert!(reply.field("age").is_some());
        assert!(reply.field("cache-status").is_some());
    }
    assert_eq!(origin.heads().len(), 1);
}

#[tokio::test]
async fn every_host_has_pages_of_its_own() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "x")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for host in ["a.example", "b.example"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(proxy.ask(&request).await.field("x-cache"), Some("MISS"));
    }
    let absolute = "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert_eq!(proxy.ask(absolute).await.field("x-cache"), Some("HIT"));
    assert_eq!(origin.heads().len(), 2);
}

#[tokio::test]
async fn a_default_lifetime_is_for_responses_that_state_none() {
    let origin = Origin::start(|_| ok("", "x")).await;
    let without = Proxy::start(origin.address, &[]).await;
    let with = Proxy::start(origin.address, &["--ttl", "60"]).await;
    for (proxy, second) in [(&without, "MISS"), (&with, "HIT")] {
        assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("MISS"));
        assert_eq!(proxy.get("/", "").await.field("x-cache"), Some(second));
    }
}

#[tokio::test]
async fn the_demo_needs_no_origin() {
    let mut demo = command();
    demo.args(["--demo", "--port", "0"]);
    let proxy = Proxy::spawn(demo).await;
    assert_eq!(
        proxy.get("/report", "").await.field("x-cache"),
        Some("MISS")
    );
    let hit = soon(proxy.get("/report", "")).await;
    assert_eq!((hit.status(), hit.field("x-cache")), (200, Some("HIT")));
}
