//! HTTP caching rules (RFC 9111 and friends) as pure functions of heads, settings and times.
//!
//! Nothing here reads a clock, touches a store, polls a body or awaits. Each module holds one
//! family of rules; [`decide`] is where they meet for a request, [`storable`] for a response.

pub(crate) mod cache_control;
pub(crate) mod classify;
pub(crate) mod conditional;
pub(crate) mod date;
pub(crate) mod decide;
pub(crate) mod etag;
pub(crate) mod fields;
pub(crate) mod freshness;
pub(crate) mod hop;
pub(crate) mod invalidation;
pub(crate) mod list;
pub(crate) mod range;
pub(crate) mod rules;
pub(crate) mod select;
pub(crate) mod storable;
pub(crate) mod targeted;
pub(crate) mod uri;
pub(crate) mod validate;
pub(crate) mod vary;
