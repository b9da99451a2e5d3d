//! Which responses are stored, without which fields, and which make a stored one go.

use http::{HeaderName, Method, StatusCode};

use super::{
    DefaultLifetime, Exchange, MAX_HEAD, MAX_LINES, NotStored, Predecessor, Side, Storable,
    Timeliness, default_lifetime, predecessor, storable,
};
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::classify::{Facts, Requester};
use crate::semantics::credentials::CredentialFields;
use crate::semantics::freshness::{Freshness, Times};
use crate::semantics::rules::{
    ErrorStatusPolicy, Heuristics, OverrideOrigin, Rules, SetCookiePolicy, StrayContentRange,
    VaryCredentials,
};
use crate::semantics::testing::head_of;
use crate::semantics::{targeted, vary};

/// 1 January 2026.
const NOW: i64 = 1_767_225_600;

const LONG_AGO: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
const IN_2050: &str = "Expires: Thu, 18 Aug 2050 02:01:18 GMT";
const MINUTE: &str = "Cache-Control: max-age=60";

/// Statuses that no cache stores here, whatever the response says.
const NEVER: [u16; 24] = [
    100, 101, 103, 199, 206, 304, 401, 407, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426, 428,
    429, 431, 511, 600, 999,
];

/// Statuses that are stored for as long as the response itself says, or not at all.
const ERRORS: [u16; 9] = [403, 409, 422, 500, 502, 503, 504, 505, 599];

/// Those that the form of the request caused.
const FORM: [u16; 2] = [400, 414];

/// Judges the exchange of a request for a response, both given as lines.
fn judge<T>(
    method: &Method,
    request: &[&str],
    status: u16,
    response: &[&str],
    rules: &Rules,
    verdict: impl FnOnce(&Exchange<'_>) -> T,
) -> T {
    let (request, response) = (head_of(request), head_of(response));
    let status = StatusCode::from_u16(status).unwrap();
    let effective = targeted::effective(&response, rules);
    let times = Times {
        request: NOW,
        response: NOW,
    };
    verdict(&Exchange {
        method,
        facts: &Facts::scan(&request, rules),
        request_directives: &RequestDirectives::parse(&request, &rules.ignored_request),
        status,
        response: &response,
        effective: &effective,
        freshness: &Freshness::of(status, &response, &effective, times, rules),
        vary: &vary::effective(&request, &response),
    })
}

fn verdict(request: &[&str], status: u16, response: &[&str], rules: &Rules) -> Storable {
    judge(&Method::GET, request, status, response, rules, |exchange| {
        storable(exchange, rules)
    })
}

fn stored() -> Storable {
    stored_without(&[])
}

fn stored_without(names: &[&'static str]) -> Storable {
    Storable::Store(
        names
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect(),
    )
}

#[track_caller]
fn check(rules: &Rules, cases: &[(u16, &[&str], Storable)]) {
    for (status, response, expected) in cases {
        let found = verdict(&[], *status, response, rules);
        assert_eq!(found, *expected, "{status} {response:?}");
    }
}

fn refused(reason: NotStored) -> Storable {
    Storable::Refuse(reason)
}

// === Method and status ===

#[test]
fn only_responses_to_get_are_stored() {
    let rules = Rules::default();
    for name in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "QUERY", "get"] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        let found = judge(&method, &[], 200, &[MINUTE], &rules, |exchange| {
            storable(exchange, &rules)
        });
        assert_eq!(found, refused(NotStored::Method), "{name}");
    }
}

#[test]
fn every_status_has_a_class() {
    let rules = Rules::default();
    for status in 100..1000 {
        let explicit = verdict(&[], status, &[MINUTE], &rules);
        if NEVER.contains(&status) || FORM.contains(&status) || !(200..600).contains(&status) {
            assert_eq!(explicit, refused(NotStored::Status), "{status}");
        } else {
            assert_eq!(explicit, stored(), "{status}");
        }
    }
}

