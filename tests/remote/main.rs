//! Many nodes over one Redis: what behaves like one cache, and what a Redis in trouble costs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "real servers take real time")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

mod cluster;
mod coherence;
mod conditional;
mod corrupt;
mod crowds;
mod interleavings;
mod interleavings_of_writes;
mod lateness;
mod leases;
mod lookups;
mod nodes;
mod origin;
mod outage;
mod refusals;
mod sharing;
mod tls;
