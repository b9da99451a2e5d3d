//! What of `Forwarded` may shape a response (RFC 7239 §4).

use http::{HeaderMap, HeaderValue, header::FORWARDED};

use super::list::trim_ows;

/// The parts that may have the host or the scheme of the client's request. The other parameters differ
/// with every client.
///
/// Applications read the field by rules of their own: some split quoted strings, some allow space
/// around the equals sign, some search for a name anywhere. So whatever has one of the two names in it
/// counts. Where a quoted value may go on behind a separator, it is the whole line.
pub(crate) fn shaping(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(FORWARDED).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| {
        let parts = line.split(|byte| matches!(byte, b',' | b';'));
        let shaping = parts
            .map(trim_ows)
            .filter(|part| mentions(part, b"host") || mentions(part, b"proto"));
        shaping.map(move |part| if is_whole(part) { part } else { line })
    })
}

/// Whether all quoted strings in these bytes end in them, to every application.
fn is_whole(bytes: &[u8]) -> bool {
    let quotes = bytes.iter().filter(|byte| **byte == b'"');
    quotes.count().is_multiple_of(2) && !bytes.contains(&b'\\')
}

/// Whether this name is somewhere in these bytes, in any letter case.
fn mentions(bytes: &[u8], name: &[u8]) -> bool {
    let mut windows = bytes.windows(name.len());
    windows.any(|part| part.eq_ignore_ascii_case(name))
}
