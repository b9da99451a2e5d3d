//! Every flag has a variable, which counts where the flag is not given.

use super::{
    command_line::{run, run_in},
    support::{Origin, Proxy, SECOND_NAMES, command, ok, soon},
};

type Variables<'v> = &'v [(&'v str, &'v str)];

/// The flags that `--help` lists, without those that every program has.
async fn flags() -> Vec<String> {
    let help = run(&["--help"]).await;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let flags = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let flag = line
            .strip_prefix("--")
            .or_else(|| line.get(4..)?.strip_prefix("--"))?;
        line.starts_with('-').then_some(())?;
        let end = flag.find([' ', '[', '=', '.', ',']).unwrap_or(flag.len());
        Some(flag[..end].to_owned())
    });
    flags
        .filter(|flag| flag != "help" && flag != "version")
        .collect()
}

fn variable(flag: &str) -> String {
    format!("CACHEWARP_{}", flag.replace('-', "_").to_ascii_uppercase())
}

#[tokio::test]
async fn every_flag_has_a_variable_and_a_row_in_the_readme() {
    let flags = flags().await;
    assert!(flags.len() > 20, "{flags:?}");
    for known in ["demo", "max-memory", "warm-concurrency", "ttl"] {
        assert!(flags.iter().any(|flag| flag == known), "{flags:?}");
    }
    let help = run(&["--help"]).await;
    let help = String::from_utf8_lossy(&help.stdout);
    let readme = include_str!("../README.md");
    for flag in &flags {
        let variable = format!("[env: {}]", variable(flag));
        assert!(help.contains(&variable), "{variable} is not in --help");
        let row = readme
            .lines()
            .filter(|line| line.starts_with('|'))
            .any(|row| {
                row.match_indices(&format!("`--{flag}"))
                    .any(|(at, found)| row[at + found.len()..].starts_with([' ', '`', '[']))
            });
        assert!(row, "--{flag} has no row in the README");
    }
    for name in SECOND_NAMES {
        assert!(help.contains(name), "{name} is not in --help");
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in the README"
        );
    }
    assert!(
        readme.contains("CACHEWARP_MAX_MEMORY"),
        "the README has no rule for variables"
    );
}

