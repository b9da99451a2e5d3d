//! The shared tier in Redis or Valkey.
//!
//! fred is used in this folder alone, so another client could replace it.

mod client;
mod commands;
mod connection;
mod durable;
mod execute;
mod health;
mod log;
mod log_script;
mod pauses;
mod refusals;
mod scripts;
mod settings;
#[cfg(feature = "redis-tls")]
mod tls;
#[cfg(not(feature = "redis-tls"))]
#[path = "no_tls.rs"]
mod tls;
mod tracking;
mod url;

#[cfg(test)]
#[path = "../../../tests/support/mod.rs"]
pub(in crate::remote) mod support;
#[cfg(test)]
mod tests;

pub use self::{client::Redis, settings::RedisBuilder};
