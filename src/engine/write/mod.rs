//! Requests that are forwarded without a lookup, and the invalidation that follows a write.

pub(crate) mod forward;
pub(crate) mod in_time;
mod invalidate;
mod post_fill;
