//! Decodes any bytes as a value of the shared tier, as they are and with a right checksum.

#![no_main]

#[path = "../../src/codec/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "a module of the crate, of which this program uses a part"
)]
mod codec;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

use codec::{Body, Compression, Value, announced_size, decode, encode, stamp};

/// The largest body that is decoded.
const MOST: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    _ = stamp(data);
    assert_round_trip(&Bytes::copy_from_slice(data));
    if let (Some(before), Some(after)) = (data.get(..20), data.get(28..)) {
        let checksum = xxh3_64(&[before, after].concat()).to_be_bytes();
        assert_round_trip(&[before, &checksum, after].concat().into());
    }
});

/// A value that decodes must decode to the same after it was encoded again, compressed or not.
fn assert_round_trip(bytes: &Bytes) {
    let announced = announced_size(bytes);
    let left_out = decode(bytes, Body::LeftOut);
    let Ok((value, stamp)) = decode(bytes, Body::AtMost(MOST)) else {
        return;
    };
    assert!(left_out.is_ok());
    if let Value::Entry(entry) = &value {
        let size: u64 = entry.body.iter().map(|part| part.len() as u64).sum();
        assert!(size <= MOST && size == announced);
        let tags = entry.purgeable.iter().flat_map(|it| &it.tags);
        assert!(tags.clone().count() <= 128 && tags.clone().all(|tag| tag.len() <= 1024));
    }
    for compression in [Compression::Off, Compression::AtLeast(0)] {
        let again = encode(&value, stamp, compression);
        assert_eq!(
            decode(&again, Body::AtMost(MOST)).as_ref(),
            Ok(&(value.clone(), stamp))
        );
    }
}
