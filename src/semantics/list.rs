//! Comma-separated field values and the small grammars inside them (RFC 9110 §5.6).

use std::borrow::Cow;

/// The largest number of seconds a delta-seconds value stands for, 2^31 (RFC 9111 §1.2.2).
pub(crate) const MAX_DELTA: u32 = 1 << 31;

/// The members of a list field (RFC 9110 §5.6.1), over all its lines in order: trimmed, empty
/// ones skipped, commas inside quoted strings taken as data.
///
/// A quoted string never spans two lines. One that is still open at the end of its line makes
/// the rest of that line one member, for which [`is_unterminated`] holds.
pub(crate) fn members<'a, T>(
    lines: impl IntoIterator<Item = &'a T>,
) -> impl Iterator<Item = &'a [u8]>
where
    T: AsRef<[u8]> + ?Sized + 'a,
{
    lines.into_iter().flat_map(|line| Members {
        rest: line.as_ref(),
    })
}

/// Whether a quoted string opens in this member and never closes.
pub(crate) fn is_unterminated(member: &[u8]) -> bool {
    matches!(first_comma(member), Comma::Unterminated)
}

/// All lines of a field as one value, joined the way RFC 9110 §5.3 allows. `None` without lines.
pub(crate) fn joined<'a, T>(lines: impl IntoIterator<Item = &'a T>) -> Option<Cow<'a, [u8]>>
where
    T: AsRef<[u8]> + ?Sized + 'a,
{
    let mut lines = lines.into_iter().map(AsRef::as_ref);
    let mut value = Cow::Borrowed(lines.next()?);
    for line in lines {
        let value = value.to_mut();
        value.extend_from_slice(b", ");
        value.extend_from_slice(line);
    }
    Some(value)
}

/// Whether these bytes are a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_tchar)
}

/// Whether this byte may be part of a token (RFC 9110 §5.6.2).
pub(crate) fn is_tchar(byte: u8) -> bool {
    matches!(
        byte,
        b'0'..=b'9'
            | b'A'..=b'Z'
            | b'a'..=b'z'
            | b'!'
            | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    )
}

/// These bytes without the spaces and tabs around them (OWS, RFC 9110 §5.6.3).
pub(crate) fn trim_ows(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_ows_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// These bytes without the spaces and tabs before them.
pub(crate) fn trim_ows_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// The content of a quoted string, quoted pairs resolved (RFC 9110 §5.6.4). `None` for anything
/// but one whole quoted string. Allocates only where a backslash has to go.
pub(crate) fn unquote(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inner = bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inner.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Some(Cow::Borrowed(inner));
    }
    let mut content = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => content.push(*bytes.next()?),
            _ => content.push(byte),
        }
    }
    Some(Cow::Owned(content))
}

/// A delta-seconds value (RFC 9111 §1.2.2): digits and nothing else, clamped to [`MAX_DELTA`].
pub(crate) fn delta_seconds(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u32, |seconds, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        let seconds = seconds.saturating_mul(10).saturating_add(digit);
        Some(seconds.min(MAX_DELTA))
    })
}

/// The members of one line.
struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (member, rest) = match first_comma(self.rest) {
                Comma::At(at) => (&self.rest[..at], &self.rest[at + 1..]),
                Comma::None | Comma::Unterminated => (self.rest, &[][..]),
            };
            self.rest = rest;
            let member = trim_ows(member);
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// Where the first comma outside quoted strings is.
enum Comma {
    At(usize),
    None,
    /// There is none, and a quoted string is still open at the end.
    Unterminated,
}

fn first_comma(bytes: &[u8]) -> Comma {
    let mut quoted = false;
    let mut positions = bytes.iter().enumerate();
    while let Some((at, byte)) = positions.next() {
        match byte {
            b'"' => quoted = !quoted,
            // A quoted pair: whatever follows the backslash is data.
            b'\\' if quoted => {
                positions.next();
            }
            b',' if !quoted => return Comma::At(at),
            _ => {}
        }
    }
    if quoted {
        Comma::Unterminated
    } else {
        Comma::None
    }
}

#[cfg(test)]
mod tests;
