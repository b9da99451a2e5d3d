//! One fetch among all nodes: waiting for this node's turn, or for what another node fetches.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    consult::Consulted,
    lease::{Lease, LeaseNote, LeaseOutcome},
    location::RemoteKey,
    remote::Remote,
    selecting::{SelectingHeaders, variant_id},
};
use crate::{
    engine::{context::RequestContext, hit_for_miss, lookup::Served},
    entry::Entry,
    semantics::freshness::Reuse,
    state::{cache::Cache, flights::FlightOutcome},
};

/// The pause before a node that waits looks again by itself, in case a notification was missed: this
/// long, and up to as much again at random. It doubles with every look while there are notifications.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// What a node that wants to fetch does next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It fetches. The errand has the lease, if there is one.
    Fetch,
    /// It serves what another node fetched.
    Serve(Arc<Entry>, Duration),
    /// It waits: another node is fetching.
    Wait,
}

impl Cache {
    /// Waits until this node may fetch what was [not found](Self::consult), or until another node
    /// has fetched it.
    pub(crate) async fn turn(&self, errand: &mut RequestContext) -> Turn {
        let Some(remote) = self.shared.remote.clone() else {
            return Turn::Fetch;
        };
        let deadline = Instant::now() + self.config.wait_timeout;
        let key = RemoteKey::of(&errand.request.key);
        let mut pause = FIRST_PAUSE;
        loop {
            let subscription = remote.subscribe(&key);
            let mut changed = pin!(subscription.changed());
            // From here on no change is missed, so the end of a lease that is held now is noticed.
            changed.as_mut().enable();
            match self.take_turn(&remote, errand).await {
                Turn::Wait if Instant::now() < deadline => {}
                Turn::Wait => return Turn::Fetch,
                turn => return turn,
            }
            // Notified or not, it looks again.
            let patience = pause + pause.mul_f64(remote.jitter());
            let _ = timeout_at(deadline.min(Instant::now() + patience), changed).await;
            if let Some((entry, now)) = self.brought(errand).await {
                return Turn::Serve(entry, now);
            }
            if remote.tracker.is_connected() {
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }

    /// The same without waiting.
    pub(crate) async fn turn_now(&self, errand: &mut RequestContext) -> Turn {
        let Some(remote) = &self.shared.remote else {
            return Turn::Fetch;
        };
        if let Some((entry, now)) = self.brought(errand).await {
            return Turn::Serve(entry, now);
        }
        self.take_turn(remote, errand).await
    }

    /// What another node has fetched by now, if it is fresh.
    async fn brought(&self, errand: &mut RequestContext) -> Option<(Arc<Entry>, Duration)> {
        let consulted = self.consult(errand).await;
        self.promote(errand).await;
        match consulted {
            Consulted::Serve(entry, now, Served::Fresh) if !errand.has_selected(&entry) => {
                Some((entry, now))
            }
            Consulted::Serve(..) | Consulted::Ask | Consulted::Silent => None,
        }
    }

    /// Acquires the lease to fetch, unless another node holds it.
    async fn take_turn(&self, remote: &Arc<Remote>, errand: &mut RequestContext) -> Turn {
        // A response is written only in place of an observed version. Without one it will not be
        // shared, so other nodes would wait in vain.
        if errand.observed.is_none() {
            return Turn::Fetch;
        }
        // A response that must be validated before each use is of no use to other nodes.
        let asked = &errand.request.directives;
        let validates = errand
            .selected
            .as_ref()
            .is_some_and(|it| it.freshness().reuse == Reuse::Validate);
        if asked.no_cache || asked.max_age == Some(0) || validates {
            return Turn::Fetch;
        }
        let name = self.lease_name(remote, errand);
        let (tasks, executor) = (&self.shared.tasks, &*self.config.executor);
        match Lease::acquire(remote, name, tasks, executor).await {
            LeaseOutcome::Acquired(lease) => errand.lease = Some(lease),
            LeaseOutcome::Held => return Turn::Wait,
            LeaseOutcome::Noted(LeaseNote::Uncacheable) => {
                hit_for_miss::remember_uncacheable(self, errand);
                return Turn::Fetch;
            }
            LeaseOutcome::Noted(LeaseNote::FetchAlone) | LeaseOutcome::Unavailable => {
                return Turn::Fetch;
            }
        }
        // The last holder may have stored its response and released the lease since the lookup.
        match self.brought(errand).await {
            Some((entry, now)) => {
                errand.lease = None;
                Turn::Serve(entry, now)
            }
            None => Turn::Fetch,
        }
    }

    /// The name of the lease to fetch what the request selects. If the resource is known to vary, it
    /// is the lease of one variant.
    fn lease_name(&self, remote: &Remote, errand: &RequestContext) -> String {
        let newest = errand
            .stored
            .as_ref()
            .and_then(|stored| stored.variants().last());
        let order = self.config.rules.language_order;
        let mut request = SelectingHeaders::new(&errand.request.parts.headers, order);
        let selectors = match newest {
            _ if !errand.remote_vary.is_empty() => request.selectors(&errand.remote_vary),
            Some(newest) => request.selectors(newest.selecting().names()),
            None => Vec::new(),
        };
        let epoch = errand.observed.map_or(0, |observed| observed.epoch);
        let key = RemoteKey::of(&errand.request.key);
        remote.lease_name(&key, epoch, variant_id(&selectors))
    }

    /// Tells the nodes that wait for this one's fetch, as soon as it is known that they cannot use
    /// its response.
    pub(crate) fn announce(&self, errand: &RequestContext, flown: &FlightOutcome) {
        let (Some(lease), Some(remote)) = (&errand.lease, &self.shared.remote) else {
            return;
        };
        let most = remote.limits().max_value_bytes as u64;
        match flown {
            // Because of the response, not only because of the request.
            _ if hit_for_miss::is_uncacheable(self, errand) => lease.post(LeaseNote::Uncacheable),
            FlightOutcome::Streaming(it) if it.fill.declared().is_some_and(|it| it > most) => {
                lease.post(LeaseNote::FetchAlone);
            }
            FlightOutcome::Streaming(_)
            | FlightOutcome::Stored(_)
            | FlightOutcome::Failed(_)
            | FlightOutcome::FromPeer(_)
            | FlightOutcome::Private => {}
        }
    }
}
