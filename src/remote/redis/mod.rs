//! Redis and Valkey: the transport of the tier that nodes share.
//!
//! fred is behind this module alone, so that another client could take its place.

mod ask;
mod client;
mod commands;
mod health;
mod pauses;
mod scripts;
mod settings;
mod tls;
pub(super) mod tracking;
mod url;

#[cfg(test)]
#[path = "../../../tests/support/mod.rs"]
pub(crate) mod support;
#[cfg(test)]
mod tests;

pub use self::{client::Redis, settings::RedisBuilder};
pub(crate) use self::{
    commands::{Placed, Put},
    tracking::{Notice, Tracking},
};
