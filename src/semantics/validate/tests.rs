//! How a stored response is validated, and what the answer makes of it.

use http::{HeaderMap, StatusCode};

use super::{
    Confirmation, HeadUpdate, Validator, accepts, conditional_request, has_validator, head_update,
    merge, strip,
};
use crate::semantics::rules::{HeadUpdates, Rules, SetCookiePolicy};
use crate::semantics::testing::{Lines, head};

const NOW: i64 = 1_767_225_600;

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// The same time, as RFC 850 spelled it.
const MODIFIED_850: &str = "Sunday, 06-Nov-94 08:49:37 GMT";
const LATER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
/// [`LATER`] in seconds.
const LATER_SECONDS: i64 = 784_198_177;

// === Asking ===

#[test]
fn the_stored_validators_are_sent_as_received() {
    let cases: &[(Lines<'_>, Lines<'_>)] = &[
        // Stored, conditions sent.
        (&[("etag", "\"a\"")], &[("if-none-match", "\"a\"")]),
        (&[("etag", "W/\"a\"")], &[("if-none-match", "W/\"a\"")]),
        (&[("etag", "\"é\"")], &[("if-none-match", "\"é\"")]),
        (
            &[("last-modified", MODIFIED_850)],
            &[("if-modified-since", MODIFIED_850)],
        ),
        (
            &[("etag", "\"a\""), ("last-modified", MODIFIED)],
            &[("if-none-match", "\"a\""), ("if-modified-since", MODIFIED)],
        ),
        // One unusable, the other sent.
        (
            &[("etag", "a"), ("last-modified", MODIFIED)],
            &[("if-modified-since", MODIFIED)],
        ),
        (
            &[("etag", "\"a\""), ("last-modified", "never")],
            &[("if-none-match", "\"a\"")],
        ),
        // Nothing usable: a plain request.
        (&[], &[]),
        (&[("etag", "\"a\""), ("etag", "\"b\"")], &[]),
        (&[("etag", "w/\"a\""), ("last-modified", "0")], &[]),
        (&[("date", MODIFIED)], &[]),
    ];
    for (stored, expected) in cases {
        let stored = head(stored);
        let mut request = HeaderMap::new();
        let sent = conditional_request(&mut request, &stored, NOW);
        assert_eq!(request, head(expected), "{stored:?}");
        let usable = !expected.is_empty();
        assert_eq!(sent == Validator::Sent, usable, "{stored:?}");
        assert_eq!(has_validator(&stored), usable, "{stored:?}");
    }
}

#[test]
fn the_clients_conditions_and_range_give_way() {
    let client = head(&[
        ("accept-language", "de"),
        ("if-modified-since", LATER),
        ("if-none-match", "\"c\""),
        ("if-none-match", "\"d\""),
        ("if-range", "\"c\""),
        ("range", "bytes=0-1"),
        ("x-other", "1"),
    ]);
    let mut request = client.clone();
    conditional_request(&mut request, &head(&[("etag", "\"a\"")]), NOW);
    assert_eq!(
        request,
        head(&[
            ("accept-language", "de"),
            ("if-none-match", "\"a\""),
            ("x-other", "1"),
        ])
    );

    let mut request = client;
    strip(&mut request);
    assert_eq!(
        request,
        head(&[("accept-language", "de"), ("x-other", "1")])
    );
}

// === Judging a 304 ===