#[test]
fn a_response_needs_a_reason_to_be_cacheable() {
    let none = || refused(NotStored::NoGround);
    check(
        &Rules::default(),
        &[
            (200, &[LONG_AGO], stored()),
            (404, &["ETag: \"a\""], stored()),
            (501, &[LONG_AGO], stored()),
            (302, &[LONG_AGO], none()),
            (302, &["Cache-Control: max-age=60"], stored()),
            (302, &["Cache-Control: s-maxage=60"], stored()),
            (302, &[IN_2050], stored()),
            (302, &["Cache-Control: public", LONG_AGO], stored()),
            (299, &["Cache-Control: max-age=60"], stored()),
            (201, &[LONG_AGO], none()),
            (299, &[LONG_AGO], none()),
            // A ground can be unusable and still be one.
            (302, &["Cache-Control: max-age=x", LONG_AGO], stored()),
            (302, &["Expires: 0", LONG_AGO], stored()),
            // These are none.
            (302, &["Cache-Control: must-revalidate", LONG_AGO], none()),
            (
                302,
                &["Cache-Control: immutable, no-cache", LONG_AGO],
                none(),
            ),
            (
                302,
                &["Cache-Control: stale-while-revalidate=60", LONG_AGO],
                none(),
            ),
        ],
    );
}

#[test]
fn errors_are_stored_only_with_a_lifetime_of_their_own() {
    let heuristic = Rules {
        heuristics: Some(Heuristics::default()),
        ..Rules::default()
    };
    let strict = Rules {
        error_statuses: ErrorStatusPolicy::Refuse,
        ..Rules::default()
    };
    for status in ERRORS {
        assert_eq!(
            verdict(&[], status, &[MINUTE], &heuristic),
            stored(),
            "{status}"
        );
        let others: [&[&str]; 5] = [
            &["Cache-Control: max-age=0", LONG_AGO],
            &["Cache-Control: max-age=x", LONG_AGO],
            &["Cache-Control: public", LONG_AGO],
            &["Expires: 0", LONG_AGO],
            &[LONG_AGO],
        ];
        for response in others {
            let found = verdict(&[], status, response, &heuristic);
            assert_eq!(
                found,
                refused(NotStored::ErrorStatus),
                "{status} {response:?}"
            );
        }
        let found = verdict(&[], status, &[MINUTE], &strict);
        assert_eq!(found, refused(NotStored::ErrorStatus), "{status}");
    }
    assert_eq!(verdict(&[], 501, &[MINUTE], &strict), stored());
    assert_eq!(verdict(&[], 404, &[MINUTE], &strict), stored());
}

// === Directives ===

#[test]
fn under_the_literal_policy_errors_marked_public_may_have_a_heuristic_lifetime() {
    let literal = Rules {
        error_statuses: ErrorStatusPolicy::Literal,
        heuristics: Some(Heuristics::default()),
        ..Rules::default()
    };
    let refuse = || refused(NotStored::ErrorStatus);
    for status in ERRORS.into_iter().chain([400]) {
        check(
            &literal,
            &[
                (status, &["Cache-Control: public", LONG_AGO], stored()),
                (status, &["Cache-Control: public"], refuse()),
                (status, &[LONG_AGO], refuse()),
                (status, &[MINUTE], stored()),
            ],
        );
    }
}

#[test]
fn what_the_form_of_the_request_caused_is_stored_under_the_literal_policy_alone() {
    for (policy, expected) in [
        (ErrorStatusPolicy::Store, refused(NotStored::Status)),
        (ErrorStatusPolicy::Refuse, refused(NotStored::Status)),
        (ErrorStatusPolicy::Literal, stored()),
    ] {
        let rules = Rules {
            error_statuses: policy,
            heuristics: Some(Heuristics::default()),
            ..Rules::default()
        };
        for status in FORM {
            for response in [
                &[MINUTE] as &[&str],
                &[IN_2050],
                &["Cache-Control: public", LONG_AGO],
            ] {
                let found = verdict(&[], status, response, &rules);
                assert_eq!(found, expected, "{status} {response:?} {policy:?}");
            }
        }
    }
}

#[test]
fn under_the_literal_policy_a_stray_content_range_is_stored() {
    let literal = Rules {
        stray_content_range: StrayContentRange::Store,
        ..Rules::default()
    };
    check(
        &literal,
        &[
            (200, &[MINUTE, "Content-Range: bytes 0-1/2"], stored()),
            (
                206,
                &[MINUTE, "Content-Range: bytes 0-1/2"],
                refused(NotStored::Status),
            ),
        ],
    );
}

