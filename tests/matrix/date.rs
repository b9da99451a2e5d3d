//! HTTP dates (RFC 9110 §5.6.7), counted from the moment at which every case starts.

/// The start: Thursday, 28 May 2026, 20:26:40 GMT.
pub(crate) const T0: i64 = 1_780_000_000;

const DAY_NAMES: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// So many seconds after the start, as an IMF-fixdate.
pub(crate) fn http_date(at: i64) -> String {
    format(T0 + at)
}

/// So many seconds after the start, as RFC 850 wrote it.
pub(crate) fn rfc850_date(at: i64) -> String {
    let Moment {
        weekday,
        day,
        month,
        year,
        time,
    } = Moment::at(T0 + at);
    let year = year % 100;
    format!("{weekday}, {day:02}-{month}-{year:02} {time} GMT")
}

/// A Unix time as an IMF-fixdate.
pub(crate) fn format(unix: i64) -> String {
    let Moment {
        weekday,
        day,
        month,
        year,
        time,
    } = Moment::at(unix);
    let weekday = &weekday[..3];
    format!("{weekday}, {day:02} {month} {year} {time} GMT")
}

struct Moment {
    weekday: &'static str,
    day: i64,
    month: &'static str,
    year: i64,
    time: String,
}

impl Moment {
    fn at(unix: i64) -> Self {
        let (mut days, seconds) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
        let weekday = DAY_NAMES[days.rem_euclid(7) as usize];
        let mut year = 1970;
        while days >= year_length(year) {
            days -= year_length(year);
            year += 1;
        }
        let mut month = 0;
        while days >= month_length(year, month) {
            days -= month_length(year, month);
            month += 1;
        }
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Self {
            weekday,
            day: days + 1,
            month: MONTHS[month],
            year,
            time: format!("{hour:02}:{minute:02}:{second:02}"),
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_length(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_length(year: i64, month: usize) -> i64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[test]
fn dates_are_written_as_http_writes_them() {
    assert_eq!(format(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(http_date(0), "Thu, 28 May 2026 20:26:40 GMT");
    assert_eq!(rfc850_date(0), "Thursday, 28-May-26 20:26:40 GMT");
}
