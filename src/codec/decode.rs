//! Bytes to values. Nothing in them is trusted, though the checksum comes first: it tells damage,
//! not intent.

use std::{mem, ops::Range};

use bytes::Bytes;

use super::{
    compress::decompress,
    encode::{RAW, ZSTD},
    error::DecodeError,
    frame::{self, Kind},
    headers::Headers,
    value::{Listed, Parcel, Record, Selector, Stamp, Value},
    wire::{Fields, Once, Tag, array, split},
};

/// How often a field may come: more header fields than a `HeaderMap` holds.
const MOST: usize = 1 << 15;

/// The value that these bytes are.
///
/// The texts of the head and a body that was stored raw are slices of `bytes`, so they keep all of
/// it alive; nothing is copied.
///
/// # Errors
///
/// What is wrong with the bytes. They never make it panic. The lists of the head take at most some
/// 30 times their length; for a compressed body it reserves what the head announces, but no more
/// than its bytes could decompress to, and no more than 1 GiB.
pub(crate) fn decode(bytes: &Bytes) -> Result<(Value, Stamp), DecodeError> {
    let (kind, stamp, rest) = frame::open(bytes)?;
    let value = match kind {
        Kind::Entry => {
            let (head, body) = split_head(rest)?;
            Value::Entry(parcel(bytes, head, body)?)
        }
        Kind::Record => {
            let (head, rest) = split_head(rest)?;
            ends(rest)?;
            Value::Record(record(bytes, head)?)
        }
        Kind::Fence => {
            ends(rest)?;
            Value::Fence
        }
    };
    Ok((value, stamp))
}

fn split_head(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (length, rest) = bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok();
    length
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(DecodeError::Truncated)
}

fn ends(rest: &[u8]) -> Result<(), DecodeError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(DecodeError::Trailing)
    }
}

/// The parcel of a head and a body, both of which are parts of `whole`.
fn parcel(whole: &Bytes, head: &[u8], body: &[u8]) -> Result<Parcel, DecodeError> {
    let mut key = Once::new(Tag::Key);
    let mut status = Once::new(Tag::Status);
    let mut arrived = Once::new(Tag::Arrived);
    let mut date = Once::new(Tag::Date);
    let mut lifetime = Once::new(Tag::Lifetime);
    let mut initial_age = Once::new(Tag::InitialAge);
    let mut stale_while_revalidate = Once::new(Tag::StaleWhileRevalidate);
    let mut stale_if_error = Once::new(Tag::StaleIfError);
    let mut origin = Once::new(Tag::Origin);
    let mut reuse = Once::new(Tag::Reuse);
    let mut keep = Once::new(Tag::Keep);
    let mut cost = Once::new(Tag::Cost);
    let mut stored = Once::new(Tag::Body);
    let (mut headers, mut selecting) = (Span::default(), Vec::new());
    let mut fields = Fields::new(head);
    let mut end = 0;
    while let Some(field) = fields.next() {
        let (tag, value) = field?;
        let start = mem::replace(&mut end, head.len() - fields.left());
        let seconds = || Ok(u32::from_be_bytes(array(tag, value)?));
        let time = || Ok(i64::from_be_bytes(array(tag, value)?));
        let code = || Ok(u8::from_be_bytes(array(tag, value)?));
        match tag {
            Tag::Key => key.set(whole.slice_ref(value))?,
            Tag::Status => status.set(u16::from_be_bytes(array(tag, value)?))?,
            Tag::Arrived => arrived.set(time()?)?,
            Tag::Date => date.set(time()?)?,
            Tag::Lifetime => lifetime.set(seconds()?)?,
            Tag::InitialAge => initial_age.set(seconds()?)?,
            Tag::StaleWhileRevalidate => stale_while_revalidate.set(seconds()?)?,
            Tag::StaleIfError => stale_if_error.set(seconds()?)?,
            Tag::Origin => origin.set(code()?)?,
            Tag::Reuse => reuse.set(code()?)?,
            Tag::Keep => keep.set(seconds()?)?,
            Tag::Cost => cost.set(u32::from_be_bytes(array(tag, value)?))?,
            Tag::Header => {
                split(value).ok_or(DecodeError::Malformed(tag))?;
                headers.add(tag, start..end)?;
            }
            Tag::Selector => push(&mut selecting, tag, selector(whole, value)?)?,
            Tag::Body => stored.set(array(tag, value)?)?,
            // A record's, and here like any that is not known.
            Tag::Variant | Tag::Id | Tag::Until => {}
        }
    }
    Ok(Parcel {
        key: key.required()?,
        status: status.required()?,
        headers: Headers::of(whole.slice_ref(headers.of(head))),
        arrived_ms: arrived.required()?,
        date: date.required()?,
        lifetime: lifetime.required()?,
        initial_age: initial_age.required()?,
        stale_while_revalidate: stale_while_revalidate.optional(),
        stale_if_error: stale_if_error.optional(),
        origin: origin.required()?,
        reuse: reuse.required()?,
        keep: keep.required()?,
        cost_ms: cost.optional().unwrap_or(0),
        selecting,
        body: segments(whole, stored.required()?, body)?,
    })
}

