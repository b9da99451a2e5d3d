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

use std::{future::pending, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use http::Response;
use http_body::Body;
use tokio::sync::oneshot;

use super::{
    direct,
    join::{self, Part},
    refresh,
    reply::{self, Led},
    share::{self, Share},
    wait::{self, Waited},
};
use crate::{
    body::CacheBody,
    engine::{
        context::{Errand, Road},
        fetch::{fetch, fetched::Permit, storing},
        lookup::{Served, serve},
        respond, stale,
    },
    flight::{Joined, Leader},
    inner::CacheableService,
    outcome::Generated,
    remote::{Consulted, Turn},
    state::flights::{FlightKey, Flown},
};

/// How often a request may change flights, as it learns which variant it wants.
const MAX_FLIGHTS: usize = 4;

/// Gets an answer from the origin, by this request or by another for the same.
pub(crate) async fn fly<S, Q>(
    handler: Road<S>,
    mut errand: Box<Errand>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let shared = Arc::clone(&handler.cache.shared);
    let began = shared.clock.monotonic();
    let mut key = join::flight_key(&handler.cache, &errand);
    if join::part(&handler.cache, &errand) == Part::Late {
        if let Some(flown) = shared.flights.landed(&key)
            && let Share::Answer(answer) = share::share(&handler.cache, &errand, flown, began)
        {
            return Ok(answer);
        }
        return direct::alone(handler, errand, body).await;
    }
    let config = &handler.cache.config;
    let deadline = began + config.origin_timeout.max(config.wait_timeout);
    let mut flights = 0;
    while flights < MAX_FLIGHTS {
        let waiter = match shared.flights.join(key.clone()) {
            Joined::Leader(leader) => return lead(handler, leader, errand, body).await,
            Joined::Crowded => {
                return Ok(respond::generated(&handler.cache, Generated::Crowded));
            }
            Joined::NoPermit => break,
            Joined::Waiter(waiter) => waiter,
        };
        let share = match wait::wait(&handler.cache, waiter, &key, &errand).await {
            Waited::Again => Share::Again,
            Waited::Answer(answer) => return Ok(answer),
            Waited::Landed(flown, _waiter) => share::share(&handler.cache, &errand, flown, began),
            Waited::Lead(leader) => return lead(handler, leader, errand, body).await,
        };
        match share {
            Share::Again if shared.clock.monotonic() >= deadline => break,
            Share::Again => {
                if let Some((entry, now, served)) =
                    join::look_afresh(&handler.cache, &mut errand).await
                {
                    return Ok(refresh::found::<S, Q>(
                        handler, errand, None, &entry, now, served,
                    ));
                }
                let variant = key.variant;
                key = join::flight_key(&handler.cache, &errand);
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
    direct::alone(handler, errand, body).await
}

/// Asks the other nodes, then the origin, for all who want the same.
async fn lead<S, Q>(
    handler: Road<S>,
    leader: Leader<FlightKey, Flown>,
    mut errand: Box<Errand>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    // The flight before may have landed and stored between this request's lookup and now.
    if let Some((entry, now)) = join::look_again(&handler.cache, &leader, &errand).await {
        let leader = Some(leader);
        return Ok(refresh::found::<S, Q>(
            handler,
            errand,
            leader,
            &entry,
            now,
            Served::Fresh,
        ));
    }
    match handler.cache.consult(&mut errand).await {
        Consulted::Serve(entry, now, Served::Fresh) => {
            leader.land(Flown::Found(Arc::clone(&entry)));
            // Those who come from here on find it in memory, or ask again.
            drop(leader);
            Ok(refresh::found::<S, Q>(
                handler,
                errand,
                None,
                &entry,
                now,
                Served::Fresh,
            ))
        }
        Consulted::Serve(entry, now, served) => Ok(refresh::found::<S, Q>(
            handler,
            errand,
            Some(leader),
            &entry,
            now,
            served,
        )),
        // In a box, like all that comes after: what is found needs none of it.
        Consulted::Ask | Consulted::Silent => {
            Box::pin(lead_out(handler, leader, errand, body)).await
        }
    }
}

/// Asks the origin for all who want the same, in a task of its own.
async fn lead_out<S, Q>(
    handler: Road<S>,
    mut leader: Leader<FlightKey, Flown>,
    mut errand: Box<Errand>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let instead = stale::is_impatient(&handler.cache, &errand).then(|| errand.clone());
    // A client that is answered before does not abandon what it asked for.
    let limits = match &instead {
        Some(_) => handler.cache.config.fill.going_on(),
        None => handler.cache.config.fill.clone(),
    };
    let (reply, answer) = oneshot::channel();
    let cache = handler.cache.clone();
    let task = async move {
        if let Turn::Serve(entry, now) = handler.cache.turn(&mut errand).await {
            leader.land(Flown::Found(Arc::clone(&entry)));
            drop(leader);
            let answer = serve(&handler.cache, &errand.asked, &entry, now, Served::Fresh);
            let _ = reply.send(Led::Answer(Ok(answer)));
            return;
        }
        leader.set_out();
        // In a box, as the task is moved as a whole.
        let fetching = fetch::fetch(
            &handler.cache,
            handler.inner,
            &errand,
            body,
            Permit::OfFlight,
        );
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
        handler.cache.announce(&errand, &fetched.flown);
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
                () = Box::pin(storing::record(&handler.cache, &errand, recording, &limits)) => {}
                () = boarding => {}
            }
        }
        drop(leader);
    };
    cache.shared.tasks.spawn(&*cache.config.executor, task);
    reply::reply(&cache, instead.as_deref(), answer).await
}
