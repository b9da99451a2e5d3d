//! For how long responses are fresh that do not say so themselves.

mod fixed;
mod policy;

pub use self::{
    fixed::FixedTtl,
    policy::{Fetched, Lifetime, OriginTtl, TtlPolicy},
};
