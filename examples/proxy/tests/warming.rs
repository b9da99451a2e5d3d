//! A file of URLs is asked for before clients ask: what it stores is a HIT for them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{ChildStderr, Command},
};

use super::support::{Act, Origin, Proxy, before, command, field, ok, soon, status};

const KEPT: &str = "Cache-Control: max-age=60\r\n";

/// A file of this name with this text.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn flags(file: &Path) -> [&str; 2] {
    ["--warm", file.to_str().unwrap()]
}

/// Starts a proxy whose stderr is to be read.
async fn start(mut command: Command) -> (Proxy, BufReader<ChildStderr>) {
    let mut proxy = Proxy::spawn({
        command.stderr(Stdio::piped());
        command
    })
    .await;
    let stderr = proxy.child.stderr.take().unwrap();
    (proxy, BufReader::new(stderr))
}

async fn line(stderr: &mut BufReader<ChildStderr>) -> String {
    let mut line = String::new();
    soon(stderr.read_line(&mut line)).await.unwrap();
    line
}

/// GET as a client sends it who was given the proxy's own address.
async fn get_from_address(proxy: &Proxy, path: &str) -> Option<String> {
    let address = proxy.address;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let reply = proxy.ask(&request).await;
    reply.field("x-cache").map(str::to_owned)
}

#[tokio::test]
async fn what_is_warmed_is_a_hit_for_clients() {
    let origin = Origin::start(|_| ok(KEPT, "kept")).await;
    let list = file(
        "hit.txt",
        "# pages\n\n/\n/news?page=2\r\nhttp://a.example/shop\n  http://b.example:80/  \nhttps://c.example/\n",
    );
    let (proxy, mut stderr) = start(before(origin.address, &flags(&list))).await;
    let told = line(&mut stderr).await;
    let counts = "5 of 5: stored 5, hits 0, refused 0, failed 0\n";
    assert!(
        told.starts_with("warming done after ") && told.ends_with(counts),
        "{told:?}"
    );
    let asked = origin.heads();
    assert_eq!(asked.len(), 5);
    for path in ["/", "/news?page=2"] {
        let outcome = get_from_address(&proxy, path).await;
        assert_eq!(outcome.as_deref(), Some("HIT"), "{path}");
    }
    let hit = proxy.get("/shop", "").await;
    assert_eq!(
        (hit.field("x-cache"), hit.body.as_str()),
        (Some("HIT"), "kept")
    );
    for host in ["b.example", "c.example"] {
        let reply = proxy
            .ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(reply.field("x-cache"), Some("HIT"), "{host}");
    }
    // Nobody else's key was touched, and the origin was asked like for any client.
    assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("MISS"));
    assert_eq!(origin.heads().len(), 6);
    for head in &asked {
        assert!(field(head, "via").is_some(), "{head}");
        assert_eq!(field(head, "x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_name_to_listen_on_is_the_one_that_paths_are_asked_by() {
    let origin = Origin::start(|_| ok(KEPT, "kept")).await;
    let list = file("named.txt", "/\n");
    let mut command = before(origin.address, &flags(&list));
    command.args(["--host", "localhost"]);
    let (proxy, mut stderr) = start(command).await;
    assert!(line(&mut stderr).await.contains("stored 1"));
    let port = proxy.address.port();
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    assert_eq!(proxy.ask(&request).await.field("x-cache"), Some("HIT"));
}

#[tokio::test]
async fn the_last_line_counts_what_became_of_each() {
    let origin = Origin::start(|head| match head.split(' ').nth(1) {
        Some("/kept") => ok(KEPT, "kept"),
        Some("/error") => status(500, ""),
        Some("/short") => Act::SayAndClose(format!(
            "HTTP/1.1 200 OK\r\n{KEPT}Content-Length: 9\r\n\r\nx"
        )),
        Some("/stalls") => Act::Say(format!(
            "HTTP/1.1 200 OK\r\n{KEPT}Content-Length: 9\r\n\r\nx"
        )),
        _ => ok("Cache-Control: no-store\r\n", "mine"),
    })
    .await;
    let list = file(
        "counts.txt",
        "/kept\n/error\n/kept\n/own\n/short\n/stalls\n",
    );
    let mut command = before(origin.address, &flags(&list));
    command.args(["--warm-concurrency", "1", "--timeout", "0.5"]);
    let (_proxy, mut stderr) = start(command).await;
    let told = line(&mut stderr).await;
    assert!(
        told.contains("6 of 6: stored 1, hits 1, refused 1, failed 3 (--log-level"),
        "{told:?}"
    );
    // In the order of the file, one after the other.
    let paths: Vec<String> = origin
        .heads()
        .iter()
        .filter_map(|head| head.split(' ').nth(1).map(str::to_owned))
        .collect();
    assert_eq!(paths, ["/kept", "/error", "/own", "/short", "/stalls"]);
}

#[tokio::test]
async fn an_origin_that_hangs_keeps_neither_clients_out_nor_the_program_up() {
    let origin = Origin::start(|head| {
        if head.starts_with("GET /slow") {
            Act::Hang
        } else {
            ok(KEPT, "fast")
        }
    })
    .await;
    let list = file("slow.txt", "/slow/1\n/slow/2\n/slow/3\n");
    let mut command = before(origin.address, &flags(&list));
    command.args(["--warm-concurrency", "2", "--timeout", "1h"]);
    command.args(["--shutdown-timeout", "100ms"]);
    let (mut proxy, mut stderr) = start(command).await;
    soon(async {
        while origin.heads().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(proxy.get("/", "").await.body, "fast");
    proxy.signal("-TERM").await;
    let ended = soon(proxy.child.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    let mut told = String::new();
    soon(stderr.read_to_string(&mut told)).await.unwrap();
    assert!(
        told.starts_with("warming stopped after ") && told.contains(" 0 of 3: "),
        "{told:?}"
    );
    // Never more than two at once, nor any after the end was told.
    assert_eq!(origin.heads().len(), 3);
}

#[tokio::test]
async fn a_line_that_is_no_url_is_refused_at_the_start() {
    for (number, (text, flags, words)) in [
        ("/a\n\nnews\n", &[][..], &["line 3, 'news'"][..]),
        ("ftp://a.example/\n", &[], &["line 1, 'ftp://a.example/'"]),
        ("# c\nhttp://a.example:99999/", &[], &["line 2, ", "65535"]),
        ("/caf\u{e9}\n", &[], &["line 1, '/caf", "percent-encoded"]),
        ("/a b\n", &[], &["line 1, '/a b'"]),
        (
            "http://a.example/\n/a\n",
            &["--host", "0.0.0.0"],
            &["line 2, '/a'", "--host"],
        ),
        ("/a\n", &["--host", "[::]"], &["line 1, '/a'", "--host"]),
    ]
    .into_iter()
    .enumerate()
    {
        let list = file(&format!("bad-{number}.txt"), text);
        let mut command = command();
        command.args(["--demo", "--port", "0", "--warm"]);
        command.arg(&list).args(flags);
        let output = soon(command.output()).await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{text:?}: {error}");
        let all = ["--warm", list.to_str().unwrap()];
        for word in all.iter().chain(words) {
            assert!(error.contains(word), "{text:?}: {error}");
        }
        assert!(output.stdout.is_empty());
    }
}
