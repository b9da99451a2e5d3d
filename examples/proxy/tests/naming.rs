//! Which host name the origin gets, and what clients see of its own.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::support::{Act, Origin, Proxy, before, command, field, ok, soon, status};

/// Every field that may name the origin, and some that may not be touched.
fn names_itself(head: &str) -> Act {
    let origin = field(head, "host").unwrap_or_default();
    let name = origin.split(':').next().unwrap_or_default();
    let fields = format!(
        "Cache-Control: max-age=60\r\n\
         Location: HTTP://{origin}/next?a=http://{origin}/#top\r\n\
         Content-Location: //{origin}/here\r\n\
         Set-Cookie: a=1; Domain={name}; Path=/\r\n\
         Set-Cookie: b=1; Domain=other.example\r\n\
         Link: <http://{origin}/style>; rel=preload\r\n\
         Refresh: 5; url=http://{origin}/\r\n"
    );
    ok(&fields, &format!("http://{origin}/"))
}

#[tokio::test]
async fn the_name_of_the_origin_is_written_back_to_that_of_the_client() {
    let origin = Origin::start(names_itself).await;
    // It stores cookies, so that a hit shows what is stored.
    let flags = ["--rewrite-host", "--profile", "rfc-literal"];
    let proxy = Proxy::start(origin.address, &flags).await;
    let own = origin.address.to_string();
    for (host, cache) in [
        ("a.example", "MISS"),
        ("b.example:8000", "MISS"),
        ("a.example", "HIT"),
        ("b.example:8000", "HIT"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = proxy.ask(&request).await;
        assert_eq!(reply.field("x-cache"), Some(cache), "{}", reply.head);
        let location = format!("//{host}/next?a=http://{own}/#top");
        assert_eq!(reply.field("location"), Some(location.as_str()));
        let here = format!("//{host}/here");
        assert_eq!(reply.field("content-location"), Some(here.as_str()));
        let cookies: Vec<&str> = reply
            .head
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("set-cookie"))
            .filter_map(|line| line.split_once(": ").map(|(_, value)| value))
            .collect();
        assert_eq!(cookies, ["a=1; Path=/", "b=1; Domain=other.example"]);
        assert!(
            reply.field("link").unwrap().contains(&own),
            "{}",
            reply.head
        );
        assert!(
            reply.field("refresh").unwrap().contains(&own),
            "{}",
            reply.head
        );
        assert_eq!(reply.body, format!("http://{own}/"));
    }
    assert_eq!(origin.heads().len(), 2);
}

#[tokio::test]
async fn without_it_nothing_is_rewritten() {
    let origin = Origin::start(|head| {
        assert!(
            head.to_lowercase().contains("\r\nhost: a.example\r\n"),
            "{head}"
        );
        ok(
            "Location: http://127.0.0.1/\r\nSet-Cookie: a=1; Domain=127.0.0.1\r\n",
            "x",
        )
    });
    let origin = origin.await;
    for flags in [&[][..], &["--no-rewrite-host"]] {
        let proxy = Proxy::start(origin.address, flags).await;
        let reply = proxy.get("/", "").await;
        assert_eq!(reply.field("location"), Some("http://127.0.0.1/"));
        assert_eq!(reply.field("set-cookie"), Some("a=1; Domain=127.0.0.1"));
    }
}

#[tokio::test]
async fn a_write_invalidates_what_it_names_by_the_name_of_the_origin() {
    let origin = Origin::start(|head| {
        let own = field(head, "host").unwrap_or_default();
        match head.split(' ').next() {
            Some("POST") => status(201, &format!("Location: http://{own}/made\r\n")),
            _ => ok("Cache-Control: max-age=60\r\n", "x"),
        }
    });
    let origin = origin.await;
    let proxy = Proxy::start(origin.address, &["--rewrite-host"]).await;
    for expected in ["MISS", "HIT"] {
        assert_eq!(
            proxy.get("/made", "").await.field("x-cache"),
            Some(expected)
        );
    }
    let post = "POST /make HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        proxy.ask(post).await.field("location"),
        Some("//a.example/made")
    );
    assert_eq!(proxy.get("/made", "").await.field("x-cache"), Some("MISS"));
}

