//! Many nodes over a real Redis, Cluster or Sentinel: what only real servers show. What needs no
//! more than time and order is in `src/engine/peers/tests`, over a server in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "real servers take real time")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

mod cluster;
mod coherence;
mod corrupt;
mod eviction;
mod floods;
mod interleavings;
mod lateness;
#[path = "../support/node.rs"]
#[allow(dead_code, reason = "unit tests use it as well, and more of it")]
mod node;
mod nodes;
#[path = "../support/origin.rs"]
#[allow(dead_code, reason = "unit tests use it as well, and more of it")]
mod origin;
mod outage;
mod purges;
mod refusals;
mod sharing;
mod tls;
mod unanswered;
