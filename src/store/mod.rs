//! Where entries are kept: one trait for every tier.
//!
//! A store keeps entries and knows how long each is of use. It never judges freshness: the road
//! does, on every read, by its own clock; a store's expiry only frees memory.

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
    store::{Change, Store, StoreFuture, Update},
};
