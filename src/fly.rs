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
//! that, without a task. What is found is for all who wait; those for whom it will not do begin anew,
//! and so do all if the client goes away then. A client that stays but is not polled any more holds
//! them up for as long as they wait for anybody.

mod alone;
mod refresh;
mod reply;
mod share;
mod wait;

pub(crate) use self::wait::InTime;
use std::{future::pending, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use http::Response;
use http_body::Body;
use tokio::sync::oneshot;

use self::{refresh::is_private, reply::Led, share::Share, wait::Waited};
use crate::{
    body::CacheBody,
    entry::Entry,
    fetch::{Errand, Permit},
    flight::{Joined, Leader},
    flown::{FlightKey, Flown},
    layer::Cache,
    remote::{Consulted, Turn},
    respond,
    semantics::vary::Selecting,
    serve::{Next, Road, Served, look, serve},
    service::CacheableService,
    status::{Generated, StaleReason},
};

/// How often a request may change flights, as it learns which variant it wants.
const MAX_FLIGHTS: usize = 4;

/// What a request may do in a flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// Ask for everyone, or wait.
    Any,
    /// Share what has arrived, but not wait for what may be somebody else's.
    Late,
}

impl<S> Road<S> {
    /// Gets an answer from the origin, by this request or by another for the same.
    pub(crate) async fn fly<Q>(
        self,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: CacheableService<Q>,
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
            return self.alone(errand, body).await;
        }
        let config = &self.cache.config;
        let deadline = began + config.origin_timeout.max(config.wait_timeout);
        let mut flights = 0;
        while flights < MAX_FLIGHTS {
            let waiter = match shared.flights.join(key.clone()) {
                Joined::Leader(leader) => return self.lead(leader, errand, body).await,
                Joined::Crowded => {
                    return Ok(respond::generated(&self.cache, Generated::Crowded));
                }
                Joined::NoPermit => break,
                Joined::Waiter(waiter) => waiter,
            };
            let share = match self.cache.wait(waiter, &key, &errand).await {
                Waited::Again => Share::Again,
                Waited::Answer(answer) => return Ok(answer),
                Waited::Landed(flown, _waiter) => self.cache.share(&errand, flown, began),
                Waited::Lead(leader) => return self.lead(leader, errand, body).await,
            };
            match share {
                Share::Again if shared.clock.monotonic() >= deadline => break,
                Share::Again => {
                    if let Some((entry, now, served)) = self.cache.look_afresh(&mut errand).await {
                        return Ok(self.found::<Q>(errand, None, &entry, now, served));
                    }
                    let variant = key.variant;
                    key = self.cache.flight_key(&errand);
                    key.variant = key.variant.or(variant);
                }
                Share::Answer(answer) => return Ok(answer),
                Share::Nothing => break,
                Share::OtherVariant(variant) => {
                    key.variant = Some(variant);
                    flights += 1;
                }
            }
        }
        self.alone(errand, body).await
    }

    /// Asks the other nodes, then the origin, for all who want the same.
    async fn lead<Q>(
        self,
        leader: Leader<FlightKey, Flown>,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        // The flight before may have landed and stored between this request's lookup and now.
        if let Some((entry, now)) = self.cache.look_again(&leader, &errand).await {
            let leader = Some(leader);
            return Ok(self.found::<Q>(errand, leader, &entry, now, Served::Fresh));
        }
        match self.cache.consult(&mut errand).await {
            Consulted::Serve(entry, now, Served::Fresh) => {
                leader.land(Flown::Found(Arc::clone(&entry)));
                // Those who come from here on find it in memory, or ask again.
                drop(leader);
                Ok(self.found::<Q>(errand, None, &entry, now, Served::Fresh))
            }
            Consulted::Serve(entry, now, served) => {
                Ok(self.found::<Q>(errand, Some(leader), &entry, now, served))
            }
            // In a box, like all that comes after: what is found needs none of it.
            Consulted::Ask | Consulted::Silent => {
                Box::pin(self.lead_out(leader, errand, body)).await
            }
        }
    }

    /// Asks the origin for all who want the same, in a task of its own.
    async fn lead_out<Q>(
        self,
        mut leader: Leader<FlightKey, Flown>,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        let instead = self.cache.is_impatient(&errand).then(|| errand.clone());
        // A client that is answered before does not abandon what it asked for.
        let limits = match &instead {
            Some(_) => self.cache.config.fill.going_on(),
            None => self.cache.config.fill.clone(),
        };
        let (reply, answer) = oneshot::channel();
        let cache = self.cache.clone();
        let task = async move {
            if let Turn::Serve(entry, now) = self.cache.turn(&mut errand).await {
                leader.land(Flown::Found(Arc::clone(&entry)));
                drop(leader);
                let answer = serve(&self.cache, &errand.asked, &entry, now, Served::Fresh);
                let _ = reply.send(Led::Answer(Ok(answer)));
                return;
            }
            leader.set_out();
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
                tokio::select! {
                    biased;
                    () = Box::pin(self.cache.record(&errand, recording, &limits)) => {}
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
    /// Looks into memory for one who waited until there might be something. The errand is told what
    /// is there if that is not all it takes.
    async fn look_afresh(&self, errand: &mut Errand) -> Option<(Arc<Entry>, Duration, Served)> {
        let shared = &self.shared;
        errand.generation = errand.asked.generation(self);
        let stored = shared.store.get(errand.asked.key.as_ref()).await.ok()?;
        let now = shared.clock.monotonic();
        let (served, forward) = match look(self, &errand.asked, stored.as_ref(), now) {
            Next::Serve(entry, served) => (Some((Arc::clone(entry), served)), None),
            Next::Refresh(entry) => {
                let served = Served::Stale(StaleReason::WhileRevalidate);
                (Some((Arc::clone(entry), served)), None)
            }
            Next::Ask { selected, forward } => {
                errand.selected = selected.map(Arc::clone);
                (None, Some(forward))
            }
            Next::Refuse => (None, None),
        };
        errand.stored = stored;
        errand.forward = forward.unwrap_or(errand.forward);
        let (entry, served) = served?;
        errand.selected = Some(Arc::clone(&entry));
        shared.trusts(&entry).then_some((entry, now, served))
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