#[test]
fn directives_of_the_response_forbid_storing() {
    check(
        &Rules::default(),
        &[
            (
                200,
                &["Cache-Control: no-store, max-age=60"],
                refused(NotStored::NoStore),
            ),
            (
                200,
                &["Cache-Control: NO-store=1, max-age=60"],
                refused(NotStored::NoStore),
            ),
            (
                200,
                &["Cache-Control: max-age=60, foo=\"bar"],
                refused(NotStored::NoStore),
            ),
            (
                200,
                &["Cache-Control: private, max-age=60"],
                refused(NotStored::Private),
            ),
            (
                200,
                &["Cache-Control: private, private=\"x-a\", max-age=60"],
                refused(NotStored::Private),
            ),
            (
                200,
                &["Cache-Control: private=\"etag\", max-age=60", "ETag: \"a\""],
                refused(NotStored::Private),
            ),
            // Not directives.
            (
                200,
                &["Cache-Control: max-age=60, ext=\"no-store\""],
                stored(),
            ),
            (
                200,
                &["Cache-Control: max-age=60", "Pragma: no-cache"],
                stored(),
            ),
        ],
    );
}

#[test]
fn must_understand_replaces_no_store() {
    let rules = Rules::default();
    let both = ["Cache-Control: max-age=60, no-store, must-understand"];
    let alone = ["Cache-Control: max-age=60, must-understand"];
    let understood = [
        200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 451, 501,
    ];
    for status in (200..600).filter(|it| !NEVER.contains(it) && !FORM.contains(it)) {
        let expected = if understood.contains(&status) {
            stored()
        } else {
            refused(NotStored::NotUnderstood)
        };
        assert_eq!(verdict(&[], status, &both, &rules), expected, "{status}");
        assert_eq!(verdict(&[], status, &alone, &rules), expected, "{status}");
    }
    // The other rules still apply.
    let private = ["Cache-Control: max-age=60, no-store, must-understand, private"];
    assert_eq!(
        verdict(&[], 200, &private, &rules),
        refused(NotStored::Private)
    );
}

#[test]
fn fields_named_by_no_cache_or_private_are_left_out() {
    check(
        &Rules::default(),
        &[
            (
                200,
                &[
                    "Cache-Control: private=\"X-User\", max-age=60",
                    "X-User: a",
                    "X-Other: b",
                ],
                stored_without(&["x-user"]),
            ),
            (
                200,
                &[
                    "Cache-Control: private=\"x-a\", no-cache=\"x-b\", max-age=60",
                    "X-A: 1",
                    "X-B: 2",
                ],
                stored_without(&["x-b", "x-a"]),
            ),
            // Only if they are there.
            (
                200,
                &["Cache-Control: private=\"x-user\", max-age=60"],
                stored(),
            ),
        ],
    );
}

#[test]
fn a_response_that_can_never_be_reused_is_not_stored() {
    let no_lifetime = || refused(NotStored::NoLifetime);
    let expired = || refused(NotStored::Expired);
    check(
        &Rules::default(),
        &[
            (200, &[], no_lifetime()),
            (200, &["Cache-Control: public"], no_lifetime()),
            (200, &["Cache-Control: max-age=0"], expired()),
            (200, &["Expires: 0"], expired()),
            (
                200,
                &["Cache-Control: max-age=60, no-cache"],
                refused(NotStored::NoCache),
            ),
            (
                200,
                &["Cache-Control: no-cache"],
                refused(NotStored::NoCache),
            ),
            (200, &["Cache-Control: max-age=60", "Age: 60"], expired()),
            (
                200,
                &["Cache-Control: max-age=0", "ETag: unquoted"],
                expired(),
            ),
            (
                200,
                &["Cache-Control: max-age=0", "Last-Modified: once"],
                expired(),
            ),
            (
                200,
                &["Cache-Control: max-age=0, must-revalidate, stale-if-error=60"],
                expired(),
            ),
            (
                200,
                &["Cache-Control: stale-while-revalidate=60"],
                no_lifetime(),
            ),
            // With something to validate, or to fall back on.
            (200, &["ETag: \"a\""], stored()),
            (
                200,
                &["Cache-Control: max-age=60, no-cache", "ETag: \"a\""],
                stored(),
            ),
            (200, &["Cache-Control: no-cache", LONG_AGO], stored()),
            (
                200,
                &["Cache-Control: max-age=0, stale-while-revalidate=60"],
                stored(),
            ),
            (
                200,
                &["Cache-Control: max-age=0, stale-if-error=60"],
                stored(),
            ),
            (200, &["Cache-Control: max-age=60", "Age: 59"], stored()),
        ],
    );
}

// === Fields ===

