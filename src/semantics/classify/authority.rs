//! The authority of a request: host and port (RFC 9110 §4.2, §7.2).

use http::{HeaderMap, HeaderValue, Uri, header};

use super::bypass::Bypass;
use crate::semantics::list;

/// A host and a port, as received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Authority<'a> {
    /// In any letter case, with the brackets of an IP literal.
    pub(crate) host: &'a [u8],
    /// `None` if it is absent or empty. Both mean the default port of the scheme.
    pub(crate) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses an authority. `None` if the host is empty, if there is user information, or if it is
    /// not a host and a port (RFC 9110 §4.2.1, §4.2.4).
    pub(crate) fn parse(authority: &'a [u8]) -> Option<Self> {
        if is_plain(authority) {
            return Some(Self {
                host: authority,
                port: None,
            });
        }
        let end = match authority {
            [b'[', literal @ ..] => literal.iter().position(|byte| *byte == b']')? + 2,
            _ => authority
                .iter()
                .position(|byte| *byte == b':')
                .unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(end);
        let port = match port {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(port_number(digits)?),
            _ => return None,
        };
        is_host(host).then_some(Self { host, port })
    }

    /// Whether both mean the same host and port under a scheme with this default port.
    pub(crate) fn same(&self, other: &Self, default_port: Option<u16>) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.or(default_port) == other.port.or(default_port)
    }
}

/// The authority of a request, as received: that of the target, otherwise that of `Host` (RFC 9112
/// §3.3, RFC 9113 §8.3.1). `None` if there is neither.
///
/// # Errors
///
/// The reason to bypass the cache, if there are several `Host` lines, if target and `Host`
/// disagree, or if an authority is malformed.
pub(crate) fn authority<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Option<&'a [u8]>, Bypass> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Bypass::RepeatedHost);
    }
    agreed(uri, host)
}

/// As [`authority()`], for a request with at most one `Host` line.
pub(super) fn agreed<'a>(
    uri: &'a Uri,
    host: Option<&'a HeaderValue>,
) -> Result<Option<&'a [u8]>, Bypass> {
    let host = host.map(|host| list::trim_ows(host.as_bytes()));
    let target = uri.authority().map(|target| target.as_str().as_bytes());
    let parse = |authority| Authority::parse(authority).ok_or(Bypass::InvalidAuthority);
    match (target, host) {
        (None, None) => Ok(None),
        (Some(one), None) | (None, Some(one)) => parse(one).map(|_| Some(one)),
        (Some(target), Some(host)) if target == host => parse(target).map(|_| Some(target)),
        (Some(target), Some(host)) => {
            if parse(target)?.same(&parse(host)?, default_port(uri.scheme_str())) {
                Ok(Some(target))
            } else {
                Err(Bypass::AuthorityConflict)
            }
        }
    }
}

/// The default port of a scheme (RFC 9110 §4.2.1, §4.2.2).
pub(crate) fn default_port(scheme: Option<&str>) -> Option<u16> {
    match scheme {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    }
}

fn port_number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |port, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        port.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether these bytes may be a host: an IP literal, an IPv4 address or a registered name (RFC 3986
/// §3.2.2).
fn is_host(host: &[u8]) -> bool {
    match host {
        [] => false,
        [b'[', literal @ .., b']'] => {
            !literal.is_empty() && literal.iter().all(|byte| *byte == b':' || is_name(*byte))
        }
        name => name.iter().copied().all(is_name),
    }
}

/// Whether an authority is only a registered name, as most are.
fn is_plain(authority: &[u8]) -> bool {
    !authority.is_empty() && authority.iter().copied().all(is_name)
}

fn is_name(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)]
}

/// The bytes of a registered name: unreserved characters, sub-delimiters and percent signs.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let marks = b"-._~%!$&'()*+,;=";
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};
