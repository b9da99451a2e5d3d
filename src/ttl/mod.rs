//! Policies that give a freshness lifetime to responses that state none.

mod adaptive;
mod early;
mod fixed;
mod history;
mod policy;

pub(crate) use self::early::is_due;
pub use self::{
    adaptive::{AdaptiveTtl, AdaptiveTtlBuilder},
    fixed::FixedTtl,
    history::{Change, History, Observation},
    policy::{Fetched, Lifetime, LifetimeReason, OriginTtl, TtlPolicy},
};
