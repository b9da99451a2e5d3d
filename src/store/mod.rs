//! Stores of entries: the memory tier (L1), and the trait that it implements.
//!
//! A store keeps entries and knows for how long to keep each of them. It never decides whether an
//! entry is fresh: the engine does, on every read, by its own clock. A store's expiry only frees
//! memory.

mod expiry;
mod memory;
mod resource;
mod store;

pub use self::memory::Memory;
pub(crate) use self::{
    resource::Resource,
    store::{Store, StoreFuture, Update, UpdateFn},
};