#[test]
fn vary_limits_what_is_stored() {
    let many = |count: usize| {
        let names: Vec<_> = (0..count).map(|name| format!("x-{name}")).collect();
        format!("Vary: {}", names.join(", "))
    };
    let (sixteen, seventeen) = (many(16), many(17));
    check(
        &Rules::default(),
        &[
            (200, &[MINUTE, "Vary: accept-encoding"], stored()),
            (200, &[MINUTE, &sixteen], stored()),
            (200, &[MINUTE, &seventeen], refused(NotStored::VaryTooLong)),
            (200, &[MINUTE, "Vary: *"], refused(NotStored::VaryAny)),
            (200, &[MINUTE, "Vary: foo, *"], refused(NotStored::VaryAny)),
            (
                200,
                &[MINUTE, "Vary:", "Vary: *"],
                refused(NotStored::VaryAny),
            ),
            (
                200,
                &[MINUTE, "Vary: Cookie"],
                refused(NotStored::VaryCredentials),
            ),
            (
                200,
                &[MINUTE, "Vary: accept, Authorization"],
                refused(NotStored::VaryCredentials),
            ),
        ],
    );
    let exact = Rules {
        vary_credentials: VaryCredentials::Store,
        ..Rules::default()
    };
    check(&exact, &[(200, &[MINUTE, "Vary: cookie"], stored())]);
}

#[test]
fn cookies_are_not_stored_unless_so_configured() {
    let policy = |set_cookie| Rules {
        set_cookie,
        ..Rules::default()
    };
    let one = [MINUTE, "Set-Cookie: a=b", "Set-Cookie: c=d"];
    let named = [
        "Cache-Control: no-cache=\"set-cookie\", max-age=60",
        "Set-Cookie: a=b",
    ];
    let old = [MINUTE, "Set-Cookie2: a=b"];
    check(
        &policy(SetCookiePolicy::Refuse),
        &[
            (200, &one, refused(NotStored::SetCookie)),
            (200, &old, refused(NotStored::SetCookie)),
            (200, &named, stored_without(&["set-cookie"])),
        ],
    );
    check(
        &policy(SetCookiePolicy::Strip),
        &[
            (200, &one, stored_without(&["set-cookie"])),
            (200, &old, stored_without(&["set-cookie2"])),
            (200, &[MINUTE], stored()),
        ],
    );
    check(
        &policy(SetCookiePolicy::Store),
        &[
            (200, &one, stored()),
            (200, &named, stored_without(&["set-cookie"])),
        ],
    );
}

#[test]
fn a_response_with_fields_that_make_a_copy_wrong_is_not_stored() {
    check(
        &Rules::default(),
        &[
            (
                200,
                &[MINUTE, "Content-Range: bytes 0-1/2"],
                refused(NotStored::ContentRange),
            ),
            (
                200,
                &[MINUTE, "Connection: vary"],
                refused(NotStored::ConnectionOptions),
            ),
            (200, &[MINUTE, "Connection: X-Hop", "X-Hop: 1"], stored()),
            (200, &[MINUTE, "Content-Length: 10, 10"], stored()),
            (200, &[MINUTE, "Transfer-Encoding: chunked"], stored()),
            (
                200,
                &[MINUTE, "Content-Length: 10, 11"],
                refused(NotStored::Framing),
            ),
            (
                200,
                &[MINUTE, "Content-Length: ten"],
                refused(NotStored::Framing),
            ),
            (
                200,
                &[MINUTE, "Content-Length: 10", "Transfer-Encoding: chunked"],
                refused(NotStored::Framing),
            ),
        ],
    );
}

#[test]
fn streams_are_not_stored() {
    let streams = [
        "text/event-stream",
        "Text/Event-Stream;charset=utf-8",
        "multipart/x-mixed-replace; boundary=a",
        "multipart/mixed;boundary=\"-\"",
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web-text",
    ];
    for content_type in streams {
        let response = [MINUTE, &format!("Content-Type: {content_type}")];
        let found = verdict(&[], 200, &response, &Rules::default());
        assert_eq!(found, refused(NotStored::Stream), "{content_type}");
    }
    for content_type in [
        "text/html",
        "text/event",
        "multipart/form-data",
        "application/grp",
        "é",
    ] {
        let response = [MINUTE, &format!("Content-Type: {content_type}")];
        assert_eq!(
            verdict(&[], 200, &response, &Rules::default()),
            stored(),
            "{content_type}"
        );
    }
}

