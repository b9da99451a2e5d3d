//! Fields on the wire: a tag, the length of the value, the value.
//!
//! A length is written in base 128, least significant digit first, in its shortest form. The bytes
//! are not trusted, so every length is compared with the bytes that are left before it is used.

use super::{error::DecodeError, tag::Tag};

/// The most base-128 digits that a length of 32 bits has.
const MOST_DIGITS: usize = 5;

// === Writing ===

/// Appends a field whose value is the concatenation of `parts`.
pub(super) fn put(out: &mut Vec<u8>, tag: Tag, parts: &[&[u8]]) {
    out.push(tag as u8);
    put_length(out, parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a header field: the length of the name, the name, the value.
pub(super) fn put_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(Tag::Header as u8);
    put_length(out, digits(name.len()) + name.len() + value.len());
    put_length(out, name.len());
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}

/// Appends a length.
pub(super) fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        // Masked to seven bits, so the cast loses nothing.
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// How many base-128 digits a length has.
fn digits(length: usize) -> usize {
    (length.max(1).ilog2() / 7 + 1) as usize
}

// === Reading ===

/// Iterates over the fields in some bytes, and skips those with an unknown tag. Ends after the
/// first error.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes have not been read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(Tag, &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((&code, rest)) = self.rest.split_first() {
            let Some((value, rest)) = split(rest) else {
                self.rest = &[];
                return Some(Err(DecodeError::Length));
            };
            self.rest = rest;
            if let Some(tag) = Tag::of(code) {
                return Some(Ok((tag, value)));
            }
        }
        None
    }
}

/// Splits bytes that begin with a length into as many bytes as it says, and the rest.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Most lengths have one digit.
    if let Some((&digit @ ..0x80, rest)) = bytes.split_first() {
        return rest.split_at_checked(digit.into());
    }
    let mut length = 0_u64;
    for (index, &digit) in bytes.iter().enumerate().take(MOST_DIGITS) {
        length |= u64::from(digit & 0x7f) << (7 * index);
        if digit & 0x80 == 0 {
            let is_shortest = digit != 0;
            let rest = bytes.get(index + 1..).filter(|_| is_shortest)?;
            return rest.split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

/// Reads the value of a field of fixed size.
pub(super) fn array<const SIZE: usize>(tag: Tag, value: &[u8]) -> Result<[u8; SIZE], DecodeError> {
    value.try_into().map_err(|_| DecodeError::Malformed(tag))
}

/// The value of a field that may occur at most once.
pub(super) struct Once<T> {
    tag: Tag,
    value: Option<T>,
}

impl<T> Once<T> {
    pub(super) fn new(tag: Tag) -> Self {
        Self { tag, value: None }
    }

    pub(super) fn set(&mut self, value: T) -> Result<(), DecodeError> {
        match self.value.replace(value) {
            Some(_) => Err(DecodeError::Repeated(self.tag)),
            None => Ok(()),
        }
    }

    pub(super) fn optional(self) -> Option<T> {
        self.value
    }

    pub(super) fn required(self) -> Result<T, DecodeError> {
        self.value.ok_or(DecodeError::Missing(self.tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_read_as_it_was_written() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut bytes = Vec::new();
            put_length(&mut bytes, length);
            let digits = bytes.len();
            assert_eq!(super::digits(length), digits);
            assert_eq!(split(&bytes).is_some(), length == 0);
            bytes.resize(digits + length + 1, 7);
            let (value, rest) = split(&bytes).unwrap();
            assert_eq!((value.len(), rest.len()), (length, 1));
        }
    }

    #[test]
    fn no_other_length_is_read() {
        let cases: [&[u8]; 7] = [
            &[],
            // Longer than the bytes that follow.
            &[1],
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
            // No last digit.
            &[0x80],
            // A last digit of zero: not the shortest form.
            &[0x80, 0x00],
            &[0x81, 0x80, 0x00, 0],
            // More digits than any length has.
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ];
        for bytes in cases {
            assert_eq!(split(bytes), None, "{bytes:?}");
        }
    }
}
