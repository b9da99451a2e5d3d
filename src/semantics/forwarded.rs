//! What of `Forwarded` may shape a response (RFC 7239 §4).

use http::{HeaderMap, HeaderValue, header::FORWARDED};

use super::list::trim_ows;

/// The parts that may have the host or the scheme of the client's request. The other parameters differ
/// with every client.
///
/// Applications read the field by rules of their own: some split quoted strings, some allow space
/// around the equals sign, some search for a name anywhere. So whatever has one of the two names in it
/// counts.
pub(crate) fn shaping(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(FORWARDED).iter().map(HeaderValue::as_bytes);
    lines
        .flat_map(|line| line.split(|byte| matches!(byte, b',' | b';')))
        .map(trim_ows)
        .filter(|part| mentions(part, b"host") || mentions(part, b"proto"))
}

/// Whether this name is somewhere in these bytes, in any letter case.
fn mentions(bytes: &[u8], name: &[u8]) -> bool {
    let mut windows = bytes.windows(name.len());
    windows.any(|part| part.eq_ignore_ascii_case(name))
}
