//! The grammar of `Cookie` (RFC 6265bis §4.2.1): `name=value`, separated by semicolons.

use std::str;

use crate::semantics::list::{is_tchar, is_token, trim_ows};

/// The longest name that is shown. What is longer may be a value without a name.
const LONGEST_NAME: usize = 64;

/// What stands between two semicolons.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Piece<'a> {
    /// As the request has it, without the space around it.
    pub(super) whole: &'a [u8],
    /// The name and the value. `None` if it does not follow the grammar, so that applications may
    /// differ in what they make of it.
    pub(super) pair: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Piece<'a> {
    fn new(whole: &'a [u8]) -> Self {
        let pair = || {
            let equals = whole.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&whole[..equals], &whole[equals + 1..]);
            (is_token(name) && is_value(value)).then_some((name, value))
        };
        let pair = pair();
        Self { whole, pair }
    }

    /// What may be names in it.
    pub(super) fn words(self) -> impl Iterator<Item = &'a [u8]> {
        let words = self.whole.split(|byte| !is_tchar(*byte));
        words.filter(|word| !word.is_empty())
    }

    /// The name, if it is certain to be one, and no part of a value.
    pub(super) fn name(self) -> Option<&'a str> {
        let (name, _) = self.pair?;
        let name = (name.len() <= LONGEST_NAME).then_some(name)?;
        str::from_utf8(name).ok()
    }
}

/// What stands between the semicolons of a line. Some clients send one after the last cookie.
pub(super) fn pieces(line: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let line = trim_ows(line);
    let line = match line.strip_suffix(b";") {
        Some(cookies) if !cookies.is_empty() => cookies,
        _ => line,
    };
    line.split(|byte| *byte == b';')
        .map(trim_ows)
        .map(Piece::new)
}

/// Whether a value is one, with or without quotation marks around it.
///
/// A comma is none of its bytes, but common. A server that takes it for a separator, as RFC 2965
/// had it, finds another cookie where `=` follows it.
fn is_value(value: &[u8]) -> bool {
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    };
    let after_comma = unquoted.iter().skip_while(|byte| **byte != b',');
    let is_octet = |byte: &u8| matches!(byte, b'!' | b'#'..=b':' | b'<'..=b'[' | b']'..=b'~');
    unquoted.iter().all(is_octet) && !after_comma.into_iter().any(|byte| *byte == b'=')
}
