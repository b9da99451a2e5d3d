//! The values that flags take, and what is wrong with those they do not take.

use std::time::Duration;

use cachewarp::{AdaptiveTtl, BreakerConfig};
use http::{HeaderName, Uri, uri::Authority};

const MIB: u64 = 1 << 20;
/// Ten years: beyond any use, and safe to add to any clock.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);
const MAX_NAME: usize = 64;
const NANOS: u128 = 1_000_000_000;
/// Digits behind the point that a time has room for.
const MAX_DIGITS: usize = 9;

pub(crate) fn parse_origin(text: &str) -> Result<Uri, String> {
    let scheme = || "it has to begin with http:// or https:// and a host".to_owned();
    if matches!(text, "" | "http://" | "https://") {
        return Err(scheme());
    }
    let uri: Uri = text
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(scheme());
    }
    // The parser leaves it out of what it gives.
    if text.contains('#') {
        return Err("an origin has no fragment: nothing may follow a #".to_owned());
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err("an origin has no path and no query".to_owned());
    }
    authority(&uri)?;
    Ok(uri)
}

/// The host of a URL, with a port if it has one: what `Host` may say.
pub(crate) fn authority(uri: &Uri) -> Result<&Authority, String> {
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("no user name or password belongs there".to_owned())
        }
        Some(authority) if authority.host().is_empty() => Err("the host is missing".to_owned()),
        // Beyond the host there is nothing but a port.
        Some(authority)
            if authority.port_u16().is_none() && authority.as_str() != authority.host() =>
        {
            Err("a port is a number up to 65535".to_owned())
        }
        Some(authority) => Ok(authority),
        None => Err("the host is missing".to_owned()),
    }
}

/// A token of RFC 9651, which no header field has to quote.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
    if !begins || !text.bytes().all(token) {
        return Err(
            "a name is a token that begins with a letter: no spaces, quotes, commas, semicolons"
                .to_owned(),
        );
    }
    if text.len() > MAX_NAME {
        return Err(format!("a name has {MAX_NAME} characters at most"));
    }
    Ok(text.to_owned())
}

pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start());
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => MIB,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err("a size is a whole number and B, KiB, MiB, GiB, kB, MB or GB".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a size starts with a whole number".to_owned())?;
    match number.checked_mul(factor) {
        None => Err("the size is too large".to_owned()),
        Some(0) => Err("the size is zero".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

/// A time, to the nanosecond: 30, 0.1, 100ms, 1.5m.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start());
    let unit = match unit {
        "ms" => NANOS / 1000,
        "" | "s" => NANOS,
        "m" => 60 * NANOS,
        "h" => 3600 * NANOS,
        _ => return Err("a time is a number and ms, s, m or h, such as 30 or 5m".to_owned()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let number = || "a time starts with a number, such as 30 or 0.1".to_owned();
    if whole.is_empty() || part.is_empty() || part.len() > MAX_DIGITS {
        return Err(number());
    }
    let digits = 10_u128.pow(part.len() as u32);
    let part: u128 = part.parse().map_err(|_| number())?;
    // More digits than a number has room for, too.
    let whole = whole.parse().unwrap_or(u64::MAX);
    let nanos = u128::from(whole) * unit + part * unit / digits;
    if nanos > LONGEST.as_nanos() {
        return Err("the time is too long".to_owned());
    }
    let (seconds, rest) = (nanos / NANOS, nanos % NANOS);
    Ok(Duration::new(seconds as u64, rest as u32))
}

pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_time(text)? {
        Duration::ZERO => Err("a timeout of zero answers nothing".to_owned()),
        timeout => Ok(timeout),
    }
}

/// Lifetimes and windows count whole seconds (RFC 9111 section 1.2.2). Zero turns a window off.
pub(crate) fn parse_window(text: &str) -> Result<Duration, String> {
    if text.contains('.') || text.ends_with("ms") {
        return Err("it counts whole seconds: a whole number and s, m or h".to_owned());
    }
    parse_time(text)
}

pub(crate) fn parse_lifetime(text: &str) -> Result<Duration, String> {
    match parse_window(text)? {
        Duration::ZERO => Err("a lifetime of zero keeps nothing".to_owned()),
        lifetime => Ok(lifetime),
    }
}

pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    // What the library takes is the library's to say.
    rate.filter(|&rate| BreakerConfig::builder().failure_rate(rate).build().is_ok())
        .ok_or_else(|| "a rate is a number above 0 and at most 1, such as 0.5".to_owned())
}

pub(crate) fn parse_beta(text: &str) -> Result<f64, String> {
    let beta = text.parse().ok();
    beta.filter(|&beta: &f64| beta > 0.0 && beta <= 100.0)
        .ok_or_else(|| "how early is a number above 0 and at most 100, such as 1".to_owned())
}

/// A share that something is shortened by at most.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    share
        .filter(|share| (0.0..=0.5).contains(share))
        .ok_or_else(|| "a share is a number from 0 to 0.5, such as 0.1".to_owned())
}

/// The name of a targeted field (RFC 9213), or `none`.
pub(crate) fn parse_targeted(text: &str) -> Result<String, String> {
    let name = text.trim().to_ascii_lowercase();
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err("a name of a header field, such as CDN-Cache-Control, or none".to_owned());
    }
    if name == "cache-control" {
        return Err("Cache-Control is for all caches, and counts where no other does".to_owned());
    }
    Ok(name)
}

