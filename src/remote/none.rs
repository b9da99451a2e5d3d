//! No tier that nodes share: what the rest of the crate sees when it was built without a client for
//! one.

use std::{sync::Arc, time::Duration};

use crate::{
    engine::{context::RequestContext, lookup::Served},
    entry::Entry,
    key::RequestKey,
    semantics::vary::Selecting,
    state::{
        cache::{Cache, Shared},
        flights::FlightOutcome,
    },
};

/// There is none.
#[derive(Debug)]
pub(crate) enum Remote {}

/// Nothing is ever marked.
#[derive(Debug)]
pub(crate) enum Mark {}

impl Mark {
    pub(crate) fn is_refuted(&self) -> bool {
        match *self {}
    }
}

/// Nothing is ever seen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {}

/// There is nobody to keep from fetching.
#[derive(Debug)]
pub(crate) enum Lease {}

/// What the tier is to a request.
#[derive(Debug)]
#[expect(dead_code, reason = "only a tier does more than stay silent")]
pub(crate) enum Consulted {
    Ask,
    Serve(Arc<Entry>, Duration, Served),
    Silent,
}

/// What a node that wants to fetch does next.
#[derive(Debug)]
#[expect(dead_code, reason = "only with others is there anything to wait for")]
pub(crate) enum Turn {
    Fetch,
    Serve(Arc<Entry>, Duration),
    Wait,
}

impl Shared {
    #[expect(clippy::unused_self, reason = "with a tier it matters")]
    pub(crate) fn changes(&self, _: &RequestKey) -> u32 {
        0
    }

    #[expect(clippy::unused_self, reason = "with a tier it matters")]
    pub(crate) fn hears(&self) -> bool {
        false
    }

    pub(crate) fn trusts(&self, entry: &Entry) -> bool {
        match (&self.remote, entry.mark()) {
            (Some(remote), _) => match **remote {},
            (None, Some(mark)) => match *mark {},
            (None, None) => true,
        }
    }
}

#[expect(
    clippy::unused_async,
    clippy::unused_self,
    reason = "with a tier it matters"
)]
impl Cache {
    pub(crate) async fn consult(&self, _: &mut RequestContext) -> Consulted {
        Consulted::Silent
    }

    pub(crate) async fn promote(&self, _: &mut RequestContext) {}

    pub(crate) async fn turn(&self, _: &mut RequestContext) -> Turn {
        Turn::Fetch
    }

    pub(crate) async fn turn_now(&self, _: &mut RequestContext) -> Turn {
        Turn::Fetch
    }

    pub(crate) fn announce(&self, errand: &RequestContext, _: &FlightOutcome) {
        if let Some(lease) = &errand.lease {
            match **lease {}
        }
    }

    pub(crate) fn mark(&self, _: &RequestContext, _: &Selecting) -> Option<Mark> {
        None
    }

    pub(crate) fn publish(&self, errand: &RequestContext, _: &Arc<Entry>) {
        if let Some(seen) = errand.observed {
            match seen {}
        }
    }

    pub(crate) fn withdraw(&self, _: &RequestContext) {}

    pub(crate) fn invalidate_remote(&self, _: &RequestKey) {}
}
