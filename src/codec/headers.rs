//! The header fields of a response, as they are written: in one piece of bytes.

use std::{fmt, iter::FusedIterator};

use bytes::Bytes;

use super::wire::{Fields, Tag, put_header, split};

/// Room for the fields of all but unusually large heads.
const ROOM: usize = 512;

/// Names and values in order; a name may repeat.
#[derive(Clone, Default)]
pub(crate) struct Headers {
    /// Fields of a head, of which others than header fields do not count. A reader has checked
    /// them.
    fields: Bytes,
}

impl Headers {
    /// The header fields among these fields, each of which was checked.
    pub(super) fn of(fields: Bytes) -> Self {
        Self { fields }
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter {
            fields: Fields::new(&self.fields),
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut fields = Vec::with_capacity(ROOM);
        for (name, value) in headers {
            put_header(&mut fields, name.as_ref(), value.as_ref());
        }
        Self::of(fields.into())
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |(name, value): (&[u8], &[u8])| {
            let text = (name.escape_ascii(), value.escape_ascii());
            format!("{}: {}", text.0, text.1)
        };
        f.debug_list().entries(self.iter().map(text)).finish()
    }
}

/// Names and values in order.
#[derive(Clone)]
pub(crate) struct Iter<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // What was checked has neither errors nor headers that do not split.
        self.fields.find_map(|field| match field {
            Ok((Tag::Header, value)) => split(value),
            Ok(_) | Err(_) => None,
        })
    }
}

impl FusedIterator for Iter<'_> {}
