//! Many nodes over one Redis: what behaves like one cache, and what a Redis in trouble costs.

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

mod nodes;
mod sharing;
