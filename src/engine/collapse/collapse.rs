//! Request collapsing: concurrent requests for one response share one origin call.
//!
//! Why collapse? When a popular response expires, every client that wants it finds nothing fresh,
//! and without collapsing each of their requests would reach the origin, at the worst moment. Why
//! not always? Waiting pays only if the response can be shared. A request whose response is its own
//! (credentials, `no-store`, a range of something not stored) goes to the origin directly. So do
//! all requests for a key, for a while, after its response could not be shared (hit-for-miss):
//! no request queues for a response that is for another client.
//!
//! The first request for a key leads; the others wait. The leader asks the shared tier itself,
//! without a task. If that has no answer, the fetch runs in its own task, so a client that
//! disconnects does not cancel it, and the client that started it reads the response like every
//! waiter.
//!
//! Waiters whose request the outcome cannot satisfy start over. All waiters start over if the
//! leader's client disconnects while the shared tier is being asked. A leader that is no longer
//! polled at that point holds up its waiters for at most their own time limit.

use std::{convert::Infallible, future::pending, mem, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::FusedFuture};
use http::Response;
use http_body::Body;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{
    abandon, direct,
    first_byte::{self, FirstByte},
    join::{self, Collapsing},
    refresh,
    reply::{self, LeaderReply},
    share::{self, Share},
    wait::{self, Waited},
};
use crate::{
    body::CacheBody,
    engine::{
        context::{Handler, RequestContext},
        deadline::Deadline,
        fetch::{
            fetch,
            fetched::{Permit, Recording},
            storing,
        },
        lookup::Served,
        peers::{self, lookup::RemoteLookup, turn::Turn},
        respond, stale,
    },
    extensions::Caller,
    flight::{Joined, Leader},
    inner::CacheableService,
    outcome::Generated,
    spans::{self, Among},
    state::flights::{Audience, FlightKey, FlightOutcome},
};

/// How many flights a request may join, one after another, as it learns which variant it selects.
const MAX_FLIGHTS: usize = 4;

/// Whether a request has been counted among those that joined a flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Joins {
    None,
    Counted,
}

/// Gets an answer from the origin, by this request or by a concurrent one for the same response.
pub(crate) async fn collapse<S, Q>(
    handler: Handler<S>,
    mut context: Box<RequestContext>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let shared = Arc::clone(&handler.cache.shared);
    let began = shared.clock.monotonic();
    let mut key = join::flight_key(&handler.cache, &context);
    if join::collapsing(&handler.cache, &context) == Collapsing::PeekOnly {
        if let Some(outcome) = shared.flights.completed(&key)
            && let Share::Answer(answer) = share::share(&handler.cache, &context, outcome, began)
        {
            shared.metrics().answers.joined.increment(1);
            return Ok(answer);
        }
        return direct::fetch_direct(handler, context, body).await;
    }
    let mut flights = 0;
    let mut stuck = None;
    let mut joins = Joins::None;
    while flights < MAX_FLIGHTS {
        let joined = match stuck.take() {
            None => shared.flights.join(key.clone()),
            Some(waiter) => shared.flights.replace(&waiter, key.clone()),
        };
        let waiter = match joined {
            Joined::Leader(leader) => return lead(handler, leader, context, body).await,
            Joined::Full => {
                return Ok(respond::generated(
                    &handler.cache,
                    Generated::TooManyWaiters,
                ));
            }
            Joined::NoPermit => break,
            Joined::Waiter(waiter) => waiter,
        };
        // Each request once, however many flights it joins.
        if mem::replace(&mut joins, Joins::Counted) == Joins::None {
            shared.metrics().answers.joined.increment(1);
        }
        let span = spans::collapse(Among::Requests);
        let waiting = wait::wait(&handler.cache, waiter, &key, &context);
        let waited = waiting.instrument(span.clone()).await;
        span.record("ended", waited.as_str());
        drop(span);
        let share = match waited {
            Waited::StartOver => Share::StartOver,
            Waited::Answer(answer) => return Ok(answer),
            Waited::Ended(outcome, waiter) => {
                let share = share::share(&handler.cache, &context, outcome, began);
                stuck = matches!(share, Share::Replace).then_some(waiter);
                share
            }
            Waited::PlainOnly => Share::PlainOnly,
            Waited::Lead(leader) => return lead(handler, leader, context, body).await,
        };
        match share {
            Share::StartOver if context.deadline.has_passed() => break,
            Share::StartOver => {
                if let Some(found) = join::recheck_as_waiter(&handler.cache, &mut context).await {
                    return Ok(refresh::answer_and_follow_up::<S, Q>(
                        handler, context, None, &found,
                    ));
                }
                if context.bypass.is_some() {
                    break;
                }
                let FlightKey {
                    variant, audience, ..
                } = key;
                key = join::flight_key(&handler.cache, &context);
                key.variant = key.variant.or(variant);
                key.audience = audience;
            }
            Share::Answer(answer) => return Ok(answer),
            Share::GoDirect => break,
            Share::PlainOnly => {
                key.audience = Audience::Plain;
                flights += 1;
            }
            Share::Replace => flights += 1,
            Share::OtherVariant(variant) => {
                key.variant = Some(variant);
                flights += 1;
            }
        }
    }
    direct::fetch_direct(handler, context, body).await
}

