//! Which requests the cache has to do with.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, proptest};

use super::{
    Authority, Bypass, Content, FORWARDED_FIELDS, Facts, Route, Safety, authority, classify,
};
use crate::semantics::credentials::CredentialFields;
use crate::semantics::rules::{CacheKind, Rules};
use crate::semantics::testing::head_of;

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap()
}

fn facts(lines: &[&str]) -> Facts {
    Facts::scan(&head_of(lines), &Rules::default())
}

/// The route of a request, without the authority that a lookup goes by.
fn route_with(name: &str, uri: &str, lines: &[&str], content: Content) -> Route<'static> {
    let uri: Uri = uri.parse().unwrap();
    let headers = head_of(lines);
    match classify(&method(name), &uri, &headers, &facts(lines), content) {
        Route::Tunnel => Route::Tunnel,
        Route::Forward(safety) => Route::Forward(safety),
        Route::Bypass(reason) => Route::Bypass(reason),
        Route::Lookup(_) => LOOKUP,
    }
}

const LOOKUP: Route<'static> = Route::Lookup(None);

fn route(name: &str, uri: &str, lines: &[&str]) -> Route<'static> {
    route_with(name, uri, lines, Content::Absent)
}

#[test]
fn get_and_head_are_looked_up() {
    let ordinary = [
        "Host: a.test",
        "Accept: */*",
        "Accept-Encoding: gzip, br",
        "Authorization: Basic abc",
        "Cache-Control: no-cache",
        "Connection: keep-alive",
        "Content-Length: 0",
        "Cookie: a=b",
        "If-None-Match: \"a\"",
        "Origin: https://b.test",
        "Range: bytes=0-1",
        "TE: trailers",
        "X-Forwarded-Host: b.test",
    ];
    for name in ["GET", "HEAD"] {
        assert_eq!(route(name, "/", &[]), LOOKUP);
        assert_eq!(route(name, "/x?y", &ordinary), LOOKUP);
        assert_eq!(route(name, "http://a.test/x", &["Host: a.test"]), LOOKUP);
    }
}

#[test]
fn tunnels_are_left_alone() {
    let tunnels: &[(&str, &str, &[&str])] = &[
        ("CONNECT", "a.test:443", &[]),
        ("GET", "/", &["Upgrade: websocket", "Connection: Upgrade"]),
        ("GET", "/", &["Upgrade: h2c"]),
        ("GET", "/", &["Connection: upgrade"]),
        ("GET", "/", &["Connection: keep-alive, UPGRADE"]),
        (
            "GET",
            "/",
            &["Connection: keep-alive", "Connection: upgrade"],
        ),
        ("POST", "/", &["Upgrade: websocket"]),
        // Whatever else is wrong with them.
        (
            "GET",
            "/",
            &["Upgrade: x", "Host: a", "Host: b", "Content-Length: 5"],
        ),
    ];
    for (name, uri, lines) in tunnels {
        assert_eq!(route(name, uri, lines), Route::Tunnel, "{name} {lines:?}");
    }
    // Extended CONNECT has a whole URI (RFC 8441 §4).
    assert_eq!(route("CONNECT", "https://a.test/chat", &[]), Route::Tunnel);
    assert_eq!(route("GET", "/", &["Connection: x-upgrade"]), LOOKUP);
}

#[test]
fn other_methods_are_forwarded() {
    let safe = ["OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH"];
    for name in safe {
        assert_eq!(
            route(name, "/", &[]),
            Route::Forward(Safety::Safe),
            "{name}"
        );
    }
    // Methods are case-sensitive, and one that is unknown may do anything.
    let unsafe_ones = [
        "POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "PURGE", "get", "Head", "query",
    ];
    for name in unsafe_ones {
        assert_eq!(
            route(name, "/", &[]),
            Route::Forward(Safety::Unsafe),
            "{name}"
        );
    }
    assert_eq!(route("OPTIONS", "*", &[]), Route::Forward(Safety::Safe));
    // What would make a GET bypass the cache must not hide what a POST invalidates.
    let fat = ["Content-Length: 5", "If-Match: \"a\"", "X-Original-URL: /y"];
    assert_eq!(route("POST", "/", &fat), Route::Forward(Safety::Unsafe));
}