#[tokio::test]
async fn redirects_to_another_scheme_or_port_stay() {
    let origin = Origin::start(|head| {
        let own = field(head, "host").unwrap_or_default();
        status(301, &format!("Location: https://{own}/\r\n"))
    });
    let origin = origin.await;
    let proxy = Proxy::start(origin.address, &["--rewrite-host"]).await;
    let reply = proxy.get("/", "").await;
    let location = reply.field("location").unwrap();
    assert!(location.starts_with("https://127.0.0.1:"), "{location}");
}

#[tokio::test]
async fn a_public_name_is_the_host_unless_the_command_line_says_otherwise() {
    const ON: &str = "CACHEWARP_REWRITE_HOST=true";
    const OFF: &str = "CACHEWARP_REWRITE_HOST=false";
    type Words = &'static [&'static str];
    let first_line = |origin: &'static str, flags: Words, variables: Words| async move {
        let mut command = command();
        let variables = variables.iter().filter_map(|pair| pair.split_once('='));
        command.envs(variables);
        command
            .args(["--origin", origin, "--port", "0"])
            .args(flags)
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the proxy starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        soon(BufReader::new(stdout).read_line(&mut line))
            .await
            .unwrap();
        line
    };
    let public = "https://www.example.com";
    for (origin, flags, variables, own) in [
        (public, &[][..], &[][..], true),
        ("http://www.example.com", &[], &[], true),
        (public, &["--no-rewrite-host"], &[], false),
        (public, &["--no-rewrite-host"], &[ON], false),
        (public, &["--rewrite-host"], &[OFF], true),
        (
            public,
            &["--rewrite-host"],
            &["CACHEWARP_NO_REWRITE_HOST=1"],
            true,
        ),
        (public, &[], &[OFF], false),
        (public, &[], &[OFF, "CACHEWARP_NO_REWRITE_HOST=1"], false),
        ("https://app.internal", &[], &[], false),
        ("https://app.internal", &["--rewrite-host"], &[], true),
        ("https://app.internal", &[], &[ON], true),
        ("http://web:8080", &[], &[], false),
        ("https://10.0.0.1", &[], &[], false),
    ] {
        let line = first_line(origin, flags, variables).await;
        let is_own = line.contains("gets its own name as Host");
        assert_eq!(is_own, own, "{origin} {flags:?} {variables:?}: {line}");
    }
}

/// How often the log has a word, of a proxy that was asked for these paths of a host.
async fn hints(origin: &Origin, flags: &[&str], host: &str, paths: &[&str], word: &str) -> usize {
    let mut command = before(origin.address, flags);
    command.env("RUST_LOG", "warn").stderr(Stdio::piped());
    let mut proxy = Proxy::spawn(command).await;
    for path in paths {
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(proxy.ask(&request).await.status().to_string(), *path);
    }
    proxy.signal("-TERM").await;
    let mut stderr = proxy.child.stderr.take().expect("stderr is piped");
    let mut log = String::new();
    soon(stderr.read_to_string(&mut log)).await.unwrap();
    log.matches(word).count()
}

#[tokio::test]
async fn an_origin_that_knows_no_host_gets_a_hint_in_the_log() {
    let origin = Origin::start(|head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        status(path[1..].parse().unwrap(), "")
    });
    let origin = origin.await;
    let own = origin.address.to_string();
    for (flags, host, paths, word, said) in [
        (
            &[][..],
            "a.example",
            &["404", "404", "403"][..],
            "--rewrite-host",
            1,
        ),
        (&[], "a.example", &["403"], "--rewrite-host", 1),
        (&[], "a.example", &["421"], "--rewrite-host", 1),
        // One that knows the host may well have no such page.
        (&[], "a.example", &["200", "404", "403"], "rewrite-host", 0),
        (&[], "a.example", &["200", "421"], "--rewrite-host", 1),
        (&[], "a.example", &["503", "502"], "rewrite-host", 0),
        // The same name would help nothing.
        (&[], &own, &["404"], "rewrite-host", 0),
        (
            &["--rewrite-host"],
            "a.example",
            &["404"],
            "--no-rewrite-host",
            1,
        ),
    ] {
        let count = hints(&origin, flags, host, paths, word).await;
        assert_eq!(count, said, "{flags:?} {host} {paths:?}");
    }
}
