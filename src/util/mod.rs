//! Small tools without a word of HTTP in them.

pub(crate) mod expiring_set;
pub(crate) mod random;
pub(crate) mod varint;
