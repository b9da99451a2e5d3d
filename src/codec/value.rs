//! What is kept outside this process, as plain data.

use bytes::Bytes;

use super::headers::Headers;

/// What is kept under one name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    /// A stored response.
    Entry(Parcel),
    /// The variants of a resource.
    Record(Record),
    /// Nothing, but its stamp says which writes come too late.
    Fence,
}

/// Which state of a name a value is. Scripts compare it in the encoded bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) epoch: u64,
    pub(crate) version: u64,
}

/// One stored response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Parcel {
    /// The whole cache key: the name may be a hash of it, so a reader compares.
    pub(crate) key: Bytes,
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// Unix time in milliseconds.
    pub(crate) arrived_ms: i64,
    /// Unix time in seconds.
    pub(crate) date: i64,
    /// Seconds.
    pub(crate) lifetime: u32,
    /// Seconds.
    pub(crate) initial_age: u32,
    /// Seconds.
    pub(crate) stale_while_revalidate: Option<u32>,
    /// Seconds.
    pub(crate) stale_if_error: Option<u32>,
    /// Where the lifetime comes from, in the caller's code.
    pub(crate) origin: u8,
    /// How it may be reused, in the caller's code.
    pub(crate) reuse: u8,
    /// Seconds of use, from its arrival.
    pub(crate) keep: u32,
    /// Milliseconds that the origin took for it; 0 if that is not known.
    pub(crate) cost_ms: u32,
    pub(crate) selecting: Vec<Selector>,
    /// Segments when encoding; after decoding one, or none of an empty body.
    pub(crate) body: Vec<Bytes>,
}

/// A selecting header field and the fingerprint of the value it had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Selector {
    pub(crate) name: Bytes,
    pub(crate) value: Option<u128>,
}

/// The variants of one resource; their parcels are kept under names of their own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    /// The whole cache key.
    pub(crate) key: Bytes,
    pub(crate) variants: Vec<Listed>,
}

/// A variant as its record lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Listed {
    /// What its parcel's name is made of.
    pub(crate) id: u64,
    /// Unix time in seconds.
    pub(crate) date: i64,
    /// Unix time in milliseconds.
    pub(crate) arrived_ms: i64,
    /// Unix time in milliseconds: of no use from then on.
    pub(crate) until_ms: i64,
    pub(crate) selecting: Vec<Selector>,
}
