//! One fetch among all nodes: waiting for this node's turn, or for what another node fetches.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::lookup::{self, RemoteLookup};
use crate::{
    engine::{
        context::RequestContext,
        hit_for_miss,
        lookup::{Served, StoredAnswer},
    },
    remote::{Lease, LeaseNote, LeaseOutcome, Remote, RemoteKey, SelectingHeaders, variant_id},
    semantics::{classify::Requester, freshness::Reuse},
    spans::{self, Among},
    state::{cache::Cache, flights::FlightOutcome},
};

/// The pause before a node that waits looks again by itself, in case a notification was missed:
/// this long, and up to as much again at random. It doubles with every look while there are
/// notifications.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// What a node that wants to fetch does next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It fetches. The context has the lease, if there is one.
    Fetch,
    /// It serves what another node fetched.
    Serve(StoredAnswer),
    /// It waits: another node is fetching.
    Wait,
}

impl Turn {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Serve(..) => "shared",
            Self::Wait => "wait",
        }
    }
}

/// Waits until this node may fetch what the [lookup](lookup::find) did not find, or until another
/// node has fetched it.
pub(crate) async fn acquire_or_wait(cache: &Cache, context: &mut RequestContext) -> Turn {
    let Some(remote) = cache.shared.remote.clone() else {
        return Turn::Fetch;
    };
    let span = spans::collapse(Among::Nodes);
    let waiting = wait_for_turn(cache, &remote, context);
    let turn = waiting.instrument(span.clone()).await;
    span.record("ended", turn.as_str());
    turn
}

async fn wait_for_turn(cache: &Cache, remote: &Arc<Remote>, context: &mut RequestContext) -> Turn {
    let own = context.deadline.instant();
    let deadline = own.min(Instant::now() + cache.config.wait_timeout);
    let key = RemoteKey::of(&context.request.key);
    let mut pause = FIRST_PAUSE;
    loop {
        let subscription = remote.subscribe(&key);
        let mut changed = pin!(subscription.changed());
        // From here on no change is missed, so the end of a lease that is held now is noticed.
        changed.as_mut().enable();
        match acquire(cache, remote, context).await {
            Turn::Wait if Instant::now() < deadline => {}
            Turn::Wait => return Turn::Fetch,
            turn => return turn,
        }
        // Notified or not, it looks again.
        let patience = pause + pause.mul_f64(cache.shared.random.fraction());
        let _ = timeout_at(deadline.min(Instant::now() + patience), changed).await;
        if let Some(found) = filled_by_peer(cache, context).await {
            return Turn::Serve(found);
        }
        if remote.tracker.is_connected() {
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}

/// Like [`acquire_or_wait`], but returns [`Turn::Wait`] at once if another node is fetching.
pub(crate) async fn try_acquire(cache: &Cache, context: &mut RequestContext) -> Turn {
    let Some(remote) = &cache.shared.remote else {
        return Turn::Fetch;
    };
    if let Some(found) = filled_by_peer(cache, context).await {
        return Turn::Serve(found);
    }
    acquire(cache, remote, context).await
}

/// What another node has fetched by now, if it is fresh.
async fn filled_by_peer(cache: &Cache, context: &mut RequestContext) -> Option<StoredAnswer> {
    let found = lookup::find(cache, context).await;
    lookup::promote(cache, context).await;
    match found {
        RemoteLookup::Hit(found)
            if found.served == Served::Fresh && !context.has_selected(&found.entry) =>
        {
            Some(found)
        }
        RemoteLookup::Hit(..) | RemoteLookup::Miss | RemoteLookup::Unavailable => None,
    }
}

/// Acquires the lease to fetch, unless another node holds it.
async fn acquire(cache: &Cache, remote: &Arc<Remote>, context: &mut RequestContext) -> Turn {
    // A response is written only in place of an observed version. Without one it will not be
    // shared, so other nodes would wait in vain.
    if context.observed.is_none() {
        return Turn::Fetch;
    }
    // A response that must be validated before each use is of no use to other nodes.
    let directives = &context.request.directives;
    let validates = context
        .selected
        .as_ref()
        .is_some_and(|it| it.freshness().reuse == Reuse::Validate);
    if directives.no_cache || directives.max_age == Some(0) || validates {
        return Turn::Fetch;
    }
    let name = lease_name(cache, remote, context);
    let (tasks, executor) = (&cache.shared.tasks, &*cache.config.executor);
    match Lease::acquire(remote, name, tasks, executor).await {
        LeaseOutcome::Acquired(lease) => context.lease = Some(lease),
        LeaseOutcome::Held => return Turn::Wait,
        LeaseOutcome::Noted(LeaseNote::Uncacheable) => {
            hit_for_miss::remember_uncacheable(cache, context);
            return Turn::Fetch;
        }
        LeaseOutcome::Noted(LeaseNote::FetchAlone) | LeaseOutcome::Unavailable => {
            return Turn::Fetch;
        }
    }
    // The last holder may have stored its response and released the lease since the lookup.
    match filled_by_peer(cache, context).await {
        Some(found) => {
            context.lease = None;
            Turn::Serve(found)
        }
        None => Turn::Fetch,
    }
}

/// The name of the lease to fetch what the request selects. If the resource is known to vary, it is
/// the lease of one variant.
fn lease_name(cache: &Cache, remote: &Remote, context: &RequestContext) -> String {
    let newest = context
        .stored
        .as_ref()
        .and_then(|stored| stored.variants().last());
    let order = cache.config.rules.language_order;
    let mut request = SelectingHeaders::new(&context.request.parts.headers, order);
    let selectors = match newest {
        _ if !context.remote_vary.is_empty() => request.selectors(&context.remote_vary),
        Some(newest) => request.selectors(newest.selecting().names()),
        None => Vec::new(),
    };
    let epoch = context.observed.map_or(0, |observed| observed.epoch);
    let key = RemoteKey::of(&context.request.key);
    remote.lease_name(&key, epoch, variant_id(&selectors))
}

/// Tells the nodes that wait for this one's fetch, as soon as it is known that they cannot use its
/// response.
pub(crate) fn notify_waiting_nodes(
    cache: &Cache,
    context: &RequestContext,
    outcome: &FlightOutcome,
) {
    let (Some(lease), Some(remote)) = (&context.lease, &cache.shared.remote) else {
        return;
    };
    let most = remote.limits().max_value_bytes as u64;
    match outcome {
        // Because of the response, not only because of the request.
        _ if hit_for_miss::is_uncacheable(cache, context) => {
            lease.post(match context.request.requester() {
                Requester::Plain => LeaseNote::Uncacheable,
                // Plain requests may well share theirs.
                Requester::Personal | Requester::Private => LeaseNote::FetchAlone,
            });
        }
        FlightOutcome::Streaming(it) if it.fill.declared().is_some_and(|it| it > most) => {
            lease.post(LeaseNote::FetchAlone);
        }
        FlightOutcome::Streaming(_)
        | FlightOutcome::Stored(..)
        | FlightOutcome::Failed(_)
        | FlightOutcome::FromPeer(..)
        | FlightOutcome::Private(_) => {}
    }
}
