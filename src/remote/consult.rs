//! The second lookup: what the other nodes stored, before the origin is asked.

use std::{sync::Arc, time::Duration};

use http::HeaderName;

use super::{
    parcel::{self, Here, Shown},
    place::Place,
    tier::{Kept, Remote, Seen},
    trust::{Concerns, Mark},
};
use crate::{
    engine::{
        context::RequestContext,
        lookup::{Next, Served, evaluate},
        memory_write,
    },
    entry::Entry,
    key::RequestKey,
    outcome::{ForwardReason, StaleReason},
    state::cache::{Cache, Shared},
    store::{Resource, Stamp},
};

/// What the shared tier is to a request.
#[derive(Debug)]
pub(crate) enum Consulted {
    /// No use: the errand is updated with what it knows now, and goes to the origin.
    Ask,
    Serve(Arc<Entry>, Duration, Served),
    /// There is none, or it did not answer.
    Silent,
}

/// What was found there.
enum Found {
    /// What memory has, which still stands.
    Held(Arc<Entry>),
    /// What memory has not.
    New(Arc<Entry>),
    Nothing,
    Silent,
}

impl Shared {
    /// What other nodes changed so far of what a key stands for: those who asked before a change
    /// and those who ask after it do not fly together.
    pub(crate) fn changes(&self, key: &RequestKey) -> u32 {
        self.remote.as_ref().map_or(0, |remote| {
            remote.trust.changes(Concerns::of(&Place::of(key)))
        })
    }

    /// Whether this node hears of what the others change.
    pub(crate) fn hears(&self) -> bool {
        let remote = self.remote.as_ref();
        remote.is_some_and(|remote| remote.trust.is_told())
    }

    /// Whether `entry` may be used without asking the other nodes for what they did to it.
    pub(crate) fn trusts(&self, entry: &Entry) -> bool {
        match &self.remote {
            None => true,
            Some(remote) => entry.mark().is_some_and(|mark| remote.stands(mark)),
        }
    }
}

impl Cache {
    /// Looks a request up in the shared tier. What is found there is promoted to memory; if it can
    /// be served at once, and memory has nothing older, that is left to
    /// [`promote`](Self::promote).
    pub(crate) async fn consult(&self, errand: &mut RequestContext) -> Consulted {
        let Some(remote) = &self.shared.remote else {
            return Consulted::Silent;
        };
        if !remote.redis.available() {
            return Consulted::Silent;
        }
        let (entry, new) = match self.search(remote, errand).await {
            Found::Silent => return Consulted::Silent,
            Found::Held(entry) => (entry, None),
            Found::New(entry) => (Arc::clone(&entry), Some(entry)),
            Found::Nothing => return Consulted::Ask,
        };
        let now = self.shared.clock.monotonic();
        let resource = Resource::One(Arc::clone(&entry));
        let next = evaluate(self, &errand.request, Some(&resource), now);
        let revalidates = Served::Stale(StaleReason::WhileRevalidate);
        let at_once = matches!(next, Next::Serve(_, served) if served != revalidates);
        // Memory is the best there is when the tier is silent the next time. So nothing is answered
        // before it has that too, if it has something older; if it has nothing, that can wait.
        let behind = at_once && !self.has_something(errand).await;
        if !behind && new.is_some() {
            memory_write::replace_selected(self, errand, new.clone()).await;
        }
        if let Next::Serve(_, served) = next
            && at_once
        {
            errand.promotable = new.filter(|_| behind);
            return Consulted::Serve(entry, now, served);
        }
        match errand.adopt(next) {
            Next::Serve(entry, served) => {
                errand.stored = Some(resource);
                Consulted::Serve(entry, now, served)
            }
            Next::Fetch { .. } => {
                errand.stored = Some(resource);
                Consulted::Ask
            }
            Next::Refuse => Consulted::Ask,
        }
    }

