//! Requests for the same thing at once: who asks the origin, who waits, and what each gets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod account;
mod bodies;
mod bounds;
mod callers;
mod conditions;
mod crowds;
mod deadline;
mod endings;
mod first_byte;
mod invalidation;
mod leaders;
mod neighbours;
mod nesting;
mod own_failures;
mod pauses;
mod purge_proof;
mod purges;
mod readiness;
mod refresh;
mod silence;
mod stacks;
mod support;
mod waits;
mod writes;
