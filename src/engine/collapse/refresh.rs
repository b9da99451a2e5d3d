//! Answers from a stored response, and the work that follows the answer: promotion to memory, or a
//! refresh in the background.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use http::{Method, Response, StatusCode};
use http_body::Body;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::join::{self};
use crate::{
    body::CacheBody,
    engine::{
        context::{Handler, RequestContext},
        deadline::Deadline,
        fetch::{failure, fetch, fetched::Permit, storing},
        hit_for_miss,
        lookup::{Served, StoredAnswer, Trigger},
        nesting,
        peers::{self, turn::Turn},
        stale,
    },
    extensions::Priority,
    flight::Leader,
    inner::CacheableService,
    outcome::StaleReason,
    semantics::classify::Requester,
    state::{
        cache::Cache,
        flights::{Failure, FlightKey, FlightOutcome},
    },
};

/// How long a key's refresh is not tried again while another node refreshes it, or while the
/// circuit breaker is open.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The answer from a response that memory or the shared tier holds. The work that follows does not
/// delay it: a response from the shared tier is written to memory, one that is due is refreshed.
pub(crate) fn answer_and_follow_up<S, Q>(
    handler: Handler<S>,
    mut context: Box<RequestContext>,
    leader: Option<Leader<FlightKey, FlightOutcome>>,
    found: &StoredAnswer,
) -> Response<CacheBody<S::Body>>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let answer = found.serve(&handler.cache, &context.request);
    let revalidates = found.served == Served::Stale(StaleReason::WhileRevalidate);
    if revalidates || context.trigger == Trigger::EarlyRefresh {
        // The waiters find the same response in memory.
        drop(leader);
        refresh::<S, Q>(handler, context);
    } else if context.promotable.is_some() {
        let cache = handler.cache;
        let shared = Arc::clone(&cache.shared);
        let executor = Arc::clone(&cache.config.executor);
        let outside = context.spans.outside();
        shared.tasks.spawn_in(outside, &*executor, async move {
            peers::lookup::promote(&cache, &mut context).await;
            drop(leader);
        });
    }
    answer
}

/// Refreshes a stored response in the background, unless a refresh is in progress, failed a moment
/// ago, or the bound on background work is reached.
fn refresh<S, Q>(handler: Handler<S>, mut context: Box<RequestContext>)
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let Some(permit) = refresh_permit(&handler.cache, &context) else {
        return;
    };
    // A HEAD that was answered from the store has it refreshed like a GET.
    if context.request.is_head() {
        context.request.parts.method = Method::GET;
    }
    let key = join::flight_key(&handler.cache, &context);
    let Some(mut leader) = handler.cache.shared.flights.lead(key) else {
        return;
    };
    join::announce(&leader, &context);
    let shared = Arc::clone(&handler.cache.shared);
    let hash = context.request.key.hash();
    context
        .request
        .parts
        .extensions
        .insert(Priority::Background);
    nesting::detach(&mut context.request);
    let executor = Arc::clone(&handler.cache.config.executor);
    let outside = context.spans.outside();
    let span = context.spans.refresh();
    let work = async move {
        // The refresh before this one may have stored a response since this request's lookup.
        if join::recheck_as_leader(&handler.cache, &leader, &context)
            .await
            .is_some()
        {
            return;
        }
        match peers::turn::try_acquire(&handler.cache, &mut context).await {
            Turn::Fetch => {}
            Turn::Serve(found) => {
                leader.complete(FlightOutcome::FromPeer(found.entry, found.tier));
                return;
            }
            // Another node refreshes it, for this node too.
            Turn::Wait => return pause_refreshes(&handler.cache, hash),
        }
        leader.start();
        let Handler { cache, inner } = handler;
        // The request that caused it has its answer.
        context.deadline = Deadline::after(cache.config.origin_timeout);
        context.fetch_begins(&cache);
        let body = context.request.new_body(&cache);
        let fetching = fetch::fetch(&cache, inner, &context, body, Permit::OfFlight);
        let fetched = AssertUnwindSafe(Box::pin(fetching)).catch_unwind().await;
        let fetched = fetched.unwrap_or_else(|panic| {
            stale::pause_after(&cache, Failure::Error, &context);
            resume_unwind(panic)
        });
        match fetched.outcome {
            FlightOutcome::Failed(Failure::Open(_)) => pause_refreshes(&cache, hash),
            FlightOutcome::Failed(failure) => stale::pause_after(&cache, failure, &context),
            FlightOutcome::Private(requester) => {
                pause_unstored(&cache, &context, requester, &fetched.answer);
            }
            FlightOutcome::Stored(..)
            | FlightOutcome::FromPeer(..)
            | FlightOutcome::Streaming(_) => {}
        }
        leader.complete(fetched.outcome);
        // No client reads this answer: it was fetched to be stored.
        drop(fetched.answer);
        if let Some(recording) = fetched.recording {
            let limits = cache.config.fill.without_discarding();
            let failed = storing::record(&cache, &context, recording, &limits).await;
            if failed.is_some() {
                stale::pause_after(&cache, Failure::Error, &context);
            }
        }
        drop((leader, permit));
    };
    shared
        .tasks
        .spawn_in(outside, &*executor, work.instrument(span));
}

/// Pauses refreshes after one whose response was not stored: the next would bring the same. After 429
/// (RFC 6585) to what everybody asks for, the origin wants no calls for it at all.
fn pause_unstored<B, E>(
    cache: &Cache,
    context: &RequestContext,
    requester: Requester,
    answer: &Result<Response<CacheBody<B>>, E>,
) {
    if let Ok(answer) = answer
        && answer.status() == StatusCode::TOO_MANY_REQUESTS
        && requester == Requester::Plain
    {
        stale::pause_after(cache, failure::by_status(cache, answer), context);
    }
    hit_for_miss::pause_refreshes(cache, context);
}

/// Pauses refreshes of this key for a moment.
fn pause_refreshes(cache: &Cache, hash: u64) {
    let Cache { shared, config } = cache;
    let span = config.refresh_pause.min(RETRY_PAUSE);
    shared
        .refresh_backoff
        .insert(hash, shared.clock.monotonic(), span);
}

/// The permit for a refresh in the background. None if the response would not be stored, if a
/// refresh failed a moment ago, or if the bound on background work is reached.
fn refresh_permit(cache: &Cache, context: &RequestContext) -> Option<OwnedSemaphorePermit> {
    let shared = &cache.shared;
    let now = shared.clock.monotonic();
    // The next request whose response can be shared will refresh it.
    let unfit = context.request.requester() == Requester::Private;
    let selected = context.selected.as_ref();
    let paused = selected.is_some_and(|entry| context.request.is_paused(cache, entry, now));
    if unfit || paused || hit_for_miss::refreshes_are_paused(cache, context) {
        return None;
    }
    Arc::clone(&shared.refreshes).try_acquire_owned().ok()
}
