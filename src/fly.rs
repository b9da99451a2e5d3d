//! Who asks the origin: one for all who want the same, or each alone.
//!
//! Why share at all? When a popular response expires, everybody who wants it finds nothing, and
//! without this everybody's request would reach the origin at the worst moment. Why not always?
//! Waiting pays only if the answer can be shared. Requests whose answer is their own (credentials,
//! `no-store`, a range of something not stored) go alone, and so does everyone for a while after an
//! answer turned out to be for one client only: nobody queues behind a response that will not do.
//!
//! The exchange runs in a task of its own. The client that caused it reads the answer like those
//! who wait for it, so its going away hurts nobody. What other nodes may have is asked for before
//! that, without a task: if the client goes away then, the next one asks.

mod share;
mod wait;

use std::{
    any::Any,
    future::pending,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use http::{Response, StatusCode};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use self::{
    share::Share,
    wait::{InTime, Waited},
};
use crate::{
    body::CacheBody,
    entry::Entry,
    fetch::{Errand, Exchanged, Permit, Timing},
    fill::{Limits, OnAbandoned},
    flight::{Joined, Leader},
    flown::{Failure, FlightKey, Flown},
    layer::Cache,
    priority::Priority,
    remote::{Consulted, Turn},
    respond,
    semantics::vary::Selecting,
    serve::{Next, Road, Served, look, serve},
    service::Inner,
    status::{Generated, StaleReason},
};

/// How often a request may change flights, as it learns which variant it wants.
const MAX_FLIGHTS: usize = 4;

/// For how long nobody looks whether another node is still refreshing.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// What a request may do in a flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// Ask for everyone, or wait.
    Any,
    /// Share what has arrived, but not wait for what may be somebody else's.
    Late,
}

/// How the task of a flight ended, for the request that began it.
enum Led<B, E> {
    Answer(Result<Response<CacheBody<B>>, E>),
    Panicked(Box<dyn Any + Send>),
}

impl<S> Road<S> {
    /// Gets an answer from the origin, by this request or by another for the same.
    pub(crate) async fn fly<Q>(
        self,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        let shared = Arc::clone(&self.cache.shared);
        let began = shared.clock.monotonic();
        let mut key = self.cache.flight_key(&errand);
        if self.cache.part(&errand) == Part::Late {
            if let Some(flown) = shared.flights.landed(&key)
                && let Share::Answer(answer) = self.cache.share(&errand, flown, began)
            {
                return Ok(answer);
            }
            if !self.cache.is_uncacheable(&errand)
                && let Consulted::Serve(entry, now, served) = self.cache.consult(&mut errand).await
            {
                return Ok(self.found::<Q>(errand, None, &entry, now, served));
            }
            return self.alone(errand, body).await;
        }
        for _ in 0..MAX_FLIGHTS {
            let waiter = match shared.flights.join(key.clone()) {
                Joined::Leader(leader) => return self.lead(leader, errand, body).await,
                Joined::Crowded => {
                    return Ok(respond::generated(&self.cache, Generated::Crowded));
                }
                Joined::NoPermit => break,
                Joined::Waiter(waiter) => waiter,
            };
            let (flown, _waiter) = match self.cache.wait(waiter, &key, &errand).await {
                Waited::Answer(answer) => return Ok(answer),
                Waited::Landed(flown, waiter) => (flown, waiter),
                Waited::Lead(leader) => return self.lead(leader, errand, body).await,
            };
            match self.cache.share(&errand, flown, began) {
                Share::Answer(answer) => return Ok(answer),
                Share::OtherVariant(variant) => key.variant = Some(variant),
                Share::Nothing => break,
            }
        }
        self.alone(errand, body).await
    }

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
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        let answer = serve(&self.cache, &errand.asked, entry, now, served);
        let revalidates = served == Served::Stale(StaleReason::WhileRevalidate);
        if revalidates || errand.timing == Timing::Early {
            self.refresh::<Q>(errand, leader);
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
    fn refresh<Q>(self, errand: Box<Errand>, leader: Option<Leader<FlightKey, Flown>>)
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        let shared = &self.cache.shared;
        let Some(permit) = self.cache.refresh_permit(&errand) else {
            return;
        };
        let lead = || shared.flights.lead(self.cache.flight_key(&errand));
        if let Some(leader) = leader.or_else(lead) {
            self.refresh_for(leader, permit, errand);
        }
    }

