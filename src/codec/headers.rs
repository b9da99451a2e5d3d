//! The header fields of a stored response in their encoded form: one slice of bytes.

use std::{fmt, iter::FusedIterator};

use bytes::Bytes;

use super::{
    tag::Tag,
    wire::{Fields, put_header, split},
};

/// The initial buffer, which is enough for all but unusually large heads.
const ROOM: usize = 512;

/// Header names and values, in order. A name may repeat.
#[derive(Clone, Default)]
pub(crate) struct EncodedHeaders {
    /// Encoded fields. Those that are not header fields are skipped. The decoder has checked them.
    fields: Bytes,
}

impl EncodedHeaders {
    /// The header fields among these encoded fields, which the decoder has checked.
    pub(super) fn of(fields: Bytes) -> Self {
        Self { fields }
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter {
            fields: Fields::new(&self.fields),
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for EncodedHeaders {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut fields = Vec::with_capacity(ROOM);
        for (name, value) in headers {
            put_header(&mut fields, name.as_ref(), value.as_ref());
        }
        Self::of(fields.into())
    }
}

impl PartialEq for EncodedHeaders {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for EncodedHeaders {}

impl fmt::Debug for EncodedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |(name, value): (&[u8], &[u8])| {
            let text = (name.escape_ascii(), value.escape_ascii());
            format!("{}: {}", text.0, text.1)
        };
        f.debug_list().entries(self.iter().map(text)).finish()
    }
}

/// Iterates over names and values.
#[derive(Clone)]
pub(crate) struct Iter<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // The fields were checked, so neither an error nor a malformed header occurs.
        self.fields.find_map(|field| match field {
            Ok((Tag::Header, value)) => split(value),
            Ok(_) | Err(_) => None,
        })
    }
}

impl FusedIterator for Iter<'_> {}
