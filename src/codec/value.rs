//! The values of the shared tier, as plain data.

use bytes::Bytes;

use super::headers::EncodedHeaders;

/// What is stored under one name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    /// A stored response.
    Entry(EntryRecord),
    /// The list of a resource's variants.
    Variants(VariantList),
    /// Marks an invalidated resource. It holds no data: its stamp rejects writes that come too
    /// late.
    Tombstone,
}

/// Which state of a name a value is. Scripts on the server compare it in the encoded bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stamp {
    /// Every invalidation of a resource begins a new epoch.
    pub(crate) epoch: u64,
    /// Every value that is stored has a version of its own.
    pub(crate) version: u64,
}

/// A stored response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EntryRecord {
    /// The whole cache key. The name in the shared tier is only a hash of it, so a reader compares.
    pub(crate) key: Bytes,
    pub(crate) status: u16,
    pub(crate) headers: EncodedHeaders,
    /// When the response arrived: Unix time in milliseconds.
    pub(crate) arrived_ms: i64,
    /// The `Date` of the response: Unix time in seconds.
    pub(crate) date: i64,
    /// The freshness lifetime in seconds.
    pub(crate) lifetime: u32,
    /// The age on arrival in seconds.
    pub(crate) initial_age: u32,
    /// Seconds.
    pub(crate) stale_while_revalidate: Option<u32>,
    /// Seconds.
    pub(crate) stale_if_error: Option<u32>,
    /// Where the lifetime comes from, in the caller's code.
    pub(crate) origin: u8,
    /// How it may be reused, in the caller's code.
    pub(crate) reuse: u8,
    /// How many seconds after its arrival it is of use.
    pub(crate) keep: u32,
    /// How many milliseconds the origin took to answer; 0 if unknown.
    pub(crate) cost_ms: u32,
    pub(crate) selecting: Vec<Selector>,
    /// `None` if there is nothing in it. Boxed, as a record is moved more often than this is read.
    pub(crate) purgeable: Option<Box<Purgeable>>,
    /// Any number of segments when encoding. Decoding yields one, or none if the body is empty.
    pub(crate) body: Vec<Bytes>,
}

/// What decides whether a purge concerns a response.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Purgeable {
    /// The tags that it can be purged by.
    pub(crate) tags: Vec<Bytes>,
    /// `None` if the writer knew of no log.
    pub(crate) applied: Option<Applied>,
}

/// Up to where the writer had applied the log of purges before its fetch began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Applied {
    /// The id of the log.
    pub(crate) log: u64,
    pub(crate) seq: u64,
}

/// A selecting header field, and the fingerprint of the value that the request had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Selector {
    pub(crate) name: Bytes,
    /// `None` if the request lacked the field.
    pub(crate) value: Option<u128>,
}

/// The variants of one resource. Their responses are stored under names of their own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct VariantList {
    /// The whole cache key.
    pub(crate) key: Bytes,
    pub(crate) variants: Vec<VariantRecord>,
}

/// One variant, as the list has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct VariantRecord {
    /// Part of the name that the response is stored under.
    pub(crate) id: u64,
    /// The `Date` of the response: Unix time in seconds.
    pub(crate) date: i64,
    /// When the response arrived: Unix time in milliseconds.
    pub(crate) arrived_ms: i64,
    /// Until when the response is of use: Unix time in milliseconds.
    pub(crate) until_ms: i64,
    pub(crate) selecting: Vec<Selector>,
}
