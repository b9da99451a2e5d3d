//! Where entries are kept: one trait for every tier.
//!
//! A store keeps entries and knows how long each is of use. It never judges freshness: the road
//! does, on every read, by its own clock; a store's expiry only frees memory.

mod expiry;
mod memory;
mod resource;
mod store;

pub use self::memory::Memory;
pub(crate) use self::{
    resource::Resource,
    store::{Change, Store, StoreFuture, Update},
};