pub(crate) fn parse_budget(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    share
        .filter(|&share| AdaptiveTtl::builder().budget(share).build().is_ok())
        .ok_or_else(|| "a budget is a number from 0.0001 to 0.95, such as 0.02".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("512k", 512 << 10),
            ("64MiB", 64 << 20),
            ("2 GB", 2_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5G", "0", "99999999999GiB", "1TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, millis) in [
            ("60", 60_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("0.1", 100),
            ("0.1 s", 100),
            ("1.5m", 90_000),
            ("0", 0),
        ] {
            let time = Duration::from_millis(millis);
            assert_eq!(parse_time(text), Ok(time), "{text}");
        }
        assert_eq!(parse_time("0.000000001"), Ok(Duration::from_nanos(1)));
        for text in [
            "",
            "soon",
            "-1",
            ".5",
            "1.",
            "1.2.3",
            "1,5",
            "1e3",
            "1d",
            "0.0000000001",
            "18446744073709551615",
            "99999999999999999999999",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        for text in ["0", "0.0", "0ms", "0.0000001ms"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lifetimes_and_windows() {
        for (text, seconds) in [("60", 60), ("90s", 90), ("2h", 7200)] {
            let lifetime = Duration::from_secs(seconds);
            assert_eq!(parse_lifetime(text), Ok(lifetime), "{text}");
            assert_eq!(parse_window(text), Ok(lifetime), "{text}");
        }
        for text in ["500ms", "2000 ms", "1.5", "1.0", "1d", "-1", ""] {
            assert!(parse_lifetime(text).is_err(), "{text}");
            assert!(parse_window(text).is_err(), "{text}");
        }
        for text in ["0", "0m"] {
            assert!(parse_lifetime(text).is_err(), "{text}");
            assert_eq!(parse_window(text), Ok(Duration::ZERO), "{text}");
        }
    }

    #[test]
    fn shares() {
        for (text, rate, beta, budget) in [
            ("0.5", true, true, true),
            ("1", true, true, false),
            ("0.00001", true, true, false),
            ("100", false, true, false),
            ("101", false, false, false),
            ("0", false, false, false),
            ("-0.5", false, false, false),
            ("NaN", false, false, false),
            ("inf", false, false, false),
            ("half", false, false, false),
            ("", false, false, false),
        ] {
            assert_eq!(parse_rate(text).is_ok(), rate, "{text}");
            assert_eq!(parse_beta(text).is_ok(), beta, "{text}");
            assert_eq!(parse_budget(text).is_ok(), budget, "{text}");
        }
    }

    #[test]
    fn origins() {
        for good in [
            "http://127.0.0.1:9000",
            "https://example.com/",
            "http://[::1]:80",
        ] {
            assert!(parse_origin(good).is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.1:9000",
            "ftp://example.com",
            "http://example.com/base",
            "http://user@example.com",
            "http://example.com:99999",
            "http://example.com:",
            "http://example.com#",
            "http://example.com#part",
            "http://example.com:80/#part",
            "http://[::1]/#/base?a",
        ] {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }
}
