//! The flags that say what tells responses apart, and whose they are.

use super::support::{Origin, Proxy, field, ok};

/// What is fresh by the origin's word, and echoes its target and its cookies.
async fn fresh() -> Origin {
    Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "x")).await
}

/// What the origin says nothing about.
async fn silent() -> Origin {
    Origin::start(|_| ok("", "x")).await
}

/// Requests in their order: what is asked, with which fields, and what `X-Cache` says of it.
async fn ask(proxy: &Proxy, requests: &[(&str, &str, &str)]) {
    for (path, line, cache) in requests {
        let lines = if line.is_empty() {
            String::new()
        } else {
            format!("{line}\r\n")
        };
        let reply = proxy.get(path, &lines).await;
        assert_eq!(reply.field("x-cache"), Some(*cache), "{path} {line}");
    }
}

#[tokio::test]
async fn a_keyed_field_has_responses_of_its_own() {
    let origin = fresh().await;
    let flags = ["--key-header", "X-Tenant,x-unit", "--key-header", "X-More"];
    let proxy = Proxy::start(origin.address, &flags).await;
    for name in ["X-Tenant", "x-unit", "X-More"] {
        let (one, two) = (format!("{name}: 1"), format!("{name}: 2"));
        let path = format!("/{name}");
        ask(
            &proxy,
            &[
                (&path, &one, "MISS"),
                (&path, &two, "MISS"),
                (&path, "", "MISS"),
                (&path, &one, "HIT"),
                (&path, &two, "HIT"),
                (&path, "", "HIT"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn a_credential_is_shared_at_the_origins_word_only() {
    let origin = fresh().await;
    let proxy = Proxy::start(origin.address, &["--credential-header", "X-Who, x-any-*"]).await;
    for line in ["X-Who: 1", "X-Any-Key: 1"] {
        let path = format!("/{}", line.len());
        ask(
            &proxy,
            &[
                (&path, line, "MISS"),
                (&path, line, "MISS"),
                (&path, "", "MISS"),
                (&path, "", "HIT"),
            ],
        )
        .await;
    }
    // Without the flag it is a field like others.
    let proxy = Proxy::start(origin.address, &[]).await;
    ask(&proxy, &[("/x", "X-Who: 1", "MISS"), ("/x", "", "HIT")]).await;
    let public = Origin::start(|_| ok("Cache-Control: public, max-age=60\r\n", "x")).await;
    let proxy = Proxy::start(public.address, &["--credential-header", "X-Who"]).await;
    ask(&proxy, &[("/x", "X-Who: 1", "MISS"), ("/x", "", "HIT")]).await;
}

#[tokio::test]
async fn ignored_parameters_go_nowhere() {
    let origin = fresh().await;
    let flags = [
        "--ignore-query",
        "utm_*,fbclid",
        "--ignore-query",
        "*_click",
    ];
    let proxy = Proxy::start(origin.address, &flags).await;
    ask(
        &proxy,
        &[
            ("/x?utm_source=a&id=1", "", "MISS"),
            ("/x?id=1&fbclid=7", "", "HIT"),
            ("/x?id=1&a_click", "", "HIT"),
            ("/x?id=1", "", "HIT"),
            ("/x?id=1&other", "", "MISS"),
        ],
    )
    .await;
    let heads = origin.heads();
    assert!(heads[0].starts_with("GET /x?id=1 "), "{heads:?}");
}

#[tokio::test]
async fn a_sorted_query_is_one() {
    let origin = fresh().await;
    let proxy = Proxy::start(origin.address, &["--sort-query"]).await;
    ask(&proxy, &[("/x?b&a", "", "MISS"), ("/x?a&b", "", "HIT")]).await;
    assert!(origin.heads()[0].starts_with("GET /x?a&b "));
    let proxy = Proxy::start(origin.address, &[]).await;
    ask(&proxy, &[("/x?b&a", "", "MISS"), ("/x?a&b", "", "MISS")]).await;
}

#[tokio::test]
async fn cookies_are_keyed_count_or_go() {
    let origin = silent().await;
    let flags = [
        "--ttl",
        "60",
        "--cookie-key",
        "lang,cur*",
        "--cookie-bypass",
        "_ga",
        "--cookie-ignore",
        "theme,ab_*",
        "--cookie-ignore",
        "seen",
    ];
    let proxy = Proxy::start(origin.address, &flags).await;
    ask(
        &proxy,
        &[
            ("/key", "Cookie: lang=de", "MISS"),
            ("/key", "Cookie: lang=en", "MISS"),
            ("/key", "Cookie: lang=de", "HIT"),
            ("/key", "Cookie: currency=1", "MISS"),
            ("/key", "Cookie: currency=1", "HIT"),
            ("/ignore", "Cookie: theme=1; ab_x=2; seen=3", "MISS"),
            ("/ignore", "", "HIT"),
            ("/ignore", "Cookie: _ga=1", "BYPASS"),
            ("/ignore", "Cookie: session=1", "BYPASS"),
            // One of analytics is ignored unless it is named.
            ("/ignore", "Cookie: _gid=1", "HIT"),
        ],
    )
    .await;
    let heads = origin.heads();
    let ignored = heads.iter().find(|head| head.starts_with("GET /ignore "));
    assert_eq!(field(ignored.unwrap(), "cookie"), None);
    assert_eq!(field(heads.last().unwrap(), "cookie"), Some("session=1"));

    let flags = [
        "--ttl",
        "60",
        "--cookie-ignore",
        "*",
        "--cookie-bypass",
        "session*",
    ];
    let proxy = Proxy::start(origin.address, &flags).await;
    ask(
        &proxy,
        &[
            ("/x", "Cookie: any=1", "MISS"),
            ("/x", "Cookie: other=1", "HIT"),
            ("/x", "Cookie: session_id=1", "BYPASS"),
        ],
    )
    .await;
}
