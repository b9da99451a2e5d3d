//! A request that memory alone cannot answer: what is known about it, and the service behind it.

use std::sync::Arc;

use http::{HeaderName, StatusCode};

use super::{
    deadline::Deadline,
    lookup::{Next, Trigger},
    request::CacheRequest,
    respond::Label,
};
use crate::{
    entry::Entry,
    generation::Generation,
    outcome::{CacheOutcome, ForwardReason, Storing},
    purge::PurgeTime,
    remote::{Lease, ObservedVersion},
    semantics::{classify::Bypass, vary::Selecting},
    spans::Spans,
    state::cache::Cache,
    store::Resource,
};

/// A cache over one service, for one request.
#[derive(Clone, Debug)]
pub(crate) struct Handler<S> {
    pub(crate) cache: Cache,
    pub(crate) inner: S,
}

impl<S> Handler<S> {
    pub(crate) fn new(cache: Cache, inner: S) -> Self {
        Self { cache, inner }
    }
}

/// A request, and what the stores are known to hold for it.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) request: CacheRequest,
    pub(crate) trigger: Trigger,
    /// Until when it waits for the origin.
    pub(crate) deadline: Deadline,
    /// The generation of the resource before the first lookup for this request. What is fetched for
    /// it is stored only under this generation.
    pub(crate) generation: Generation,
    /// The purge clock before the first lookup for this request, or, once it fetches, before the call
    /// of the origin. What was purged later purges what is fetched for it.
    pub(crate) born: PurgeTime,
    /// All variants that the last lookup found.
    pub(crate) stored: Option<Resource>,
    /// The stored response that the request selects.
    pub(crate) selected: Option<Arc<Entry>>,
    /// Why the request has no part in what is stored, nor in what is fetched for others, if the
    /// lookup said so.
    pub(crate) bypass: Option<Bypass>,
    /// Why the stored responses do not answer the request.
    pub(crate) forward: ForwardReason,
    /// The state of the request's key in the shared tier, if the tier has been asked.
    pub(crate) observed: Option<ObservedVersion>,
    /// A response found in the shared tier that has yet to be written to memory.
    pub(crate) promotable: Option<Arc<Entry>>,
    /// The selecting header fields of the most recent variant in the shared tier, if no variant
    /// there matches the request.
    pub(crate) remote_vary: Vec<HeaderName>,
    /// Keeps other nodes from fetching the same response.
    pub(crate) lease: Option<Arc<Lease>>,
    pub(crate) spans: Spans,
}

impl RequestContext {
    /// A request before anything is known about what is stored for it.
    pub(crate) fn new(
        mut request: CacheRequest,
        generation: Generation,
        born: PurgeTime,
        deadline: Deadline,
    ) -> Self {
        Self {
            spans: Spans::take(&mut request.parts.extensions),
            request,
            deadline,
            trigger: Trigger::OnDemand,
            generation,
            born,
            stored: None,
            selected: None,
            bypass: None,
            forward: ForwardReason::Stale,
            observed: None,
            promotable: None,
            remote_vary: Vec::new(),
            lease: None,
        }
    }

    /// The origin is about to be called: what has been purged until now does not concern its response.
    pub(crate) fn fetch_begins(&mut self, cache: &Cache) {
        self.born = cache.shared.purges.now();
    }

    /// Remembers what a lookup came to: the selected response, and why it does not answer the
    /// request if it does not.
    pub(crate) fn adopt(&mut self, next: Next<&Arc<Entry>>) -> Next<Arc<Entry>> {
        let next = next.map(Arc::clone);
        self.bypass = None;
        match &next {
            Next::Bypass(reason) => {
                self.bypass = Some(*reason);
                self.selected = None;
            }
            Next::Fetch { selected, forward } => {
                self.selected.clone_from(selected);
                self.forward = *forward;
            }
            Next::Refuse => {}
            Next::Serve(entry, _) => {
                self.selected = Some(Arc::clone(entry));
            }
        }
        next
    }

    /// The label of an answer that the origin gave with status `received`.
    pub(crate) fn fetched(&self, received: StatusCode, storing: Storing) -> Label {
        Label {
            received: Some(received),
            outcome: CacheOutcome::Fetched {
                forward: self.forward,
                storing,
            },
        }
    }

    /// The variant that the request selects, as a digest, if the resource is known to have variants.
    pub(crate) fn variant(&self, cache: &Cache) -> Option<u128> {
        let newest = self.stored.as_ref()?.variants().last()?;
        if newest.selecting().is_empty() {
            return None;
        }
        let names: Vec<_> = newest.selecting().names().cloned().collect();
        let order = cache.config.rules.language_order;
        let headers = &self.request.parts.headers;
        Some(Selecting::record(&names, headers, cache.shared.seed(), order).digest())
    }

    /// What marks are about: the resource, or the variant of it that the request selects.
    pub(crate) fn variant_hash(&self, cache: &Cache) -> u64 {
        let variant = self.variant(cache).unwrap_or(0);
        // Both halves of the digest, folded into one.
        self.request.key.hash() ^ variant as u64 ^ (variant >> 64) as u64
    }

    /// Whether `entry` is the stored response that the request selects.
    pub(crate) fn has_selected(&self, entry: &Arc<Entry>) -> bool {
        let selected = self.selected.as_ref();
        selected.is_some_and(|selected| Arc::ptr_eq(selected, entry))
    }
}
