//! The example proxy as a program: every test starts the built binary and talks to it over sockets.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cache;
mod command_line;
mod failures;
mod forwarding;
mod hop_by_hop;
mod http2;
mod shutdown;
mod support;
mod upgrade;