#[test]
fn a_304_is_judged_by_its_strongest_validator() {
    use Confirmation::{Accept, Reject};
    let modified = ("last-modified", MODIFIED);
    let strong = ("etag", "\"a\"");
    let weak = ("etag", "W/\"a\"");
    let cases: &[(Lines<'_>, Lines<'_>, Confirmation)] = &[
        // Stored, 304, verdict.
        (&[strong], &[strong], Accept),
        (&[strong], &[("etag", "\"b\"")], Reject),
        (&[weak], &[strong], Reject),
        (&[], &[strong], Reject),
        (&[modified], &[strong, modified], Reject),
        (&[weak], &[weak], Accept),
        (&[strong], &[weak], Accept),
        (&[strong], &[("etag", "W/\"b\"")], Reject),
        (&[modified], &[weak], Reject),
        // The entity tag decides, even against the date.
        (
            &[strong, modified],
            &[strong, ("last-modified", LATER)],
            Accept,
        ),
        (&[strong, modified], &[("etag", "\"b\""), modified], Reject),
        // Dates are compared as times.
        (&[modified], &[modified], Accept),
        (&[modified], &[("last-modified", MODIFIED_850)], Accept),
        (&[modified], &[("last-modified", LATER)], Reject),
        (&[strong], &[modified], Reject),
        // Only one response was asked about.
        (&[strong], &[], Accept),
        (&[modified], &[], Accept),
        (&[], &[], Accept),
        (&[strong], &[("etag", "a")], Accept),
    ];
    for (stored, not_modified, expected) in cases {
        let verdict = accepts(&head(stored), &head(not_modified), NOW);
        assert_eq!(verdict, *expected, "{stored:?} {not_modified:?}");
    }
}

// === Updating ===

#[track_caller]
fn check_merge(rules: &Rules, stored: Lines<'_>, update: Lines<'_>, expected: Lines<'_>) {
    let mut merged = head(stored);
    merge(&mut merged, &head(update), LATER_SECONDS, rules);
    assert_eq!(merged, head(expected), "{stored:?} {update:?}");
}

#[test]
fn an_update_replaces_fields_by_name() {
    let date = ("date", LATER);
    let cases: &[(Lines<'_>, Lines<'_>, Lines<'_>)] = &[
        // Stored, update, merged.
        (
            &[("x-a", "1"), ("x-b", "1")],
            &[date, ("x-a", "2"), ("content-foo", "3")],
            &[date, ("x-a", "2"), ("x-b", "1"), ("content-foo", "3")],
        ),
        // All lines of a name go together and keep their order.
        (
            &[("x-a", "1"), ("x-a", "2")],
            &[date, ("x-a", "3")],
            &[date, ("x-a", "3")],
        ),
        (
            &[("x-a", "1")],
            &[date, ("x-a", "3"), ("x-a", "2")],
            &[date, ("x-a", "3"), ("x-a", "2")],
        ),
        (
            &[
                ("etag", "\"a\""),
                ("cache-control", "max-age=1"),
                ("expires", "0"),
            ],
            &[date, ("etag", "W/\"a\""), ("cache-control", "max-age=60")],
            &[
                date,
                ("etag", "W/\"a\""),
                ("cache-control", "max-age=60"),
                ("expires", "0"),
            ],
        ),
        // `Content-` as such means nothing.
        (
            &[("content-type", "text/plain"), ("content-location", "/a")],
            &[
                date,
                ("content-type", "text/html"),
                ("content-location", "/b"),
            ],
            &[
                date,
                ("content-type", "text/html"),
                ("content-location", "/b"),
            ],
        ),
    ];
    for (stored, update, expected) in cases {
        check_merge(&Rules::default(), stored, update, expected);
    }
}

#[test]
fn what_describes_the_stored_bytes_stays() {
    let stored: Lines<'_> = &[
        ("content-digest", "sha-256=:AA==:"),
        ("content-encoding", "br"),
        ("content-length", "10"),
        ("content-md5", "AA=="),
        ("date", LATER),
    ];
    let update: Lines<'_> = &[
        ("content-digest", "sha-256=:BB==:"),
        ("content-md5", "BB=="),
        ("content-encoding", "gzip"),
        ("content-length", "0"),
        ("content-range", "bytes 0-1/2"),
        ("date", LATER),
    ];
    check_merge(&Rules::default(), stored, update, stored);
}

#[test]
fn what_belongs_to_the_connection_stays_out() {
    let update: Lines<'_> = &[
        ("connection", "x-hop"),
        ("date", LATER),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("x-hop", "2"),
        ("x-kept", "2"),
    ];
    check_merge(
        &Rules::default(),
        &[("x-hop", "1")],
        update,
        &[("date", LATER), ("x-hop", "1"), ("x-kept", "2")],
    );
}

