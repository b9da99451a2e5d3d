//! For how long responses are fresh that do not say so themselves.

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
    policy::{Fetched, Lifetime, OriginTtl, Reason, TtlPolicy},
};
