//! A wrong flag is one line that names it; a port in use is one as well.

use std::process::{Output, Stdio};

use super::support::{Origin, Proxy, command, ok, soon};

/// One character more than a name may have.
const LONG: &str = "a2345678901234567890123456789012345678901234567890123456789012345";

pub(crate) async fn run(flags: &[&str]) -> Output {
    run_in(&[], flags).await
}

pub(crate) async fn run_in(environment: &[(&str, &str)], flags: &[&str]) -> Output {
    let mut command = command();
    command
        .args(flags)
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    soon(command.output()).await.expect("the proxy starts")
}

#[tokio::test]
async fn a_bad_flag_is_named_with_its_value_in_one_line() {
    for (flags, words) in [
        (&[][..], &["--origin", "--demo", "--help"][..]),
        (
            &["--origin", "http://"],
            &["--origin", "'http://'", "and a host"],
        ),
        (
            &["--demo", "--host", "0.0.0.0:80"],
            &["--host", "'0.0.0.0:80'", "--port"],
        ),
        (
            &["--demo", "--host", "[::1]:80"],
            &["--host", "'[::1]:80'", "--port"],
        ),
        (
            &["--demo", "--allow-host", "http://a.example"],
            &["--allow-host", "'http://a.example'", "without http://"],
        ),
        (
            &["--demo", "--max-entry-bytes", "65MiB"],
            &["--max-entry-bytes", "'65MiB'", "--max-memory"],
        ),
        (&["--origin", "nowhere"], &["--origin", "'nowhere'"]),
        (
            &["--origin", "http://a/base"],
            &["--origin", "'http://a/base'"],
        ),
        (
            &["--origin", "http://a#part"],
            &["--origin", "'http://a#part'", "no fragment"],
        ),
        (&["--demo", "--port", "70000"], &["--port", "70000"]),
        (
            &["--demo", "--max-memory", "many"],
            &["--max-memory", "'many'"],
        ),
        (
            &["--demo", "--profile", "odd"],
            &["--profile", "'odd'", "rfc-literal"],
        ),
        (&["--demo", "--ttl", "soon"], &["--ttl", "'soon'"]),
        (&["--demo", "--ttl", "500ms"], &["--ttl", "'500ms'"]),
        (&["--demo", "--ttl", "0"], &["--ttl", "'0'"]),
        (&["--demo", "--ttl", "1.5"], &["--ttl", "'1.5'"]),
        (&["--demo", "--ttl", "-1"], &["--ttl", "'-1'"]),
        (
            &["--demo", "--ttl", "60", "--adaptive"],
            &["--ttl", "--adaptive"],
        ),
        (&["--demo", "--adaptive", "1"], &["--adaptive", "'1'"]),
        (&["--demo", "--adaptive", "few"], &["--adaptive", "'few'"]),
        (
            &["--demo", "--stale-while-revalidate", "soon"],
            &["--stale-while-revalidate", "'soon'"],
        ),
        (
            &["--demo", "--stale-if-error", "500ms"],
            &["--stale-if-error", "'500ms'"],
        ),
        (
            &["--demo", "--early-refresh", "0"],
            &["--early-refresh", "'0'"],
        ),
        (
            &["--demo", "--early-refresh", "101"],
            &["--early-refresh", "'101'"],
        ),
        (&["--demo", "--timeout", "0"], &["--timeout", "'0'"]),
        (&["--demo", "--timeout", "1d"], &["--timeout", "'1d'"]),
        // The older name of the same flag.
        (&["--demo", "--origin-timeout", "0"], &["--timeout", "'0'"]),
        (
            &["--demo", "--soft-timeout", "0.0"],
            &["--soft-timeout", "'0.0'"],
        ),
        (
            &["--demo", "--soft-timeout", "fast"],
            &["--soft-timeout", "'fast'"],
        ),
        (&["--demo", "--breaker", "0"], &["--breaker", "'0'"]),
        (&["--demo", "--breaker", "1.1"], &["--breaker", "'1.1'"]),
        (&["--demo", "--breaker", "-0.5"], &["--breaker", "'-0.5'"]),
        (
            &["--demo", "--warm", "/no/such/file"],
            &["--warm", "'/no/such/file'"],
        ),
        (&["--demo", "--warm", "."], &["--warm", "'.'", "directory"]),
        (
            &["--demo", "--warm-concurrency", "4"],
            &["--warm-concurrency", "--warm"],
        ),
        (
            &["--demo", "--warm", "/dev/null", "--warm-concurrency", "0"],
            &["--warm-concurrency", "0"],
        ),
        (
            &["--demo", "--host", "no.such.invalid"],
            &["--host", "'no.such.invalid'"],
        ),
        (&["--demo", "--name", ""], &["--name", "''"]),
        (&["--demo", "--name", "1st"], &["--name", "'1st'"]),
        (&["--demo", "--name", "an edge"], &["--name", "'an edge'"]),
        (&["--demo", "--name", "a;b"], &["--name", "'a;b'", "token"]),
        (&["--demo", "--name", "é"], &["--name", "'é'"]),
        (
            &["--demo", "--name", LONG],
            &["--name", LONG, "64 characters"],
        ),
        (
            &["--demo", "--log-level", "loud"],
            &["--log-level", "'loud'", "debug"],
        ),
        (
            &["--demo", "--log-format", "xml"],
            &["--log-format", "'xml'", "text, json"],
        ),
        (&["--demo", "--nonsense"], &["--nonsense", "--help"]),
        (
            &["--demo", "--backend", "disk"],
            &["--backend", "'disk'", "memory, redis"],
        ),
        (
            &["--demo", "--redis-url", "redis://h"],
            &["--redis-url", "--backend"],
        ),
        (
            &["--demo", "--backend", "memory", "--redis-namespace", "a"],
            &["--redis-namespace", "--backend"],
        ),
        #[cfg(feature = "redis")]
        (
            &["--demo", "--backend", "redis", "--redis-namespace", "a{b"],
            &["--redis-namespace", "\"a{b\""],
        ),
    ] {
        let output = run(flags).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{flags:?}: {error}");
        assert!(
            words.iter().all(|word| error.contains(word)),
            "{flags:?}: {error}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn every_good_value_starts_a_proxy() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "here")).await;
    for flags in [
        &["--ttl", "2h"][..],
        &["--adaptive"],
        &["--adaptive", "0.1"],
        &["--stale-while-revalidate", "5m", "--stale-if-error", "0"],
        &["--timeout", "1.5", "--soft-timeout", "0.1"],
        &["--origin-timeout", "5", "--soft-timeout", "100ms"],
        &["--breaker"],
        &["--breaker", "0.25"],
        &["--early-refresh"],
        &["--early-refresh", "2.5", "--profile", "rfc-literal"],
        &["--warm", "/dev/null", "--warm-concurrency", "1024"],
    ] {
        let proxy = Proxy::start(origin.address, flags).await;
        assert_eq!(proxy.get("/", "").await.body, "here", "{flags:?}");
    }
}

#[cfg(not(feature = "redis"))]
#[tokio::test]
async fn a_program_without_redis_says_how_to_build_one_with_it() {
    let url = ["--redis-url", "redis://:secret@h"];
    let given = run(&[&["--demo", "--backend", "redis"][..], &url].concat()).await;
    let set = run_in(&[("CACHE_BACKEND", "redis")], &["--demo"]).await;
    for output in [given, set] {
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        for words in ["--backend redis", "CACHE_BACKEND", "--features redis"] {
            assert!(error.contains(words), "{words}: {error}");
        }
        assert!(!error.contains("secret"), "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_url_of_redis_is_refused_without_its_password() {
    let redis = ["--demo", "--backend", "redis"];
    for url in [
        "ftp://user:secret@h",
        "redis://user:secret@h:99999",
        "user:secret@h",
        "redis://user:secret@",
        "redis-sentinel://user:secret@h",
    ] {
        let given = run(&[&redis[..], &["--redis-url", url]].concat()).await;
        let set = run_in(&[("CACHEWARP_REDIS_URL", url)], &redis).await;
        let second = run_in(&[("REDIS_URL", url)], &redis).await;
        let memory = run(&["--demo", "--redis-url", url]).await;
        for output in [given, set, second, memory] {
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{url}: {error}");
            assert_eq!(error.trim_end().lines().count(), 1, "{url}: {error}");
            assert!(error.contains("--redis-url"), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
            assert!(output.stdout.is_empty());
        }
    }
}

#[tokio::test]
async fn a_url_of_redis_in_the_environment_alone_changes_nothing() {
    let origin = Origin::start(|_| ok("", "here")).await;
    let mut memory = command();
    memory
        .args(["--origin", &format!("http://{}", origin.address)])
        .args(["--port", "0"])
        .env("REDIS_URL", "no url: secret");
    let proxy = Proxy::spawn(memory).await;
    assert_eq!(proxy.get("/", "").await.body, "here");
    let help = run_in(&[("REDIS_URL", "redis://:secret@h")], &["--help"]).await;
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(
        text.contains("REDIS_URL") && !text.contains("secret"),
        "{text}"
    );
}

#[tokio::test]
async fn help_is_no_error() {
    let output = run(&["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    let headings = [
        "Origin:",
        "Clients:",
        "Storage:",
        "Lifetimes:",
        "A slow or failing origin:",
        "Warming:",
        "Log:",
    ];
    for words in headings
        .iter()
        .chain(&["--origin", "--demo", "--origin-timeout"])
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Only what all programs have is in no group.
    let general = text.split("\nOptions:").nth(1).unwrap_or_default();
    let general = general.split("\nOrigin:").next().unwrap_or_default();
    let flags: Vec<&str> = general
        .lines()
        .filter_map(|line| line.split_once("--").map(|(_, flag)| flag))
        .filter(|flag| !flag.starts_with("help'"))
        .collect();
    assert_eq!(flags, ["help", "version"], "{general}");
}

#[tokio::test]
async fn a_port_in_use_is_one_line_even_by_another_proxy() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let port = proxy.address.port().to_string();
    let output = run(&["--origin", "http://127.0.0.1:9", "--port", &port]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(error.contains(&proxy.address.to_string()), "{error}");
}
