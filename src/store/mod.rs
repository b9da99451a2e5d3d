//! Stores of entries: the memory tier (L1), and the trait that it implements.
//!
//! A store keeps entries and knows for how long to keep each of them. It never decides whether an
//! entry is fresh: the engine does, on every read, by its own clock. A store's expiry only frees
//! memory.

#[cfg(feature = "redis")]
mod codec;
mod expiry;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod resource;
mod store;

pub use self::memory::Memory;
#[cfg(feature = "redis")]
pub use self::redis::{Redis, RedisBuilder};
#[cfg(feature = "redis")]
pub(crate) use self::{
    codec::{Compression, Listed, Parcel, Record, Selector, Stamp, Value, decode, encode, stamp},
    redis::{Notice, Placed, Put, Tracking},
};
pub(crate) use self::{
    resource::Resource,
    store::{Store, StoreFuture, Update, UpdateFn},
};
