//! What the proxy says when it answers itself: a body in the form that the client prefers, and its
//! own name in `Proxy-Status`.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;

use super::support::{Act, Origin, Proxy, Reply, field, ok, read_to_end, soon, status};

/// A request that the proxy answers itself: its first line, more lines, and the answer.
struct Case {
    line: &'static str,
    fields: &'static str,
    status: u16,
    error: &'static str,
    detail: &'static str,
    says: &'static str,
}

const fn case(
    line: &'static str,
    fields: &'static str,
    status: u16,
    error: &'static str,
    detail: &'static str,
    says: &'static str,
) -> Case {
    Case {
        line,
        fields,
        status,
        error,
        detail,
        says,
    }
}

const CASES: [Case; 9] = [
    case(
        "GET /",
        "Host: b\r\n",
        400,
        "http_request_error",
        "request-invalid",
        "more than one Host",
    ),
    case(
        "GET *",
        "",
        400,
        "http_request_error",
        "request-invalid",
        "OPTIONS",
    ),
    case(
        "POST /never",
        "Content-Length: 4\r\n",
        408,
        "http_request_error",
        "request-body-timeout",
        "in time",
    ),
    case(
        "GET /many",
        MANY,
        431,
        "http_request_error",
        "request-header-too-large",
        "fewer cookies",
    ),
    case(
        "GET /broken",
        "",
        502,
        "connection_terminated",
        "origin-broke-off",
        "broke",
    ),
    case(
        "GET /malformed",
        "",
        502,
        "http_protocol_error",
        "origin-response-invalid",
        "not valid HTTP",
    ),
    case(
        "GET /large",
        "",
        502,
        "http_response_header_section_size",
        "origin-header-too-large",
        "too large",
    ),
    case(
        "GET /hangs",
        "",
        504,
        "http_response_timeout",
        "origin-timeout",
        "too long",
    ),
    case(
        "GET /kept",
        "Cache-Control: only-if-cached\r\n",
        504,
        "proxy_internal_response",
        "only-if-cached",
        "only-if-cached",
    ),
];

/// More fields than are admitted.
const MANY: &str = concat!(
    "a: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\n",
    "a: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\n",
    "a: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\n",
    "a: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\n",
    "a: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\na: \r\n",
);

async fn origin() -> Origin {
    Origin::start(|head| match head.split(' ').nth(1) {
        Some("/broken") => Act::SayAndClose(String::new()),
        Some("/malformed") => Act::SayAndClose("SECRET\r\n\r\n".to_owned()),
        Some("/large") => ok(&format!("SECRET: {}\r\n", "x".repeat(70_000)), ""),
        Some("/hangs" | "/never") => Act::Hang,
        Some("/fails") => status(503, ""),
        _ => ok("Cache-Control: max-age=60\r\n", "page"),
    })
    .await
}

const FLAGS: [&str; 6] = [
    "--name",
    "edge-1",
    "--origin-timeout",
    "300ms",
    "--client-timeout",
    "600ms",
];

fn check(reply: &Reply, case: &Case, problem: bool) {
    let context = format!("{} {}: {reply:?}", case.line, case.fields);
    assert_eq!(reply.status(), case.status, "{context}");
    let value = reply.field("proxy-status").unwrap_or_default();
    let begin = format!("edge-1; error={}; details=\"", case.error);
    assert!(
        value.starts_with(&begin) && value.ends_with('"'),
        "{context}"
    );
    assert_eq!(reply.field("cache-control"), Some("no-store"), "{context}");
    // Where operators look for the reason first.
    assert_eq!(reply.field("x-cache"), Some("ERROR"), "{context}");
    let member = format!("edge-1; detail={}", case.detail);
    assert_eq!(reply.field("cache-status"), Some(&*member), "{context}");
    let kind = reply.field("content-type");
    if problem {
        assert_eq!(kind, Some("application/problem+json"), "{context}");
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["status"], case.status, "{context}");
        assert!(body["title"].is_string(), "{context}");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(case.says), "{context}");
    } else {
        assert_eq!(kind, Some("text/plain; charset=utf-8"), "{context}");
        assert!(reply.body.contains(case.says), "{context}");
        assert!(reply.body.ends_with(".\n"), "{context}");
    }
    for inner in ["SECRET", "hyper", "::"] {
        assert!(!reply.body.contains(inner), "{context}");
        assert!(!value.contains(inner), "{context}");
    }
}