#[test]
fn requests_that_a_key_cannot_stand_for_bypass_the_cache() {
    let cases: &[(&str, &[&str], Bypass)] = &[
        ("/", &["Content-Length: 5"], Bypass::Content),
        ("/", &["Content-Length: 0, 5"], Bypass::Content),
        (
            "/",
            &["Content-Length: 0", "Content-Length: 5"],
            Bypass::Content,
        ),
        ("/", &["Content-Length:"], Bypass::Content),
        ("/", &["Transfer-Encoding: chunked"], Bypass::Content),
        (
            "/",
            &["X-HTTP-Method-Override: POST"],
            Bypass::MethodOverride,
        ),
        ("/", &["X-HTTP-Method: POST"], Bypass::MethodOverride),
        ("/", &["X-Method-Override: POST"], Bypass::MethodOverride),
        ("/", &["X-Original-URL: /admin"], Bypass::UrlOverride),
        ("/", &["X-Rewrite-URL: /admin"], Bypass::UrlOverride),
        (
            "/",
            &["Connection: accept-language"],
            Bypass::ConnectionOptions,
        ),
        (
            "/",
            &["Connection: X-A", "X-A: 1"],
            Bypass::ConnectionOptions,
        ),
        ("*", &[], Bypass::Target),
        ("a.test:80", &[], Bypass::Target),
        ("/", &["If-Match: \"a\""], Bypass::Preconditions),
        ("/", &["If-Unmodified-Since: x"], Bypass::Preconditions),
        ("/", &["Host: a.test", "Host: a.test"], Bypass::RepeatedHost),
        ("/", &["Host: user@a.test"], Bypass::InvalidAuthority),
        (
            "http://a.test/",
            &["Host: b.test"],
            Bypass::AuthorityConflict,
        ),
    ];
    for (uri, lines, reason) in cases {
        for name in ["GET", "HEAD"] {
            assert_eq!(
                route(name, uri, lines),
                Route::Bypass(*reason),
                "{uri} {lines:?}"
            );
        }
    }
    let fat = route_with("GET", "/", &[], Content::Present);
    assert_eq!(fat, Route::Bypass(Bypass::Content));
}

// === Authority ===

