//! Who asks the origin: one for all who want the same, or each alone.
//!
//! Why share at all? When a popular response expires, everybody who wants it finds nothing, and
//! without this everybody's request would reach the origin at the worst moment. Why not always?
//! Waiting pays only if the answer can be shared. Requests whose answer is their own (credentials,
//! `no-store`, a range of something not stored) go alone, and so does everyone for a while after an
//! answer turned out to be for one client only: nobody queues behind a response that will not do.
//!
//! The exchange runs in a task of its own. The client that caused it reads the answer like those
//! who wait for it, so its going away hurts nobody.

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
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::{
    body::CacheBody,
    entry::{Arrival, Entry},
    fetch::{Errand, Exchanged, Permit},
    fill::{Limits, OnAbandoned},
    flight::{Joined, Landing, Leader, Succession, Waiter},
    flown::{Arriving, Failure, FlightKey, Flown},
    layer::Cache,
    respond,
    semantics::{
        cache_control::RequestDirectives,
        decide::{Candidate, Decision, Found, Standing, decide},
        freshness::Freshness,
        vary::Selecting,
    },
    serve::{Next, Road, Served, look, serve},
    service::Inner,
    status::{CacheOutcome, Generated},
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

/// What became of a wait.
enum Waited<B> {
    /// Stale, 502, 503 or 504: the group used its attempts, or its time.
    Answer(Response<CacheBody<B>>),
    /// The waiter stays on board until it has its share.
    Landed(Flown, Waiter<Flown>),
    /// This request is the one to try next.
    Lead(Leader<FlightKey, Flown>),
}

/// What a landed flight is to one that waited for it.
enum Share<B> {
    Answer(Response<CacheBody<B>>),
    /// It brought another variant; this is the one wanted.
    OtherVariant(u128),
    /// Nothing for this request.
    Nothing,
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
        errand: Errand,
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

    /// Refreshes a stored response in the background, unless that is being done, failed a moment
    /// ago, or too much is under way already.
    pub(crate) fn refresh<Q>(self, errand: Errand)
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        let shared = Arc::clone(&self.cache.shared);
        let hash = errand.asked.key.hash();
        // The answer to these would not be stored: the next request for all will do better.
        if errand.asked.is_head()
            || is_private(&errand)
            || shared.paused.contains(hash, shared.clock.monotonic())
        {
            return;
        }
        let Ok(permit) = Arc::clone(&shared.refreshes).try_acquire_owned() else {
            return;
        };
        let Some(leader) = shared.flights.lead(self.cache.flight_key(&errand)) else {
            return;
        };
        let executor = Arc::clone(&self.cache.config.executor);
        shared.tasks.spawn(&*executor, async move {
            // The refresh before may have landed and stored between this request's lookup and now.
            if self.cache.look_again(&leader, &errand).await.is_some() {
                return;
            }
            let Self { cache, inner } = self;
            let fetching = cache.fetch(inner, &errand, Q::default(), Permit::OfFlight);
            let fetched = AssertUnwindSafe(fetching).catch_unwind().await;
            if !matches!(&fetched, Ok(it) if !matches!(it.flown, Flown::Failed(_))) {
                let Cache { shared, config } = &cache;
                let now = shared.clock.monotonic();
                shared.paused.set(hash, now, config.refresh_pause);
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
        errand: Errand,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        let Exchanged {
            answer, recording, ..
        } = self
            .cache
            .fetch(self.inner, &errand, body, Permit::Own)
            .await;
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

    /// Asks the origin for all who want the same.
    async fn lead<Q>(
        self,
        leader: Leader<FlightKey, Flown>,
        errand: Errand,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        // The flight before may have landed and stored between this request's lookup and now.
        if let Some((entry, now)) = self.cache.look_again(&leader, &errand).await {
            return Ok(serve(
                &self.cache,
                &errand.asked,
                &entry,
                now,
                Served::Fresh,
            ));
        }
        let (reply, answer) = oneshot::channel();
        let cache = self.cache.clone();
        let task = async move {
            let fetching = self
                .cache
                .fetch(self.inner, &errand, body, Permit::OfFlight);
            let fetching = AssertUnwindSafe(fetching);
            let fetched = match fetching.catch_unwind().await {
                Ok(fetched) => fetched,
                Err(panic) => {
                    // The waiters first: the client may take its time, or be gone.
                    drop(leader);
                    let _ = reply.send(Led::Panicked(panic));
                    return;
                }
            };
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
                    () = self.cache.record(&errand, recording, limits) => {}
                    () = boarding => {}
                }
            }
            drop(leader);
        };
        cache.shared.tasks.spawn(&*cache.config.executor, task);
        match answer.await {
            Ok(Led::Answer(answer)) => answer,
            Ok(Led::Panicked(panic)) => resume_unwind(panic),
            // The executor dropped the task.
            Err(_) => Ok(respond::generated(
                &cache,
                Generated::FlightFailed(StatusCode::BAD_GATEWAY),
            )),
        }
    }
}

impl Cache {
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
            Next::Serve(entry, Served::Fresh) => {
                leader.land(Flown::Entry(Arc::clone(entry)));
                Some((Arc::clone(entry), now))
            }
            Next::Serve(..) | Next::Ask { .. } | Next::Refresh(_) | Next::Refuse => None,
        }
    }

    /// Waits for a flight. After one that fails, stale answers whom it may; for the rest of the
    /// group it is tried once more. One that takes too long gets one more leader, while the rest
    /// wait for either.
    async fn wait<B>(&self, waiter: Waiter<Flown>, key: &FlightKey, errand: &Errand) -> Waited<B> {
        let flights = &self.shared.flights;
        let started = Instant::now();
        let deadline = started + self.config.origin_timeout.max(self.config.wait_timeout);
        let mut patience = started + self.config.wait_timeout;
        let mut current = waiter;
        let mut earlier: Option<Waiter<Flown>> = None;
        loop {
            let landing = tokio::select! {
                biased;
                landing = current.landed() => landing,
                landing = landed(&mut earlier) => match (landing, earlier.take()) {
                    (Landing::Landed(Flown::Failed(_)) | Landing::Abandoned, _) | (_, None) => {
                        continue;
                    }
                    (Landing::Landed(flown), Some(waiter)) => {
                        return Waited::Landed(flown, waiter);
                    }
                },
                () = sleep_until(patience) => {
                    if Instant::now() >= deadline {
                        return Waited::Answer(self.give_up(errand, Failure::Timeout));
                    }
                    patience = deadline;
                    match flights.succeed(&current, key.clone()) {
                        Succession::Leader(leader) => return Waited::Lead(leader),
                        Succession::Waiter(next) => {
                            earlier = Some(std::mem::replace(&mut current, next));
                        }
                        Succession::Over => {}
                    }
                    continue;
                }
            };
            let failure = match landing {
                Landing::Landed(Flown::Failed(failure)) => failure,
                Landing::Landed(flown) => return Waited::Landed(flown, current),
                Landing::Abandoned => Failure::Error,
            };
            if let Some(stale) = self.stale(errand, failure) {
                return Waited::Answer(stale);
            }
            if let Some(earlier) = earlier.take() {
                current = earlier;
                continue;
            }
            match flights.succeed(&current, key.clone()) {
                Succession::Leader(leader) => return Waited::Lead(leader),
                Succession::Waiter(next) => current = next,
                Succession::Over => return Waited::Answer(self.give_up(errand, failure)),
            }
        }
    }

    /// What a landed flight is worth to a request: the response is judged like a stored one.
    fn share<B>(&self, errand: &Errand, flown: Flown, began: Duration) -> Share<B> {
        match flown {
            Flown::Failed(_) | Flown::Private => Share::Nothing,
            Flown::Entry(entry) => self.share_entry(errand, &entry, began),
            Flown::Arriving(arriving) => self.share_arriving(errand, &arriving, began),
        }
    }

    fn share_entry<B>(&self, errand: &Errand, entry: &Entry, began: Duration) -> Share<B> {
        if let Some(variant) = self.other_variant(errand, entry.selecting()) {
            return Share::OtherVariant(variant);
        }
        let now = self.shared.clock.monotonic();
        let age = entry.age(now);
        let came = Came::of(entry.arrival(), began);
        match collapsed(errand, entry.freshness(), age, came) {
            None => Share::Nothing,
            Some(outcome) => Share::Answer(respond::from_entry(
                self,
                &errand.asked,
                entry,
                now,
                outcome.into(),
            )),
        }
    }

    fn share_arriving<B>(&self, errand: &Errand, arriving: &Arriving, began: Duration) -> Share<B> {
        let Arriving { head, fill } = arriving;
        if let Some(variant) = self.other_variant(errand, &head.selecting) {
            return Share::OtherVariant(variant);
        }
        let now = self.shared.clock.monotonic();
        let came = Came::of(head.arrival, began);
        let Some(outcome) = collapsed(errand, &head.freshness, head.age(now), came) else {
            return Share::Nothing;
        };
        let asked = &errand.asked;
        match respond::from_fill(self, asked, head, fill, now, outcome.into()) {
            Some(answer) => Share::Answer(answer),
            None => Share::Nothing,
        }
    }

    /// The variant that the request wants, if the response is another.
    fn other_variant(&self, errand: &Errand, selecting: &Selecting) -> Option<u128> {
        let seed = self.shared.seed();
        let order = self.config.rules.language_order;
        let request = &errand.asked.parts.headers;
        if selecting.matches(request, seed, order) {
            return None;
        }
        let names: Vec<_> = selecting.names().cloned().collect();
        Some(Selecting::record(&names, request, seed, order).digest())
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

    fn is_uncacheable(&self, errand: &Errand) -> bool {
        let shared = &self.shared;
        let now = shared.clock.monotonic();
        shared.uncacheable.contains(errand.asked.key.hash(), now)
    }

    /// The answer to one whose group used its attempts: stale if that is allowed.
    fn give_up<B>(&self, errand: &Errand, failure: Failure) -> Response<CacheBody<B>> {
        self.stale(errand, failure).unwrap_or_else(|| {
            let reason = Generated::FlightFailed(failure.for_waiters());
            respond::generated(self, reason)
        })
    }
}

/// Whether the answer to a request is its own, because of what it carries or asks for.
fn is_private(errand: &Errand) -> bool {
    errand.asked.facts.credentials() || errand.asked.directives.no_store
}

/// The landing of a flight, if there is one to wait for.
async fn landed(waiter: &mut Option<Waiter<Flown>>) -> Landing<Flown> {
    match waiter {
        Some(waiter) => waiter.landed().await,
        None => pending().await,
    }
}

/// When a response that another request fetched was there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Came {
    /// Before this request asked.
    Before,
    /// While it waited.
    Since,
}

impl Came {
    fn of(arrival: Arrival, began: Duration) -> Self {
        if arrival.monotonic < began {
            Self::Before
        } else {
            Self::Since
        }
    }
}

/// How a response that another request fetched answers this one, if it does.
///
/// If it came while this request waited, one that asked for validation has it.
fn collapsed(errand: &Errand, freshness: &Freshness, age: u32, came: Came) -> Option<CacheOutcome> {
    let asked = &errand.asked.directives;
    let directives = match came {
        Came::Before => *asked,
        Came::Since => RequestDirectives {
            max_age: asked.max_age.filter(|age| *age > 0),
            no_cache: false,
            ..*asked
        },
    };
    let candidate = Candidate {
        freshness,
        age,
        standing: Standing::Valid,
    };
    match decide(Found::Selected(candidate), &directives) {
        Decision::Serve => Some(CacheOutcome::Collapsed {
            forward: errand.forward,
            ttl: freshness.ttl(age),
        }),
        Decision::Fetch(_)
        | Decision::Refuse
        | Decision::Revalidate(_)
        | Decision::ServeStale(_) => None,
    }
}
