//! Values to bytes.

use std::slice;

use bytes::Bytes;

use super::{
    compress::{Compression, compress},
    frame::{self, Kind},
    value::{Listed, Parcel, Record, Selector, Stamp, Value},
    wire::{Tag, put, put_header},
};

/// The body is stored as it is.
pub(super) const RAW: u8 = 0;

/// The body is one zstd frame.
pub(super) const ZSTD: u8 = 1;

/// The bytes of a value, in one exact allocation.
///
/// Compresses the body of an entry, which takes about 2 ms per MiB: for large bodies nothing else
/// should wait on this thread.
pub(crate) fn encode(value: &Value, stamp: Stamp, compression: Compression) -> Bytes {
    match value {
        Value::Entry(parcel) => {
            let packed = compress(&parcel.body, &parcel.headers, compression);
            let (method, body) = match &packed {
                Some(packed) => (ZSTD, slice::from_ref(packed)),
                None => (RAW, &parcel.body[..]),
            };
            whole(Kind::Entry, stamp, &parcel_head(parcel, method), body)
        }
        Value::Record(record) => whole(Kind::Record, stamp, &record_head(record), &[]),
        Value::Fence => frame::seal(frame::begin(Kind::Fence, stamp, 0)),
    }
}

fn whole(kind: Kind, stamp: Stamp, head: &[u8], body: &[Bytes]) -> Bytes {
    // A head past 4 GiB cannot be held in a response; it would not decode.
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

fn parcel_head(parcel: &Parcel, method: u8) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let out = &mut head;
    put(out, Tag::Key, &[&parcel.key]);
    put(out, Tag::Status, &[&parcel.status.to_be_bytes()]);
    put(out, Tag::Arrived, &[&parcel.arrived_ms.to_be_bytes()]);
    put(out, Tag::Date, &[&parcel.date.to_be_bytes()]);
    put(out, Tag::Lifetime, &[&parcel.lifetime.to_be_bytes()]);
    put(out, Tag::InitialAge, &[&parcel.initial_age.to_be_bytes()]);
    if let Some(seconds) = parcel.stale_while_revalidate {
        put(out, Tag::StaleWhileRevalidate, &[&seconds.to_be_bytes()]);
    }
    if let Some(seconds) = parcel.stale_if_error {
        put(out, Tag::StaleIfError, &[&seconds.to_be_bytes()]);
    }
    put(out, Tag::Origin, &[&[parcel.origin]]);
    put(out, Tag::Reuse, &[&[parcel.reuse]]);
    put(out, Tag::Keep, &[&parcel.keep.to_be_bytes()]);
    if parcel.cost_ms > 0 {
        put(out, Tag::Cost, &[&parcel.cost_ms.to_be_bytes()]);
    }
    for (name, value) in parcel.headers.iter() {
        put_header(out, name, value);
    }
    put_selectors(out, &parcel.selecting);
    let size = parcel
        .body
        .iter()
        .map(|part| part.len() as u64)
        .sum::<u64>();
    put(out, Tag::Body, &[&[method], &size.to_be_bytes()]);
    head
}

fn record_head(record: &Record) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    put(&mut head, Tag::Key, &[&record.key]);
    let mut fields = Vec::new();
    for listed in &record.variants {
        fields.clear();
        put_listed(&mut fields, listed);
        put(&mut head, Tag::Variant, &[&fields]);
    }
    head
}

fn put_listed(out: &mut Vec<u8>, listed: &Listed) {
    put(out, Tag::Id, &[&listed.id.to_be_bytes()]);
    put(out, Tag::Date, &[&listed.date.to_be_bytes()]);
    put(out, Tag::Arrived, &[&listed.arrived_ms.to_be_bytes()]);
    put(out, Tag::Until, &[&listed.until_ms.to_be_bytes()]);
    put_selectors(out, &listed.selecting);
}

fn put_selectors(out: &mut Vec<u8>, selecting: &[Selector]) {
    for Selector { name, value } in selecting {
        match value {
            Some(value) => put(out, Tag::Selector, &[&[1], &value.to_be_bytes(), name]),
            None => put(out, Tag::Selector, &[&[0], name]),
        }
    }
}