#[tokio::test]
async fn every_answer_of_the_proxys_own_says_what_happened() {
    let origin = origin().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    for case in &CASES {
        let (line, fields) = (case.line, case.fields);
        for (accept, problem) in [
            ("", false),
            ("Accept: */*\r\n", false),
            ("Accept: application/json\r\n", true),
            (
                "Accept: text/plain;q=0.1\r\nAccept: application/problem+json\r\n",
                true,
            ),
        ] {
            let ask = format!("{line} HTTP/1.1\r\nHost: a\r\n{accept}{fields}\r\n");
            let reply = proxy.ask(&ask).await;
            check(&reply, case, problem);
            let length = reply.body.len().to_string();
            assert_eq!(reply.field("content-length"), Some(&*length), "{ask}");
            if let Some(rest) = line.strip_prefix("GET ") {
                let ask = format!("HEAD {rest} HTTP/1.1\r\nHost: a\r\n{accept}{fields}\r\n");
                let head = proxy.ask(&ask).await;
                assert_eq!(
                    (head.status(), head.body.as_str()),
                    (case.status, ""),
                    "{ask}"
                );
                for name in ["content-length", "content-type", "proxy-status"] {
                    assert_eq!(head.field(name), reply.field(name), "{ask}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_tunnel_is_refused_in_words() {
    let origin = origin().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let refused = case(
        "CONNECT a:443",
        "",
        501,
        "http_request_denied",
        "connect-not-served",
        "tunnels",
    );
    for (accept, problem) in [("", false), ("Accept: application/json\r\n", true)] {
        let mut client = proxy.connect().await;
        let ask =
            format!("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n{accept}\r\n");
        client.write_all(ask.as_bytes()).await.unwrap();
        check(&read_to_end(&mut client).await, &refused, problem);
    }
}

#[tokio::test]
async fn an_origin_that_is_down_is_named_in_words() {
    let origin = origin().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let _port = origin.die().await;
    let down = case(
        "GET /",
        "",
        502,
        "connection_refused",
        "origin-refused-connection",
        "cannot be reached",
    );
    check(&proxy.get("/", "").await, &down, false);
    let json = proxy.get("/", "Accept: application/json\r\n").await;
    check(&json, &down, true);
}

#[tokio::test]
async fn a_loop_is_named_in_words() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = unused.local_addr().unwrap();
    drop(unused);
    let mut itself = super::support::command();
    let (url, port) = (format!("http://{address}"), address.port().to_string());
    itself.args(["--origin", &url, "--port", &port]).args(FLAGS);
    let proxy = Proxy::spawn(itself).await;
    let reply = proxy.get("/", "").await;
    assert_eq!(reply.status(), 508);
    assert_eq!(reply.error(), Some("proxy_loop_detected"));
    assert!(reply.body.contains("been here before"), "{reply:?}");
}

#[tokio::test]
async fn the_breaker_answers_in_words_and_says_when_to_come_back() {
    let origin = origin().await;
    let flags = [&FLAGS[..], &["--breaker"]].concat();
    let proxy = Proxy::start(origin.address, &flags).await;
    let reply = soon(async {
        let mut turn = 0;
        loop {
            turn += 1;
            let hangs = format!("/hangs?{turn}");
            let _ = proxy.get("/fails", "Cache-Control: no-store\r\n").await;
            let _ = proxy.get("/broken", "").await;
            let _ = proxy.get("/malformed", "").await;
            let reply = proxy.get(&hangs, "Accept: application/json\r\n").await;
            if reply.field("retry-after").is_some() {
                break reply;
            }
        }
    })
    .await;
    let case = case(
        "GET /",
        "",
        503,
        "destination_unavailable",
        "breaker-open",
        "Try again after",
    );
    check(&reply, &case, true);
    let wait = reply.field("retry-after").unwrap();
    assert!(reply.body.contains(&format!("after {wait} s")), "{reply:?}");
    assert_eq!(reply.head.matches("ontent-").count(), 2, "{reply:?}");
}

#[tokio::test]
async fn an_error_of_the_origin_stays_as_it_is() {
    let origin = Origin::start(|_| status(503, "Retry-After: 7\r\n")).await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let reply = proxy.get("/", "").await;
    assert_eq!((reply.status(), reply.body.as_str()), (503, ""));
    assert_eq!(reply.field("proxy-status"), None);
    assert_eq!(reply.field("retry-after"), Some("7"));
    let member = reply.field("cache-status").unwrap();
    assert!(member.starts_with("edge-1; fwd=uri-miss"), "{member}");
}

#[tokio::test]
async fn the_last_recipient_says_that_it_is() {
    let origin = origin().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    for (method, status) in [("OPTIONS", 204), ("TRACE", 200)] {
        let ask = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
        let reply = proxy.ask(&ask).await;
        assert_eq!(reply.status(), status);
        let value = reply.field("proxy-status").unwrap();
        assert!(
            value.starts_with("edge-1; error=proxy_internal_response"),
            "{value}"
        );
        assert_eq!(reply.field("cache-control"), Some("no-store"));
        assert_eq!(reply.field("x-cache"), Some("BYPASS"));
        assert_eq!(
            reply.field("cache-status"),
            Some("edge-1; detail=max-forwards")
        );
    }
    assert!(origin.heads().is_empty());
}

#[tokio::test]
async fn over_http2_a_head_gets_the_length_without_the_body() {
    let origin = origin().await;
    let proxy = Proxy::start(origin.address, &FLAGS).await;
    let io = TokioIo::new(proxy.connect().await);
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let mut lengths = Vec::new();
    for method in [Method::HEAD, Method::GET] {
        let request = Request::builder()
            .method(method.clone())
            .uri("http://a/hangs")
            .header("accept", "application/json")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let reply = soon(client.send_request(request)).await.unwrap();
        assert_eq!(reply.status(), 504);
        lengths.push(reply.headers()["content-length"].clone());
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        let expected: usize = match method {
            Method::HEAD => 0,
            _ => lengths[0].to_str().unwrap().parse().unwrap(),
        };
        assert_eq!(body.len(), expected, "{method}");
    }
    assert_eq!(lengths[0], lengths[1]);
}

#[tokio::test]
async fn to_the_letter_of_the_rfc_none_of_them_is_from_a_cache() {
    let origin = origin().await;
    let flags = [&FLAGS[..], &["--profile", "rfc-literal"]].concat();
    let proxy = Proxy::start(origin.address, &flags).await;
    for (target, line) in [
        ("*", ""),
        ("/broken", ""),
        ("/kept", "Cache-Control: only-if-cached\r\n"),
    ] {
        let reply = proxy.get(target, line).await;
        assert!(reply.status() >= 400, "{reply:?}");
        assert_eq!(reply.field("x-cache"), Some("ERROR"), "{reply:?}");
        assert_eq!(reply.field("cache-status"), None, "{reply:?}");
    }
}

#[tokio::test]
async fn the_name_is_cachewarp_unless_the_flag_says_another() {
    let origin = origin().await;
    for (flags, name) in [
        (&[][..], "cachewarp"),
        (&["--name", "edge.example:8080/a"], "edge.example:8080/a"),
        (&["--name", "*"], "*"),
    ] {
        let proxy = Proxy::start(origin.address, flags).await;
        let page = proxy.get("/", "").await;
        let value = page.field("cache-status").unwrap();
        assert!(value.starts_with(&format!("{name}; fwd=")), "{value}");
        let reply = proxy.get("*", "").await;
        let value = field(&reply.head, "proxy-status").unwrap();
        assert!(value.starts_with(&format!("{name}; error=")), "{value}");
    }
}
