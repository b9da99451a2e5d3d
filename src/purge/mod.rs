//! Purging: an operator or the application ends what is stored, at once and for every kind of reuse.
//!
//! A purge names *subjects*: a URL, a path, a prefix of paths, a host, a tag, a group, a namespace, or
//! everything. It costs the same whether it concerns one stored response or a million, because it does
//! not look for them. It writes the subject and the time into a table of fixed size
//! ([`PurgeTable`]), and every stored response is compared with the table when it is used next.
//!
//! The time is that of a logical clock, the *purge clock*. A fetch reads it before the origin is
//! called. What is purged at a later time has purged the response of this fetch too, wherever that is
//! by then: in memory, in the shared tier, or still on its way. So one comparison serves lookups,
//! storing, and requests that share a fetch.
//!
//! Most hits do without the table: each entry remembers the time until which it has been compared
//! ([`Memo`]), and the clock stands still as long as nobody purges.

mod answers;
mod memo;
mod purge;
mod result;
mod subject;
mod sync;
mod table;
mod tags;

pub(crate) use self::{
    answers::EntrySubjects,
    memo::{Memo, PurgeTime},
    purge::Names,
    subject::Subject,
    table::{Mode, PurgeTable, Standing},
    tags::{TAG_FIELDS, TagLimits, Tags, TooManyTags},
};
pub use self::{
    purge::{InvalidPurge, Purge, PurgeRequest},
    result::{PurgeError, Purged, PurgedHere, PurgedShared},
};
