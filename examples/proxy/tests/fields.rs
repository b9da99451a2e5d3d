//! Request fields that could tell the origin something else than the key says.

use tokio::io::AsyncWriteExt;

use super::support::{Origin, Proxy, field, ok, read_head, soon};

/// Those that no request takes to the origin.
const REMOVED: [&str; 89] = [
    "Base-Url",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CF-Pseudo-IPv4",
    "CF-Visitor",
    "Client-IP",
    "CloudFront-Forwarded-Proto",
    "CloudFront-Viewer-Address",
    "Disguised-Host",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "Forwarded",
    "Forwarded-For",
    "Forwarded-Host",
    "Front-End-Https",
    "HTTPS",
    "Path-Info",
    "Proxy",
    "Script-Name",
    "True-Client-IP",
    "WL-Proxy-Client-IP",
    "WL-Proxy-SSL",
    "X-ARR-SSL",
    "X-Azure-ClientIP",
    "X-Azure-SocketIP",
    "X-Client-IP",
    "X-Client-Scheme",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "X-Envoy-Original-Host",
    "X-Envoy-Original-Path",
    "X-Forwarded",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Authorization",
    "X-Forwarded-By",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Host",
    "X-Forwarded-Method",
    "X-Forwarded-Path",
    "X-Forwarded-Port",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-Forwarded-Whatever",
    "X-Host",
    "X-Host-Override",
    "X-HTTP-DestinationURL",
    "X-HTTP-Host-Override",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Ingress-Path",
    "X-Invoke-Path",
    "X-Matched-Path",
    "X-Method-Override",
    "X-Middleware-Subrequest",
    "X-Now-Route-Matches",
    "X-Original-For",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-Path",
    "X-Original-Proto",
    "X-Original-Scheme",
    "X-Original-URI",
    "X-Original-URL",
    "X-Originating-IP",
    "X-Override-URL",
    "X-Proxy-Host",
    "X-Proxy-Url",
    "X-ProxyUser-Ip",
    "X-Real-Host",
    "X-Real-IP",
    "X-Remote-IP",
    "X-Replaced-Path",
    "X-Request-URI",
    "X-Rewrite-URI",
    "X-Rewrite-URL",
    "X-Scheme",
    "X-Script-Name",
    "X-Url-Scheme",
    "X-WAWS-Unencoded-URL",
];

async fn fresh() -> Origin {
    Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "x")).await
}

#[tokio::test]
async fn no_field_tells_the_origin_what_is_not_keyed() {
    let origin = fresh().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for (index, name) in REMOVED.into_iter().enumerate() {
        let path = format!("/{index}");
        let lines = format!("{name}: evil\r\n{name}: evil too\r\nX-Other: 1\r\n");
        let miss = proxy.get(&path, &lines).await;
        assert_eq!(miss.field("x-cache"), Some("MISS"), "{name}");
        let head = origin.heads().pop().unwrap();
        assert!(!head.contains("evil"), "{head}");
        assert_eq!(field(&head, "x-other"), Some("1"), "{head}");
        let hit = proxy.get(&path, "").await;
        assert_eq!(hit.field("x-cache"), Some("HIT"), "{name}");
    }
}

#[tokio::test]
async fn fields_that_tell_nothing_of_the_kind_go_on() {
    let origin = fresh().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let names = [
        "X-Forwarded-For",
        "X-Wap-Profile",
        "X-Requested-With",
        "X-Api-Key",
        "From",
        "CF-Ray",
        "Client-Hint",
        "Traceparent",
    ];
    let lines: String = names.map(|name| format!("{name}: sent\r\n")).concat();
    proxy.get("/", &lines).await;
    let head = origin.heads().remove(0);
    for name in names {
        let value = field(&head, name).unwrap_or_default();
        assert!(value.starts_with("sent"), "{name}: {head}");
    }
}

