//! Which texts are HTTP dates, and which moments they name.

use proptest::prelude::*;

use super::{EARLIEST, LATEST, format, parse};

/// 2026-07-01T12:00:00Z.
const NOW: i64 = 1_782_907_200;
/// 1994-11-06T08:49:37Z, the example of the RFC.
const EXAMPLE: i64 = 784_111_777;
/// 2050-08-18T02:01:18Z.
const IN_2050: i64 = 2_544_400_878;

#[track_caller]
fn assert_dates(table: &[(&str, i64)]) {
    for (text, expected) in table {
        assert_eq!(parse(text.as_bytes(), NOW), Some(*expected), "{text:?}");
    }
}

#[track_caller]
fn assert_no_dates(table: &[&str]) {
    for text in table {
        assert_eq!(parse(text.as_bytes(), NOW), None, "{text:?}");
    }
}

#[test]
fn the_three_forms_are_accepted() {
    assert_dates(&[
        ("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
        ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        ("Sun Nov  6 08:49:37 1994", EXAMPLE),
        ("Sun Nov 06 08:49:37 1994", EXAMPLE),
        ("Thu, 18 Aug 2050 02:01:18 GMT", IN_2050),
        ("Thursday, 18-Aug-50 02:01:18 GMT", IN_2050),
        ("Thu Aug 18 02:01:18 2050", IN_2050),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Sat, 01 Jan 0000 00:00:00 GMT", EARLIEST),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LATEST),
        ("Fri Dec 31 23:59:59 9999", LATEST),
    ]);
}

#[test]
fn names_are_accepted_in_any_case() {
    assert_dates(&[
        ("THU, 18 AUG 2050 02:01:18 gmt", IN_2050),
        ("thu, 18 aug 2050 02:01:18 Gmt", IN_2050),
        ("tHURSDAY, 18-aUG-50 02:01:18 gMT", IN_2050),
        ("THU AUG 18 02:01:18 2050", IN_2050),
    ]);
}

#[test]
fn the_day_of_the_week_need_not_be_right() {
    assert_dates(&[
        ("Mon, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
        ("Monday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        ("Mon Nov  6 08:49:37 1994", EXAMPLE),
    ]);
    assert_no_dates(&[
        "Xxx, 06 Nov 1994 08:49:37 GMT",
        "06 Nov 1994 08:49:37 GMT",
        ", 06 Nov 1994 08:49:37 GMT",
    ]);
}

#[test]
fn the_zone_is_gmt() {
    assert_no_dates(&[
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 Z",
        "Thu, 18 Aug 2050 02:01:18 +0000",
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 2050 02:01:18 GMT+1",
        "Thu, 18 Aug 2050 02:01:18",
        "Thursday, 18-Aug-50 02:01:18 UTC",
        "Thu Aug 18 02:01:18 2050 GMT",
    ]);
}

#[test]
fn punctuation_and_widths_are_exact() {
    assert_no_dates(&[
        "",
        "0",
        "-1",
        "never",
        "1994-11-06T08:49:37Z",
        // The comma, and single spaces.
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu,18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu,  18 Aug 2050 02:01:18 GMT",
        " Thu, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT ",
        "Sunday, 06-Nov-94  08:49:37 GMT",
        "Sun  Nov  6 08:49:37 1994",
        // Four digits for the year here, two there.
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18-Aug-50 02:01:18 GMT",
        "Thursday, 18-Aug-2050 02:01:18 GMT",
        "Thursday, 18 Aug 2050 02:01:18 GMT",
        "Thu Aug 18 02:01:18 50",
        // Two digits for everything else.
        "Thu, 8 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 18 Aug 2050 02:01 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 02:01:18.5 GMT",
        "Thu, +8 Aug 2050 02:01:18 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
    ]);
}

#[test]
fn fields_are_in_range() {
    assert_no_dates(&[
        "Thu, 00 Aug 2050 02:01:18 GMT",
        "Thu, 32 Aug 2050 02:01:18 GMT",
        "Thu, 31 Feb 2050 02:01:18 GMT",
        "Thu, 31 Apr 2050 02:01:18 GMT",
        "Thu, 29 Feb 2050 02:01:18 GMT",
        "Thu, 29 Feb 1900 02:01:18 GMT",
        "Thu, 18 Xyz 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 24:00:00 GMT",
        "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, 18 Aug 2050 02:01:61 GMT",
        "Sun Nov  0 08:49:37 1994",
    ]);
    assert_dates(&[
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
    ]);
}

#[test]
fn a_leap_second_is_the_second_before_it() {
    assert_dates(&[
        ("Sat, 31 Dec 2016 23:59:59 GMT", 1_483_228_799),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_799),
    ]);
}

#[test]
fn a_two_digit_year_is_at_most_fifty_years_ahead() {
    let year = |year: i64| parse(format!("Wed, 01 Jul {year} 12:00:00 GMT").as_bytes(), NOW);
    let table = [
        ("Wednesday, 01-Jul-26 12:00:00 GMT", year(2026)),
        ("Wednesday, 01-Jul-00 12:00:00 GMT", year(2000)),
        ("Wednesday, 01-Jul-75 12:00:00 GMT", year(2075)),
        // Fifty years to the second; one second more is too much.
        ("Wednesday, 01-Jul-76 12:00:00 GMT", year(2076)),
        (
            "Wednesday, 01-Jul-76 12:00:01 GMT",
            year(1976).map(|second| second + 1),
        ),
        ("Wednesday, 01-Jul-77 12:00:00 GMT", year(1977)),
        ("Wednesday, 01-Jul-99 12:00:00 GMT", year(1999)),
    ];
    for (text, expected) in table {
        assert!(expected.is_some());
        assert_eq!(parse(text.as_bytes(), NOW), expected, "{text:?}");
    }
}

#[test]
fn the_leap_day_of_a_two_digit_year_is_one_of_the_century_found() {
    // In 2060 the year 00 means 2000, which has a leap day; in 2110 it means 2100, which has not.
    let leap_day = b"Tuesday, 29-Feb-00 00:00:00 GMT";
    assert_eq!(parse(leap_day, 2_840_140_800), Some(951_782_400));
    assert_eq!(parse(leap_day, 4_417_977_600), None);
}

#[test]
fn formatting_gives_the_preferred_form() {
    let table = [
        (EXAMPLE, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (IN_2050, "Thu, 18 Aug 2050 02:01:18 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4_294_967_296, "Sun, 07 Feb 2106 06:28:16 GMT"),
        (EARLIEST, "Sat, 01 Jan 0000 00:00:00 GMT"),
        (EARLIEST - 1, "Sat, 01 Jan 0000 00:00:00 GMT"),
        (i64::MIN, "Sat, 01 Jan 0000 00:00:00 GMT"),
        (LATEST, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (LATEST + 1, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ];
    for (seconds, expected) in table {
        assert_eq!(format(seconds), expected, "{seconds}");
    }
}

proptest! {
    #[test]
    fn no_bytes_and_no_clock_make_it_panic(
        value in prop::collection::vec(any::<u8>(), 0..40),
        now in any::<i64>(),
    ) {
        let _ = parse(&value, now);
    }

    #[test]
    fn no_clock_makes_a_two_digit_year_panic(year in 0..100, now in any::<i64>()) {
        let value = format!("Sunday, 06-Nov-{year:02} 08:49:37 GMT");
        prop_assert!(parse(value.as_bytes(), now).is_some());
    }

    #[test]
    fn what_is_formatted_is_parsed_again(seconds in EARLIEST..=LATEST) {
        prop_assert_eq!(parse(format(seconds).as_bytes(), NOW), Some(seconds));
    }

    #[test]
    fn one_wrong_byte_is_no_panic(
        seconds in EARLIEST..=LATEST,
        at in 0_usize..29,
        byte in any::<u8>(),
    ) {
        let mut value = format(seconds).as_bytes().to_vec();
        value[at] = byte;
        if let Some(parsed) = parse(&value, NOW) {
            prop_assert!((EARLIEST..=LATEST).contains(&parsed));
        }
    }
}
