//! Request fields whose names servers take for others: `X_Api_Key` for `X-Api-Key`.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::support::{Origin, Proxy, before, field, ok, soon};

async fn silent() -> Origin {
    Origin::start(|_| ok("", "x")).await
}

fn post(kind: &str, line: &str) -> String {
    format!(
        "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Type: {kind}\r\n{line}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[tokio::test]
async fn they_are_dropped_but_from_grpc() {
    let origin = silent().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let strict = Proxy::start(origin.address, &["--underscore-fields", "drop"]).await;
    for name in ["X_A", "x-a_b", "x.a", "_", "x+a"] {
        let line = format!("{name}: sent");
        proxy.get("/x", &format!("{line}\r\nX-B: sent\r\n")).await;
        let head = origin.heads().pop().unwrap();
        assert_eq!(head.matches("sent").count(), 1, "{head}");
        assert_eq!(field(&head, "x-b"), Some("sent"));
        for (kind, goes_on) in [
            ("text/plain", false),
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc-web", true),
            ("application/json", false),
        ] {
            proxy.ask(&post(kind, &line)).await;
            let head = origin.heads().pop().unwrap();
            assert_eq!(head.contains("sent"), goes_on, "{kind}: {head}");
            strict.ask(&post(kind, &line)).await;
            let head = origin.heads().pop().unwrap();
            assert!(!head.contains("sent"), "{kind}: {head}");
        }
        // A GET is no call of gRPC, whatever it says.
        let grpc = format!("Content-Type: application/grpc\r\n{line}\r\n");
        proxy.get("/x", &grpc).await;
        let head = origin.heads().pop().unwrap();
        assert!(!head.contains("sent"), "{head}");
    }
}

#[tokio::test]
async fn they_are_400_if_told_so() {
    let origin = silent().await;
    let proxy = Proxy::start(origin.address, &["--underscore-fields", "reject"]).await;
    for name in ["X_A", "x.a"] {
        let reply = proxy.get("/x", &format!("{name}: sent\r\n")).await;
        assert_eq!(reply.status(), 400, "{name}");
        assert!(reply.body.contains("header field"), "{}", reply.body);
        let reply = proxy
            .ask(&post("application/grpc", &format!("{name}: sent")))
            .await;
        assert_eq!(reply.status(), 400, "{name}");
    }
    assert!(origin.heads().is_empty());
    assert_eq!(proxy.get("/x", "X-A: sent\r\n").await.status(), 200);
}

#[tokio::test]
async fn what_goes_on_is_what_the_name_with_hyphens_would_be() {
    let origin = silent().await;
    let flags = [
        "--underscore-fields",
        "forward",
        "--ttl",
        "60",
        "--key-header",
        "X-Tenant",
        "--credential-header",
        "X-Own-*",
    ];
    let proxy = Proxy::start(origin.address, &flags).await;
    // What means nothing is forwarded, and shared.
    let miss = proxy.get("/a", "App_Version: 3\r\n").await;
    assert_eq!(miss.field("x-cache"), Some("MISS"));
    let head = origin.heads().pop().unwrap();
    assert_eq!(field(&head, "app_version"), Some("3"));
    let hit = proxy.get("/a", "").await;
    assert_eq!(hit.field("x-cache"), Some("HIT"));

    // Credentials and keys by another name: neither stored nor answered from what is.
    for name in [
        "X_Api_Key",
        "X-Api_Key",
        "x.api.key",
        "X_Own_Key",
        "X_Tenant",
    ] {
        let path = format!("/{name}");
        for _ in 0..2 {
            let before = origin.heads().len();
            let reply = proxy.get(&path, &format!("{name}: mine\r\n")).await;
            assert_eq!(reply.status(), 200, "{name}");
            let member = reply.field("cache-status");
            let past = "cachewarp; fwd=bypass; detail=field-name";
            assert_eq!(member, Some(past), "{name}");
            let heads = origin.heads();
            assert_eq!(heads.len(), before + 1, "{name}");
            assert_eq!(field(&heads[before], name), Some("mine"));
        }
        let plain = proxy.get(&path, "").await;
        assert_eq!(plain.field("x-cache"), Some("MISS"), "{name}");
        let before = origin.heads().len();
        proxy.get(&path, &format!("{name}: mine\r\n")).await;
        assert_eq!(origin.heads().len(), before + 1, "{name}");
        // A write still invalidates.
        let write = format!(
            "POST {path} HTTP/1.1\r\nHost: a.example\r\n{name}: mine\r\nContent-Length: 0\r\n\r\n"
        );
        proxy.ask(&write).await;
        let plain = proxy.get(&path, "").await;
        assert_eq!(plain.field("x-cache"), Some("MISS"), "{name}");
    }

    // What tells the origin something else than the key says, or has a meaning of its own.
    for name in [
        "X_Forwarded_Host",
        "X_Forwarded-For",
        "X-Original_URL",
        "X_HTTP_Method_Override",
        "X_Real_IP",
        "Content_Length",
        "Transfer_Encoding",
        "Accept_Language",
        "If_None_Match",
        "Cache_Control",
    ] {
        proxy
            .get(
                "/b",
                &format!("{name}: evil\r\nCache-Control: no-cache\r\n"),
            )
            .await;
        let head = origin.heads().pop().unwrap();
        assert!(!head.contains("evil"), "{head}");
    }
}

#[tokio::test]
async fn what_a_post_gets_for_such_a_credential_is_for_nobody_else() {
    let origin = Origin::start(|head| {
        let path = head.split(' ').nth(1).unwrap();
        let fields = format!("Cache-Control: max-age=60\r\nContent-Location: {path}\r\n");
        ok(&fields, "mine")
    })
    .await;
    let flags = [
        "--profile",
        "post-fills",
        "--underscore-fields",
        "forward",
        "--key-header",
        "X-Tenant",
    ];
    let proxy = Proxy::start(origin.address, &flags).await;
    for (line, cache) in [
        ("X-Other: 1", "HIT"),
        ("App_Version: 1", "HIT"),
        ("X_Api_Key: 1", "MISS"),
        ("x.api.key: 1", "MISS"),
        ("X_Tenant: 1", "MISS"),
        // The response may depend on what is no longer there.
        ("Accept-Language: de\r\nConnection: Accept-Language", "MISS"),
    ] {
        let path = format!("/{}", line.split(':').next().unwrap());
        let before = origin.heads().len();
        let post = format!(
            "POST {path} HTTP/1.1\r\nHost: a.example\r\n{line}\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(proxy.ask(&post).await.status(), 200, "{line}");
        assert_eq!(origin.heads().len(), before + 1, "{line}");
        let reply = proxy.get(&path, "").await;
        assert_eq!(reply.field("x-cache"), Some(cache), "{line}");
    }
}

#[tokio::test]
async fn those_that_a_flag_names_go_on() {
    let origin = silent().await;
    for policy in ["drop", "reject"] {
        let flags = [
            "--underscore-fields",
            policy,
            "--ttl",
            "60",
            "--key-header",
            "app_version",
            "--credential-header",
            "own_key",
            "--trust-header",
            "unit_id",
        ];
        let proxy = Proxy::start(origin.address, &flags).await;
        for (line, cache) in [
            ("App_Version: 1", "MISS"),
            ("App_Version: 2", "MISS"),
            ("App_Version: 1", "HIT"),
            ("Unit_Id: 1", "MISS"),
            ("Unit_Id: 2", "HIT"),
            ("Own_Key: 1", "BYPASS"),
        ] {
            let reply = proxy.get("/x", &format!("{line}\r\n")).await;
            assert_eq!(reply.field("x-cache"), Some(cache), "{policy} {line}");
            if cache != "HIT" {
                let head = origin.heads().pop().unwrap().to_lowercase();
                assert!(head.contains(&line.to_lowercase()), "{head}");
            }
        }
    }
}

#[tokio::test]
async fn each_dropped_name_is_logged_once() {
    let origin = silent().await;
    let mut command = before(origin.address, &[]);
    command.env("RUST_LOG", "warn").stderr(Stdio::piped());
    let mut proxy = Proxy::spawn(command).await;
    let mut log = BufReader::new(proxy.child.stderr.take().unwrap()).lines();
    for name in ["x_a", "x_a", "X_A", "x_b"] {
        proxy.get("/x", &format!("{name}: secret\r\n")).await;
    }
    for name in ["x_a", "x_b"] {
        let line = soon(log.next_line()).await.unwrap().unwrap();
        assert!(line.contains("WARN") && line.contains(name), "{line}");
        assert!(!line.contains("secret"), "{line}");
        assert!(line.contains("--underscore-fields"), "{line}");
    }
}
