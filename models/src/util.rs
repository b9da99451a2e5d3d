//! The tools that the parts use.

#[path = "../../src/util/random.rs"]
pub mod random;
#[path = "../../src/util/varint.rs"]
pub mod varint;
