//! The matrix: every rule of HTTP caching that this crate follows, as rows of requests and answers.
//!
//! Rows are numbered, and each is one test: `cargo test --test matrix row_042` plays one of them.
//! `ROWS.md` says of every row what it is about and what is right.
//! They run through a real [`CacheLayer`](cachewarp::CacheLayer) over a scripted origin, by a clock
//! that the test moves. [`case`] shows how a row reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod age;
mod bodies;
mod case;
mod collapse;
mod conditional;
mod cookies;
mod date;
mod fills;
mod freshness;
mod groups;
mod invalidation;
mod keys;
mod later;
mod origin;
mod parsing;
mod personal;
mod policy;
mod posts;
mod private_client;
mod range;
mod reply;
mod request;
mod rows;
mod security;
mod site;
mod stale;
mod status;
mod step;
mod storing;
mod targeted;
mod validation;
mod verdict;
mod verify;