#[tokio::test]
async fn a_bad_variable_is_named_with_its_value_and_its_flag() {
    for (variables, flags, words) in [
        (
            &[("CACHEWARP_TTL", "soon")][..],
            &["--demo"][..],
            &["invalid value 'soon' for CACHEWARP_TTL (--ttl <TIME>): "][..],
        ),
        (
            &[("CACHE_TTL", "soon")],
            &["--demo"],
            &["'soon' for CACHE_TTL (--ttl <TIME>): "],
        ),
        (
            &[("PROXY_EXPIRY", "500ms")],
            &["--demo"],
            &["'500ms' for PROXY_EXPIRY (--ttl <TIME>): "],
        ),
        (
            &[("PROXY_EXPIRY", "a\nb")],
            &["--demo"],
            &["'a b' for PROXY_EXPIRY (--ttl"],
        ),
        // Not the same as no list: it would serve every host.
        (
            &[("CACHEWARP_ALLOW_HOST", ",")],
            &["--demo"],
            &["',' for CACHEWARP_ALLOW_HOST (--allow-host <NAME>): nothing"],
        ),
        (
            &[("CACHEWARP_ALLOW_HOST", " ")],
            &["--demo"],
            &["' ' for CACHEWARP_ALLOW_HOST (--allow-host"],
        ),
        // The first name counts.
        (
            &[("CACHEWARP_TTL", "soon"), ("CACHE_TTL", "60")],
            &["--demo"],
            &["'soon' for CACHEWARP_TTL ("],
        ),
        (
            &[("CACHE_STALE_IF_ERROR", "1.5")],
            &["--demo"],
            &["'1.5' for CACHE_STALE_IF_ERROR (--stale-if-error <TIME>)"],
        ),
        (
            &[("CACHE_STALE_WHILE_REVALIDATE", "-1")],
            &["--demo"],
            &["'-1' for CACHE_STALE_WHILE_REVALIDATE (--stale-while-revalidate <TIME>)"],
        ),
        (
            &[("CACHEWARP_PORT", "70000")],
            &["--demo"],
            &["CACHEWARP_PORT (--port", "70000"],
        ),
        (
            &[("CACHEWARP_WORKERS", "0")],
            &["--demo"],
            &["CACHEWARP_WORKERS (--workers", "0"],
        ),
        (
            &[("CACHEWARP_BREAKER", "2")],
            &["--demo"],
            &["'2'", "CACHEWARP_BREAKER (--breaker"],
        ),
        (
            &[("CACHEWARP_PROFILE", "odd")],
            &["--demo"],
            &[
                "'odd' for CACHEWARP_PROFILE (--profile <PROFILE>)",
                "rfc-literal",
            ],
        ),
        (
            &[("CACHE_BACKEND", "disk")],
            &["--demo"],
            &["'disk' for CACHE_BACKEND (--backend"],
        ),
        (
            &[("CACHEWARP_DEMO", "maybe")],
            &[],
            &["'maybe' for CACHEWARP_DEMO (--demo): true, "],
        ),
        (
            &[("CACHEWARP_ORIGIN", "nowhere")],
            &[],
            &["'nowhere' for CACHEWARP_ORIGIN (--origin"],
        ),
        (
            &[("CACHEWARP_ORIGIN", "http://h#part")],
            &[],
            &[
                "'http://h#part' for CACHEWARP_ORIGIN (--origin",
                "no fragment",
            ],
        ),
        (
            &[("CACHEWARP_HOST", "no.such.invalid")],
            &["--demo"],
            &["'no.such.invalid' for CACHEWARP_HOST (--host)"],
        ),
        (
            &[("CACHEWARP_WARM", "/no/such/file")],
            &["--demo"],
            &["/no/such/file", "CACHEWARP_WARM (--warm)"],
        ),
        // Two variables for what excludes one another.
        (
            &[("CACHEWARP_ORIGIN", "http://h"), ("CACHEWARP_DEMO", "1")],
            &[],
            &[
                "CACHEWARP_ORIGIN (--origin <URL>)",
                "CACHEWARP_DEMO (--demo)",
            ],
        ),
        (
            &[("CACHE_TTL", "60"), ("CACHEWARP_ADAPTIVE", "true")],
            &["--demo"],
            &["CACHE_TTL (--ttl <TIME>)", "CACHEWARP_ADAPTIVE (--adaptive"],
        ),
        // Nothing says where the origin is.
        (&[("CACHEWARP_DEMO", "false")], &[], &["--origin", "--demo"]),
        (&[("CACHEWARP_ORIGIN", "")], &[], &["--origin", "--demo"]),
        // It was the flag.
        (
            &[("CACHEWARP_TTL", "60")],
            &["--demo", "--ttl", "soon"],
            &["'soon' for '--ttl <TIME>'"],
        ),
        (
            &[("CACHEWARP_WARM_CONCURRENCY", "4")],
            &["--demo", "--warm-concurrency", "4"],
            &["'--warm-concurrency' is of no use"],
        ),
    ] {
        let output = run_in(variables, flags).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{variables:?}: {error}");
        assert_eq!(
            error.trim_end().lines().count(),
            1,
            "{variables:?}: {error}"
        );
        assert!(
            words.iter().all(|word| error.contains(word)),
            "{variables:?}: {error}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_variable_that_is_no_text_is_named() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    for (name, flag) in [("CACHEWARP_TTL", "--ttl"), ("CACHEWARP_DEMO", "--demo")] {
        let mut command = command();
        command
            .args(["--port", "0"])
            .env(name, OsStr::from_bytes(b"\xff"));
        let output = soon(command.output()).await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(&format!("{name} ({flag}")), "{error}");
    }
}

/// What `X-Cache` says the second time.
async fn second(origin: &Origin, flags: &[&str], variables: Variables<'_>) -> Option<String> {
    let mut command = command();
    command
        .env("CACHEWARP_ORIGIN", format!("http://{}", origin.address))
        .env("CACHEWARP_PORT", "0")
        .envs(variables.iter().copied())
        .args(flags);
    let proxy = Proxy::spawn(command).await;
    proxy.get("/", "").await;
    let reply = proxy.get("/", "").await;
    reply.field("x-cache").map(str::to_owned)
}

