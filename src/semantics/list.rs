//! Comma-separated field values, and the common grammars in them (RFC 9110 §5.6).

use std::borrow::Cow;

/// The largest value of delta-seconds: 2^31 (RFC 9111 §1.2.2).
pub(crate) const MAX_DELTA: u32 = 1 << 31;

/// The members of a list field (RFC 9110 §5.6.1) in all its lines, in order. Members are trimmed,
/// empty ones are skipped, and a comma in a quoted string does not separate members.
///
/// A quoted string cannot continue in the next line. If it is not closed at the end of its line,
/// the rest of the line is one member, and [`is_unterminated`] is true for it.
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

/// Whether a quoted string in this member is not closed.
pub(crate) fn is_unterminated(member: &[u8]) -> bool {
    matches!(first_comma(member), Comma::Unterminated)
}

/// All lines of a field, joined as RFC 9110 §5.3 allows. `None` if there are none.
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

/// These bytes without spaces and tabs at both ends (OWS, RFC 9110 §5.6.3).
pub(crate) fn trim_ows(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_ows_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// These bytes without spaces and tabs at the start.
pub(crate) fn trim_ows_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// The content of a quoted string, with quoted pairs replaced (RFC 9110 §5.6.4). `None` if the
/// bytes are not exactly one quoted string. It allocates only if there is a backslash.
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

/// A delta-seconds value (RFC 9111 §1.2.2): only digits. Larger values become [`MAX_DELTA`].
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

/// The position of the first comma outside quoted strings.
enum Comma {
    At(usize),
    None,
    /// There is none, and a quoted string is not closed.
    Unterminated,
}

fn first_comma(bytes: &[u8]) -> Comma {
    let mut quoted = false;
    let mut positions = bytes.iter().enumerate();
    while let Some((at, byte)) = positions.next() {
        match byte {
            b'"' => quoted = !quoted,
            // A quoted pair: the byte after the backslash is data.
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
