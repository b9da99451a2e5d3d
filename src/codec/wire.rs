//! Fields in bytes: a tag, the length of the value, the value.
//!
//! Lengths are base-128 digits, least significant first, in the one shortest form. They come from
//! outside, so each is checked against the bytes that are there before it is used.

use super::error::DecodeError;

/// What a field is. A code keeps its meaning for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Tag {
    Key = 1,
    Status,
    Arrived,
    Date,
    Lifetime,
    InitialAge,
    StaleWhileRevalidate,
    StaleIfError,
    Origin,
    Reuse,
    Keep,
    /// The length of the name, the name, the value.
    Header,
    /// 0, or 1 and the fingerprint; then the name.
    Selector,
    /// How the body is stored, and its size when it is not compressed.
    Body,
    /// The fields of a variant.
    Variant,
    Id,
    Until,
    /// Milliseconds that the origin took.
    Cost,
}

impl Tag {
    /// By code, from 1.
    const ALL: [Self; 18] = [
        Self::Key,
        Self::Status,
        Self::Arrived,
        Self::Date,
        Self::Lifetime,
        Self::InitialAge,
        Self::StaleWhileRevalidate,
        Self::StaleIfError,
        Self::Origin,
        Self::Reuse,
        Self::Keep,
        Self::Header,
        Self::Selector,
        Self::Body,
        Self::Variant,
        Self::Id,
        Self::Until,
        Self::Cost,
    ];

    fn of(code: u8) -> Option<Self> {
        let index = usize::from(code).checked_sub(1)?;
        Self::ALL.get(index).copied()
    }
}

/// Digits enough for any length of 32 bits.
const MOST_DIGITS: usize = 5;

// === Writing ===

/// Appends a field whose value is these parts one after another.
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
        // Masked to seven bits, so the cast keeps every bit that is left.
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// How many digits a length has.
fn digits(length: usize) -> usize {
    (length.max(1).ilog2() / 7 + 1) as usize
}

// === Reading ===

/// The known fields in some bytes. Ends after the first error.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left to read.
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

/// Splits what a length in front announces from the rest.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Most lengths are of one digit.
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

/// The value of a field of a fixed size.
pub(super) fn array<const SIZE: usize>(tag: Tag, value: &[u8]) -> Result<[u8; SIZE], DecodeError> {
    value.try_into().map_err(|_| DecodeError::Malformed(tag))
}

/// A field that comes at most once.
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
    fn a_tag_is_found_by_its_code() {
        for (index, tag) in Tag::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(tag as u8), index + 1);
            assert_eq!(Tag::of(tag as u8), Some(tag));
        }
        for code in [0, 19, 255] {
            assert_eq!(Tag::of(code), None);
        }
    }

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
            // Longer than what follows.
            &[1],
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
            // No last digit.
            &[0x80],
            // A last digit that says nothing.
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
