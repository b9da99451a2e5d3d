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

use crate::{
    body::CacheBody,
    entry::Entry,
    fetch::{Errand, Permit, Timing},
    flight::Leader,
    flown::{Failure, FlightKey, Flown},
    layer::Cache,
    priority::Priority,
    remote::Turn,
    serve::{Road, Served, serve},
    service::CacheableService,
    status::StaleReason,
};

/// For how long nobody looks whether another node is still refreshing, or the breaker still open.
const MOMENT: Duration = Duration::from_secs(1);

impl<S> Road<S> {
    /// The answer from what memory or another node has. What is left to do comes behind it, for
    /// those who join the flight too: it is put into memory, or refreshed if it is time for that.
    pub(crate) fn found<Q>(
        self,
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
        let answer = serve(&self.cache, &errand.asked, entry, now, served);
        let revalidates = served == Served::Stale(StaleReason::WhileRevalidate);
        if revalidates || errand.timing == Timing::Early {
            // Those who joined have the same to serve, in memory.
            drop(leader);
            self.refresh::<Q>(errand);
        } else if errand.found.is_some() {
            let cache = self.cache;
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
    fn refresh<Q>(self, mut errand: Box<Errand>)
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        let Some(permit) = self.cache.refresh_permit(&errand) else {
            return;
        };
        let key = self.cache.flight_key(&errand);
        let Some(mut leader) = self.cache.shared.flights.lead(key) else {
            return;
        };
        let shared = Arc::clone(&self.cache.shared);
        let hash = errand.asked.key.hash();
        errand.asked.parts.extensions.insert(Priority::Background);
        let executor = Arc::clone(&self.cache.config.executor);
        shared.tasks.spawn(&*executor, async move {
            // The refresh before may have landed and stored between this request's lookup and now.
            if self.cache.look_again(&leader, &errand).await.is_some() {
                return;
            }
            match self.cache.turn_now(&mut errand).await {
                Turn::Fetch => {}
                Turn::Serve(entry, _) => {
                    leader.land(Flown::Found(entry));
                    return;
                }
                // Another node refreshes it, for this one too.
                Turn::Wait => return self.cache.hold_back(hash),
            }
            leader.set_out();
            let Self { cache, inner } = self;
            let fetching = cache.fetch(inner, &errand, Q::default(), Permit::OfFlight);
            let fetched = AssertUnwindSafe(Box::pin(fetching)).catch_unwind().await;
            match fetched.as_ref().map(|fetched| &fetched.flown) {
                Ok(Flown::Failed(Failure::Open(_))) => cache.hold_back(hash),
                Ok(Flown::Failed(failure)) => cache.pause_after(*failure, &errand),
                Err(_) => cache.pause_after(Failure::Error, &errand),
                Ok(_) => {}
            }
            let fetched = fetched.unwrap_or_else(|panic| resume_unwind(panic));
            leader.land(fetched.flown);
            // Nobody reads this answer, which is fetched to be stored.
            drop(fetched.answer);
            if let Some(recording) = fetched.recording {
                let limits = cache.config.fill.going_on();
                cache.record(&errand, recording, &limits).await;
            }
            drop((leader, permit));
        });
    }
}

impl Cache {
    /// For a moment, nobody tries to refresh this key.
    fn hold_back(&self, hash: u64) {
        let Cache { shared, config } = self;
        let span = config.refresh_pause.min(MOMENT);
        shared.held_back.set(hash, shared.clock.monotonic(), span);
    }

    /// The permit to refresh a response in the background, unless its answer would not be stored,
    /// it failed a moment ago, or too much is under way already.
    fn refresh_permit(&self, errand: &Errand) -> Option<OwnedSemaphorePermit> {
        let shared = &self.shared;
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
}

/// Whether the answer to a request is its own, because of what it carries or asks for.
pub(super) fn is_private(errand: &Errand) -> bool {
    errand.asked.facts.credentials() || errand.asked.directives.no_store
}
