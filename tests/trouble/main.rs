//! Origins that are slow, failing or gone, and what clients notice of it. Time is paused: seconds
//! pass in no time, and every latency is exact.

mod breaker;
mod early;
mod learning;
mod origin;
mod outage;
mod slow;
mod warming;
