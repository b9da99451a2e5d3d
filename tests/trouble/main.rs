//! Origins that are slow, failing or gone, and what clients notice of it. Time is paused: seconds
//! pass in no time, and every latency is exact.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alone;
mod breaker;
mod circuit;
mod early;
mod learning;
mod origin;
mod outage;
mod slow;
mod suspended;
mod warming;
