//! What counts as a member, a token, a quoted string and a number of seconds.

use proptest::prelude::*;

use super::{
    MAX_DELTA, delta_seconds, is_token, is_unterminated, joined, members, trim_ows, unquote,
};

#[test]
fn members_are_split_at_commas_outside_quotes() {
    let table: &[(&[&str], &[&str])] = &[
        (&[], &[]),
        (&["a"], &["a"]),
        (&["a,b"], &["a", "b"]),
        (&["a", "b, c", "d"], &["a", "b", "c", "d"]),
        // Empty members are skipped, and spaces and tabs around members are no part of them.
        (&["", ",, a ,\t ,b\t,", " , "], &["a", "b"]),
        (&["a b , c"], &["a b", "c"]),
        // Inside quotes a comma is data, and so is whatever follows a backslash.
        (&[r#"a="b, c", d"#], &[r#"a="b, c""#, "d"]),
        (&[r#"a="b\", c", d"#], &[r#"a="b\", c""#, "d"]),
        (&[r#"a="b\\", c"#], &[r#"a="b\\""#, "c"]),
        // Outside quotes a backslash is a byte like any other.
        (&[r#"a\,b"#], &[r#"a\"#, "b"]),
        // An open quote swallows its line, not the next one.
        (&[r#"a, b="c, d"#, "e"], &["a", r#"b="c, d"#, "e"]),
    ];
    for (lines, expected) in table {
        let found: Vec<_> = members(lines.iter().copied()).collect();
        let expected: Vec<_> = expected.iter().map(|member| member.as_bytes()).collect();
        assert_eq!(found, expected, "{lines:?}");
    }
}

#[test]
fn an_open_quote_is_noticed() {
    for closed in [
        "",
        "a",
        r#""""#,
        r#"a="b""#,
        r#"a="\"""#,
        r#"a="\\""#,
        r"a\",
    ] {
        assert!(!is_unterminated(closed.as_bytes()), "{closed:?}");
    }
    for open in [r#"""#, r#"a="b"#, r#"a="b\""#, r#"a="b\"#, r#"a""""#] {
        assert!(is_unterminated(open.as_bytes()), "{open:?}");
    }
}

#[test]
fn lines_are_joined_with_a_comma() {
    let table: &[(&[&str], Option<&str>)] = &[
        (&[], None),
        (&[""], Some("")),
        (&["a"], Some("a")),
        (&["a", "", "b,c"], Some("a, , b,c")),
    ];
    for (lines, expected) in table {
        let found = joined(lines.iter().copied());
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{lines:?}");
    }
}

#[test]
fn a_token_is_one_or_more_token_characters() {
    for token in ["a", "max-age", "'60'", "!#$%&'*+-.^_`|~09azAZ"] {
        assert!(is_token(token.as_bytes()), "{token:?}");
    }
    for other in [
        "", " ", "a b", "a,", "a=", "\"a\"", "a/b", "(", "é", "a\u{7f}",
    ] {
        assert!(!is_token(other.as_bytes()), "{other:?}");
    }
}

#[test]
fn only_spaces_and_tabs_are_trimmed() {
    let table = [
        ("", ""),
        (" \t ", ""),
        ("\t a b \t", "a b"),
        ("\u{b}a\u{c}", "\u{b}a\u{c}"),
    ];
    for (value, expected) in table {
        assert_eq!(trim_ows(value.as_bytes()), expected.as_bytes(), "{value:?}");
    }
}

#[test]
fn quotes_come_off_whole_quoted_strings_only() {
    let table = [
        (r#""""#, Some("")),
        (r#""a, b""#, Some("a, b")),
        (r#""a\"b\\c\d""#, Some(r#"a"b\cd"#)),
        ("", None),
        ("a", None),
        (r#"""#, None),
        (r#""a"#, None),
        (r#""a\""#, None),
        (r#""a"b"#, None),
        (r#""a"b""#, None),
    ];
    for (value, expected) in table {
        let found = unquote(value.as_bytes());
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value:?}");
    }
}

#[test]
fn delta_seconds_are_digits_alone() {
    let table = [
        ("0", Some(0)),
        ("60", Some(60)),
        ("003600", Some(3600)),
        ("2147483647", Some(2_147_483_647)),
        ("2147483648", Some(MAX_DELTA)),
        ("2147483649", Some(MAX_DELTA)),
        ("4294967296", Some(MAX_DELTA)),
        ("99999999999999999999", Some(MAX_DELTA)),
        ("99999999999999999999x", None),
        ("", None),
        ("-60", None),
        ("+60", None),
        ("60.5", None),
        ("6e1", None),
        ("60s", None),
        ("6 0", None),
        (" 60", None),
        ("'60'", None),
        ("٦٠", None),
    ];
    for (value, expected) in table {
        assert_eq!(delta_seconds(value.as_bytes()), expected, "{value:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_split_into_trimmed_members(line in prop::collection::vec(any::<u8>(), 0..64)) {
        for member in members([&line]) {
            prop_assert!(!member.is_empty());
            prop_assert_eq!(trim_ows(member), member);
            // A member is what it is on its own as well.
            prop_assert_eq!(members([member]).collect::<Vec<_>>(), [member]);
            let _ = unquote(member);
        }
    }

    #[test]
    fn quoted_members_survive_the_way_there_and_back(
        content in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut quoted = vec![b'"'];
        for byte in &content {
            if matches!(byte, b'"' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(*byte);
        }
        quoted.push(b'"');
        prop_assert!(!is_unterminated(&quoted));
        prop_assert_eq!(members([&quoted]).collect::<Vec<_>>(), [&quoted]);
        let unquoted = unquote(&quoted);
        prop_assert_eq!(unquoted.as_deref(), Some(&content[..]));
    }

    #[test]
    fn every_number_is_itself_or_clamped(number in any::<u128>(), zeros in 0_usize..8) {
        let value = format!("{}{number}", "0".repeat(zeros));
        let expected = u32::try_from(number).unwrap_or(MAX_DELTA).min(MAX_DELTA);
        prop_assert_eq!(delta_seconds(value.as_bytes()), Some(expected));
    }
}
