//! Encodes values.

use std::slice;

use bytes::Bytes;

use super::{
    compress::{Compression, compress},
    frame::{self, Kind},
    tag::Tag,
    value::{Applied, EntryRecord, Selector, Stamp, Value, VariantList, VariantRecord},
    wire::{put, put_header},
};

/// The method of a body that is stored as it is.
pub(super) const RAW: u8 = 0;

/// The method of a body that is one zstd frame.
pub(super) const ZSTD: u8 = 1;

/// Encodes a value, in one allocation of exact size.
///
/// Compressing a body takes about 2 ms per MiB. Call it on a thread that may block if the body is
/// large.
pub(crate) fn encode(value: &Value, stamp: Stamp, compression: Compression) -> Bytes {
    match value {
        Value::Entry(entry) => {
            let packed = compress(&entry.body, &entry.headers, compression);
            let (method, body) = match &packed {
                Some(packed) => (ZSTD, slice::from_ref(packed)),
                None => (RAW, &entry.body[..]),
            };
            whole(Kind::Entry, stamp, &entry_head(entry, method), body)
        }
        Value::Variants(list) => whole(Kind::Variants, stamp, &variants_head(list), &[]),
        Value::Tombstone => frame::seal(frame::begin(Kind::Tombstone, stamp, 0)),
    }
}

fn whole(kind: Kind, stamp: Stamp, head: &[u8], body: &[Bytes]) -> Bytes {
    // No response has a head of 4 GiB; the result would not decode.
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes();
    let size = body.iter().map(Bytes::len).sum::<usize>();
    let mut frame = frame::begin(kind, stamp, length.len() + head.len() + size);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(head);
    for segment in body {
        frame.extend_from_slice(segment);
    }
    frame::seal(frame)
}

fn entry_head(entry: &EntryRecord, method: u8) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let out = &mut head;
    put(out, Tag::Key, &[&entry.key]);
    put(out, Tag::Status, &[&entry.status.to_be_bytes()]);
    put(out, Tag::Arrived, &[&entry.arrived_ms.to_be_bytes()]);
    put(out, Tag::Date, &[&entry.date.to_be_bytes()]);
    put(out, Tag::Lifetime, &[&entry.lifetime.to_be_bytes()]);
    put(out, Tag::InitialAge, &[&entry.initial_age.to_be_bytes()]);
    if let Some(seconds) = entry.stale_while_revalidate {
        put(out, Tag::StaleWhileRevalidate, &[&seconds.to_be_bytes()]);
    }
    if let Some(seconds) = entry.stale_if_error {
        put(out, Tag::StaleIfError, &[&seconds.to_be_bytes()]);
    }
    put(out, Tag::Origin, &[&[entry.origin]]);
    put(out, Tag::Reuse, &[&[entry.reuse]]);
    put(out, Tag::Keep, &[&entry.keep.to_be_bytes()]);
    if entry.cost_ms > 0 {
        put(out, Tag::Cost, &[&entry.cost_ms.to_be_bytes()]);
    }
    let purgeable = entry.purgeable.as_deref();
    if let Some(Applied { log, seq }) = purgeable.and_then(|it| it.applied) {
        put(out, Tag::Applied, &[&log.to_be_bytes(), &seq.to_be_bytes()]);
    }
    for (name, value) in entry.headers.iter() {
        put_header(out, name, value);
    }
    put_selectors(out, &entry.selecting);
    for tag in purgeable.iter().flat_map(|it| &it.tags) {
        put(out, Tag::Label, &[tag]);
    }
    let size = entry.body.iter().map(|part| part.len() as u64).sum::<u64>();
    put(out, Tag::Body, &[&[method], &size.to_be_bytes()]);
    head
}

fn variants_head(list: &VariantList) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    put(&mut head, Tag::Key, &[&list.key]);
    let mut fields = Vec::new();
    for variant in &list.variants {
        fields.clear();
        put_variant(&mut fields, variant);
        put(&mut head, Tag::Variant, &[&fields]);
    }
    head
}

fn put_variant(out: &mut Vec<u8>, variant: &VariantRecord) {
    put(out, Tag::Id, &[&variant.id.to_be_bytes()]);
    put(out, Tag::Date, &[&variant.date.to_be_bytes()]);
    put(out, Tag::Arrived, &[&variant.arrived_ms.to_be_bytes()]);
    put(out, Tag::Until, &[&variant.until_ms.to_be_bytes()]);
    put_selectors(out, &variant.selecting);
}

fn put_selectors(out: &mut Vec<u8>, selecting: &[Selector]) {
    for Selector { name, value } in selecting {
        match value {
            Some(value) => put(out, Tag::Selector, &[&[1], &value.to_be_bytes(), name]),
            None => put(out, Tag::Selector, &[&[0], name]),
        }
    }
}
