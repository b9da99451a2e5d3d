//! How dates and numbers are read from fields that are missing, repeated or broken.

use http::header::{
    AGE, CONTENT_LENGTH, DATE, EXPIRES, IF_MODIFIED_SINCE, LAST_MODIFIED, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{
    Expires, Length, age, content_length, date, ensure_date, expires, if_modified_since,
    last_modified, only, retry_after, sets_cookie,
};

/// 2026-07-01T12:00:00Z.
const NOW: i64 = 1_782_907_200;
/// 2050-08-18T02:01:18Z.
const IN_2050: i64 = 2_544_400_878;

const DATE_IN_2050: &str = "Thu, 18 Aug 2050 02:01:18 GMT";
const OTHER_DATE: &str = "Thu, 18 Aug 2050 02:01:19 GMT";

fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
    let values = lines.iter().map(|line| HeaderValue::from_str(line));
    values.map(|value| (name.clone(), value.unwrap())).collect()
}

#[test]
fn only_one_line_is_the_value() {
    let table: &[(&[&str], Option<&str>)] = &[
        (&[], None),
        (&[""], Some("")),
        (&[" a, b\t"], Some("a, b")),
        (&["a", "a"], None),
    ];
    for (lines, expected) in table {
        let headers = headers(&DATE, lines);
        assert_eq!(
            only(&headers, &DATE),
            expected.map(str::as_bytes),
            "{lines:?}"
        );
    }
}

#[test]
fn age_is_the_first_member_if_it_is_a_number() {
    let table: &[(&[&str], u32)] = &[
        (&[], 0),
        (&["7200"], 7200),
        (&["7200, 0"], 7200),
        (&["7200", "0"], 7200),
        (&["", ", 7200"], 7200),
        (&["0, 7200"], 0),
        (&["0", "7200"], 0),
        (&["99999999999"], 1 << 31),
        // Not a number: as if the field were not there, and no second chance.
        (&["abc"], 0),
        (&["abc, 7200"], 0),
        (&["-7200"], 0),
        (&["7200.0"], 0),
        (&["7200;x=1"], 0),
        (&["\"7200\""], 0),
        (&[""], 0),
    ];
    for (lines, expected) in table {
        assert_eq!(age(&headers(&AGE, lines)), *expected, "{lines:?}");
    }
}

#[test]
fn retry_after_is_a_number_of_seconds_or_a_date() {
    // Sun, 06 Nov 1994 08:49:37 GMT
    let now = 784_111_777;
    let table: &[(&[&str], Option<u32>)] = &[
        (&[], None),
        (&["120"], Some(120)),
        (&["0"], Some(0)),
        (&["99999999999"], Some(1 << 31)),
        (&["Sun, 06 Nov 1994 08:50:37 GMT"], Some(60)),
        (&["Sun, 06 Nov 1994 08:49:37 GMT"], Some(0)),
        (&["Sun, 06 Nov 1994 08:00:00 GMT"], Some(0)),
        (&["Fri, 31 Dec 9999 23:59:59 GMT"], Some(u32::MAX)),
        // Two values, or none that is one.
        (&["1", "2"], None),
        (&["1, 2"], None),
        (&["-1"], None),
        (&["1.5"], None),
        (&["soon"], None),
        (&[""], None),
    ];
    for (lines, expected) in table {
        let found = retry_after(&headers(&RETRY_AFTER, lines), now);
        assert_eq!(found, *expected, "{lines:?}");
    }
}

#[test]
fn dates_have_one_line_that_is_a_date() {
    let table: &[(&[&str], Option<i64>)] = &[
        (&[], None),
        (&[DATE_IN_2050], Some(IN_2050)),
        (&["Thursday, 18-Aug-50 02:01:18 GMT"], Some(IN_2050)),
        (&["0"], None),
        (&[""], None),
        (&[DATE_IN_2050, DATE_IN_2050], None),
        (&[DATE_IN_2050, OTHER_DATE], None),
    ];
    for (lines, expected) in table {
        let dated = headers(&DATE, lines);
        assert_eq!(date(&dated, NOW), *expected, "{lines:?}");
        let modified = headers(&LAST_MODIFIED, lines);
        assert_eq!(last_modified(&modified, NOW), *expected, "{lines:?}");
        let conditional = headers(&IF_MODIFIED_SINCE, lines);
        assert_eq!(if_modified_since(&conditional, NOW), *expected, "{lines:?}");
    }
}

