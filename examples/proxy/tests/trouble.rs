//! Stale answers and the breaker: what clients get while the origin is slow, fails, or is gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::support::{Act, Origin, Proxy, before, ok, soon, status};

/// Stale from the start: older on arrival than it may become.
const STALE: &str = "Cache-Control: max-age=60\r\nAge: 61\r\n";

/// Well at first, and from a moment on what the test wants it to be.
async fn turning(fields: &'static str, then: fn() -> Act) -> (Origin, Arc<AtomicBool>) {
    let turned = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&turned);
    let origin = Origin::start(move |_| {
        if state.load(Ordering::SeqCst) {
            then()
        } else {
            ok(fields, "kept")
        }
    })
    .await;
    (origin, turned)
}

#[tokio::test]
async fn an_origin_that_died_is_stood_in_for() {
    for (flags, variables, expected) in [
        (&["--stale-if-error", "1h"][..], &[][..], 200),
        (&[], &[("CACHE_STALE_IF_ERROR", "1h")], 200),
        (
            &["--stale-if-error", "0"],
            &[("CACHE_STALE_IF_ERROR", "1h")],
            502,
        ),
        (&[], &[], 502),
    ] {
        let origin = Origin::start(|_| ok(STALE, "kept")).await;
        let mut command = before(origin.address, flags);
        command.envs(variables.iter().copied());
        let proxy = Proxy::spawn(command).await;
        assert_eq!(proxy.get("/", "").await.body, "kept");
        let _port = origin.die().await;
        let reply = proxy.get("/", "").await;
        assert_eq!(reply.status(), expected, "{flags:?} {variables:?}");
        if expected == 200 {
            assert_eq!(reply.field("x-cache"), Some("STALE"));
            assert_eq!(reply.body, "kept");
        }
    }
}

#[tokio::test]
async fn a_stale_answer_is_refreshed_behind_the_client() {
    for flags in [&["--stale-while-revalidate", "1h"][..], &[]] {
        let (origin, turned) = turning(STALE, || ok("Cache-Control: max-age=60\r\n", "new")).await;
        let proxy = Proxy::start(origin.address, flags).await;
        assert_eq!(proxy.get("/", "").await.body, "kept");
        turned.store(true, Ordering::SeqCst);
        let reply = proxy.get("/", "").await;
        if flags.is_empty() {
            assert_eq!(reply.body, "new");
            continue;
        }
        assert_eq!(reply.field("x-cache"), Some("STALE"));
        assert_eq!(reply.body, "kept");
        soon(async { while proxy.get("/", "").await.body != "new" {} }).await;
        assert_eq!(origin.heads().len(), 2);
    }
}

#[tokio::test]
async fn an_origin_that_hangs_keeps_nobody_waiting_who_may_have_what_is_stale() {
    for soft in ["0.1", "100ms"] {
        // A response that comes as a second of the clock begins counts as one second old.
        let kept = "Cache-Control: max-age=2\r\n";
        let (origin, turned) = turning(kept, || Act::Hang).await;
        let flags = [
            "--soft-timeout",
            soft,
            "--stale-if-error",
            "1h",
            // Longer than a test waits.
            "--timeout",
            "1h",
        ];
        let proxy = Proxy::start(origin.address, &flags).await;
        assert_eq!(proxy.get("/", "").await.body, "kept");
        turned.store(true, Ordering::SeqCst);
        let late = soon(async {
            loop {
                let reply = proxy.get("/", "").await;
                if reply.field("x-cache") != Some("HIT") {
                    break reply;
                }
                // It has two seconds to live.
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert_eq!(late.field("x-cache"), Some("STALE"));
        assert_eq!(late.body, "kept");
        assert_eq!(origin.heads().len(), 2);
    }
}

#[tokio::test]
async fn the_timeout_has_two_names() {
    let origin = Origin::start(|_| Act::Hang).await;
    for name in ["--timeout", "--origin-timeout"] {
        let proxy = Proxy::start(origin.address, &[name, "0.1"]).await;
        assert_eq!(proxy.get("/", "").await.status(), 504, "{name}");
    }
}

#[tokio::test]
async fn an_origin_that_keeps_failing_is_left_alone() {
    let (origin, turned) = turning(STALE, || status(503, "")).await;
    let flags = ["--breaker", "--stale-if-error", "1h"];
    let proxy = Proxy::start(origin.address, &flags).await;
    assert_eq!(proxy.get("/kept", "").await.body, "kept");
    turned.store(true, Ordering::SeqCst);
    // Those of the origin itself have no Retry-After.
    let mut asked = 0;
    let refused = loop {
        let reply = proxy.get(&format!("/{asked}"), "").await;
        assert_eq!(reply.status(), 503);
        if reply.field("retry-after").is_some() {
            break reply;
        }
        asked += 1;
        assert!(asked < 20, "it stays closed");
    };
    let seconds: u32 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    assert_eq!(origin.heads().len(), 1 + asked);
    let stale = proxy.get("/kept", "").await;
    assert_eq!(stale.field("x-cache"), Some("STALE"));
    assert_eq!(stale.body, "kept");
    assert_eq!(origin.heads().len(), 1 + asked);
}

#[tokio::test]
async fn the_rate_of_the_breaker_counts() {
    for (flags, opens) in [
        (&["--breaker", "0.1"][..], true),
        (&["--breaker"], false),
        (&[], false),
    ] {
        // Three failures in every twenty, never seven in a row.
        let asked = AtomicUsize::new(0);
        let origin = Origin::start(move |_| {
            if asked.fetch_add(1, Ordering::SeqCst) % 20 < 3 {
                status(503, "")
            } else {
                ok("", "")
            }
        })
        .await;
        let proxy = Proxy::start(origin.address, flags).await;
        let mut refused = 0;
        for path in 0..60 {
            let reply = proxy.get(&format!("/{path}"), "").await;
            refused += usize::from(reply.field("retry-after").is_some());
        }
        assert_eq!(refused > 0, opens, "{flags:?}");
        assert_eq!(origin.heads().len(), 60 - refused, "{flags:?}");
    }
}

/// However often it is asked for.
#[tokio::test]
async fn one_bad_page_does_not_open_the_breaker_for_the_others() {
    type Bad = fn() -> Act;
    let bad: [(&str, Bad); 3] = [
        ("one that takes too long", || Act::Hang),
        ("one that is no HTTP", || ok("Content-Length: 2\r\n", "bad")),
        ("one that fails", || status(503, "")),
    ];
    for (what, act) in bad {
        let origin = Origin::start(move |head| match head.split(' ').nth(1) {
            Some(path) if path.starts_with("/bad") => act(),
            _ => ok("", "fine"),
        })
        .await;
        let flags = ["--breaker", "--timeout", "0.05"];
        let proxy = Proxy::start(origin.address, &flags).await;
        for method in ["GET", "POST"] {
            for query in 0..20 {
                let head = format!("{method} /bad?{query} HTTP/1.1\r\nHost: a.example\r\n");
                let reply = proxy.ask(&format!("{head}Connection: close\r\n\r\n")).await;
                assert!(reply.status() >= 502, "{what}");
            }
        }
        for page in 0..5 {
            let reply = proxy.get(&format!("/{page}"), "").await;
            assert_eq!(reply.status(), 200, "{what}: {:?}", reply.field("x-cache"));
        }
    }
}
