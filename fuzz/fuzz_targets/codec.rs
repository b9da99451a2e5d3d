//! Reads anything as a value of the remote tier, as it is and with the checksum made right.

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

use codec::{Compression, decode, encode, stamp};

fuzz_target!(|data: &[u8]| {
    _ = stamp(data);
    come_back(&Bytes::copy_from_slice(data));
    if let (Some(before), Some(after)) = (data.get(..20), data.get(28..)) {
        let checksum = xxh3_64(&[before, after].concat()).to_be_bytes();
        come_back(&[before, &checksum, after].concat().into());
    }
});

/// What decodes must decode to the same after it was encoded again, in both ways.
fn come_back(bytes: &Bytes) {
    let Ok((value, stamp)) = decode(bytes) else {
        return;
    };
    for compression in [Compression::Off, Compression::AtLeast(0)] {
        let again = encode(&value, stamp, compression);
        assert_eq!(decode(&again).as_ref(), Ok(&(value.clone(), stamp)));
    }
}
