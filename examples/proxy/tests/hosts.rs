//! Which hosts there can be, and that the origin hears of one in the form in which it is keyed.

use http::HeaderValue;

use super::{
    http2::{connect, get},
    support::{Act, Origin, Proxy, field, soon},
};

/// An origin that redirects to the host it was asked by, as many frameworks do.
async fn redirecting() -> Origin {
    Origin::start(|head| {
        let host = field(head, "host").unwrap_or_default();
        let forwarded = field(head, "x-forwarded-host").unwrap_or_default();
        Act::Say(format!(
            "HTTP/1.1 301 Moved\r\nLocation: http://{host}/there\r\nX-Told: {forwarded}\r\n\
             Cache-Control: max-age=60\r\nContent-Length: 0\r\n\r\n"
        ))
    })
    .await
}

#[tokio::test]
async fn a_spelling_of_one_client_is_stored_for_nobody() {
    let origin = redirecting().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let rewrites = Proxy::start(origin.address, &["--rewrite-host"]).await;
    for (index, (target, host, normal)) in [
        ("", "A.Test", "a.test"),
        ("", "a.test:80", "a.test"),
        ("", "a.test:080", "a.test"),
        ("", "a.test:", "a.test"),
        ("", "A.TEST:0080", "a.test"),
        ("", "a.test:08080", "a.test:8080"),
        ("", "A.test.:80", "a.test."),
        ("", "[::1]:80", "[::1]"),
        ("", "[0:0::0:1]", "[::1]"),
        ("", "[2001:DB8:0::A]:81", "[2001:db8::a]:81"),
        ("http://A.Test:80", "other.test", "a.test"),
        ("http://a.test:", "other.test", "a.test"),
        ("https://a.test:443", "other.test", "a.test"),
        ("https://a.test:80", "other.test", "a.test"),
        ("http://[0::1]:0080", "other.test", "[::1]"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{index}");
        let ask = async |proxy: &Proxy, target: &str, host: &str| {
            let request = format!("GET {target}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            proxy.ask(&request).await
        };
        let first = ask(&proxy, target, host).await;
        let location = format!("http://{normal}/there");
        assert_eq!(first.field("location"), Some(&*location), "{target} {host}");
        assert_eq!(first.field("x-cache"), Some("MISS"), "{target} {host}");
        let second = ask(&proxy, "", normal).await;
        assert_eq!(second.field("x-cache"), Some("HIT"), "{target} {host}");
        assert_eq!(second.field("x-told"), Some(normal), "{target} {host}");

        // The key has the host of the client, whatever the origin is told.
        let first = ask(&rewrites, target, host).await;
        assert_eq!(first.field("x-told"), Some(normal), "{target} {host}");
        let second = ask(&rewrites, "", normal).await;
        assert_eq!(second.field("x-cache"), Some("HIT"), "{target} {host}");
        let other = ask(&rewrites, "", "c.test").await;
        assert_eq!(other.field("x-cache"), Some("MISS"), "{target} {host}");
    }
}

#[tokio::test]
async fn hosts_with_and_without_a_dot_at_the_end_are_two() {
    let origin = redirecting().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for host in ["a.test", "a.test.", "a.test:81", "a.test:443"] {
        let reply = proxy
            .ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(reply.field("x-cache"), Some("MISS"), "{host}");
        let location = format!("http://{host}/there");
        assert_eq!(reply.field("location"), Some(&*location), "{host}");
    }
}

#[tokio::test]
async fn http_2_names_its_authority_in_any_spelling() {
    let origin = redirecting().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = connect(&proxy).await;
    for (index, (authority, host)) in [
        ("http://A.Test:80", None),
        ("http://a.test:", None),
        ("https://a.test:443", None),
        ("http://a.test", Some("A.TEST:80")),
        ("http://A.test", Some("a.test:")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = get(&format!("{authority}/{index}"));
        if let Some(host) = host {
            let host = HeaderValue::from_static(host);
            request.headers_mut().insert("host", host);
        }
        let reply = soon(client.send_request(request)).await.unwrap();
        assert_eq!(reply.status(), 301, "{authority} {host:?}");
        let location = &reply.headers()["location"];
        assert_eq!(location, "http://a.test/there", "{authority} {host:?}");
        let path = format!("GET /{index} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let hit = proxy.ask(&path).await;
        assert_eq!(hit.field("x-cache"), Some("HIT"), "{authority} {host:?}");
    }
    for authority in [
        "http://a..b",
        "http://a.test:0",
        "http://a!b",
        "http://1.2.3",
    ] {
        let reply = soon(client.send_request(get(authority))).await.unwrap();
        assert_eq!(reply.status(), 400, "{authority}");
    }
}

#[tokio::test]
async fn a_host_that_there_cannot_be_is_400_and_says_why() {
    let origin = redirecting().await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let long = format!("{}.test", "a".repeat(64));
    for (host, why) in [
        ("a.test:0", "port"),
        ("a.test:65536", "port"),
        ("a.test:99999", "port"),
        ("a.test:x", "port"),
        ("a..b", "dots"),
        (".a", "dots"),
        (&long, "63"),
        ("a!b", "character"),
        ("a;b", "character"),
        ("a,b", "character"),
        ("a%2etest", "character"),
        ("u@a.test", "character"),
        ("1.2.3.4.5", "IPv4"),
        ("256.1.1.1", "IPv4"),
        ("0x7f.1", "IPv4"),
        ("127.1", "IPv4"),
        ("[::1", "bracket"),
        ("[::1]a", "no port"),
        ("[fe80::1%25eth0]", "zone"),
        ("[v1.a]", "IPv6"),
    ] {
        for request in [
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"),
            format!("GET http://a.test/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ] {
            let reply = proxy.ask(&request).await;
            assert_eq!(reply.status(), 400, "{request}");
            assert!(reply.body.contains(why), "{request}: {}", reply.body);
        }
        // hyper refuses some of these itself, without a word.
        let absolute = format!("GET http://{host}/ HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(proxy.ask(&absolute).await.status(), 400, "{absolute}");
    }
    assert!(origin.heads().is_empty());
    for host in [
        "a_b.test",
        "-",
        "xn--bcher-kva.example",
        "1.2.3.4",
        "[::1]:65535",
    ] {
        let reply = proxy
            .ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(reply.status(), 301, "{host}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_421_and_reaches_nobody() {
    let origin = redirecting().await;
    let flags = [
        "--allow-host",
        "A.test,*.b.test,c.test:81",
        "--allow-host",
        "[::1]",
    ];
    let proxy = Proxy::start(origin.address, &flags).await;
    for (host, status) in [
        ("a.test", 301),
        ("A.TEST.:0080", 301),
        ("a.test:8080", 301),
        ("x.b.test", 301),
        ("x.y.B.test:81", 301),
        ("c.test:81", 301),
        ("[0::1]:5", 301),
        ("b.test", 421),
        ("x.a.test", 421),
        ("xb.test", 421),
        ("c.test", 421),
        ("c.test:80", 421),
        ("evil.test", 421),
        ("a.test.evil.test", 421),
        ("[::2]", 421),
        ("127.0.0.1", 421),
        ("a..test", 400),
    ] {
        let before = origin.heads().len();
        let heads = [
            format!("GET /{host} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET http://{host}/absolute{host} HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"),
            format!("OPTIONS * HTTP/1.0\r\nHost: {host}\r\n\r\n"),
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            ),
        ];
        for head in &heads {
            let reply = proxy.ask(head).await;
            assert_eq!(reply.status(), status, "{head}");
            if status == 421 {
                assert_eq!(reply.field("cache-control"), Some("no-store"), "{head}");
                assert_eq!(reply.field("x-cache"), Some("ERROR"), "{head}");
            }
        }
        let asked = origin.heads().len() - before;
        assert_eq!(asked > 0, status == 301, "{host}");
    }
    let before = origin.heads().len();
    // HTTP/1.0 may name none, and then it asks for that of the origin.
    let reply = proxy.ask("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(reply.status(), 421);
    let mut client = connect(&proxy).await;
    for (authority, status) in [("http://B.test", 421), ("http://X.b.test", 301)] {
        let reply = soon(client.send_request(get(authority))).await.unwrap();
        assert_eq!(reply.status(), status, "{authority}");
    }
    assert_eq!(origin.heads().len(), before + 1);

    let lists_it = Proxy::start(origin.address, &["--allow-host", "127.0.0.1"]).await;
    let reply = lists_it.ask("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(reply.status(), 301);
}