#[test]
fn expires_that_is_no_date_is_past() {
    let table: &[(&[&str], Expires)] = &[
        (&[], Expires::Absent),
        (&[DATE_IN_2050], Expires::At(IN_2050)),
        (&["Thursday, 18-Aug-50 02:01:18 GMT"], Expires::At(IN_2050)),
        (&["Thu Aug 18 02:01:18 2050"], Expires::At(IN_2050)),
        (&["THU, 18 AUG 2050 02:01:18 gmt"], Expires::At(IN_2050)),
        (
            &["Sunday, 06-Nov-94 08:49:37 GMT"],
            Expires::At(784_111_777),
        ),
        (&["0"], Expires::Past),
        (&["-1"], Expires::Past),
        (&[""], Expires::Past),
        (&["never"], Expires::Past),
        (&["Thu, 18 Aug 2050 02:01:18 UTC"], Expires::Past),
        (&["Thu, 18 Aug 2050 02:01:18 AEST"], Expires::Past),
        // Repeated: the same value counts once, different ones not at all.
        (&[DATE_IN_2050, DATE_IN_2050], Expires::At(IN_2050)),
        (&[DATE_IN_2050, OTHER_DATE], Expires::Past),
        (&[DATE_IN_2050, "0"], Expires::Past),
        (&["0", "0"], Expires::Past),
    ];
    for (lines, expected) in table {
        assert_eq!(
            expires(&headers(&EXPIRES, lines), NOW),
            *expected,
            "{lines:?}"
        );
    }
}

#[test]
fn content_length_is_one_number() {
    let table: &[(&[&str], Length)] = &[
        (&[], Length::Absent),
        (&["0"], Length::Exactly(0)),
        (&["5"], Length::Exactly(5)),
        (&["18446744073709551615"], Length::Exactly(u64::MAX)),
        (&["5, 5"], Length::Exactly(5)),
        (&["5", "5"], Length::Exactly(5)),
        (&["5,5", "5"], Length::Exactly(5)),
        (&["18446744073709551616"], Length::Invalid),
        (&["5, 6"], Length::Invalid),
        (&["5", "6"], Length::Invalid),
        (&[""], Length::Invalid),
        (&["5,"], Length::Invalid),
        (&["5", ""], Length::Invalid),
        (&["-5"], Length::Invalid),
        (&["+5"], Length::Invalid),
        (&["5.0"], Length::Invalid),
        (&["0x5"], Length::Invalid),
        (&["5 5"], Length::Invalid),
        (&["\"5\""], Length::Invalid),
    ];
    for (lines, expected) in table {
        let headers = headers(&CONTENT_LENGTH, lines);
        assert_eq!(content_length(&headers), *expected, "{lines:?}");
    }
}

proptest! {
    #[test]
    fn no_value_makes_them_panic(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..3),
        now in any::<i64>(),
    ) {
        let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
        let mut headers = HeaderMap::new();
        for value in values {
            for name in [AGE, CONTENT_LENGTH, DATE, EXPIRES, IF_MODIFIED_SINCE, LAST_MODIFIED] {
                headers.append(name, value.clone());
            }
        }
        prop_assert!(age(&headers) <= 1 << 31);
        let _ = content_length(&headers);
        let _ = date(&headers, now);
        let _ = expires(&headers, now);
        let _ = if_modified_since(&headers, now);
        let _ = last_modified(&headers, now);
    }

    #[test]
    fn every_length_is_read_back(length in any::<u64>()) {
        let headers = headers(&CONTENT_LENGTH, &[&length.to_string()]);
        prop_assert_eq!(content_length(&headers), Length::Exactly(length));
    }
}

#[test]
fn a_response_without_a_valid_date_gets_the_time_of_its_arrival() {
    for lines in [&[][..], &["0"], &[DATE_IN_2050, OTHER_DATE]] {
        let mut headers = headers(&DATE, lines);
        ensure_date(&mut headers, NOW);
        assert_eq!(date(&headers, NOW), Some(NOW), "{lines:?}");
        assert_eq!(headers.get_all(DATE).iter().count(), 1, "{lines:?}");
    }
    let mut headers = headers(&DATE, &[DATE_IN_2050]);
    ensure_date(&mut headers, NOW);
    assert_eq!(date(&headers, NOW), Some(IN_2050));
}

#[test]
fn both_fields_that_set_cookies_count() {
    for name in ["set-cookie", "set-cookie2"] {
        assert!(sets_cookie(&headers(
            &HeaderName::from_static(name),
            &["a=b"]
        )));
    }
    assert!(!sets_cookie(&headers(
        &HeaderName::from_static("cookie"),
        &["a=b"]
    )));
}
