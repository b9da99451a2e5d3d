//! The circuit breaker as its users meet it: over services of their own, over HTTP, and over those
//! of tower that have to be ready first.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod http_defaults;
mod keys;
mod operator;
mod probes;
mod readiness;
mod settings;
mod states;
mod support;
