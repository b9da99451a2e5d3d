//! Lifetimes that the command line gives to responses without one.

use std::time::Duration;

use super::support::{Origin, Proxy, before, ok, soon};

/// The `ttl` that `Cache-Status` tells of a hit.
async fn ttl_of_a_hit(proxy: &Proxy) -> u64 {
    assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("MISS"));
    let hit = proxy.get("/", "").await;
    assert_eq!(hit.field("x-cache"), Some("HIT"));
    let status = hit.field("cache-status").unwrap();
    let ttl = status
        .split(';')
        .find_map(|part| part.trim().strip_prefix("ttl="));
    ttl.and_then(|ttl| ttl.parse().ok())
        .unwrap_or_else(|| panic!("no ttl: {status}"))
}

#[tokio::test]
async fn a_flag_beats_a_variable_and_the_first_variable_the_second() {
    let origin = Origin::start(|_| ok("", "x")).await;
    let hour = 3600;
    for (flags, variables, expected) in [
        (&["--ttl", "1h"][..], &[][..], hour),
        (&[], &[("CACHE_TTL", "1h")], hour),
        (&[], &[("PROXY_EXPIRY", "1h")], hour),
        (&["--ttl", "1h"], &[("CACHE_TTL", "60")], hour),
        (&["--ttl", "1h"], &[("PROXY_EXPIRY", "60")], hour),
        (&[], &[("CACHE_TTL", "1h"), ("PROXY_EXPIRY", "60")], hour),
        // What counts for nothing is not read either.
        (&["--ttl", "1h"], &[("CACHE_TTL", "soon")], hour),
        (&[], &[("CACHE_TTL", "1h"), ("PROXY_EXPIRY", "soon")], hour),
    ] {
        let mut command = before(origin.address, flags);
        command.envs(variables.iter().copied());
        let proxy = Proxy::spawn(command).await;
        let ttl = ttl_of_a_hit(&proxy).await;
        assert!(
            (expected - 30..=expected).contains(&ttl),
            "{flags:?} {variables:?}: {ttl}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_has_a_lifetime_of_its_own() {
    let origin = Origin::start(|head| {
        let status = head.split(['/', ' ']).nth(2).and_then(|it| it.parse().ok());
        super::support::status(status.unwrap_or(200), "")
    })
    .await;
    for (flags, status, expected) in [
        (&["--ttl", "60"][..], 404, Some(10)),
        (&["--ttl", "60", "--ttl-404", "30"], 404, Some(30)),
        (&["--ttl", "60", "--ttl-404", "1h"], 410, Some(3600)),
        (&["--ttl", "60", "--ttl-404", "30"], 200, Some(60)),
        (&["--ttl", "60", "--ttl-404", "30"], 405, Some(60)),
        (&["--ttl", "60", "--ttl-404", "0"], 404, None),
        (&["--ttl-404", "30"], 404, Some(30)),
        (&["--ttl-404", "30"], 200, None),
        (&["--adaptive", "--ttl-404", "2"], 404, Some(2)),
        (&["--adaptive", "--ttl-404", "0"], 404, None),
    ] {
        let proxy = Proxy::start(origin.address, flags).await;
        let path = format!("/{status}");
        proxy.get(&path, "").await;
        let reply = proxy.get(&path, "").await;
        let told = reply.field("cache-status").unwrap_or_default();
        let ttl = told
            .split(';')
            .find_map(|part| part.trim().strip_prefix("ttl="))
            .and_then(|ttl| ttl.parse::<u64>().ok());
        assert_eq!(
            reply.field("x-cache") == Some("HIT"),
            expected.is_some(),
            "{flags:?} {status}: {told}"
        );
        if let (Some(ttl), Some(expected)) = (ttl, expected) {
            let around = expected - (expected / 10).max(2)..=expected;
            assert!(around.contains(&ttl), "{flags:?} {status}: {told}");
        }
    }
}

#[tokio::test]
async fn lifetimes_that_learn_begin_with_a_first_guess() {
    let origin = Origin::start(|_| ok("", "x")).await;
    let mut command = before(origin.address, &["--adaptive"]);
    // A fixed one from the environment gives way to the flag.
    command.env("CACHE_TTL", "10h").env("PROXY_EXPIRY", "10h");
    let proxy = Proxy::spawn(command).await;
    let ttl = ttl_of_a_hit(&proxy).await;
    assert!(ttl <= 3600, "{ttl}");
}

#[tokio::test]
async fn what_is_asked_for_a_lot_is_refreshed_before_its_lifetime_ends() {
    let slow = |_: &str| {
        // What a refresh costs is what tells how early it begins.
        std::thread::sleep(Duration::from_millis(50));
        ok("Cache-Control: max-age=5\r\n", "x")
    };
    let origin = Origin::start(slow).await;
    let proxy = Proxy::start(origin.address, &["--early-refresh", "100"]).await;
    assert_eq!(proxy.get("/", "").await.field("x-cache"), Some("MISS"));
    let refreshed = async {
        while origin.heads().len() == 1 {
            let reply = proxy.get("/", "").await;
            assert_eq!(reply.field("x-cache"), Some("HIT"));
        }
    };
    // One request in three has it refreshed, from the first on.
    tokio::time::timeout(Duration::from_secs(4), refreshed)
        .await
        .expect("no refresh while it was fresh");

    let without = Proxy::start(origin.address, &[]).await;
    assert_eq!(without.get("/", "").await.field("x-cache"), Some("MISS"));
    let asked = origin.heads().len();
    for _ in 0..30 {
        soon(without.get("/", "")).await;
    }
    assert_eq!(origin.heads().len(), asked);
}

#[tokio::test]
async fn a_forced_lifetime_takes_the_place_of_what_the_origin_states() {
    let day = "Cache-Control: max-age=86400\r\n";
    let cases = [
        ("", "", Some(60)),
        ("Cache-Control: max-age=0\r\n", "", Some(60)),
        (
            "Cache-Control: public, max-age=0, must-revalidate\r\n",
            "",
            Some(60),
        ),
        ("Expires: 0\r\n", "", Some(60)),
        ("Expires: Wed, 01 Jan 2020 00:00:00 GMT\r\n", "", Some(60)),
        (day, "", Some(60)),
        ("Cache-Control: s-maxage=0\r\n", "", Some(60)),
        // What is not prolonged.
        ("Cache-Control: no-cache\r\n", "", None),
        ("Cache-Control: no-store\r\n", "", None),
        ("Cache-Control: private, max-age=0\r\n", "", None),
        ("Vary: *\r\n", "", None),
        ("Cache-Control: max-age=0\r\nSet-Cookie: a=1\r\n", "", None),
        (
            "Surrogate-Control: no-store\r\nCache-Control: max-age=0\r\n",
            "",
            None,
        ),
        (
            "Cache-Control: max-age=0\r\n",
            "Authorization: Basic YTpi\r\n",
            None,
        ),
        (
            "Cache-Control: max-age=0\r\n",
            "Cookie: session=1\r\n",
            None,
        ),
        (
            "Cache-Control: public, max-age=0\r\n",
            "Cookie: session=1\r\n",
            Some(60),
        ),
    ];
    let fields: Vec<&str> = cases.iter().map(|(fields, ..)| *fields).collect();
    let origin = Origin::start(move |head| {
        let case = head
            .split(' ')
            .nth(1)
            .and_then(|path| path[1..].parse().ok());
        ok(case.map_or("", |case: usize| fields[case]), "x")
    });
    let origin = origin.await;
    let proxy = Proxy::start(origin.address, &["--force-ttl", "60"]).await;
    for (case, (fields, request, ttl)) in cases.into_iter().enumerate() {
        let path = format!("/{case}");
        proxy.get(&path, request).await;
        let reply = proxy.get(&path, request).await;
        let hit = reply
            .field("cache-status")
            .filter(|status| status.contains("; hit"));
        let found = hit.and_then(|status| {
            let ttl = status.split("ttl=").nth(1)?;
            ttl.split(';').next()?.trim().parse::<i64>().ok()
        });
        let is_right = match ttl {
            Some(ttl) => found.is_some_and(|found| (ttl - 30..=ttl).contains(&found)),
            None => found.is_none(),
        };
        assert!(is_right, "{fields:?} {request:?}: {}", reply.head);
    }
}
