//! The tools that the parts use.

#[path = "../../src/util/random.rs"]
pub mod random;
