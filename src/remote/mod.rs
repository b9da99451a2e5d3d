//! The tier that nodes share: asked after memory, told after the answer, and never depended upon.
//!
//! Nodes find what others stored (`consult`), say what they store and invalidate (`publish`), fetch
//! one at a time (`lease`), and notice when what they hold in memory was changed elsewhere
//! (`trust`). Without a client for such a tier there is none (`none`).

#[cfg(feature = "redis")]
mod coherence;
#[cfg(feature = "redis")]
mod consult;
#[cfg(feature = "redis")]
mod convert;
#[cfg(feature = "redis")]
mod invalidations;
#[cfg(feature = "redis")]
mod lease;
#[cfg(feature = "redis")]
mod location;
#[cfg(feature = "redis")]
mod names;
#[cfg(not(feature = "redis"))]
mod none;
#[cfg(feature = "redis")]
mod notify;
#[cfg(feature = "redis")]
mod publish;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod remote;
#[cfg(feature = "redis")]
mod write;

#[cfg(not(feature = "redis"))]
pub(crate) use self::none::{Consulted, Lease, Mark, Remote, Seen, Turn};
#[cfg(feature = "redis")]
pub use self::redis::{Redis, RedisBuilder};
#[cfg(feature = "redis")]
pub(crate) use self::{
    coherence::Mark,
    consult::Consulted,
    lease::{Lease, Turn},
    remote::{Remote, Seen},
};
