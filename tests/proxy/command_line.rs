//! A wrong flag is one line that names it; a port in use is one as well.

use std::process::{Output, Stdio};

use super::support::{Origin, Proxy, command, ok, soon};

async fn run(flags: &[&str]) -> Output {
    let mut command = command();
    command.args(flags).stdin(Stdio::null());
    soon(command.output()).await.expect("the proxy starts")
}

#[tokio::test]
async fn a_bad_flag_is_named_with_its_value_in_one_line() {
    for (flags, words) in [
        (&[][..], &["--origin"][..]),
        (&["--origin", "nowhere"], &["--origin", "'nowhere'"]),
        (
            &["--origin", "http://a/base"],
            &["--origin", "'http://a/base'"],
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
        (
            &["--demo", "--origin-timeout", "0"],
            &["--origin-timeout", "'0'"],
        ),
        (
            &["--demo", "--host", "no.such.invalid"],
            &["--host", "'no.such.invalid'"],
        ),
        (&["--demo", "--nonsense"], &["--nonsense"]),
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
async fn help_is_no_error() {
    let output = run(&["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("--origin") && text.contains("--demo"),
        "{text}"
    );
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
