//! The tier that nodes share: it is asked after memory, written behind the response, and never
//! depended upon.
//!
//! `store` is what it asks of a server, and `redis` the client for one. `remote` is a server as one
//! cache uses it: `read` and `write` responses, `outbox` what is sent behind a response, `sending`
//! the invalidations, `lease` who fetches what none has, `coherence` which entries in memory are
//! still current, and `touch` that these are in use. What an invalidation leaves there, and for how
//! long, is in `fence`. `log` is how nodes tell each other of purges.

mod accept;
mod budget;
mod coherence;
mod conformance;
pub(crate) mod convert;
mod distrust;
mod fence;
pub(crate) mod in_memory;
mod invalidations;
mod known;
mod lease;
mod location;
mod log;
mod names;
mod notify;
mod outbox;
mod purges;
mod read;
#[cfg(feature = "redis")]
mod redis;
mod remote;
mod selecting;
mod sending;
pub(crate) mod store;
mod timed;
mod touch;
mod variants;
mod write;

#[cfg(feature = "redis")]
pub use self::redis::{Redis, RedisBuilder};
pub(crate) use self::{
    accept::Acceptance,
    coherence::slots_of,
    fence::{Asked, LONGEST_KEEP},
    invalidations::{Known, Pending},
    lease::{Lease, LeaseNote, LeaseOutcome},
    location::RemoteKey,
    purges::{PurgeLog, Queued, TELL_WITHIN, Urgency},
    read::{ObservedVersion, RemoteRead, RemoteValue},
    remote::Remote,
    selecting::{SelectingHeaders, variant_id},
    write::PendingWrite,
};
