//! What the client's conditions do to the answer, and what a 304 carries.

use http::StatusCode;

use super::Precondition::{NotModified, Send};
use super::{Precondition, evaluate, not_modified};
use crate::semantics::testing::{Lines, head};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const MODIFIED: i64 = 784_111_777;
const NOW: i64 = 1_767_225_600;

const LAST_MODIFIED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
const DATE: (&str, &str) = ("date", "Mon, 07 Nov 1994 08:49:37 GMT");

fn evaluated(request: Lines<'_>, stored: Lines<'_>, response_time: i64) -> Precondition {
    evaluate(
        &head(request),
        StatusCode::OK,
        &head(stored),
        Some(response_time),
        NOW,
    )
}

#[test]
fn if_none_match_compares_entity_tags() {
    let cases: &[(&str, &str, Precondition)] = &[
        // Stored `ETag`, `If-None-Match`, answer.
        ("\"a\"", "\"a\"", NotModified),
        ("\"a\"", "W/\"a\"", NotModified),
        ("W/\"a\"", "\"a\"", NotModified),
        ("W/\"a\"", "W/\"a\"", NotModified),
        ("\"a\"", "\"b\", \"a\"", NotModified),
        ("\"a\"", "\"b\"", Send),
        ("\"a\"", "\"A\"", Send),
        ("\"a\"", "*", NotModified),
        ("\"a,b\"", "\"a,b\"", NotModified),
        ("\"é\"", "\"é\"", NotModified),
        // Not entity tags.
        ("abc", "abc", Send),
        ("abc", "\"abc\"", Send),
        ("\"a\"", "\"a\", *", Send),
        ("\"a\"", "\"a\", b", Send),
        ("\"a\"", "", Send),
    ];
    for (tag, condition, expected) in cases {
        let answer = evaluated(&[("if-none-match", condition)], &[("etag", tag)], NOW);
        assert_eq!(answer, *expected, "{tag} {condition}");
    }
}

#[test]
fn any_representation_satisfies_the_asterisk() {
    assert_eq!(evaluated(&[("if-none-match", "*")], &[], NOW), NotModified);
    assert_eq!(evaluated(&[("if-none-match", "\"a\"")], &[], NOW), Send);
}

#[test]
fn if_none_match_silences_if_modified_since() {
    let since = ("if-modified-since", LAST_MODIFIED.1);
    for tags in ["\"b\"", "malformed", ""] {
        let request = [("if-none-match", tags), since];
        let answer = evaluated(&request, &[("etag", "\"a\""), LAST_MODIFIED], NOW);
        assert_eq!(answer, Send, "{tags}");
    }
}

#[test]
fn if_modified_since_compares_times() {
    let cases: &[(&str, Precondition)] = &[
        ("Sun, 06 Nov 1994 08:49:37 GMT", NotModified),
        ("Sun, 06 Nov 1994 08:49:38 GMT", NotModified),
        ("Sun, 06 Nov 1994 08:49:36 GMT", Send),
        ("Sunday, 06-Nov-94 08:49:37 GMT", NotModified),
        ("Sun Nov  6 08:49:37 1994", NotModified),
        ("yesterday", Send),
        ("", Send),
    ];
    for (since, expected) in cases {
        let answer = evaluated(&[("if-modified-since", since)], &[LAST_MODIFIED, DATE], NOW);
        assert_eq!(answer, *expected, "{since}");
    }
}

#[test]
fn if_modified_since_with_two_lines_is_ignored() {
    let since = ("if-modified-since", LAST_MODIFIED.1);
    assert_eq!(evaluated(&[since, since], &[LAST_MODIFIED], NOW), Send);
}

#[test]
fn without_last_modified_the_date_then_the_arrival_count() {
    let at_date = [("if-modified-since", DATE.1)];
    let before_date = [("if-modified-since", LAST_MODIFIED.1)];
    assert_eq!(evaluated(&at_date, &[DATE], NOW), NotModified);
    assert_eq!(evaluated(&before_date, &[DATE], NOW), Send);
    assert_eq!(evaluated(&before_date, &[], MODIFIED), NotModified);
    assert_eq!(evaluated(&before_date, &[], MODIFIED + 1), Send);
    // An unusable modification date is no modification date.
    let unusable = [("last-modified", "never"), DATE];
    assert_eq!(evaluated(&before_date, &unusable, NOW), Send);
}

#[test]
fn nothing_stands_in_for_the_validator_of_a_response_that_was_not_stored() {
    let just_now = |request: Lines<'_>, received: Lines<'_>| {
        let (request, received) = (head(request), head(received));
        evaluate(&request, StatusCode::OK, &received, None, NOW)
    };
    let since = ("if-modified-since", DATE.1);
    assert_eq!(just_now(&[since], &[DATE]), Send);
    assert_eq!(just_now(&[since], &[]), Send);
    assert_eq!(just_now(&[since], &[DATE, LAST_MODIFIED]), NotModified);
    let tag = ("if-none-match", "\"a\"");
    assert_eq!(just_now(&[tag], &[DATE]), Send);
    assert_eq!(just_now(&[tag], &[("etag", "\"a\"")]), NotModified);
}

#[test]
fn an_unconditional_request_gets_the_response() {
    let stored = [("etag", "\"a\""), LAST_MODIFIED];
    assert_eq!(evaluated(&[], &stored, NOW), Send);
    let for_the_origin = [("if-match", "\"a\""), ("if-unmodified-since", DATE.1)];
    assert_eq!(evaluated(&for_the_origin, &stored, NOW), Send);
}

#[test]
fn conditions_are_about_a_200() {
    let request = head(&[("if-none-match", "*"), ("if-modified-since", DATE.1)]);
    let stored = head(&[("etag", "\"a\""), LAST_MODIFIED]);
    for status in [203, 204, 301, 404, 500] {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = evaluate(&request, status, &stored, Some(NOW), NOW);
        assert_eq!(answer, Send, "{status}");
    }
}

#[test]
fn a_304_carries_what_a_200_would_except_what_describes_the_content() {
    let kept: Lines<'_> = &[
        ("cache-control", "max-age=60"),
        ("content-location", "/a"),
        DATE,
        ("etag", "\"a\""),
        ("expires", "0"),
        LAST_MODIFIED,
        ("vary", "accept"),
        ("vary", "x-a"),
        ("x-other", "1"),
    ];
    let dropped: Lines<'_> = &[
        ("accept-ranges", "bytes"),
        ("age", "5"),
        ("content-digest", "sha-256=:AA==:"),
        ("content-encoding", "gzip"),
        ("content-language", "en"),
        ("content-length", "10"),
        ("content-range", "bytes 0-1/2"),
        ("content-type", "text/plain"),
        ("repr-digest", "sha-256=:AA==:"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("transfer-encoding", "chunked"),
    ];
    let stored = head(&[dropped, kept].concat());
    assert_eq!(not_modified(&stored), head(kept));
}
