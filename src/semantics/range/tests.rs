//! Which part of a stored body a `Range` selects.

use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::Selection::{Full, Part, Unsatisfiable};
use super::{Selection, content_range, partial_head, select, unsatisfied_range};
use crate::semantics::testing::{Lines, head};

const NOW: i64 = 1_767_225_600;

/// What a GET with these fields gets of a stored 200.
fn selected(request: Lines<'_>, stored: Lines<'_>, length: u64) -> Selection {
    select(
        &Method::GET,
        &head(request),
        StatusCode::OK,
        &head(stored),
        length,
        NOW,
    )
}

#[test]
fn a_range_selects_part_of_ten_bytes() {
    let cases: &[(&str, Selection)] = &[
        ("bytes=0-1", Part { first: 0, last: 1 }),
        ("bytes=5-", Part { first: 5, last: 9 }),
        ("bytes=9-9", Part { first: 9, last: 9 }),
        ("bytes=9-10", Part { first: 9, last: 9 }),
        ("bytes=0-", Part { first: 0, last: 9 }),
        ("bytes=-3", Part { first: 7, last: 9 }),
        ("bytes=-10", Part { first: 0, last: 9 }),
        ("bytes=-100", Part { first: 0, last: 9 }),
        // The unit is case-insensitive, spaces surround members, empty members do not count.
        ("BYTES=0-1", Part { first: 0, last: 1 }),
        ("bytes= 0-1\t", Part { first: 0, last: 1 }),
        ("bytes=,0-1 ,", Part { first: 0, last: 1 }),
        ("bytes=000-001", Part { first: 0, last: 1 }),
        // Numbers never wrap.
        (
            "bytes=0-99999999999999999999999",
            Part { first: 0, last: 9 },
        ),
        ("bytes=-99999999999999999999999", Part { first: 0, last: 9 }),
        ("bytes=18446744073709551616-", Unsatisfiable),
        ("bytes=99999999999999999999999-", Unsatisfiable),
        // Nothing of the body.
        ("bytes=10-", Unsatisfiable),
        ("bytes=10-20", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
        // Not a range.
        ("bytes=5-4", Full),
        ("bytes=20-15", Full),
        ("bytes=x", Full),
        ("bytes=0-x", Full),
        ("bytes=x-1", Full),
        ("bytes=+0-1", Full),
        ("bytes=0 - 1", Full),
        ("bytes=0-1-2", Full),
        ("bytes=--1", Full),
        ("bytes=-", Full),
        ("bytes=1", Full),
        ("bytes=", Full),
        ("bytes= , ", Full),
        ("bytes", Full),
        ("bytes =0-1", Full),
        ("0-1", Full),
        ("", Full),
        // Not a unit known here.
        ("items=0-1", Full),
        // Several ranges.
        ("bytes=0-1,5-6", Full),
        ("bytes=0-1,x", Full),
        ("bytes=20-,30-", Full),
    ];
    for (range, expected) in cases {
        assert_eq!(selected(&[("range", range)], &[], 10), *expected, "{range}");
    }
}

#[test]
fn a_repeated_range_is_ignored() {
    let request = [("range", "bytes=0-1"), ("range", "bytes=0-1")];
    assert_eq!(selected(&request, &[], 10), Full);
}

#[test]
fn an_empty_body_is_sent_whole() {
    for range in ["bytes=0-", "bytes=-1", "bytes=-0"] {
        assert_eq!(selected(&[("range", range)], &[], 0), Full, "{range}");
    }
}

#[test]
fn ranges_are_for_get_and_200() {
    let request = head(&[("range", "bytes=0-1")]);
    let cases = [
        (Method::GET, 200, Part { first: 0, last: 1 }),
        (Method::HEAD, 200, Full),
        (Method::POST, 200, Full),
        (Method::GET, 203, Full),
        (Method::GET, 206, Full),
        (Method::GET, 404, Full),
    ];
    for (method, status, expected) in cases {
        let status = StatusCode::from_u16(status).unwrap();
        let selection = select(&method, &request, status, &HeaderMap::new(), 10, NOW);
        assert_eq!(selection, expected, "{method} {status}");
    }
}

#[test]
fn if_range_compares_entity_tags_strongly() {
    let part = Part { first: 0, last: 1 };
    let cases: &[(&str, &str, Selection)] = &[
        // Stored `ETag`, `If-Range`, answer.
        ("\"a\"", "\"a\"", part),
        ("\"a\"", "\"b\"", Full),
        ("\"a\"", "W/\"a\"", Full),
        ("W/\"a\"", "\"a\"", Full),
        ("W/\"a\"", "W/\"a\"", Full),
        ("\"a\"", "\"a", Full),
        ("\"a\"", "\"a\", \"b\"", Full),
        ("\"a\"", "*", Full),
        ("\"a\"", "", Full),
        ("a", "a", Full),
    ];
    for (tag, condition, expected) in cases {
        let request = [("range", "bytes=0-1"), ("if-range", condition)];
        let selection = selected(&request, &[("etag", tag)], 10);
        assert_eq!(selection, *expected, "{tag} {condition}");
    }
}

#[test]
fn if_range_takes_a_date_that_is_a_strong_validator() {
    let part = Part { first: 0, last: 1 };
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    let later = "Sun, 06 Nov 1994 08:49:38 GMT";
    let cases: &[(&str, Lines<'_>, Selection)] = &[
        // `If-Range`, stored head, answer.
        (
            modified,
            &[("last-modified", modified), ("date", later)],
            part,
        ),
        (
            "Sunday, 06-Nov-94 08:49:37 GMT",
            &[("last-modified", modified), ("date", later)],
            part,
        ),
        // Modified in the second it was sent: it may have changed again.
        (
            modified,
            &[("last-modified", modified), ("date", modified)],
            Full,
        ),
        (modified, &[("last-modified", modified)], Full),
        // Another date, even a later one, is no match.
        (later, &[("last-modified", modified), ("date", later)], Full),
        (modified, &[("date", later)], Full),
        (
            "yesterday",
            &[("last-modified", modified), ("date", later)],
            Full,
        ),
    ];
    for (condition, stored, expected) in cases {
        let request = [("range", "bytes=0-1"), ("if-range", *condition)];
        let selection = selected(&request, stored, 10);
        assert_eq!(selection, *expected, "{condition} {stored:?}");
    }
}

#[test]
fn if_range_needs_a_range_and_one_line() {
    let stored = [("etag", "\"a\"")];
    assert_eq!(selected(&[("if-range", "\"a\"")], &stored, 10), Full);
    let repeated = [
        ("range", "bytes=0-1"),
        ("if-range", "\"a\""),
        ("if-range", "\"a\""),
    ];
    assert_eq!(selected(&repeated, &stored, 10), Full);
}

#[test]
fn if_range_comes_before_satisfiability() {
    let request = [("range", "bytes=10-"), ("if-range", "\"b\"")];
    assert_eq!(selected(&request, &[("etag", "\"a\"")], 10), Full);
}

#[test]
fn content_range_says_where_the_part_lies() {
    assert_eq!(content_range(0, 1, 10), "bytes 0-1/10");
    assert_eq!(unsatisfied_range(10), "bytes */10");
}

#[test]
fn a_part_has_a_digest_of_the_whole_but_not_of_the_content() {
    let mut stored = head(&[
        ("content-digest", "sha-256=:AA==:"),
        ("etag", "\"a\""),
        ("repr-digest", "sha-256=:AA==:"),
    ]);
    partial_head(&mut stored);
    assert_eq!(
        stored,
        head(&[("etag", "\"a\""), ("repr-digest", "sha-256=:AA==:")])
    );
}

proptest! {
    #[test]
    fn a_part_lies_within_the_body(
        first in any::<u64>(), last in any::<u64>(), length in 1..u64::MAX,
    ) {
        let range = format!("bytes={first}-{last}");
        let expected = if last < first {
            Full
        } else if first >= length {
            Unsatisfiable
        } else {
            Part { first, last: last.min(length - 1) }
        };
        prop_assert_eq!(selected(&[("range", &range)], &[], length), expected);
    }

    #[test]
    fn any_bytes_are_taken(range in "(bytes=)?[0-9, x-]{0,30}", length in any::<u64>()) {
        if let Part { first, last } = selected(&[("range", &range)], &[], length) {
            prop_assert!(first <= last && last < length);
        }
    }
}
