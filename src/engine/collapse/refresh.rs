//! Answers from what is stored, and what comes behind them: the store in memory, or a refresh.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use http::Response;
use http_body::Body;
use tokio::sync::OwnedSemaphorePermit;

use super::join::{self, is_private};
use crate::{
    body::CacheBody,
    engine::{
        context::{Errand, Road, Timing},
        fetch::{fetch, fetched::Permit, storing},
        lookup::{Served, serve},
        stale,
    },
    entry::Entry,
    extensions::Priority,
    flight::Leader,
    inner::CacheableService,
    outcome::StaleReason,
    remote::Turn,
    state::{
        cache::Cache,
        flights::{Failure, FlightKey, Flown},
    },
};

/// For how long nobody looks whether another node is still refreshing, or the breaker still open.
const MOMENT: Duration = Duration::from_secs(1);

/// The answer from what memory or another node has. What is left to do comes behind it, for
/// those who join the flight too: it is put into memory, or refreshed if it is time for that.
pub(crate) fn found<S, Q>(
    handler: Road<S>,
    mut errand: Box<Errand>,
    leader: Option<Leader<FlightKey, Flown>>,
    entry: &Arc<Entry>,
    now: Duration,
    served: Served,
) -> Response<CacheBody<S::Body>>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let answer = serve(&handler.cache, &errand.asked, entry, now, served);
    let revalidates = served == Served::Stale(StaleReason::WhileRevalidate);
    if revalidates || errand.timing == Timing::Early {
        // Those who joined have the same to serve, in memory.
        drop(leader);
        refresh::<S, Q>(handler, errand);
    } else if errand.found.is_some() {
        let cache = handler.cache;
        let shared = Arc::clone(&cache.shared);
        let executor = Arc::clone(&cache.config.executor);
        shared.tasks.spawn(&*executor, async move {
            cache.promote(&mut errand).await;
            drop(leader);
        });
    }
    answer
}

/// Refreshes a stored response in the background, unless that is being done, failed a moment
/// ago, or too much is under way already.
fn refresh<S, Q>(handler: Road<S>, mut errand: Box<Errand>)
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let Some(permit) = refresh_permit(&handler.cache, &errand) else {
        return;
    };
    let key = join::flight_key(&handler.cache, &errand);
    let Some(mut leader) = handler.cache.shared.flights.lead(key) else {
        return;
    };
    let shared = Arc::clone(&handler.cache.shared);
    let hash = errand.asked.key.hash();
    errand.asked.parts.extensions.insert(Priority::Background);
    let executor = Arc::clone(&handler.cache.config.executor);
    shared.tasks.spawn(&*executor, async move {
        // The refresh before may have landed and stored between this request's lookup and now.
        if join::look_again(&handler.cache, &leader, &errand)
            .await
            .is_some()
        {
            return;
        }
        match handler.cache.turn_now(&mut errand).await {
            Turn::Fetch => {}
            Turn::Serve(entry, _) => {
                leader.land(Flown::Found(entry));
                return;
            }
            // Another node refreshes it, for this one too.
            Turn::Wait => return hold_back(&handler.cache, hash),
        }
        leader.set_out();
        let Road { cache, inner } = handler;
        let fetching = fetch::fetch(&cache, inner, &errand, Q::default(), Permit::OfFlight);
        let fetched = AssertUnwindSafe(Box::pin(fetching)).catch_unwind().await;
        match fetched.as_ref().map(|fetched| &fetched.flown) {
            Ok(Flown::Failed(Failure::Open(_))) => hold_back(&cache, hash),
            Ok(Flown::Failed(failure)) => stale::pause_after(&cache, *failure, &errand),
            Err(_) => stale::pause_after(&cache, Failure::Error, &errand),
            Ok(_) => {}
        }
        let fetched = fetched.unwrap_or_else(|panic| resume_unwind(panic));
        leader.land(fetched.flown);
        // Nobody reads this answer, which is fetched to be stored.
        drop(fetched.answer);
        if let Some(recording) = fetched.recording {
            let limits = cache.config.fill.going_on();
            storing::record(&cache, &errand, recording, &limits).await;
        }
        drop((leader, permit));
    });
}

/// For a moment, nobody tries to refresh this key.
fn hold_back(cache: &Cache, hash: u64) {
    let Cache { shared, config } = cache;
    let span = config.refresh_pause.min(MOMENT);
    shared.held_back.set(hash, shared.clock.monotonic(), span);
}

/// The permit to refresh a response in the background, unless its answer would not be stored,
/// it failed a moment ago, or too much is under way already.
fn refresh_permit(cache: &Cache, errand: &Errand) -> Option<OwnedSemaphorePermit> {
    let shared = &cache.shared;
    let now = shared.clock.monotonic();
    // The next request for all will do better.
    let unfit = errand.asked.is_head() || is_private(errand);
    let paused = errand.selected.as_ref().is_some_and(|entry| {
        let hash = errand.asked.pause_hash(entry);
        shared.paused.contains(hash, now)
    });
    if unfit || paused || shared.held_back.contains(errand.asked.key.hash(), now) {
        return None;
    }
    Arc::clone(&shared.refreshes).try_acquire_owned().ok()
}
