//! The tier that nodes share: asked after memory, told after the answer, and never depended upon.
//!
//! Nodes find what others stored (`consult`), say what they store and invalidate (`publish`), fetch
//! one at a time (`lease`), and notice when what they hold in memory was changed elsewhere
//! (`trust`). Without a client for such a tier there is none (`none`).

#[cfg(feature = "redis")]
mod consult;
#[cfg(feature = "redis")]
mod fences;
#[cfg(feature = "redis")]
mod lease;
#[cfg(feature = "redis")]
mod name;
#[cfg(not(feature = "redis"))]
mod none;
#[cfg(feature = "redis")]
mod parcel;
#[cfg(feature = "redis")]
mod place;
#[cfg(feature = "redis")]
mod placing;
#[cfg(feature = "redis")]
mod publish;
#[cfg(feature = "redis")]
mod tier;
#[cfg(feature = "redis")]
mod trust;
#[cfg(feature = "redis")]
mod waiting;

#[cfg(not(feature = "redis"))]
pub(crate) use self::none::{Consulted, Lease, Mark, Remote, Seen, Turn};
#[cfg(feature = "redis")]
pub(crate) use self::{
    consult::Consulted,
    lease::{Lease, Turn},
    tier::{Remote, Seen},
    trust::Mark,
};
