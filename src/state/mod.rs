//! What all requests of one cache share.

pub(crate) mod cache;
pub(crate) mod flights;
mod heat;
mod purging;
mod wiping;
