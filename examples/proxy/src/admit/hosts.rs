//! Host names and ports as requests have them: which there can be, and the one form of each.
//!
//! The cache keys on `Host`, and the origin may repeat it in a redirect or a link. So what is keyed
//! and what goes on are the same bytes: a spelling of the client's own would be stored for everybody.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

/// The port that is left out. This proxy serves `http`, and the cache's keys have that scheme.
pub(crate) const DEFAULT_PORT: u16 = 80;
const DEFAULT_PORT_OF_HTTPS: u16 = 443;

/// RFC 1035 section 2.3.4, in text and without the dot at the end.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// What the target of a request says about the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    /// Its default port is left out too.
    Https,
}

/// A host that there can be, perhaps with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is in the one form already.
    Normal,
    /// Another spelling of this.
    Respelled(String),
}

/// The one form of `uri-host [":" port]` (RFC 9110 section 7.2): letters in lower case, addresses
/// as RFC 5952 writes them, no default port and no empty one, a port without leading zeros.
///
/// A dot at the end stays: with it and without it are two names (RFC 3986 section 3.2.2).
///
/// # Errors
///
/// Why there is no such host or port.
pub(crate) fn form(text: &[u8], scheme: Scheme) -> Result<Form, &'static str> {
    let (host, after) = split(text)?;
    let port = Port::parse(after, scheme)?;
    let address = match host {
        [b'[', literal @ .., b']'] => Some(ipv6(literal)?),
        name => {
            check_name(name)?;
            None
        }
    };
    let normal = match &address {
        Some(address) => address.as_bytes() == &host[1..host.len() - 1],
        None => !host.iter().any(u8::is_ascii_uppercase),
    };
    if normal && port.is_normal {
        return Ok(Form::Normal);
    }
    let mut form = match address {
        Some(address) => format!("[{address}]"),
        // It is ASCII: it has been checked.
        None => String::from_utf8_lossy(host).to_ascii_lowercase(),
    };
    if let Some(number) = port.number {
        // Writing to a string cannot fail.
        let _ = write!(form, ":{number}");
    }
    Ok(Form::Respelled(form))
}

/// A host, with its brackets if it is an IPv6 address, and what follows it.
fn split(text: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let end = match text {
        [b'[', ..] => {
            let bracket = text.iter().position(|byte| *byte == b']');
            bracket.ok_or("the bracket of the IPv6 address in the host is not closed")? + 1
        }
        _ => {
            let colon = text.iter().position(|byte| *byte == b':');
            colon.unwrap_or(text.len())
        }
    };
    Ok(text.split_at(end))
}

struct Port {
    /// `None`: the default one.
    number: Option<u16>,
    is_normal: bool,
}

impl Port {
    /// Reads what follows a host.
    fn parse(after: &[u8], scheme: Scheme) -> Result<Self, &'static str> {
        let digits = match after {
            [] => {
                return Ok(Self {
                    number: None,
                    is_normal: true,
                });
            }
            [b':', digits @ ..] => digits,
            _ => return Err("the host is followed by something that is no port"),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err("the port of the host is no number");
        }
        let add = |number: u16, digit: &u8| {
            let number = number.checked_mul(10)?;
            number.checked_add(u16::from(digit - b'0'))
        };
        let number = digits
            .iter()
            .try_fold(0, add)
            .ok_or("the port of the host is above 65535")?;
        if number == 0 && !digits.is_empty() {
            return Err("the port of the host is 0");
        }
        let is_default = digits.is_empty()
            || number == DEFAULT_PORT
            || (number == DEFAULT_PORT_OF_HTTPS && scheme == Scheme::Https);
        Ok(Self {
            number: (!is_default).then_some(number),
            is_normal: !is_default && digits.first() != Some(&b'0'),
        })
    }
}

/// Letters, digits, `-` and `.` are in names of the DNS, and `_` is in names that people use.
/// RFC 3986 allows more in a host, but no resolver finds such a name.
fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the host is empty");
    }
    let labels = name.strip_suffix(b".").unwrap_or(name);
    if labels.len() > MAX_NAME {
        return Err("the host name is longer than 253 characters");
    }
    let mut last = labels;
    for label in labels.split(|byte| *byte == b'.') {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.iter().all(is_plain) {
            return Err("the host name has a character other than letters, digits, - _ and .");
        }
        if label.is_empty() {
            return Err("the host name has two dots in a row, or one at its beginning");
        }
        if label.len() > MAX_LABEL {
            return Err("the host name has more than 63 characters between two dots");
        }
        last = label;
    }
    // No top-level domain is a number, and programs read such a host as an address, each in its own
    // way: four octets in decimal are what all agree on (RFC 3986 section 3.2.2).
    if is_number(last) && !is_ipv4(name) {
        return Err("the host is a number, but no IPv4 address");
    }
    Ok(())
}

/// As the URL standard has it: in decimal or octal, or in hexadecimal.
fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

pub(crate) fn is_ipv4(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| name.parse::<Ipv4Addr>().is_ok())
}

