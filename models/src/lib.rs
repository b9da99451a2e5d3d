//! The parts of the cache that threads share, as they are in `../src`, over the primitives of
//! [shuttle]. It runs each model in many orders of its threads and shows the order that fails.
//!
//! The models are functions, and `tests` calls them: built for its own tests, this crate would
//! include those of the parts too.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each model uses a part of what it includes"
)]

mod breaker;
mod extensions;
mod util;

pub mod permits;
pub mod purge;
