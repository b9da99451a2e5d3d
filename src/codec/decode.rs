//! Decodes values. The bytes are not trusted, not even once the checksum is right: it finds damage,
//! not malice.

use std::{mem, ops::Range};

use bytes::Bytes;

use super::{
    encode::{RAW, ZSTD},
    error::DecodeError,
    frame::{self, Kind},
    headers::EncodedHeaders,
    tag::Tag,
    value::{Applied, EntryRecord, Purgeable, Selector, Stamp, Value, VariantList, VariantRecord},
    wire::{Fields, Once, array, split},
    zstandard,
};

/// The longest head: the fields of a response are at most 64 KiB, and its key is hardly ever longer
/// than that.
const MOST_HEAD: usize = 512 << 10;

/// The most header lines of a response, as many as a response from the origin may have.
const MOST_HEADERS: usize = 1024;

/// The most selecting fields of a response: more than any setting allows.
const MOST_SELECTORS: usize = 1024;

/// The most variants in a list, as many as a node writes.
const MOST_VARIANTS: usize = 64;

/// The most tags of a response, and the longest: as many as one may have, and as long.
const MOST_TAGS: usize = 128;
const LONGEST_TAG: usize = 1024;

/// What is done with the body of a stored response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Body {
    /// It is decoded if it has at most this many bytes, which is known before any is decompressed.
    AtMost(u64),
    /// It is left out: the record has an empty one.
    LeftOut,
}

/// Decodes a value and its stamp.
///
/// Nothing is copied: names, values and an uncompressed body are slices of `bytes`, and keep all of
/// it alive.
///
/// # Errors
///
/// What is wrong with the bytes; no input makes this panic. Memory is bounded: the lists of a head
/// have a fixed length at most, and a compressed body gets the size that the head announces, but no
/// more than its bytes can decompress to, no more than `body` allows, and at most 1 GiB.
pub(crate) fn decode(bytes: &Bytes, body: Body) -> Result<(Value, Stamp), DecodeError> {
    let (kind, stamp, rest) = frame::open(bytes)?;
    let value = match kind {
        Kind::Entry => {
            let (head, stored) = split_head(rest)?;
            Value::Entry(entry(bytes, head, stored, body)?)
        }
        Kind::Variants => {
            let (head, rest) = split_head(rest)?;
            ends(rest)?;
            Value::Variants(variants(bytes, head)?)
        }
        Kind::Tombstone => {
            ends(rest)?;
            Value::Tombstone
        }
    };
    Ok((value, stamp))
}

/// How many bytes the body of an encoded response has once it is decompressed, as its head announces
/// it. Zero if the bytes announce none. Neither this nor anything else in the bytes is checked:
/// [`decode`] does that.
pub(crate) fn announced_size(bytes: &[u8]) -> u64 {
    let head = bytes.get(frame::FIXED..).map(split_head);
    let Some(Ok((head, _))) = head else {
        return 0;
    };
    let announced = Fields::new(head).find_map(|field| match field {
        Ok((Tag::Body, value)) => Some(value),
        Ok(_) | Err(_) => None,
    });
    match announced.map(|value| array::<9>(Tag::Body, value)) {
        Some(Ok([_method, size @ ..])) => u64::from_be_bytes(size),
        Some(Err(_)) | None => 0,
    }
}

fn split_head(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (length, rest) = bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let parts = rest
        .split_at_checked(length)
        .ok_or(DecodeError::Truncated)?;
    if length > MOST_HEAD {
        return Err(DecodeError::HeadTooLarge(length));
    }
    Ok(parts)
}

fn ends(rest: &[u8]) -> Result<(), DecodeError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(DecodeError::Trailing)
    }
}

