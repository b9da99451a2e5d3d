//! Requests that are forwarded without a lookup, and the invalidation that follows a write.

pub(crate) mod bypass;
pub(crate) mod forward;
mod invalidate;