#[tokio::test]
async fn a_post_may_ask_for_another_method_and_stays_a_write() {
    let origin = fresh().await;
    let proxy = Proxy::start(origin.address, &["--profile", "post-fills"]).await;
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
    ] {
        for method in ["DELETE", "GET"] {
            let path = format!("/{name}/{method}");
            proxy.get(&path, "").await;
            assert_eq!(proxy.get(&path, "").await.field("x-cache"), Some("HIT"));
            let post = format!(
                "POST {path} HTTP/1.1\r\nHost: a.example\r\n{name}: {method}\r\nContent-Length: 0\r\n\r\n"
            );
            for _ in 0..2 {
                proxy.ask(&post).await;
                let head = origin.heads().pop().unwrap();
                assert!(head.starts_with("POST "), "{head}");
                assert_eq!(field(&head, name), Some(method));
            }
            let reply = proxy.get(&path, "").await;
            assert_eq!(reply.field("x-cache"), Some("MISS"), "{name}: {method}");
        }
        // Nothing looks at the response to these, so they may do no more than they say.
        for method in ["OPTIONS", "PROPFIND"] {
            proxy
                .ask(&format!(
                    "{method} / HTTP/1.1\r\nHost: a.example\r\n{name}: DELETE\r\n\r\n"
                ))
                .await;
            let head = origin.heads().pop().unwrap();
            assert!(head.starts_with(method), "{head}");
            assert_eq!(field(&head, name), None);
        }
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_tells_goes_on_and_is_keyed() {
    let origin = fresh().await;
    let flags = [
        "--trust-header",
        "X-Forwarded-Proto, x-real-ip,X-Forwarded-User",
        "--trust-header",
        "X-Original-URL,X-Original-Method,X_Forwarded_Host",
        "--key-header",
        "X-Forwarded-Prefix",
    ];
    let proxy = Proxy::start(origin.address, &flags).await;
    for (index, name) in ["X-Forwarded-Proto", "X-Forwarded-Prefix"]
        .into_iter()
        .enumerate()
    {
        let path = format!("/{index}");
        for (value, cache) in [
            ("one", "MISS"),
            ("two", "MISS"),
            ("one", "HIT"),
            ("two", "HIT"),
        ] {
            let reply = proxy.get(&path, &format!("{name}: {value}\r\n")).await;
            assert_eq!(reply.field("x-cache"), Some(cache), "{name}: {value}");
            let head = origin.heads().pop().unwrap();
            if cache == "MISS" {
                assert_eq!(field(&head, name), Some(value));
                assert_eq!(head.matches(value).count(), 1, "{head}");
            }
        }
        assert_eq!(proxy.get(&path, "").await.field("x-cache"), Some("MISS"));
    }
    let head = origin.heads().pop().unwrap();
    assert_eq!(field(&head, "x-forwarded-proto"), Some("http"));

    // Fields that say who asks, or from where, split nothing.
    for (name, cache) in [("X-Real-IP", "MISS"), ("X-Forwarded-User", "HIT")] {
        let reply = proxy.get("/who", &format!("{name}: me\r\n")).await;
        assert_eq!(reply.field("x-cache"), Some(cache), "{name}");
    }
    assert_eq!(
        field(origin.heads().last().unwrap(), "x-real-ip"),
        Some("me")
    );
    proxy.get("/user", "X-Forwarded-User: me\r\n").await;
    let head = origin.heads().pop().unwrap();
    assert_eq!(field(&head, "x-forwarded-user"), Some("me"));
    // The cache does not take these for overrides, so they are a part of the key.
    for name in ["X-Original-Method", "X_Forwarded_Host"] {
        for (value, cache) in [("one", "MISS"), ("two", "MISS"), ("one", "HIT")] {
            let reply = proxy.get("/odd", &format!("{name}: {value}\r\n")).await;
            assert_eq!(reply.field("x-cache"), Some(cache), "{name}: {value}");
        }
    }
    // The cache lets a field that names another resource go past it, whoever sends it.
    let reply = proxy.get("/url", "X-Original-URL: /other\r\n").await;
    assert_ne!(reply.field("x-cache"), Some("MISS"));
    let head = origin.heads().pop().unwrap();
    assert_eq!(field(&head, "x-original-url"), Some("/other"));
}

#[tokio::test]
async fn no_trailer_tells_the_origin_what_no_field_may() {
    const HIDDEN: [&str; 7] = [
        "X-Forwarded-Host",
        "X-Forwarded-For",
        "X-Original-URL",
        "X_Real_IP",
        "X-HTTP-Method-Override",
        "If-None-Match",
        "Via",
    ];
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let trailers: String = HIDDEN.map(|name| format!("{name}: evil\r\n")).concat();
    let named = HIDDEN.join(", ");
    let mut client = proxy.connect().await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Sum, {named}\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 7\r\n{trailers}\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    let content = soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(content, "4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n");
}
