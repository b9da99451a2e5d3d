//! Which texts are entity tags, which of them match, and how they are listed.

use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{EntityTag, IfNoneMatch, if_none_match, of, parse};

fn strong(opaque: &[u8]) -> EntityTag<'_> {
    EntityTag {
        weak: false,
        opaque,
    }
}

fn weak(opaque: &[u8]) -> EntityTag<'_> {
    EntityTag { weak: true, opaque }
}

fn headers(name: &HeaderName, lines: &[&[u8]]) -> HeaderMap {
    let values = lines.iter().map(|line| HeaderValue::from_bytes(line));
    values.map(|value| (name.clone(), value.unwrap())).collect()
}

#[test]
fn an_entity_tag_is_quoted_and_maybe_weak() {
    let table: &[(&[u8], Option<EntityTag<'_>>)] = &[
        (br#""a""#, Some(strong(b"a"))),
        (br#"W/"a""#, Some(weak(b"a"))),
        (br#""""#, Some(strong(b""))),
        (br#""a,b""#, Some(strong(b"a,b"))),
        // There is no escaping: the backslash is part of the tag, and the next quote ends it.
        (br#""a\""#, Some(strong(br"a\"))),
        (br#""a\"b""#, None),
        (b"\"\x80\xff\"", Some(strong(b"\x80\xff"))),
        (b"", None),
        (b"a", None),
        (b"W/a", None),
        (br#"""#, None),
        (br#"W/"#, None),
        (br#"w/"a""#, None),
        (br#"W\"a""#, None),
        (br#"W "a""#, None),
        (br#""a b""#, None),
        (b"\"a\tb\"", None),
        (b"\"a\x7f\"", None),
        (br#" "a""#, None),
        (br#""a" "#, None),
        (br#""a", "b""#, None),
        (br#"'a'"#, None),
        (b"*", None),
    ];
    for (value, expected) in table {
        assert_eq!(parse(value), *expected, "{}", value.escape_ascii());
    }
}

#[test]
fn a_response_has_one_well_formed_tag_or_none() {
    let table: &[(&[&[u8]], Option<EntityTag<'_>>)] = &[
        (&[], None),
        (&[br#""a""#], Some(strong(b"a"))),
        (&[br#" W/"a" "#], Some(weak(b"a"))),
        (&[br#""a""#, br#""a""#], None),
        (&[b"a"], None),
    ];
    for (lines, expected) in table {
        assert_eq!(of(&headers(&ETAG, lines)), *expected, "{lines:?}");
    }
}

#[test]
fn strong_and_weak_comparison() {
    // The table of RFC 9110 §8.8.3.2, and one more row for case.
    let table = [
        (weak(b"1"), weak(b"1"), false, true),
        (weak(b"1"), weak(b"2"), false, false),
        (weak(b"1"), strong(b"1"), false, true),
        (strong(b"1"), strong(b"1"), true, true),
        (strong(b"a"), strong(b"A"), false, false),
    ];
    for (one, other, strong, weak) in table {
        assert_eq!(one.strong_eq(other), strong, "{one:?} {other:?}");
        assert_eq!(other.strong_eq(one), strong, "{other:?} {one:?}");
        assert_eq!(one.weak_eq(other), weak, "{one:?} {other:?}");
        assert_eq!(other.weak_eq(one), weak, "{other:?} {one:?}");
    }
}

#[test]
fn if_none_match_lists_tags() {
    let table: &[(&[&[u8]], &[EntityTag<'_>])] = &[
        (&[br#""a""#], &[strong(b"a")]),
        (&[br#""a", W/"b""#], &[strong(b"a"), weak(b"b")]),
        (&[br#""a""#, br#""b""#], &[strong(b"a"), strong(b"b")]),
        (&[b",, \"a\",\t\"b\" ,"], &[strong(b"a"), strong(b"b")]),
        (&[b"", br#""a""#], &[strong(b"a")]),
        // Commas and backslashes are part of the tag.
        (&[br#""a,b","c""#], &[strong(b"a,b"), strong(b"c")]),
        (&[br#""a\", "b""#], &[strong(br"a\"), strong(b"b")]),
    ];
    for (lines, expected) in table {
        match if_none_match(&headers(&IF_NONE_MATCH, lines)) {
            IfNoneMatch::Tags(tags) => assert_eq!(tags.as_slice(), *expected, "{lines:?}"),
            other => panic!("{lines:?} gives {other:?}"),
        }
    }
}

#[test]
fn if_none_match_may_be_a_star_alone() {
    assert_eq!(if_none_match(&HeaderMap::new()), IfNoneMatch::Absent);
    for star in [b"*".as_slice(), b" *\t"] {
        let headers = headers(&IF_NONE_MATCH, &[star]);
        assert_eq!(if_none_match(&headers), IfNoneMatch::Any);
    }
}

#[test]
fn one_bad_member_spoils_if_none_match() {
    let table: &[&[&[u8]]] = &[
        &[b""],
        &[b","],
        &[b"a"],
        &[b"*, *"],
        &[b"*", b"*"],
        &[br#"*, "a""#],
        &[br#""a", *"#],
        &[br#""a", b"#],
        &[br#""a", w/"b""#],
        &[br#""a" "b""#],
        &[br#""a""b""#],
        &[br#""a", "b"#],
        &[br#""a""#, b"b"],
        &[b"b", br#""a""#],
    ];
    for lines in table {
        let headers = headers(&IF_NONE_MATCH, lines);
        assert_eq!(if_none_match(&headers), IfNoneMatch::Malformed, "{lines:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse(&value);
        if let Ok(line) = HeaderValue::from_bytes(&value) {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, line)]);
            let _ = if_none_match(&headers);
        }
    }

    #[test]
    fn tags_and_separators_in_any_order_are_no_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec!["\"", ",", " ", "\t", "W/", "a", "\\", "*"]),
            0..24,
        ),
    ) {
        let line = HeaderValue::from_str(&pieces.concat()).unwrap();
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, line)]);
        if let IfNoneMatch::Tags(tags) = if_none_match(&headers) {
            prop_assert!(!tags.is_empty());
            prop_assert!(tags.iter().all(|tag| !tag.opaque.contains(&b'"')));
        }
    }

    #[test]
    fn listed_tags_are_found_again(
        opaque in prop::collection::vec("[!#-~\u{80}-\u{ff}]{0,8}", 1..6),
    ) {
        let line = opaque.iter().map(|tag| format!("\"{tag}\"")).collect::<Vec<_>>().join(", ");
        let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, line)]);
        let expected = opaque.iter().map(|tag| strong(tag.as_bytes())).collect();
        prop_assert_eq!(if_none_match(&headers), IfNoneMatch::Tags(expected));
    }
}
