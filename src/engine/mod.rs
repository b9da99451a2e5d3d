//! The engine: one request, from the lookup to the answer. [`handle`] has the steps in order.

pub(crate) mod collapse;
pub(crate) mod context;
pub(crate) mod deadline;
pub(crate) mod fetch;
pub(crate) mod handle;
pub(crate) mod hit_for_miss;
mod key_parts;
pub(crate) mod lookup;
pub(crate) mod memory_write;
pub(crate) mod nesting;
pub(crate) mod normalise;
pub(crate) mod origin_call;
pub(crate) mod peers;
pub(crate) mod posted;
mod report;
pub(crate) mod request;
pub(crate) mod respond;
mod shape;
pub(crate) mod stale;
mod tags;
pub(crate) mod write;
