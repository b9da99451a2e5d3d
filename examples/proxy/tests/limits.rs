//! What one message or one connection may cost: large headers, heads without an end.

use tokio::io::AsyncWriteExt;

use super::support::{Act, Origin, Proxy, before, ok, read_to_end, soon};

/// So many header lines, each of so many bytes with its line end.
fn lines(count: usize, bytes: usize) -> String {
    (0..count)
        .map(|n| {
            let name = format!("X-Line-{n}: ");
            let value = "v".repeat(bytes - name.len() - 2);
            format!("{name}{value}\r\n")
        })
        .collect()
}

fn cacheable(fields: &str) -> Act {
    ok(&format!("Cache-Control: max-age=60\r\n{fields}"), "page")
}

#[tokio::test]
async fn a_response_may_have_101_fields_or_64_kib_of_them() {
    for (count, bytes) in [(101, 40), (200, 40), (150, 420), (16, 4000), (2, 30_000)] {
        let fields = lines(count, bytes);
        let origin = Origin::start({
            let fields = fields.clone();
            move |_| cacheable(&fields)
        })
        .await;
        let proxy = Proxy::start(origin.address, &[]).await;
        // From the origin, then from the cache.
        for _ in 0..2 {
            let reply = proxy.get("/", "").await;
            assert_eq!(reply.status(), 200, "{count} lines of {bytes}");
            let last = format!("x-line-{}", count - 1);
            assert!(
                reply
                    .field(&last)
                    .is_some_and(|value| value.starts_with('v'))
            );
            assert_eq!(reply.body, "page");
        }
        assert_eq!(origin.heads().len(), 1, "{count} lines of {bytes}");
    }
}

#[tokio::test]
async fn a_larger_header_is_502_that_says_so() {
    let cases: [(usize, usize, &[&str]); 5] = [
        (17, 4000, &[]),
        (300, 40, &[]),
        (2, 60_000, &[]),
        (3, 4000, &["--max-response-head", "8KiB"]),
        (20, 40, &["--max-response-fields", "16"]),
    ];
    for (count, bytes, flags) in cases {
        let fields = lines(count, bytes);
        let origin = Origin::start(move |head| {
            let is_large = head.starts_with("GET /large");
            cacheable(if is_large { &fields } else { "" })
        })
        .await;
        let proxy = Proxy::start(origin.address, flags).await;
        let reply = proxy.get("/large", "").await;
        assert_eq!(reply.status(), 502, "{count} lines of {bytes}");
        let what = "The header of the origin server's response is too large. ";
        assert!(reply.body.starts_with(what), "{}", reply.body);
        let status = reply.field("proxy-status").unwrap();
        let error = "cachewarp; error=http_response_header_section_size; ";
        assert!(status.starts_with(error), "{status}");
        assert_eq!(proxy.get("/other", "").await.status(), 200);
    }
}

#[tokio::test]
async fn limits_out_of_range_are_refused() {
    let cases = [
        ("--max-response-head", "1KiB", "8KiB to 1MiB"),
        ("--max-response-head", "2MiB", "8KiB to 1MiB"),
        ("--max-response-head", "much", "whole number"),
        ("--max-response-fields", "0", "16..=4096"),
        ("--max-response-fields", "70000", "16..=4096"),
    ];
    let unused = "127.0.0.1:9".parse().unwrap();
    for (flag, value, why) in cases {
        let output = soon(before(unused, &[flag, value]).output()).await.unwrap();
        assert_eq!(output.status.code(), Some(2));
        let line = String::from_utf8(output.stderr).unwrap();
        for word in [flag, value, why] {
            assert!(line.contains(word), "{line:?} has no {word:?}");
        }
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_before_it_takes_much() {
    let origin = Origin::start(|_| ok("", "page")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let long = "a".repeat(40 * 1024);
    for unfinished in [
        format!("GET /{long}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}", lines(90, 450)),
    ] {
        let mut client = proxy.connect().await;
        client.write_all(unfinished.as_bytes()).await.unwrap();
        let reply = read_to_end(&mut client).await;
        let status = reply.status();
        assert!(
            matches!(status, 414 | 431),
            "{status} {}",
            &unfinished[..20]
        );
    }
    assert_eq!(origin.heads().len(), 0);
}
