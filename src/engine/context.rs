//! A request on its way through the engine: what the stores hold for it, and the service behind it.

use std::sync::Arc;

use http::HeaderName;

use super::request::Asked;
use crate::{
    entry::Entry,
    generation::Generation,
    outcome::ForwardReason,
    remote::{Lease, Seen},
    state::cache::Cache,
    store::Resource,
};

/// A request on its way to the origin, and what the store held for it.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) asked: Asked,
    /// The generation of the resource before anything was looked up for this errand.
    pub(crate) generation: Generation,
    pub(crate) stored: Option<Resource>,
    /// The stored response that the request selects.
    pub(crate) selected: Option<Arc<Entry>>,
    pub(crate) forward: ForwardReason,
    /// What was seen of its place in the tier that nodes share, if that was asked.
    pub(crate) seen: Option<Seen>,
    /// What was found there and has yet to be put into memory.
    pub(crate) found: Option<Arc<Entry>>,
    /// What the most recent of the variants there was selected by, if none is for this request.
    pub(crate) varies: Vec<HeaderName>,
    pub(crate) timing: Timing,
    /// What keeps other nodes from fetching the same.
    pub(crate) lease: Option<Arc<Lease>>,
}

/// When a response is fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timing {
    /// Behind an answer that is still fresh, before it expires.
    Early,
    /// When nothing else will do.
    OnDemand,
}

impl Errand {
    /// Whether it is `entry` that the request selects.
    pub(crate) fn has_selected(&self, entry: &Arc<Entry>) -> bool {
        let selected = self.selected.as_ref();
        selected.is_some_and(|selected| Arc::ptr_eq(selected, entry))
    }
}

/// A cache over one service, on behalf of one request.
#[derive(Clone, Debug)]
pub(crate) struct Road<S> {
    pub(crate) cache: Cache,
    pub(crate) inner: S,
}

impl<S> Road<S> {
    pub(crate) fn new(cache: Cache, inner: S) -> Self {
        Self { cache, inner }
    }
}