#[test]
fn a_body_or_head_that_is_too_large_is_not_stored() {
    let rules = Rules {
        max_body: 10,
        ..Rules::default()
    };
    let line = |len: usize| format!("X-Fill: {}", "x".repeat(len));
    let others = "cache-control".len() + "max-age=60".len() + "x-fill".len();
    let (largest, larger) = (line(MAX_HEAD - others), line(MAX_HEAD - others + 1));
    check(
        &rules,
        &[
            (200, &[MINUTE, "Content-Length: 10"], stored()),
            (
                200,
                &[MINUTE, "Content-Length: 11"],
                refused(NotStored::BodyTooLarge),
            ),
            (200, &[MINUTE, &largest], stored()),
            (200, &[MINUTE, &larger], refused(NotStored::HeadTooLarge)),
        ],
    );
}

// === Requests ===

#[test]
fn a_head_with_too_many_lines_is_not_stored() {
    let lines = |count: usize| {
        let mut lines = vec![MINUTE];
        lines.resize(count, "X-Line: 1");
        lines
    };
    check(
        &Rules::default(),
        &[
            (200, &lines(MAX_LINES), stored()),
            (200, &lines(MAX_LINES + 1), refused(NotStored::HeadTooLarge)),
        ],
    );
}

#[test]
fn the_reason_may_lie_in_the_request() {
    let authorized: &[&str] = &["Authorization: Basic abc"];
    let personal = || refused(NotStored::Authorization);
    let rules = Rules::default();
    let cases: &[(&[&str], &[&str], Storable)] = &[
        (
            &["Cache-Control: no-store"],
            &[MINUTE],
            refused(NotStored::RequestNoStore),
        ),
        (authorized, &["Cache-Control: max-age=60"], personal()),
        (
            authorized,
            &["Cache-Control: max-age=60, proxy-revalidate"],
            personal(),
        ),
        (
            authorized,
            &["Cache-Control: max-age=60, immutable"],
            personal(),
        ),
        (authorized, &[IN_2050], personal()),
        (authorized, &["Cache-Control: max-age=60, public"], stored()),
        (authorized, &["Cache-Control: s-maxage=60"], stored()),
        (
            authorized,
            &["Cache-Control: max-age=60, must-revalidate"],
            stored(),
        ),
        // Explicit freshness is consent; a heuristic is not, nor is a validator.
        (&["Cookie: a=b"], &[MINUTE], stored()),
        (
            &["Cookie: a=b"],
            &["Cache-Control: public", LONG_AGO],
            stored(),
        ),
        (&["Cookie: a=b"], &[LONG_AGO], refused(NotStored::Cookie)),
        (&["X-Api-Key: a"], &[MINUTE], stored()),
        (&["X-Api-Key: a"], &[IN_2050], stored()),
        (
            &["X-Api-Key: a"],
            &["Cache-Control: public", LONG_AGO],
            stored(),
        ),
        (&["X-Api-Key: a"], &[LONG_AGO], personal()),
        (&["X-Api-Key: a"], &["ETag: \"a\""], personal()),
        // A full answer to a range or conditional request is one like any other.
        (&["Range: bytes=0-1"], &[MINUTE], stored()),
        (&["If-None-Match: \"a\""], &[MINUTE], stored()),
        // What the response says of itself comes first.
        (
            authorized,
            &["Cache-Control: no-store"],
            refused(NotStored::NoStore),
        ),
        (
            &["Cache-Control: no-store"],
            &[MINUTE, "Set-Cookie: a"],
            refused(NotStored::SetCookie),
        ),
    ];
    for (request, response, expected) in cases {
        let found = verdict(request, 200, response, &rules);
        assert_eq!(found, *expected, "{request:?} {response:?}");
    }
    let keys = Rules {
        credential_headers: CredentialFields::new([HeaderName::from_static("x-api-key")]),
        ..Rules::default()
    };
    assert_eq!(
        verdict(&["X-API-Key: x"], 200, &[MINUTE], &keys),
        personal()
    );
}