/// Decodes a stored response from its head and its body, which are both parts of `whole`.
fn entry(
    whole: &Bytes,
    head: &[u8],
    stored: &[u8],
    body: Body,
) -> Result<EntryRecord, DecodeError> {
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
    let mut applied = Once::new(Tag::Applied);
    let mut announced = Once::new(Tag::Body);
    let (mut headers, mut selecting) = (FieldRange::default(), Vec::new());
    let mut tags = Vec::new();
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
            Tag::Applied => applied.set(self::applied(value)?)?,
            Tag::Label if value.len() > LONGEST_TAG => return Err(DecodeError::Malformed(tag)),
            Tag::Label => push(&mut tags, tag, whole.slice_ref(value), MOST_TAGS)?,
            Tag::Header => {
                split(value).ok_or(DecodeError::Malformed(tag))?;
                headers.add(tag, start..end)?;
            }
            Tag::Selector => push(&mut selecting, tag, selector(whole, value)?, MOST_SELECTORS)?,
            Tag::Body => announced.set(array(tag, value)?)?,
            // These occur in variant lists only, and are skipped like an unknown field.
            Tag::Variant | Tag::Id | Tag::Until => {}
        }
    }
    Ok(EntryRecord {
        key: key.required()?,
        status: status.required()?,
        headers: EncodedHeaders::of(whole.slice_ref(headers.of(head))),
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
        purgeable: purgeable(tags, applied.optional()),
        body: segments(whole, announced.required()?, stored, body)?,
    })
}

fn variants(whole: &Bytes, head: &[u8]) -> Result<VariantList, DecodeError> {
    let mut key = Once::new(Tag::Key);
    let mut variants = Vec::new();
    for field in Fields::new(head) {
        match field? {
            (Tag::Key, value) => key.set(whole.slice_ref(value))?,
            (Tag::Variant, value) => {
                let variant = variant(whole, value)?;
                push(&mut variants, Tag::Variant, variant, MOST_VARIANTS)?;
            }
            _ => {}
        }
    }
    Ok(VariantList {
        key: key.required()?,
        variants,
    })
}

fn variant(whole: &Bytes, fields: &[u8]) -> Result<VariantRecord, DecodeError> {
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
            Tag::Selector => push(&mut selecting, tag, selector(whole, value)?, MOST_SELECTORS)?,
            _ => {}
        }
    }
    Ok(VariantRecord {
        id: id.required()?,
        date: date.required()?,
        arrived_ms: arrived.required()?,
        until_ms: until.required()?,
        selecting,
    })
}

fn purgeable(tags: Vec<Bytes>, applied: Option<Applied>) -> Option<Box<Purgeable>> {
    let is_any = !tags.is_empty() || applied.is_some();
    is_any.then(|| Box::new(Purgeable { tags, applied }))
}

fn applied(value: &[u8]) -> Result<Applied, DecodeError> {
    let both = u128::from_be_bytes(array(Tag::Applied, value)?);
    Ok(Applied {
        log: (both >> 64) as u64,
        // The lower half.
        seq: both as u64,
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

/// Decodes a body. The first byte of `announced` is the method, the others are the uncompressed
/// size.
fn segments(
    whole: &Bytes,
    announced: [u8; 9],
    stored: &[u8],
    body: Body,
) -> Result<Vec<Bytes>, DecodeError> {
    let Body::AtMost(most) = body else {
        return Ok(vec![]);
    };
    let [method, size @ ..] = announced;
    let size = u64::from_be_bytes(size);
    let body = match method {
        RAW if size != stored.len() as u64 => return Err(DecodeError::BodyLength),
        RAW | ZSTD if size > most => return Err(DecodeError::TooLarge(size)),
        RAW => whole.slice_ref(stored),
        ZSTD => zstandard::decompress(stored, size)?,
        other => return Err(DecodeError::Method(other)),
    };
    let segments = if body.is_empty() { vec![] } else { vec![body] };
    Ok(segments)
}

/// The range of a head that contains all fields of one tag.
#[derive(Default)]
struct FieldRange {
    range: Range<usize>,
    count: usize,
}

impl FieldRange {
    fn add(&mut self, tag: Tag, field: Range<usize>) -> Result<(), DecodeError> {
        if self.count == MOST_HEADERS {
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
        // Both ends were taken from fields of this head, so the range is valid.
        head.get(self.range.clone()).unwrap_or_default()
    }
}

fn push<T>(list: &mut Vec<T>, tag: Tag, item: T, most: usize) -> Result<(), DecodeError> {
    if list.len() == most {
        return Err(DecodeError::TooMany(tag));
    }
    list.push(item);
    Ok(())
}