    /// Refreshes a stored response in the background, for those who join this flight.
    fn refresh_for<Q>(
        self,
        mut leader: Leader<FlightKey, Flown>,
        permit: OwnedSemaphorePermit,
        mut errand: Box<Errand>,
    ) where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
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
                Turn::Wait => {
                    let Cache { shared, config } = &self.cache;
                    let now = shared.clock.monotonic();
                    shared
                        .paused
                        .set(hash, now, config.refresh_pause.min(ELSEWHERE));
                    return;
                }
            }
            leader.set_out();
            let Self { cache, inner } = self;
            let fetching = cache.fetch(inner, &errand, Q::default(), Permit::OfFlight);
            let fetched = AssertUnwindSafe(Box::pin(fetching)).catch_unwind().await;
            match fetched.as_ref().map(|fetched| &fetched.flown) {
                Ok(Flown::Failed(failure)) => cache.pause_after(*failure, &errand),
                Err(_) => cache.pause_after(Failure::Error, &errand),
                Ok(_) => {}
            }
            let fetched = fetched.unwrap_or_else(|panic| resume_unwind(panic));
            leader.land(fetched.flown);
            // Nobody reads this answer, which is fetched to be stored.
            drop(fetched.answer);
            if let Some(recording) = fetched.recording {
                let limits = Limits {
                    on_abandoned: OnAbandoned::Continue,
                    ..cache.config.fill.clone()
                };
                cache.record(&errand, recording, &limits).await;
            }
            drop((leader, permit));
        });
    }

    /// Asks the origin for this request only.
    async fn alone<Q>(
        self,
        errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        if self.cache.is_impatient(&errand)
            && let Ok(permit) = Arc::clone(&self.cache.shared.fills).try_acquire_owned()
        {
            return self.alone_in_time(errand, body, permit).await;
        }
        let fetching = self.cache.fetch(self.inner, &errand, body, Permit::Own);
        let Exchanged {
            answer, recording, ..
        } = Box::pin(fetching).await;
        if let Some(recording) = recording {
            let shared = Arc::clone(&self.cache.shared);
            let executor = Arc::clone(&self.cache.config.executor);
            shared.tasks.spawn(&*executor, async move {
                let limits = &self.cache.config.fill;
                self.cache.record(&errand, recording, limits).await;
            });
        }
        answer
    }

    /// Asks the origin for this request only, and goes on when the client no longer waits for it.
    async fn alone_in_time<Q>(
        self,
        errand: Box<Errand>,
        body: Q,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        let cache = self.cache.clone();
        let instead = errand.clone();
        let (reply, answer) = oneshot::channel();
        cache
            .shared
            .tasks
            .spawn(&*cache.config.executor, async move {
                let _permit = permit;
                let Self { cache, inner } = self;
                let fetching = cache.fetch(inner, &errand, body, Permit::OfFlight);
                match AssertUnwindSafe(Box::pin(fetching)).catch_unwind().await {
                    Ok(fetched) => {
                        let _ = reply.send(Led::Answer(fetched.answer));
                        if let Some(recording) = fetched.recording {
                            let limits = &cache.config.fill;
                            cache.record(&errand, recording, limits).await;
                        }
                    }
                    Err(panic) => drop(reply.send(Led::Panicked(panic))),
                }
            });
        cache.reply(Some(&instead), answer).await
    }

    /// Asks the other nodes, then the origin, for all who want the same.
    async fn lead<Q>(
        self,
        mut leader: Leader<FlightKey, Flown>,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        // The flight before may have landed and stored between this request's lookup and now.
        if let Some((entry, now)) = self.cache.look_again(&leader, &errand).await {
            let leader = Some(leader);
            return Ok(self.found::<Q>(errand, leader, &entry, now, Served::Fresh));
        }
        match self.cache.consult(&mut errand).await {
            Consulted::Serve(entry, now, served) => {
                leader.land(Flown::Found(Arc::clone(&entry)));
                Ok(self.found::<Q>(errand, Some(leader), &entry, now, served))
            }
            Consulted::Ask | Consulted::Silent => {
                leader.set_out();
                // In a box, like all that comes after: what is found needs none of it.
                Box::pin(self.lead_out(leader, errand, body)).await
            }
        }
    }

    /// Asks the origin for all who want the same, in a task of its own.
    async fn lead_out<Q>(
        self,
        leader: Leader<FlightKey, Flown>,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        let instead = self.cache.is_impatient(&errand).then(|| errand.clone());
        let (reply, answer) = oneshot::channel();
        let cache = self.cache.clone();
        let task = async move {
            if let Turn::Serve(entry, now) = self.cache.turn(&mut errand).await {
                leader.land(Flown::Found(Arc::clone(&entry)));
                let answer = serve(&self.cache, &errand.asked, &entry, now, Served::Fresh);
                let _ = reply.send(Led::Answer(Ok(answer)));
                return;
            }
            // In a box, as the task is moved as a whole.
            let fetching = self
                .cache
                .fetch(self.inner, &errand, body, Permit::OfFlight);
            let fetching = AssertUnwindSafe(Box::pin(fetching));
            let fetched = match fetching.catch_unwind().await {
                Ok(fetched) => fetched,
                Err(panic) => {
                    // The waiters first: the client may take its time, or be gone.
                    drop(leader);
                    let _ = reply.send(Led::Panicked(panic));
                    return;
                }
            };
            self.cache.announce(&errand, &fetched.flown);
            leader.land(fetched.flown);
            // A client that went away does not take the answer; the fill goes on without it.
            let _ = reply.send(Led::Answer(fetched.answer));
            if let Some(recording) = fetched.recording {
                // The window does not move on before those who waited have begun to read.
                let beginning = recording.arriving.fill.read(0, None);
                let boarding = async {
                    leader.emptied().await;
                    drop(beginning);
                    pending::<()>().await;
                };
                let limits = &self.cache.config.fill;
                tokio::select! {
                    biased;
                    () = Box::pin(self.cache.record(&errand, recording, limits)) => {}
                    () = boarding => {}
                }
            }
            drop(leader);
        };
        cache.shared.tasks.spawn(&*cache.config.executor, task);
        cache.reply(instead.as_deref(), answer).await
    }
}