#[test]
fn only_what_everybody_would_get_removes_the_stored_response() {
    use Timeliness::{Fresh, Stale};
    let dropped = |status: u16, requester, stored| {
        let status = StatusCode::from_u16(status).unwrap();
        predecessor(status, requester, stored) == Predecessor::Drop
    };
    for status in 100..=999 {
        let replaces =
            matches!(status, 200..=399 | 404 | 410 | 451) && ![206, 304].contains(&status);
        assert_eq!(
            dropped(status, Requester::Plain, Fresh),
            replaces,
            "{status}"
        );
        let ends = match status {
            206 | 304 | 400 | 406 | 408 | 412..=417 | 421 | 425 | 426 | 428 | 429 | 431 => false,
            200..=499 => true,
            _ => false,
        };
        assert_eq!(dropped(status, Requester::Plain, Stale), ends, "{status}");
        for requester in [Requester::Personal, Requester::Private] {
            assert!(!dropped(status, requester, Fresh), "{status}");
            assert!(!dropped(status, requester, Stale), "{status}");
        }
    }
    assert_eq!(NotStored::Authorization.side(), Side::Request);
    assert_eq!(NotStored::NoStore.side(), Side::Response);
}

#[test]
fn a_request_is_plain_unless_it_carries_what_makes_the_response_its_own() {
    let cases: &[(&[&str], Requester)] = &[
        (&[], Requester::Plain),
        (
            &["Accept: a/b", "Accept-Language: x", "User-Agent: y"],
            Requester::Plain,
        ),
        (&["Cache-Control: no-cache, max-age=0"], Requester::Plain),
        (&["Cookie: a=b"], Requester::Personal),
        (&["X-Api-Key: k"], Requester::Personal),
        (&["Cookie: a=b", "Authorization: x"], Requester::Private),
        (&["Authorization: x"], Requester::Private),
        (&["Cache-Control: no-store"], Requester::Private),
        (
            &["Cookie: a=b", "Cache-Control: no-store"],
            Requester::Private,
        ),
    ];
    for (request, expected) in cases {
        let found = judge(&Method::GET, request, 200, &[], &Rules::default(), |it| {
            Requester::of(it.facts, it.request_directives)
        });
        assert_eq!(found, *expected, "{request:?}");
    }
}

// === Default lifetimes ===

#[test]
fn only_responses_that_state_nothing_and_are_not_private_get_a_default_lifetime() {
    use DefaultLifetime::{Allowed, Refused, Withheld};
    let cases: &[(&[&str], u16, &[&str], DefaultLifetime)] = &[
        (&[], 200, &[], Allowed),
        (&[], 404, &[LONG_AGO], Allowed),
        (&[], 302, &[], Refused),
        (&[], 302, &["Cache-Control: public"], Allowed),
        (&[], 200, &["Cache-Control: must-revalidate"], Allowed),
        // It says something.
        (&[], 200, &["Cache-Control: max-age=0"], Refused),
        (&[], 200, &["Cache-Control: s-maxage=x"], Refused),
        (&[], 200, &["Expires: 0"], Refused),
        (&[], 200, &["Cache-Control: no-store"], Refused),
        (&[], 200, &["Cache-Control: no-cache"], Refused),
        (&[], 200, &["Cache-Control: no-cache=\"x-a\""], Refused),
        (&[], 200, &["Cache-Control: private=\"x-a\""], Refused),
        // It says something that nobody can read.
        (&[], 200, &["Cache-Control: public;"], Refused),
        (&[], 200, &["Cache-Control: public, foo bar"], Refused),
        (
            &[],
            200,
            &["Cache-Control: public", "Cache-Control: =1"],
            Refused,
        ),
        (&[], 200, &["Cache-Control: stale-if-error=x"], Refused),
        (&[], 200, &["Cache-Control: stale-if-error"], Allowed),
        (&[], 200, &["Cache-Control: foo=\"no-store\""], Allowed),
        // It says something to others.
        (&[], 200, &["CDN-Cache-Control: no-store"], Refused),
        (&[], 200, &["Surrogate-Control: no-store"], Refused),
        (&[], 200, &["CDN-Cache-Control: max-age=60,"], Refused),
        (&[], 200, &["CDN-Cache-Control: max-age=60"], Allowed),
        // It is somebody's own.
        (&[], 200, &["Set-Cookie: a=b"], Refused),
        (
            &[],
            200,
            &["Set-Cookie: a=b", "Cache-Control: public"],
            Refused,
        ),
        (&["Cookie: a=b"], 200, &["Set-Cookie: a=b"], Refused),
        (&["Cookie: a=b"], 200, &[], Withheld(NotStored::Cookie)),
        (&["Cookie: a=b"], 302, &[], Refused),
        (
            &["Authorization: a"],
            200,
            &[],
            Withheld(NotStored::Authorization),
        ),
        (
            &["Authorization: a"],
            200,
            &["Cache-Control: must-revalidate"],
            Withheld(NotStored::Authorization),
        ),
        (
            &["X-Auth-Token: a"],
            200,
            &[],
            Withheld(NotStored::Authorization),
        ),
        (
            &["X-CSRF-Token: a", "Cookie: a=b"],
            404,
            &[],
            Withheld(NotStored::Authorization),
        ),
        (&["X-Api-Key: a"], 200, &[MINUTE], Refused),
        (&["X-Api-Key: a"], 200, &["Cache-Control: public"], Allowed),
        (&["Cookie: a=b"], 200, &["Cache-Control: public"], Allowed),
        (
            &["Authorization: a"],
            200,
            &["Cache-Control: public"],
            Allowed,
        ),
    ];
    for (request, status, response, expected) in cases {
        let rules = Rules::default();
        let found = judge(
            &Method::GET,
            request,
            *status,
            response,
            &rules,
            |exchange| default_lifetime(exchange, &rules),
        );
        assert_eq!(found, *expected, "{request:?} {status} {response:?}");
    }
    for status in NEVER.into_iter().chain(ERRORS).chain(FORM) {
        let public = ["Cache-Control: public"];
        let rules = Rules::default();
        let found = judge(&Method::GET, &[], status, &public, &rules, |exchange| {
            default_lifetime(exchange, &rules)
        });
        assert_eq!(found, Refused, "{status}");
    }
}