fn record(whole: &Bytes, head: &[u8]) -> Result<Record, DecodeError> {
    let mut key = Once::new(Tag::Key);
    let mut variants = Vec::new();
    for field in Fields::new(head) {
        match field? {
            (Tag::Key, value) => key.set(whole.slice_ref(value))?,
            (Tag::Variant, value) => push(&mut variants, Tag::Variant, listed(whole, value)?)?,
            _ => {}
        }
    }
    Ok(Record {
        key: key.required()?,
        variants,
    })
}

fn listed(whole: &Bytes, fields: &[u8]) -> Result<Listed, DecodeError> {
    let mut id = Once::new(Tag::Id);
    let mut date = Once::new(Tag::Date);
    let mut arrived = Once::new(Tag::Arrived);
    let mut until = Once::new(Tag::Until);
    let mut selecting = Vec::new();
    for field in Fields::new(fields) {
        let (tag, value) = field?;
        let time = || Ok(i64::from_be_bytes(array(tag, value)?));
        match tag {
            Tag::Id => id.set(u64::from_be_bytes(array(tag, value)?))?,
            Tag::Date => date.set(time()?)?,
            Tag::Arrived => arrived.set(time()?)?,
            Tag::Until => until.set(time()?)?,
            Tag::Selector => push(&mut selecting, tag, selector(whole, value)?)?,
            _ => {}
        }
    }
    Ok(Listed {
        id: id.required()?,
        date: date.required()?,
        arrived_ms: arrived.required()?,
        until_ms: until.required()?,
        selecting,
    })
}

fn selector(whole: &Bytes, value: &[u8]) -> Result<Selector, DecodeError> {
    let (fingerprint, name) = match value.split_first() {
        Some((0, name)) => (None, name),
        Some((1, rest)) => {
            let (digits, name) = rest
                .split_first_chunk()
                .ok_or(DecodeError::Malformed(Tag::Selector))?;
            (Some(u128::from_be_bytes(*digits)), name)
        }
        _ => return Err(DecodeError::Malformed(Tag::Selector)),
    };
    Ok(Selector {
        name: whole.slice_ref(name),
        value: fingerprint,
    })
}

/// The body, stored as the first byte says, of the size that the others say.
fn segments(whole: &Bytes, stored: [u8; 9], body: &[u8]) -> Result<Vec<Bytes>, DecodeError> {
    let [method, size @ ..] = stored;
    let size = u64::from_be_bytes(size);
    let body = match method {
        RAW if size == body.len() as u64 => whole.slice_ref(body),
        RAW => return Err(DecodeError::BodyLength),
        ZSTD => decompress(body, size)?,
        other => return Err(DecodeError::Method(other)),
    };
    let segments = if body.is_empty() { vec![] } else { vec![body] };
    Ok(segments)
}

/// The part of a head from the first to the last of some fields.
#[derive(Default)]
struct Span {
    range: Range<usize>,
    count: usize,
}

impl Span {
    fn add(&mut self, tag: Tag, field: Range<usize>) -> Result<(), DecodeError> {
        if self.count == MOST {
            return Err(DecodeError::TooMany(tag));
        }
        if self.count == 0 {
            self.range.start = field.start;
        }
        self.range.end = field.end;
        self.count += 1;
        Ok(())
    }

    fn of<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        // Both ends are those of fields of this head.
        head.get(self.range.clone()).unwrap_or_default()
    }
}

fn push<T>(list: &mut Vec<T>, tag: Tag, item: T) -> Result<(), DecodeError> {
    if list.len() == MOST {
        return Err(DecodeError::TooMany(tag));
    }
    list.push(item);
    Ok(())
}