impl Cache {
    /// What a task replies, or the stored response if that takes too long and there is one to have
    /// instead.
    async fn reply<B, E>(
        &self,
        instead: Option<&Errand>,
        mut answer: oneshot::Receiver<Led<B, E>>,
    ) -> Result<Response<CacheBody<B>>, E> {
        let answered = match instead {
            Some(errand) => match self.in_time(errand, &mut answer).await {
                InTime::Answered(answered) => answered,
                InTime::Stale(stale) => return Ok(stale),
            },
            None => answer.await,
        };
        match answered {
            Ok(Led::Answer(answer)) => answer,
            Ok(Led::Panicked(panic)) => resume_unwind(panic),
            // The executor dropped the task.
            Err(_) => {
                let failed = Generated::FlightFailed(StatusCode::BAD_GATEWAY);
                Ok(respond::generated(self, failed))
            }
        }
    }

    /// The permit to refresh a response in the background, unless its answer would not be stored,
    /// it failed a moment ago, or too much is under way already.
    fn refresh_permit(&self, errand: &Errand) -> Option<OwnedSemaphorePermit> {
        let shared = &self.shared;
        let now = shared.clock.monotonic();
        // The next request for all will do better.
        let unfit = errand.asked.is_head() || is_private(errand);
        if unfit || shared.paused.contains(errand.asked.key.hash(), now) {
            return None;
        }
        Arc::clone(&shared.refreshes).try_acquire_owned().ok()
    }

    /// Lands a flight that has just begun if what is stored by now is fresh, with that.
    async fn look_again(
        &self,
        leader: &Leader<FlightKey, Flown>,
        errand: &Errand,
    ) -> Option<(Arc<Entry>, Duration)> {
        let shared = &self.shared;
        let stored = shared.store.get(errand.asked.key.as_ref()).await.ok()?;
        let now = shared.clock.monotonic();
        match look(self, &errand.asked, stored.as_ref(), now) {
            Next::Serve(entry, Served::Fresh)
                if shared.trusts(entry) && !errand.has_selected(entry) =>
            {
                leader.land(Flown::Entry(Arc::clone(entry)));
                Some((Arc::clone(entry), now))
            }
            Next::Serve(..) | Next::Ask { .. } | Next::Refresh(_) | Next::Refuse => None,
        }
    }

    /// Requests for a resource that is known to vary fly by variant from the start.
    fn flight_key(&self, errand: &Errand) -> FlightKey {
        let newest = errand.stored.as_ref().and_then(|stored| {
            let newest = stored.variants().last()?;
            (!newest.selecting().is_empty()).then(|| Arc::clone(newest))
        });
        let seed = self.shared.seed();
        let order = self.config.rules.language_order;
        let request = &errand.asked.parts.headers;
        FlightKey {
            key: errand.asked.key.to_key(),
            generation: errand.generation,
            changes: self.shared.changes(&errand.asked.key),
            variant: newest.map(|entry| {
                let names: Vec<_> = entry.selecting().names().cloned().collect();
                Selecting::record(&names, request, seed, order).digest()
            }),
        }
    }

    fn part(&self, errand: &Errand) -> Part {
        if self.own_question(errand) || is_private(errand) || self.is_uncacheable(errand) {
            Part::Late
        } else {
            Part::Any
        }
    }

    pub(crate) fn is_uncacheable(&self, errand: &Errand) -> bool {
        let shared = &self.shared;
        let now = shared.clock.monotonic();
        shared.uncacheable.contains(errand.asked.key.hash(), now)
    }
}

/// Whether the answer to a request is its own, because of what it carries or asks for.
fn is_private(errand: &Errand) -> bool {
    errand.asked.facts.credentials() || errand.asked.directives.no_store
}
