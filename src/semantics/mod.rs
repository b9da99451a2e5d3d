//! The rules of HTTP caching (RFC 9111 and related RFCs) as pure functions of message heads,
//! settings and times.
//!
//! Nothing here reads a clock, uses a store, polls a body or awaits. Each module holds one group of
//! rules. [`decide`] combines them for a request, [`storable`] for a response.

pub(crate) mod cache_control;
pub(crate) mod classify;
pub(crate) mod conditional;
pub(crate) mod cookies;
pub(crate) mod credentials;
pub(crate) mod date;
pub(crate) mod decide;
pub(crate) mod etag;
pub(crate) mod fields;
pub(crate) mod forwarded;
pub(crate) mod freshness;
pub(crate) mod groups;
pub(crate) mod hop;
pub(crate) mod invalidation;
pub(crate) mod language;
pub(crate) mod list;
pub(crate) mod query;
pub(crate) mod range;
pub(crate) mod rules;
pub(crate) mod select;
pub(crate) mod state;
pub(crate) mod storable;
pub(crate) mod targeted;
mod testing;
pub(crate) mod uri;
pub(crate) mod validate;
pub(crate) mod vary;
