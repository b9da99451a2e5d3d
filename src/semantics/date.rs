//! Converts HTTP dates (RFC 9110 §5.6.7) to Unix seconds and back.

use http::HeaderValue;

const SECONDS_PER_DAY: i64 = 86_400;

/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: the earliest and the latest IMF-fixdate.
const EARLIEST: i64 = -62_167_219_200;
const LATEST: i64 = 253_402_300_799;

/// A two-digit year that would be more than this many years ahead means the century before.
const MOST_YEARS_AHEAD: i64 = 50;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const LONG_DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The Unix time of an HTTP date in any of the three forms that a recipient must accept.
///
/// Names are compared without regard to letter case. In all else the parser is strict: single
/// spaces, two digits per field, and only GMT (RFC 9111 §4.2). A leap second counts as the second
/// before it. The day of the week must be a valid name, but may be the wrong one. `now`, in Unix
/// seconds, determines the century of a two-digit year (RFC 850).
pub(crate) fn parse(value: &[u8], now: i64) -> Option<i64> {
    let mut text = Text(value);
    let moment = match value.get(3)? {
        b',' => text.imf_fixdate()?,
        b' ' => text.asctime()?,
        _ => text.rfc850(now)?,
    };
    text.end()?;
    moment.to_unix()
}

/// The IMF-fixdate of a Unix time. A time outside the years 0 to 9999 becomes the nearest one
/// inside.
pub(crate) fn format(seconds: i64) -> HeaderValue {
    let seconds = seconds.clamp(EARLIEST, LATEST);
    let moment = Moment::from_unix(seconds);
    // 1970-01-01 was a Thursday.
    let weekday = (seconds.div_euclid(SECONDS_PER_DAY) + 4).rem_euclid(7);

    let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT";
    text[0..3].copy_from_slice(DAYS[weekday as usize].as_bytes());
    put_decimal(&mut text[5..7], moment.day);
    text[8..11].copy_from_slice(MONTHS[moment.month as usize - 1].as_bytes());
    put_decimal(&mut text[12..16], moment.year);
    put_decimal(&mut text[17..19], moment.hour);
    put_decimal(&mut text[20..22], moment.minute);
    put_decimal(&mut text[23..25], moment.second);
    HeaderValue::from_bytes(&text).expect("an IMF-fixdate is visible ASCII")
}

fn put_decimal(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A date and time of day (proleptic Gregorian calendar, UTC). Months and days count from 1. The
/// order of the fields makes the derived order the order in time.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Moment {
    /// `None` if a field is out of its range.
    fn to_unix(self) -> Option<i64> {
        let valid = (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second <= 60;
        valid.then(|| {
            let minutes = self.hour * 60 + self.minute;
            days_from_civil(self.year, self.month, self.day) * SECONDS_PER_DAY
                + minutes * 60
                + self.second.min(59)
        })
    }

    fn from_unix(seconds: i64) -> Self {
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        Self {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days since 1970-01-01. Years begin in March, so that the leap day is the last day. They are
/// grouped in eras of 400 years, each of 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year.div_euclid(400) * 146_097 + day_of_era - 719_468
}

/// Year, month and day: the inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = days.div_euclid(146_097) * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// The rest of a date to be parsed. Each method removes its part from the front, or returns `None`.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    fn imf_fixdate(&mut self) -> Option<Moment> {
        self.name(&DAYS)?;
        self.literal(", ")?;
        let day = self.digits(2)?;
        self.literal(" ")?;
        let month = self.name(&MONTHS)?;
        self.literal(" ")?;
        let year = self.digits(4)?;
        self.literal(" ")?;
        let date = (year, month, day);
        let moment = self.time_of_day(date)?;
        self.literal(" GMT")?;
        Some(moment)
    }

    /// `Sunday, 06-Nov-94 08:49:37 GMT`
    fn rfc850(&mut self, now: i64) -> Option<Moment> {
        self.name(&LONG_DAYS)?;
        self.literal(", ")?;
        let day = self.digits(2)?;
        self.literal("-")?;
        let month = self.name(&MONTHS)?;
        self.literal("-")?;
        let year_of_century = self.digits(2)?;
        self.literal(" ")?;
        let now = Moment::from_unix(now);
        let year = now.year - now.year.rem_euclid(100) + year_of_century;
        let mut moment = self.time_of_day((year, month, day))?;
        self.literal(" GMT")?;

        let latest = Moment {
            year: now.year + MOST_YEARS_AHEAD,
            ..now
        };
        if moment > latest {
            moment.year -= 100;
        }
        Some(moment)
    }

    /// `Sun Nov  6 08:49:37 1994`
    fn asctime(&mut self) -> Option<Moment> {
        self.name(&DAYS)?;
        self.literal(" ")?;
        let month = self.name(&MONTHS)?;
        self.literal(" ")?;
        let day = match self.literal(" ") {
            Some(()) => self.digits(1)?,
            None => self.digits(2)?,
        };
        self.literal(" ")?;
        let moment = self.time_of_day((0, month, day))?;
        self.literal(" ")?;
        let year = self.digits(4)?;
        Some(Moment { year, ..moment })
    }

    /// `08:49:37`, on this day.
    fn time_of_day(&mut self, (year, month, day): (i64, i64, i64)) -> Option<Moment> {
        let hour = self.digits(2)?;
        self.literal(":")?;
        let minute = self.digits(2)?;
        self.literal(":")?;
        let second = self.digits(2)?;
        Some(Moment {
            year,
            month,
            day,
            hour,
            minute,
            second,
        })
    }

    /// One of these names, in any letter case. Returns its position, counted from 1.
    fn name(&mut self, names: &[&str]) -> Option<i64> {
        (1..)
            .zip(names)
            .find_map(|(position, name)| self.literal(name).map(|()| position))
    }

    /// This text, in any letter case.
    fn literal(&mut self, literal: &str) -> Option<()> {
        let (start, rest) = self.0.split_at_checked(literal.len())?;
        start.eq_ignore_ascii_case(literal.as_bytes()).then(|| {
            self.0 = rest;
        })
    }

    /// Exactly this many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + i64::from(digit - b'0'))
        })
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests;
