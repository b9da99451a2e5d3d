//! Small tools that have nothing to do with HTTP.

pub(crate) mod expiring_set;
pub(crate) mod pattern;
pub(crate) mod random;
pub(crate) mod reported;
pub(crate) mod sample;
pub(crate) mod shard;
pub(crate) mod varint;
