//! The flags for the cache's own limits.

use std::time::Duration;

use super::{
    command_line::run,
    support::{Act, Origin, Proxy, ok},
};

#[tokio::test]
async fn a_value_out_of_range_is_named_with_its_flag() {
    for (flag, values, word) in [
        ("--max-entry-bytes", &["0", "many", "65MiB", "5GiB"][..], ""),
        ("--keep-stale", &["soon", "1.5"], ""),
        ("--keep-stale-without-validator", &["-1", "100ms"], ""),
        ("--lifetime-jitter", &["0.6", "-0.1", "NaN", "x"], "0.5"),
        ("--wait-timeout", &["0", "1d"], ""),
        ("--uncacheable-for", &["x"], ""),
        ("--body-idle-timeout", &["0"], "zero"),
        ("--fill-timeout", &["0"], "zero"),
        ("--on-abandoned", &["stop"], "discard"),
        ("--fill-window", &["0", "x"], ""),
        ("--reader-stall", &["0"], "zero"),
        ("--refresh-pause", &["x"], ""),
        ("--retry-after-cap", &["x"], ""),
        ("--max-fills", &["0", "-1", "5000000000"], ""),
        ("--max-abandoned", &["-1"], ""),
        ("--max-refreshes", &["x"], ""),
        ("--max-waiters", &["0"], ""),
        ("--max-variants", &["0", "1025"], "1024"),
        ("--range-miss", &["x"], "fill"),
        (
            "--ignore-request-directives",
            &["no-cache,x"],
            "only-if-cached",
        ),
        (
            "--targeted-cache-control",
            &["a b", "CDN-Cache-Control,", "Cache-Control"],
            "",
        ),
        ("--force-ttl", &["0", "soon", "1.5"], ""),
    ] {
        for value in values {
            let output = run(&["--demo", "--port", "0", flag, value]).await;
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{flag} {value}: {error}");
            assert_eq!(
                error.trim_end().lines().count(),
                1,
                "{flag} {value}: {error}"
            );
            assert!(
                error.contains(flag) && error.contains(word),
                "{flag} {value}: {error}"
            );
        }
    }
    for other in ["--ttl", "--adaptive=0.1"] {
        let output = run(&["--demo", "--force-ttl", "60", other]).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
    }
}

#[tokio::test]
async fn the_largest_entry_is_a_flag() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", &"x".repeat(3000))).await;
    for (size, cache) in [("2KiB", "MISS"), ("4KiB", "HIT")] {
        let proxy = Proxy::start(origin.address, &["--max-entry-bytes", size]).await;
        proxy.get("/", "").await;
        assert_eq!(
            proxy.get("/", "").await.field("x-cache"),
            Some(cache),
            "{size}"
        );
    }
}

#[tokio::test]
async fn directives_of_clients_can_be_ignored() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "x")).await;
    for (flags, field, cache) in [
        (&[][..], "Cache-Control: max-age=0\r\n", None),
        (
            &["--ignore-request-directives", "max-age,no-cache"],
            "Cache-Control: max-age=0\r\n",
            Some("HIT"),
        ),
        (
            &["--ignore-request-directives", "max-age,no-cache"],
            "Pragma: no-cache\r\n",
            Some("HIT"),
        ),
        (
            &["--ignore-request-directives", "no-store"],
            "Cache-Control: max-age=0\r\n",
            None,
        ),
    ] {
        let proxy = Proxy::start(origin.address, flags).await;
        proxy.get("/", "").await;
        let reply = proxy.get("/", field).await;
        let hit = reply.field("x-cache").filter(|cache| *cache == "HIT");
        assert_eq!(hit, cache, "{flags:?} {field}");
    }
}

#[tokio::test]
async fn a_range_can_fill_the_cache() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "0123456789")).await;
    for (policy, asked_for_a_range) in [("forward", true), ("fill", false)] {
        let proxy = Proxy::start(origin.address, &["--range-miss", policy]).await;
        let reply = proxy.get("/", "Range: bytes=2-4\r\n").await;
        let head = origin.heads().pop().unwrap().to_lowercase();
        assert_eq!(head.contains("\r\nrange:"), asked_for_a_range, "{policy}");
        assert_eq!(reply.status() == 206, !asked_for_a_range, "{}", reply.head);
    }
}

/// Stale at once, and may be answered for an hour if the origin fails, which it does after that.
fn fails_later(fields: &'static str) -> impl Fn(&str) -> Act + Send + Sync {
    let asked = std::sync::atomic::AtomicU32::new(0);
    move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => ok(
            "Cache-Control: max-age=1, stale-if-error=3600\r\nAge: 9\r\n",
            "x",
        ),
        _ => Act::Say(format!(
            "HTTP/1.1 503 No\r\n{fields}Content-Length: 0\r\n\r\n"
        )),
    }
}

#[tokio::test]
async fn the_pause_after_a_failure_is_a_flag() {
    for (flags, fields, calls) in [
        (&[][..], "", 2),
        (&["--refresh-pause", "0"], "", 4),
        (&["--refresh-pause", "0"], "Retry-After: 30\r\n", 2),
        (
            &["--refresh-pause", "0", "--retry-after-cap", "0"],
            "Retry-After: 30\r\n",
            4,
        ),
    ] {
        let origin = Origin::start(fails_later(fields)).await;
        let proxy = Proxy::start(origin.address, flags).await;
        for _ in 0..4 {
            assert_eq!(proxy.get("/", "").await.body, "x", "{flags:?}");
        }
        assert_eq!(origin.heads().len(), calls, "{flags:?} {fields}");
    }
}

#[tokio::test]
async fn content_that_stands_still_is_given_up_after_the_time_of_the_flag() {
    let origin = Origin::start(|_| {
        Act::Say(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nhalf".into(),
        )
    })
    .await;
    let proxy = Proxy::start(origin.address, &["--body-idle-timeout", "0.5"]).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), proxy.get("/", "")).await;
    assert_eq!(ended.expect("it was given up").body, "half");
}

#[tokio::test]
async fn the_wait_for_a_concurrent_request_is_a_flag() {
    let origin = Origin::start(|_| Act::Hang).await;
    let proxy = Proxy::start(origin.address, &["--wait-timeout", "0.3"]).await;
    let both = async { tokio::join!(proxy.get("/", ""), proxy.get("/", "")) };
    let twice = async {
        while origin.heads().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = both => panic!("the origin answers nothing"),
        // By default it would be 5 s.
        twice = tokio::time::timeout(Duration::from_secs(4), twice) => twice.unwrap(),
    }
}