fn ipv6(literal: &[u8]) -> Result<String, &'static str> {
    if literal.contains(&b'%') {
        return Err("the IPv6 address in the host has a zone");
    }
    let address = std::str::from_utf8(literal)
        .ok()
        .and_then(|literal| literal.parse::<Ipv6Addr>().ok())
        .ok_or("what the host has in brackets is no IPv6 address")?;
    Ok(address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_one_form() {
        let longest = [&"a".repeat(63)[..]; 4].join(".");
        let longest = &longest[..253];
        for (spelling, scheme, normal) in [
            ("a.test", Scheme::Http, "a.test"),
            ("A.Test", Scheme::Http, "a.test"),
            ("a.test:", Scheme::Http, "a.test"),
            ("a.test:80", Scheme::Http, "a.test"),
            ("a.test:080", Scheme::Http, "a.test"),
            ("a.test:0000000000000080", Scheme::Http, "a.test"),
            ("a.test:8080", Scheme::Http, "a.test:8080"),
            ("A.test:08080", Scheme::Http, "a.test:8080"),
            ("a.test:65535", Scheme::Http, "a.test:65535"),
            ("a.test:443", Scheme::Http, "a.test:443"),
            ("a.test:443", Scheme::Https, "a.test"),
            // Below this proxy the scheme is http, whatever the target said.
            ("a.test:80", Scheme::Https, "a.test"),
            ("a.test.", Scheme::Http, "a.test."),
            ("A.test.:80", Scheme::Http, "a.test."),
            ("a_b.test", Scheme::Http, "a_b.test"),
            ("_dmarc.a-b.test", Scheme::Http, "_dmarc.a-b.test"),
            ("-a.test", Scheme::Http, "-a.test"),
            ("a1", Scheme::Http, "a1"),
            ("1a.2b", Scheme::Http, "1a.2b"),
            ("1.2.3.example", Scheme::Http, "1.2.3.example"),
            (
                "xn--bcher-kva.example",
                Scheme::Http,
                "xn--bcher-kva.example",
            ),
            ("127.0.0.1:8000", Scheme::Http, "127.0.0.1:8000"),
            ("[::1]", Scheme::Http, "[::1]"),
            ("[::1]:80", Scheme::Http, "[::1]"),
            ("[::1]:", Scheme::Http, "[::1]"),
            ("[::1]:8080", Scheme::Http, "[::1]:8080"),
            ("[0:0:0:0:0:0:0:1]", Scheme::Http, "[::1]"),
            ("[0000::0001]:0081", Scheme::Http, "[::1]:81"),
            ("[2001:DB8::A]", Scheme::Http, "[2001:db8::a]"),
            (
                "[2001:db8:0:0:1:0:0:1]",
                Scheme::Http,
                "[2001:db8::1:0:0:1]",
            ),
            ("[::FFFF:1.2.3.4]", Scheme::Http, "[::ffff:1.2.3.4]"),
            ("[::ffff:102:304]", Scheme::Http, "[::ffff:1.2.3.4]"),
            (longest, Scheme::Http, longest),
        ] {
            let expected = if spelling == normal {
                Form::Normal
            } else {
                Form::Respelled(normal.to_owned())
            };
            assert_eq!(
                form(spelling.as_bytes(), scheme),
                Ok(expected),
                "{spelling}"
            );
            assert_eq!(
                form(normal.as_bytes(), scheme),
                Ok(Form::Normal),
                "{normal}"
            );
        }
    }

    #[test]
    fn hosts_and_ports_that_there_cannot_be_are_refused_with_a_reason() {
        let label = format!("{}.test", "a".repeat(64));
        let name = format!("{}aa", "a.".repeat(126));
        for (host, why) in [
            ("", "empty"),
            (":80", "empty"),
            (".", "two dots"),
            ("..", "two dots"),
            ("a..b", "two dots"),
            (".a", "two dots"),
            ("a..", "two dots"),
            (&label, "63"),
            (&name, "253"),
            ("a b", "character"),
            ("a!b", "character"),
            ("a;b", "character"),
            ("a,b", "character"),
            ("a'b", "character"),
            ("a(b)", "character"),
            ("*.test", "character"),
            ("a~b", "character"),
            ("a$b&c+d=e", "character"),
            ("a%2etest", "character"),
            ("a%41", "character"),
            ("u@a.test", "character"),
            ("a/b", "character"),
            ("a\\b", "character"),
            ("a?b", "character"),
            ("a#b", "character"),
            ("\u{e9}.test", "character"),
            ("a]", "character"),
            ("1.2.3.4.5", "IPv4"),
            ("256.1.1.1", "IPv4"),
            ("1.2.3", "IPv4"),
            ("127.1", "IPv4"),
            ("2130706433", "IPv4"),
            ("01.2.3.4", "IPv4"),
            ("1.2.3.04", "IPv4"),
            ("0x7f.1", "IPv4"),
            ("1.2.3.0x4", "IPv4"),
            ("0x7f000001", "IPv4"),
            ("a.1", "IPv4"),
            ("1.2.3.4.", "IPv4"),
            ("a:0", "is 0"),
            ("a:000", "is 0"),
            ("a:65536", "65535"),
            ("a:99999", "65535"),
            ("a:18446744073709551696", "65535"),
            ("a:b", "no number"),
            ("a:+80", "no number"),
            ("a:-1", "no number"),
            ("a: 80", "no number"),
            ("a:80:80", "no number"),
            ("::1", "no number"),
            ("fe80::1", "no number"),
            ("[::1", "not closed"),
            ("[", "not closed"),
            ("[]", "IPv6"),
            ("[::1]x", "no port"),
            ("[::1]]", "no port"),
            ("[::1][::1]", "no port"),
            ("[a.test]", "IPv6"),
            ("[1.2.3.4]", "IPv6"),
            ("[:::1]", "IPv6"),
            ("[1:2:3:4:5:6:7:8:9]", "IPv6"),
            ("[::12345]", "IPv6"),
            ("[v1.x]", "IPv6"),
            ("[fe80::1%25eth0]", "zone"),
            ("[fe80::1%eth0]", "zone"),
        ] {
            let refused = form(host.as_bytes(), Scheme::Http);
            let says_why = refused.as_ref().is_err_and(|it| it.contains(why));
            assert!(says_why, "{host}: {refused:?}");
        }
    }
}