    async fn search(&self, remote: &Remote, errand: &mut RequestContext) -> Found {
        let place = Place::of(&errand.request.key);
        let concerns = Concerns::of(&place);
        let witness = remote.trust.witness(concerns);
        errand.remote_vary.clear();
        if let Some(epoch) = remote.fences.concern(place.resource()) {
            // What is stored now is stored after this invalidation, which is there by then.
            errand.observed = place
                .partition_of
                .is_none()
                .then(|| Seen::fenced(epoch, witness));
            refute(errand);
            return Found::Nothing;
        }
        let order = self.config.rules.language_order;
        if let Some(entry) = errand.selected.clone()
            && let Some(mark) = entry.mark()
        {
            let seen = Seen::of(mark, witness);
            if remote.stands(mark) {
                errand.observed = Some(seen);
                return Found::Held(entry);
            }
            let mut shown = Shown::new(&errand.request.parts.headers, order);
            match remote.keeps(&place, mark, &mut shown).await {
                Ok(true) => {
                    mark.confirm(witness);
                    errand.observed = Some(seen);
                    return Found::Held(entry);
                }
                Ok(false) => {}
                Err(error) => return silent(remote, &error),
            }
        }
        let request = &errand.request.parts.headers;
        let mut shown = Shown::new(request, order);
        let sight = match remote.find(&place, &mut shown).await {
            Ok(sight) => sight,
            Err(error) => return silent(remote, &error),
        };
        errand.observed = Some(Seen {
            witness,
            ..sight.seen
        });
        if sight.seen.epoch != 0 {
            let mark = errand.selected.as_ref().and_then(|entry| entry.mark());
            if mark.is_some_and(|mark| mark.stamp().epoch != sight.seen.epoch) {
                refute(errand);
            }
        }
        let (parcel, version) = match sight.kept {
            Kept::Entry { parcel, version } => (parcel, version),
            Kept::Fence => {
                refute(errand);
                return Found::Nothing;
            }
            Kept::Others(names) => {
                let names = names.iter().map(|name| HeaderName::from_bytes(name));
                errand.remote_vary = names.flatten().collect();
                errand.forward = ForwardReason::VaryMiss;
                remote.metrics().misses.increment(1);
                return Found::Nothing;
            }
            Kept::Nothing => {
                remote.metrics().misses.increment(1);
                return Found::Nothing;
            }
        };
        let here = Here {
            clock: &*self.shared.clock,
            generation: errand.generation,
            order,
            request,
            seed: self.shared.seed(),
        };
        let Some(entry) = parcel::unpack(&parcel, &here, &self.shared.names) else {
            remote.metrics().misses.increment(1);
            return Found::Nothing;
        };
        remote.metrics().hits.increment(1);
        let stamp = Stamp {
            epoch: sight.seen.epoch,
            version,
        };
        let variant = parcel::variant_of(&parcel.selecting);
        let mark = Mark::new(concerns, stamp, variant, witness);
        Found::New(Arc::new(entry.marked(Some(mark))))
    }

    async fn has_something(&self, errand: &RequestContext) -> bool {
        let lookup = self.shared.store.get(errand.request.key.as_ref());
        !matches!(lookup.await, Ok(None))
    }

    /// Puts into memory what was found for an errand and answers it: behind the answer, which does
    /// not wait for it.
    pub(crate) async fn promote(&self, errand: &mut RequestContext) {
        if let Some(entry) = errand.promotable.take() {
            memory_write::replace_selected(self, errand, Some(entry)).await;
        }
    }
}

/// What was invalidated may still be validated, but never be served in the meantime.
fn refute(errand: &RequestContext) {
    if let Some(mark) = errand.selected.as_ref().and_then(|entry| entry.mark()) {
        mark.refute();
    }
}

fn silent(remote: &Remote, error: &crate::error::StoreError) -> Found {
    remote.metrics().errors.increment(1);
    tracing::debug!(%error, "the shared tier did not answer");
    Found::Silent
}
