//! The proxy as a program: every test starts the built binary and talks to it over sockets.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(feature = "redis")]
#[path = "../../../tests/support/mod.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod servers;

mod access;
mod answers;
mod cache;
mod codings;
mod command_line;
mod content;
mod cut;
mod dial;
mod environment;
mod failures;
mod fields;
mod floods;
mod forwarding;
mod frames;
mod hop_by_hop;
mod hosts;
mod http2;
mod http2_origin;
mod keys;
mod lifetimes;
mod limits;
#[cfg(target_os = "linux")]
mod memory;
mod mixed;
mod naming;
mod no_content;
mod origin_places;
mod peer;
mod places;
mod refusals;
mod repeats;
mod reuse;
#[cfg(feature = "redis")]
mod sharing;
mod shutdown;
mod smuggling;
mod spaces;
mod support;
mod targeted;
mod timeouts;
mod trouble;
mod tuning;
mod underscores;
mod upgrade;
mod warming;
mod writes;