#[test]
fn the_authority_is_that_of_the_target_or_else_host() {
    type Expected = Result<Option<&'static str>, Bypass>;
    let cases: &[(&str, &[&str], Expected)] = &[
        ("/", &[], Ok(None)),
        ("/", &["Host: a.test"], Ok(Some("a.test"))),
        ("/", &["Host: A.test:8080"], Ok(Some("A.test:8080"))),
        ("/", &["Host: a.test."], Ok(Some("a.test."))),
        ("/", &["Host: a_b.test"], Ok(Some("a_b.test"))),
        ("/", &["Host: 127.0.0.1:80"], Ok(Some("127.0.0.1:80"))),
        ("/", &["Host: [::1]"], Ok(Some("[::1]"))),
        ("/", &["Host: [::1]:8080"], Ok(Some("[::1]:8080"))),
        ("/", &["Host: a.test:"], Ok(Some("a.test:"))),
        ("http://a.test/", &[], Ok(Some("a.test"))),
        ("http://a.test/", &["Host: a.test"], Ok(Some("a.test"))),
        ("http://a.test/", &["Host: A.TEST:80"], Ok(Some("a.test"))),
        (
            "https://a.test:443/",
            &["Host: a.test"],
            Ok(Some("a.test:443")),
        ),
        ("http://[::1]/", &["Host: [::1]:80"], Ok(Some("[::1]"))),
        // Another place.
        (
            "http://a.test/",
            &["Host: b.test"],
            Err(Bypass::AuthorityConflict),
        ),
        (
            "http://a.test/",
            &["Host: a.test."],
            Err(Bypass::AuthorityConflict),
        ),
        (
            "http://a.test/",
            &["Host: a.test:443"],
            Err(Bypass::AuthorityConflict),
        ),
        (
            "https://a.test/",
            &["Host: a.test:80"],
            Err(Bypass::AuthorityConflict),
        ),
        // Not a host and a port.
        ("/", &["Host:"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: :80"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: u@a.test"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: u:p@a.test"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: a.test/x"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: a.test?x"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: a.test b.test"], Err(Bypass::InvalidAuthority)),
        (
            "/",
            &["Host: a.test, b.test"],
            Err(Bypass::InvalidAuthority),
        ),
        ("/", &["Host: é.test"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: a.test:99999"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: a.test:+80"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: a.test:80:80"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: ::1"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: [::1"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: []"], Err(Bypass::InvalidAuthority)),
        ("/", &["Host: [::1]x"], Err(Bypass::InvalidAuthority)),
        ("http://u@a.test/", &[], Err(Bypass::InvalidAuthority)),
        ("http://a.test/", &["Host:"], Err(Bypass::InvalidAuthority)),
        // More than one, even if they agree.
        (
            "/",
            &["Host: a.test", "Host: a.test"],
            Err(Bypass::RepeatedHost),
        ),
        (
            "http://a.test/",
            &["Host: a.test", "Host: a.test"],
            Err(Bypass::RepeatedHost),
        ),
    ];
    for (uri, lines, expected) in cases {
        let (uri, headers): (Uri, _) = (uri.parse().unwrap(), head_of(lines));
        let expected = expected.map(|authority| authority.map(str::as_bytes));
        assert_eq!(authority(&uri, &headers), expected, "{uri} {lines:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_for_an_authority_is_a_host_and_a_port(bytes in vec(any::<u8>(), 0..12)) {
        if let Some(found) = Authority::parse(&bytes) {
            let ambiguous = |byte: &u8| b"@/?#\\ ".contains(byte) || !byte.is_ascii_graphic();
            prop_assert!(!found.host.is_empty() && !bytes.iter().any(ambiguous));
            prop_assert!(found.same(&found, Some(80)));
        }
    }
}

// === Facts ===

#[test]
fn each_fact_comes_from_its_fields() {
    type Fact = fn(Facts) -> bool;
    let cases: &[(Fact, &[&str], &[&str])] = &[
        // The fact, lines of which each shows it, lines of which none does.
        (
            Facts::conditional,
            &["If-None-Match: *", "If-Modified-Since: x"],
            &["If-Range: x"],
        ),
        (
            Facts::connection,
            &["Connection: close"],
            &["Keep-Alive: 5"],
        ),
        (
            Facts::content,
            &[
                "Content-Length: 1",
                "Content-Length: x",
                "Transfer-Encoding: chunked",
            ],
            &[
                "Content-Length: 0",
                "Content-Length: 000",
                "Content-Type: text/plain",
            ],
        ),
        (
            Facts::counted_cookie,
            &["Cookie: a=b"],
            &["Set-Cookie: a=b"],
        ),
        (
            Facts::any_credential,
            &[
                "Authorization: x",
                "Proxy-Authorization: x",
                "X-Api-Key: x",
                "X-XSRF-Token: x",
            ],
            &["Cookie: a=b", "X-Api: x", "X-Request-Id: x"],
        ),
        (
            Facts::credentials,
            &["Authorization: x"],
            &["Cookie: a=b", "X-Api-Key: x"],
        ),
        (
            Facts::directives,
            &["Cache-Control: x", "Pragma: x"],
            &["Expires: x"],
        ),
        (
            Facts::origin_preconditions,
            &["If-Match: *", "If-Unmodified-Since: x"],
            &["If-None-Match: *"],
        ),
        (
            Facts::range,
            &["Range: x"],
            &["If-Range: x", "Content-Range: x"],
        ),
        (
            Facts::upgrade,
            &["Upgrade: x", "Connection: Upgrade"],
            &["Connection: close"],
        ),
    ];
    for (fact, shown_by, not_by) in cases {
        for line in *shown_by {
            assert!(fact(facts(&[line])), "{line}");
            assert!(fact(facts(&["X-First: 1", line, "X-Last: 1"])), "{line}");
        }
        for line in *not_by {
            assert!(!fact(facts(&[line])), "{line}");
        }
        assert!(!fact(facts(&[])));
    }
}

#[test]
fn configured_credentials_count_like_authorization() {
    let rules = Rules {
        credential_headers: CredentialFields::new([
            HeaderName::from_static("x-api-key"),
            header::PROXY_AUTHORIZATION,
            header::USER_AGENT,
        ]),
        ..Rules::default()
    };
    for line in [
        "X-API-Key: x",
        "Proxy-Authorization: x",
        "Authorization: x",
        "User-Agent: x",
    ] {
        assert!(
            Facts::scan(&head_of(&[line]), &rules).credentials(),
            "{line}"
        );
    }
    assert!(!Facts::scan(&head_of(&["X-Key: x"]), &rules).credentials());
}

#[test]
fn a_request_is_plain_unless_a_field_says_who_asks() {
    let plain: [&[&str]; 3] = [
        &[],
        &["Accept-Language: de", "User-Agent: x", "Accept: */*"],
        &["If-None-Match: \"a\"", "Range: bytes=0-1", "Via: 1.1 a"],
    ];
    for lines in plain {
        assert!(facts(lines).is_plain(), "{lines:?}");
    }
    for line in ["Cookie: a=b", "Authorization: x", "X-Api-Key: x", "DPoP: x"] {
        assert!(!facts(&[line, "Accept: */*"]).is_plain(), "{line}");
    }
    let rules = Rules {
        credential_headers: CredentialFields::new([HeaderName::from_static("x-whoever")]),
        policy_credentials: CredentialFields::new([
            HeaderName::from_static("x-tenant"),
            header::REFERER,
        ]),
        ..Rules::default()
    };
    let plain = |line| Facts::scan(&head_of(&[line]), &rules).is_plain();
    assert!(!plain("Referer: x"));
    assert!(!plain("X-Whoever: x") && !plain("X-Tenant: x") && !plain("Authorization: x"));
    assert!(plain("X-Api-Key: x"));
}

#[test]
fn every_forwarded_field_is_seen() {
    for name in &FORWARDED_FIELDS {
        let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("x"))]);
        assert!(
            Facts::scan(&headers, &Rules::default()).forwarded(),
            "{name}"
        );
    }
    assert!(!facts(&["X-Forwarded-For: 192.0.2.1", "Via: 1.1 a"]).forwarded());
}

#[test]
fn an_ignored_cookie_is_no_identity_and_an_identity_no_ignored_cookie() {
    let private = Rules {
        kind: CacheKind::Private,
        ..Rules::default()
    };
    for rules in [Rules::default(), private.clone()] {
        let ignored = Facts::scan(&head_of(&["Cookie: _ga=1"]), &rules);
        assert!(
            ignored.ignored_cookie() && !ignored.identity(),
            "{ignored:?}"
        );
    }
    for line in ["Cookie: session=1", "Authorization: x", "X-Api-Key: x"] {
        let known = Facts::scan(&head_of(&[line]), &private);
        assert!(known.identity() && !known.ignored_cookie(), "{known:?}");
    }
}
