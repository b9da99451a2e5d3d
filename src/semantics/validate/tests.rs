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

/// Stored, received, and what to do under `Full` and under `Literal`.
type HeadCase<'a> = (Lines<'a>, Lines<'a>, HeadUpdate, HeadUpdate);

#[test]
fn a_head_response_is_compared_with_the_stored_one() {
    use HeadUpdate::{Invalidate, Keep, Update};
    let both: Lines<'_> = &[("etag", "\"a\""), ("last-modified", MODIFIED)];
    let tag: Lines<'_> = &[("etag", "\"a\"")];
    let weak: Lines<'_> = &[("etag", "W/\"a\"")];
    let date: Lines<'_> = &[("last-modified", MODIFIED)];
    let unusable_tag: Lines<'_> = &[("etag", "a"), ("last-modified", MODIFIED)];
    let two_tags: Lines<'_> = &[("etag", "\"a\""), ("etag", "\"b\"")];
    let no_date: Lines<'_> = &[("last-modified", "yesterday")];
    let length: Lines<'_> = &[("content-length", "10")];
    let cases: &[HeadCase<'_>] = &[
        (both, both, Update, Update),
        (both, tag, Update, Update),
        (tag, tag, Update, Update),
        (weak, weak, Update, Update),
        (date, date, Update, Update),
        // Without the tag nothing confirms a response that has one.
        (both, date, Keep, Update),
        (both, length, Keep, Update),
        (both, &[], Keep, Update),
        (
            tag,
            &[("cache-control", "max-age=60"), ("x-a", "1")],
            Keep,
            Update,
        ),
        (date, length, Keep, Update),
        (date, &[], Keep, Update),
        // What could not validate it does not confirm it.
        (unusable_tag, date, Update, Update),
        (unusable_tag, &[("etag", "a")], Keep, Update),
        (two_tags, two_tags, Keep, Update),
        (no_date, no_date, Keep, Update),
        (&[], &[], Keep, Update),
        (&[], length, Keep, Update),
        // A contradiction.
        (both, &[("etag", "\"b\"")], Invalidate, Invalidate),
        (both, weak, Invalidate, Invalidate),
        (weak, tag, Invalidate, Invalidate),
        (tag, two_tags, Invalidate, Invalidate),
        (both, &[("last-modified", LATER)], Invalidate, Invalidate),
        (
            both,
            &[("etag", "\"a\""), ("last-modified", LATER)],
            Invalidate,
            Invalidate,
        ),
        (date, tag, Invalidate, Invalidate),
        (&[], tag, Invalidate, Invalidate),
        (both, &[("content-length", "11")], Invalidate, Invalidate),
        (&[], &[("content-length", "11")], Invalidate, Invalidate),
        (both, &[("content-length", "ten")], Invalidate, Invalidate),
        (
            tag,
            &[("etag", "\"a\""), ("content-length", "9")],
            Invalidate,
            Invalidate,
        ),
        (
            weak,
            &[("etag", "W/\"a\""), ("content-length", "9")],
            Invalidate,
            Invalidate,
        ),
    ];
    for (stored, received, full, literal) in cases {
        let update = |status, updates| {
            let code = StatusCode::from_u16(status).unwrap();
            head_update(
                &head(stored),
                StatusCode::OK,
                10,
                code,
                &head(received),
                updates,
            )
        };
        let place = format!("{stored:?} {received:?}");
        assert_eq!(update(200, HeadUpdates::Full), *full, "{place}");
        assert_eq!(update(200, HeadUpdates::Literal), *literal, "{place}");
        let invalidate_only = match full {
            Invalidate => Invalidate,
            Update | Keep => Keep,
        };
        let found = update(200, HeadUpdates::InvalidateOnly);
        assert_eq!(found, invalidate_only, "{place}");
        assert_eq!(update(200, HeadUpdates::Off), Keep, "{place}");
        for status in [204, 206, 301, 304, 404, 410, 500] {
            for updates in [HeadUpdates::Full, HeadUpdates::Literal] {
                assert_eq!(update(status, updates), Keep, "{status} {place}");
            }
        }
    }
}

#[test]
fn a_success_confirms_no_stored_error() {
    let tagged = head(&[("etag", "\"a\"")]);
    for (stored, full, literal) in [
        (200, HeadUpdate::Update, HeadUpdate::Update),
        (203, HeadUpdate::Keep, HeadUpdate::Update),
        (301, HeadUpdate::Keep, HeadUpdate::Update),
        (404, HeadUpdate::Keep, HeadUpdate::Update),
    ] {
        let stored = StatusCode::from_u16(stored).unwrap();
        let update = |updates| head_update(&tagged, stored, 10, StatusCode::OK, &tagged, updates);
        assert_eq!(update(HeadUpdates::Full), full, "{stored}");
        assert_eq!(update(HeadUpdates::Literal), literal, "{stored}");
    }
}