#[tokio::test]
async fn a_flag_beats_its_variable_and_those_of_flags_that_it_excludes() {
    let origin = Origin::start(|_| ok("", "x")).await;
    for (flags, variables, kept) in [
        (&[][..], &[("CACHEWARP_TTL", "60")][..], true),
        (
            &[],
            &[
                ("CACHEWARP_TTL", ""),
                ("CACHE_TTL", ""),
                ("PROXY_EXPIRY", "60"),
            ],
            true,
        ),
        (&[], &[("CACHEWARP_TTL", "")], false),
        (&[], &[("CACHEWARP_ADAPTIVE", "true")], true),
        (&[], &[("CACHEWARP_ADAPTIVE", "0.1")], true),
        (&[], &[("CACHEWARP_ADAPTIVE", "false")], false),
        (&["--ttl", "60"], &[("CACHEWARP_ADAPTIVE", "soon")], true),
        (
            &["--ttl", "60"],
            &[("CACHEWARP_TTL", "soon"), ("CACHE_TTL", "soon")],
            true,
        ),
        (
            &["--adaptive"],
            &[("CACHEWARP_TTL", "soon"), ("PROXY_EXPIRY", "soon")],
            true,
        ),
        // The port of a service by this name, as Kubernetes tells it.
        (
            &["--port", "0"],
            &[("CACHEWARP_PORT", "tcp://10.0.0.1:80"), ("CACHE_TTL", "60")],
            true,
        ),
        // Of no use, and no mistake: it may be set for all programs.
        (
            &["--ttl", "60"],
            &[("CACHEWARP_WARM_CONCURRENCY", "4")],
            true,
        ),
        (
            &["--ttl", "60"],
            &[("CACHEWARP_REDIS_NAMESPACE", "a")],
            true,
        ),
        (
            &["--ttl", "60"],
            &[("CACHEWARP_DEMO", "0"), ("CACHEWARP_ORIGIN_HTTP2", "FALSE")],
            true,
        ),
        // The origin is given, so the demo is not.
        (
            &["--ttl", "60", "--origin", "ORIGIN"],
            &[("CACHEWARP_DEMO", "1")],
            true,
        ),
    ] {
        let address = format!("http://{}", origin.address);
        let flags: Vec<&str> = flags
            .iter()
            .map(|flag| if *flag == "ORIGIN" { &address } else { *flag })
            .collect();
        let cache = second(&origin, &flags, variables).await;
        let expected = if kept { "HIT" } else { "MISS" };
        assert_eq!(cache.as_deref(), Some(expected), "{flags:?} {variables:?}");
    }
}

#[tokio::test]
async fn a_switch_is_turned_on_by_a_variable() {
    let origin = Origin::start(|_| ok("", "x")).await;
    for (value, is_on) in [
        ("1", true),
        ("true", true),
        ("True", true),
        ("0", false),
        ("false", false),
    ] {
        second(&origin, &[], &[("CACHEWARP_REWRITE_HOST", value)]).await;
        let head = origin.heads().pop().unwrap().to_lowercase();
        let own = format!("\r\nhost: {}\r\n", origin.address);
        assert_eq!(head.contains(&own), is_on, "{value}: {head}");
    }
}

#[tokio::test]
async fn a_variable_of_no_flag_is_told_and_those_of_kubernetes_are_not() {
    use std::process::Stdio;

    let mut command = command();
    command
        .args(["--demo", "--port", "0"])
        .env("RUST_LOG", "warn")
        .env("CACHEWARP_TLL", "60-and-secret")
        .env("CACHEWARP_SERVICE_HOST", "10.0.0.1")
        .env("CACHEWARP_PORT_80_TCP", "tcp://10.0.0.1:80")
        .stderr(Stdio::piped());
    let mut proxy = Proxy::spawn(command).await;
    proxy.signal("-TERM").await;
    let stderr = proxy.child.stderr.take().unwrap();
    let mut log = String::new();
    let mut stderr = tokio::io::BufReader::new(stderr);
    soon(tokio::io::AsyncReadExt::read_to_string(
        &mut stderr,
        &mut log,
    ))
    .await
    .unwrap();
    assert!(log.contains("CACHEWARP_TLL"), "{log}");
    assert_eq!(log.matches("CACHEWARP_").count(), 1, "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn a_password_in_a_url_is_not_repeated() {
    for url in [
        "http://user:secret@h",
        "ftp://user:secret@h",
        "user:secret@h",
        "http://user:se/cr'et@secret@h",
        "http://user:secret@h:99999",
    ] {
        let flag = run(&["--origin", url]).await;
        let variable = run_in(&[("CACHEWARP_ORIGIN", url)], &[]).await;
        for (output, name) in [
            (flag, "'--origin <URL>'"),
            (variable, "CACHEWARP_ORIGIN (--"),
        ] {
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{url}: {error}");
            assert!(error.contains(name), "{url}: {error}");
            assert!(
                !error.contains("secret") && !error.contains("cr'et"),
                "{url}: {error}"
            );
        }
    }
}