#[test]
fn an_overridden_lifetime_is_replaced_only_where_nothing_restricts_the_response() {
    use DefaultLifetime::{Allowed, Lowering, Refused, Withheld};
    let rules = Rules {
        override_origin: OverrideOrigin::Lifetimes,
        ..Rules::default()
    };
    let cases: &[(&[&str], u16, &[&str], DefaultLifetime)] = &[
        (&[], 200, &["Cache-Control: max-age=60"], Allowed),
        (
            &[],
            200,
            &["Cache-Control: max-age=0, must-revalidate"],
            Allowed,
        ),
        (&[], 200, &["Cache-Control: s-maxage=x"], Lowering),
        (&[], 200, &["Expires: 0"], Allowed),
        (&[], 302, &["Cache-Control: max-age=60"], Allowed),
        (&[], 404, &["Cache-Control: max-age=60"], Allowed),
        (
            &["Cookie: a=b"],
            200,
            &["Cache-Control: public, max-age=0"],
            Allowed,
        ),
        // As without it where nothing is stated.
        (&[], 200, &[], Allowed),
        (&[], 302, &[], Refused),
        (&[], 200, &["Cache-Control: no-store"], Refused),
        (&["Cookie: a=b"], 200, &[], Withheld(NotStored::Cookie)),
        // A restriction.
        (&[], 200, &["Cache-Control: max-age=60, no-store"], Lowering),
        (&[], 200, &["Cache-Control: max-age=60, no-cache"], Lowering),
        (&[], 200, &["Cache-Control: max-age=60, private"], Lowering),
        (
            &[],
            200,
            &["Cache-Control: max-age=60, private=\"x-a\""],
            Lowering,
        ),
        (&[], 200, &["Cache-Control: max-age=60, foo bar"], Lowering),
        (
            &[],
            200,
            &["Cache-Control: max-age=60", "Surrogate-Control: no-store"],
            Lowering,
        ),
        (
            &[],
            200,
            &["Cache-Control: max-age=60", "Set-Cookie: a=b"],
            Lowering,
        ),
        (
            &["Cookie: a=b"],
            200,
            &["Cache-Control: max-age=60"],
            Lowering,
        ),
        (
            &["Authorization: a"],
            200,
            &["Cache-Control: s-maxage=60"],
            Lowering,
        ),
        (&[], 400, &["Cache-Control: max-age=60"], Lowering),
        (&[], 401, &["Cache-Control: max-age=60"], Lowering),
        (&[], 503, &["Cache-Control: max-age=60"], Lowering),
    ];
    for (request, status, response, expected) in cases {
        let found = judge(
            &Method::GET,
            request,
            *status,
            response,
            &rules,
            |exchange| default_lifetime(exchange, &rules),
        );
        assert_eq!(found, *expected, "{request:?} {status} {response:?}");
    }
}