#[test]
fn cookies_stay_out_unless_cookies_are_stored() {
    let update: Lines<'_> = &[
        ("date", LATER),
        ("set-cookie", "s=1"),
        ("set-cookie", "t=1"),
    ];
    let cases: &[(SetCookiePolicy, Lines<'_>)] = &[
        (SetCookiePolicy::Refuse, &[("date", LATER)]),
        (SetCookiePolicy::Strip, &[("date", LATER)]),
        (SetCookiePolicy::Store, update),
    ];
    for (set_cookie, expected) in cases {
        let rules = Rules {
            set_cookie: *set_cookie,
            ..Rules::default()
        };
        check_merge(&rules, &[], update, expected);
    }
}

#[test]
fn the_age_starts_over() {
    let stored: Lines<'_> = &[("age", "30"), ("date", MODIFIED)];
    let date = ("date", LATER);
    check_merge(&Rules::default(), stored, &[date], &[date]);
    check_merge(
        &Rules::default(),
        stored,
        &[date, ("age", "3")],
        &[date, ("age", "3")],
    );
}

#[test]
fn an_update_without_a_usable_date_is_dated_by_its_arrival() {
    let cases: &[Lines<'_>] = &[
        &[],
        &[("date", "now")],
        &[("date", MODIFIED), ("date", MODIFIED)],
    ];
    for update in cases {
        check_merge(
            &Rules::default(),
            &[("date", MODIFIED)],
            update,
            &[("date", LATER)],
        );
    }
}

#[test]
fn warnings_about_the_old_exchange_are_dropped() {
    let date = ("date", LATER);
    let lasting = ("warning", "214 - transformed");
    check_merge(
        &Rules::default(),
        &[("warning", "110 - stale"), lasting],
        &[date],
        &[lasting, date],
    );
}

// === HEAD ===

#[test]
fn a_head_response_is_compared_with_the_stored_one() {
    use HeadUpdate::{Invalidate, Keep, Update};
    let stored = head(&[
        ("content-length", "10"),
        ("etag", "\"a\""),
        ("last-modified", MODIFIED),
    ]);
    let same: Lines<'_> = &[
        ("content-length", "10"),
        ("etag", "\"a\""),
        ("last-modified", MODIFIED),
    ];
    let cases: &[(u16, Lines<'_>, HeadUpdate)] = &[
        // Status, received, what to do.
        (200, same, Update),
        (200, &[("etag", "\"a\"")], Update),
        (200, &[("last-modified", MODIFIED)], Update),
        (200, &[("content-length", "10")], Update),
        (200, &[], Update),
        (200, &[("x-a", "1")], Update),
        (200, &[("etag", "\"b\"")], Invalidate),
        (200, &[("etag", "W/\"a\"")], Invalidate),
        (200, &[("last-modified", LATER)], Invalidate),
        (200, &[("content-length", "11")], Invalidate),
        (200, &[("content-length", "ten")], Invalidate),
        (
            200,
            &[("etag", "\"a\""), ("content-length", "9")],
            Invalidate,
        ),
        (204, &[("etag", "\"b\"")], Keep),
        (304, same, Keep),
        (404, &[("etag", "\"b\"")], Keep),
        (500, &[], Keep),
    ];
    for (status, received, expected) in cases {
        let code = StatusCode::from_u16(*status).unwrap();
        let update = |updates| head_update(&stored, 10, code, &head(received), updates);
        assert_eq!(
            update(HeadUpdates::Full),
            *expected,
            "{status} {received:?}"
        );

        let invalidate_only = match expected {
            Invalidate => Invalidate,
            Update | Keep => Keep,
        };
        let answer = update(HeadUpdates::InvalidateOnly);
        assert_eq!(answer, invalidate_only, "{status} {received:?}");
        assert_eq!(update(HeadUpdates::Off), Keep, "{status} {received:?}");
    }
}

#[test]
fn a_validator_the_stored_response_lacks_is_a_difference() {
    let update = head_update(
        &HeaderMap::new(),
        10,
        StatusCode::OK,
        &head(&[("etag", "\"a\"")]),
        HeadUpdates::Full,
    );
    assert_eq!(update, HeadUpdate::Invalidate);
}