/// Leads a flight: asks the shared tier, then the origin, for all requests that wait.
async fn lead<S, Q>(
    handler: Handler<S>,
    leader: Leader<FlightKey, FlightOutcome>,
    mut context: Box<RequestContext>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    join::announce(&leader, &context);
    if let Some(found) = join::recheck_as_leader(&handler.cache, &leader, &context).await {
        let leader = Some(leader);
        return Ok(refresh::answer_and_follow_up::<S, Q>(
            handler, context, leader, &found,
        ));
    }
    match peers::lookup::find(&handler.cache, &mut context).await {
        RemoteLookup::Hit(found) if found.served == Served::Fresh => {
            let entry = Arc::clone(&found.entry);
            leader.complete(FlightOutcome::FromPeer(entry, found.tier));
            // Later requests find the response in memory, or ask the shared tier again.
            drop(leader);
            Ok(refresh::answer_and_follow_up::<S, Q>(
                handler, context, None, &found,
            ))
        }
        RemoteLookup::Hit(found) => Ok(refresh::answer_and_follow_up::<S, Q>(
            handler,
            context,
            Some(leader),
            &found,
        )),
        RemoteLookup::Miss if context.bypass.is_some() => {
            drop(leader);
            direct::fetch_direct(handler, context, body).await
        }
        // In a box: an answer from the shared tier does without this large future.
        RemoteLookup::Miss | RemoteLookup::Unavailable => {
            Box::pin(fetch_for_all(handler, leader, context, body)).await
        }
    }
}

/// Asks the origin in a task of its own, for all requests that wait.
async fn fetch_for_all<S, Q>(
    handler: Handler<S>,
    mut leader: Leader<FlightKey, FlightOutcome>,
    mut context: Box<RequestContext>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let deadline = context.deadline;
    let fallback = stale::has_fallback(&handler.cache, &context).then(|| context.clone());
    // A client that gets a stale answer first has not abandoned the fetch.
    let limits = match &fallback {
        Some(_) if handler.cache.config.soft_timeout.is_some() => {
            handler.cache.config.fill.without_discarding()
        }
        _ => handler.cache.config.fill.clone(),
    };
    // Nor has it left, and its request is a refresh.
    let soft = fallback.is_some() && handler.cache.config.soft_timeout.is_some();
    let caller: Option<Caller> = context.request.parts.extensions.get().cloned();
    let caller = caller.filter(|_| !soft);
    let (mut reply, answer) = oneshot::channel();
    let cache = handler.cache.clone();
    let outside = context.spans.outside();
    let inside = context.spans.inside();
    let task = async move {
        if let Turn::Serve(found) = peers::turn::acquire_or_wait(&handler.cache, &mut context)
            .instrument(inside.clone())
            .await
        {
            let entry = Arc::clone(&found.entry);
            leader.complete(FlightOutcome::FromPeer(entry, found.tier));
            drop(leader);
            let answer = found.serve(&handler.cache, &context.request);
            let _ = reply.send(LeaderReply::Answer(Ok(answer)));
            return;
        }
        leader.start();
        // The call is for all who wait. Its client may have waited for others before, and leaves at
        // its own deadline.
        context.deadline = Deadline::after(handler.cache.config.origin_timeout);
        context.fetch_begins(&handler.cache);
        // In a box, because the whole task is moved.
        let fetching = fetch::fetch(
            &handler.cache,
            handler.inner,
            &context,
            body,
            Permit::OfFlight,
        );
        let fetching = AssertUnwindSafe(Box::pin(fetching.instrument(inside)));
        let most = handler.cache.config.max_abandoned;
        let fetching = fetching.catch_unwind();
        let fetched =
            abandon::unless_cancelled(caller.as_ref(), most, &mut reply, &leader, fetching);
        let mut fetched = match fetched.await {
            Some(Ok(fetched)) => fetched,
            // Who came at this very moment begins anew.
            None => return,
            Some(Err(panic)) => {
                // The waiters first: the client may be slow to take its reply, or be gone.
                drop(leader);
                let _ = reply.send(LeaderReply::Panicked(panic));
                return;
            }
        };
        let cache = &handler.cache;
        let recording = fetched.recording.take().map(|recording| Recording {
            permit: leader.give_permit(),
            ..recording
        });
        let fill = recording.as_ref().map(|it| Arc::clone(&it.streaming.fill));
        // The window keeps the beginning of the body until all waiters have begun to read.
        let beginning = fill.as_ref().and_then(|fill| fill.read(0, None));
        let first_byte = fill.and_then(|fill| FirstByte::of(cache, &context, &fill));
        let mut recording = Box::pin(
            async {
                if let Some(recording) = recording {
                    storing::record(cache, &context, recording, &limits).await;
                }
            }
            .fuse(),
        );
        if let Some(first_byte) = first_byte {
            let begun = tokio::select! {
                biased;
                begun = first_byte.wait(&context) => begun,
                // Once the body has ended, the first byte or the error is there too.
                never = async {
                    (&mut recording).await;
                    pending::<Infallible>().await
                } => match never {},
            };
            fetched = first_byte::judged(cache, &context, fetched, begun);
        }
        peers::turn::notify_waiting_nodes(cache, &context, &fetched.outcome);
        leader.complete(fetched.outcome);
        // A client that disconnected does not take the reply; the fill goes on without it.
        let _ = reply.send(LeaderReply::Answer(fetched.answer));
        if !recording.is_terminated() {
            let waiters_begin = async {
                leader.drained().await;
                drop(beginning);
                pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = &mut recording => {}
                () = waiters_begin => {}
            }
        }
        drop(leader);
    };
    cache
        .shared
        .tasks
        .spawn_in(outside, &*cache.config.executor, task);
    reply::reply(&cache, fallback.as_deref(), deadline, answer).await
}
