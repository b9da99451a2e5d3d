//! What all requests of one cache share.

pub(crate) mod cache;
pub(crate) mod flights;
mod purging;
mod wiping;
