//! The request log: what a reader of stderr sees of each request.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::ChildStderr,
};

use super::support::{Act, Origin, Proxy, before, ok, read_head, soon, status};

/// A proxy whose log is read.
struct Logging {
    proxy: Proxy,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Logging {
    async fn start(origin: &Origin, flags: &[&str]) -> Self {
        let mut command = before(origin.address, flags);
        // Of the warnings, other tests are.
        command.env("RUST_LOG", "cachewarp_proxy::log::seldom=error");
        command.stderr(Stdio::piped());
        let mut proxy = Proxy::spawn(command).await;
        let stderr = proxy.child.stderr.take().expect("stderr is piped");
        let lines = BufReader::new(stderr).lines();
        Self { proxy, lines }
    }

    async fn json(origin: &Origin, flags: &[&str]) -> Self {
        let log = ["--log-level", "info", "--log-format", "json"];
        Self::start(origin, &[&log[..], flags].concat()).await
    }

    async fn line(&mut self) -> String {
        let line = soon(self.lines.next_line()).await.unwrap();
        line.expect("the log goes on")
    }

    /// The next line as an object.
    async fn object(&mut self) -> Value {
        let line = self.line().await;
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        assert!(object.is_object(), "{line}");
        object
    }

    /// All that the log says until the proxy has ended.
    async fn rest(mut self) -> String {
        self.proxy.signal("-TERM").await;
        let mut all = String::new();
        while let Some(line) = soon(self.lines.next_line()).await.unwrap() {
            all.push_str(&line);
            all.push('\n');
        }
        all
    }
}

async fn pages() -> Origin {
    Origin::start(|head| match head.split([' ', '?']).nth(1) {
        Some("/stale") => ok("Cache-Control: max-age=60\r\nAge: 61\r\n", "old"),
        Some("/private") => ok("Cache-Control: private\r\n", "mine"),
        Some("/empty") => status(204, ""),
        Some("/gone") => Act::SayAndClose(String::new()),
        Some("/cut") => {
            Act::SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut".to_owned())
        }
        _ => ok("Cache-Control: max-age=60\r\n", "page"),
    })
    .await
}

#[tokio::test]
async fn each_request_has_a_line_that_says_what_became_of_it() {
    let origin = pages().await;
    let mut log = Logging::json(&origin, &["--stale-while-revalidate", "1h"]).await;
    // The request's first line and fields; status, outcome, reason, bytes; whether the origin was
    // waited for.
    for (line, fields, status, outcome, reason, bytes, origin_time) in [
        (
            "GET /",
            "",
            200,
            "miss",
            "fwd=uri-miss; stored; ttl=",
            4,
            true,
        ),
        ("GET /", "", 200, "hit", "hit; ttl=", 4, false),
        ("HEAD /", "", 200, "hit", "hit; ttl=", 0, false),
        (
            "GET /",
            "Range: bytes=1-2\r\n",
            206,
            "hit",
            "hit; ttl=",
            2,
            false,
        ),
        (
            "GET /stale",
            "",
            200,
            "miss",
            "fwd=uri-miss; stored; ttl=-",
            3,
            true,
        ),
        ("GET /stale", "", 200, "stale", "hit; ttl=-", 3, false),
        (
            "GET /private",
            "",
            200,
            "miss",
            "fwd=uri-miss; detail=private",
            4,
            true,
        ),
        (
            "GET /",
            "Cache-Control: no-cache\r\n",
            200,
            "miss",
            "fwd=request",
            4,
            true,
        ),
        (
            "POST /",
            "Content-Length: 0\r\n",
            200,
            "bypassed",
            "fwd=method",
            4,
            true,
        ),
        (
            "GET /x",
            "Connection: accept\r\n",
            200,
            "bypassed",
            "fwd=bypass; detail=connection-header",
            4,
            true,
        ),
        ("GET /empty", "", 204, "miss", "", 0, true),
        (
            "GET /other",
            "Cache-Control: only-if-cached\r\n",
            504,
            "generated",
            "only-if-cached",
            103,
            false,
        ),
        (
            "GET /gone",
            "",
            502,
            "own",
            "error=connection_terminated",
            144,
            true,
        ),
        (
            "GET *",
            "",
            400,
            "own",
            "error=http_request_error",
            96,
            false,
        ),
    ] {
        let ask = format!("{line} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
        let reply = log.proxy.ask(&ask).await;
        let (method, path) = line.split_once(' ').unwrap();
        let said = log.object().await;
        let context = format!("{ask}{reply:?}\n{said}");
        assert_eq!(reply.status(), status, "{context}");
        assert_eq!(said["level"], "INFO", "{context}");
        assert_eq!(said["target"], "access", "{context}");
        assert_eq!(said["method"], method, "{context}");
        assert_eq!(said["url"], format!("http://a.example{path}"), "{context}");
        assert_eq!(said["status"], status, "{context}");
        assert!(
            said["outcome"].as_str().unwrap().contains(outcome),
            "{context}"
        );
        assert!(
            said["reason"].as_str().unwrap().starts_with(reason),
            "{context}"
        );
        assert_eq!(said["bytes"], reply.body.len(), "{context}");
        if status < 400 {
            assert_eq!(said["bytes"], bytes, "{context}");
        }
        let took = said["ms"].as_f64().unwrap();
        assert_eq!(said["origin_ms"].is_number(), origin_time, "{context}");
        assert!(
            said["origin_ms"].as_f64().unwrap_or(0.0) <= took,
            "{context}"
        );
        let stored = matches!(said["outcome"].as_str(), Some("hit" | "stale"));
        let tier = stored.then_some("memory");
        assert_eq!(said["tier"].as_str(), tier, "{context}");
        assert!(said.get("end").is_none(), "{context}");
    }
    assert_eq!(log.rest().await, "");
}

#[tokio::test]
async fn a_line_of_words_has_no_colours_where_nobody_sees_them() {
    let origin = pages().await;
    let mut log = Logging::start(&origin, &["--log-level", "info"]).await;
    log.proxy.get("/?a=1", "").await;
    let line = log.line().await;
    for words in [
        " INFO access: ",
        r#"method="GET""#,
        r#"url="http://a.example/?a=*""#,
        "status=200",
        r#"outcome="miss""#,
        "bytes=4",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert!(!line.contains('\x1b'), "{line}");
}

#[tokio::test]
async fn nothing_is_said_of_requests_unless_it_is_asked_for() {
    let origin = pages().await;
    for (flags, variable, lines) in [
        (&[][..], None, 0),
        (&["--log-level", "warn"], Some("info"), 0),
        (&[], Some("info"), 1),
        (&[], Some("access=info"), 1),
        (&["--log-level", "info"], Some("error"), 1),
        (&["--log-level", "INFO"], None, 1),
        (&["--log-level", "info"], Some("access=warn"), 0),
    ] {
        let mut command = before(origin.address, flags);
        command.env_remove("RUST_LOG").stderr(Stdio::piped());
        command.envs(variable.map(|value| ("RUST_LOG", value)));
        let mut proxy = Proxy::spawn(command).await;
        let mut stderr = proxy.child.stderr.take().unwrap();
        proxy.get("/", "").await;
        proxy.signal("-TERM").await;
        let mut all = String::new();
        soon(stderr.read_to_string(&mut all)).await.unwrap();
        assert_eq!(all.lines().count(), lines, "{flags:?} {variable:?}: {all}");
    }
}

#[tokio::test]
async fn the_values_of_a_query_are_shown_only_where_the_flag_says_so() {
    let origin = pages().await;
    for (flags, shown) in [
        (&[][..], "http://a.example/?token=*&*"),
        (&["--log-query"], "http://a.example/?token=secret&bare"),
    ] {
        let mut log = Logging::json(&origin, flags).await;
        log.proxy.get("/?token=secret&bare", "").await;
        assert_eq!(log.object().await["url"], shown);
        assert_eq!(log.rest().await, "");
    }
}

#[tokio::test]
async fn no_path_and_no_host_can_forge_a_line() {
    let origin = pages().await;
    for format in ["text", "json"] {
        let flags = ["--log-level", "info", "--log-format", format];
        let mut log = Logging::start(&origin, &flags).await;
        for (path, host) in [
            ("/\u{9b}31m\u{2028}\u{202e}".as_bytes(), &b"a"[..]),
            (b"/\"}{\"level\":\"ERROR", b"a"),
            (b"/%0a%0dERROR\\n", b"a"),
            (b"/'|^", b"a\" status=200 \xff\xfe\t\\"),
        ] {
            let mut client = log.proxy.connect().await;
            let parts = [
                b"GET ",
                path,
                b" HTTP/1.1\r\nConnection: close\r\nHost: ",
                host,
            ];
            client.write_all(&parts.concat()).await.unwrap();
            client.write_all(b"\r\n\r\n").await.unwrap();
            let head = soon(read_head(&mut client)).await.unwrap();
            let line = log.line().await;
            assert!(
                line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
                "{line}"
            );
            let status = head.split(' ').nth(1).unwrap();
            if format == "json" {
                let object: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(object["target"], "access", "{line}");
                assert_eq!(object["level"], "INFO", "{line}");
                assert_eq!(object["status"].to_string(), status, "{line}");
            } else {
                let url = line.split('"').nth(3).unwrap();
                assert!(url.starts_with("http://a"), "{line}");
                assert!(line.contains(&format!("\" status={status} ")), "{line}");
            }
        }
        assert_eq!(log.rest().await, "");
    }
}

#[tokio::test]
async fn no_warning_has_control_characters() {
    for format in ["text", "json"] {
        let origin = pages().await;
        let mut command = before(origin.address, &["--log-format", format]);
        command.env("RUST_LOG", "warn").stderr(Stdio::piped());
        let mut proxy = Proxy::spawn(command).await;
        let mut stderr = BufReader::new(proxy.child.stderr.take().unwrap()).lines();
        let _port = origin.die().await;
        proxy.get("/\u{9b}31m\u{2028}\u{2029}\u{85}", "").await;
        let line = soon(stderr.next_line()).await.unwrap().unwrap();
        let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        assert!(!line.contains(odd), "{format}: {line:?}");
        if format == "json" {
            let object: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(object["path"], "/\u{9b}31m\u{2028}\u{2029}\u{85}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_has_a_line_too() {
    let (origin, mut connections) = Origin::by_hand().await;
    let mut log = Logging::json(&origin, &[]).await;
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nCache-Control: no-store\r\n\r\n";
    // Before there is an answer.
    let mut client = log.proxy.connect().await;
    client.write_all(ask).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    drop(client);
    let said = log.object().await;
    assert_eq!(
        (&said["end"], &said["bytes"]),
        (&"aborted".into(), &0.into())
    );
    assert!(said.get("status").is_none(), "{said}");
    // In the middle of one.
    let mut client = log.proxy.connect().await;
    client.write_all(ask).await.unwrap();
    let mut stream = soon(connections.recv()).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    stream.write_all(begun).await.unwrap();
    soon(read_head(&mut client)).await.unwrap();
    soon(client.read_exact(&mut [0; 4])).await.unwrap();
    drop(client);
    let said = log.object().await;
    assert_eq!(
        (&said["end"], &said["bytes"]),
        (&"aborted".into(), &4.into())
    );
    assert_eq!(said["status"], 200, "{said}");
}

#[tokio::test]
async fn a_body_that_broke_off_is_no_whole_one() {
    let origin = pages().await;
    let mut log = Logging::json(&origin, &[]).await;
    log.proxy.get("/cut", "").await;
    let said = log.object().await;
    assert_eq!(said["end"], "failed", "{said}");
    assert_eq!(said["status"], 200, "{said}");
}

#[tokio::test]
async fn what_is_not_even_a_request_is_there_at_debug() {
    let origin = pages().await;
    let mut log = Logging::start(&origin, &["--log-level", "debug"]).await;
    let mut client = log.proxy.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\nno field\n\n")
        .await
        .unwrap();
    let head = soon(read_head(&mut client)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let line = log.line().await;
    assert!(line.contains("DEBUG cachewarp_proxy"), "{line}");
    assert!(line.contains("127.0.0.1"), "{line}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_no_request() {
    let origin = pages().await;
    let flags = ["--workers", "1", "--log-level", "info"];
    let log = Logging::start(&origin, &flags).await;
    let mut client = log.proxy.connect().await;
    // More than a pipe takes.
    let ask = format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", "a=&".repeat(600));
    for _ in 0..500 {
        client.write_all(ask.as_bytes()).await.unwrap();
        let head = soon(read_head(&mut client)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        soon(client.read_exact(&mut [0; 4])).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_provokes_failures_does_not_fill_the_log_with_warnings() {
    let origin = pages().await;
    let mut command = before(origin.address, &["--log-level", "warn"]);
    command.env_remove("RUST_LOG").stderr(Stdio::piped());
    let mut proxy = Proxy::spawn(command).await;
    let stderr = proxy.child.stderr.take().unwrap();
    let mut lines = BufReader::new(stderr).lines();
    let began = tokio::time::Instant::now();
    let asking = async {
        for number in 0.. {
            assert_eq!(
                proxy.get(&format!("/gone?{number}"), "").await.status(),
                502
            );
        }
    };
    let reading = async {
        let mut told = 0;
        for _ in 0..3 {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.contains("no response from the origin"), "{line}");
            let before = line.split("before=").nth(1);
            told += before.map_or(0, |it| it.trim().parse::<u32>().unwrap());
        }
        told
    };
    let told = tokio::select! {
        told = soon(reading) => told,
        () = asking => unreachable!("it asks without end"),
    };
    // Three lines are in three different seconds, and tell of all the others.
    assert!(began.elapsed().as_secs_f64() > 0.9);
    assert!(told > 3, "{told}");
}
