//! Waiting for a flight that another request leads: time limits, and what follows a failure.

use std::future::pending;

use http::Response;
use tokio::time::{Instant, sleep_until};

use crate::{
    body::CacheBody,
    engine::{context::RequestContext, respond, stale},
    flight::{FlightEnd, Leader, Retry, Waiter},
    outcome::StaleReason,
    semantics::classify::Requester,
    state::{
        cache::Cache,
        flights::{Failure, FlightKey, FlightOutcome},
    },
};

/// How a wait ended.
pub(super) enum Waited<B> {
    /// A stale response, 502, 503 or 504: the group has used its attempts or its time.
    Answer(Response<CacheBody<B>>),
    /// The origin was not asked. The response may be in memory by now.
    StartOver,
    /// The leader's request is not plain, and this one is: what became of it, or did not, may be so
    /// for that client alone.
    PlainOnly,
    /// The flight ended. The waiter is held until the request has begun to read the response.
    Ended(FlightOutcome, Waiter<FlightOutcome>),
    /// This request leads the next attempt.
    Lead(Leader<FlightKey, FlightOutcome>),
}

impl<B> Waited<B> {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Answer(_) => "stale-or-error",
            Self::StartOver => "start-over",
            Self::PlainOnly => "plain-only",
            Self::Ended(FlightOutcome::Failed(_), _) => "failed",
            Self::Ended(FlightOutcome::Private(_), _) => "private",
            Self::Ended(_, _) => "shared",
            Self::Lead(_) => "lead",
        }
    }
}

/// Waits for a flight.
///
/// If it fails, requests that may get a stale response get it, and one of the others leads a second
/// attempt for the rest. If it takes longer than `wait_timeout`, one request leads a second attempt
/// at once, and the others wait for whichever ends first.
///
/// One client's cookie may be all that makes the origin fail, or take long. So after a failed or slow
/// attempt of such a client, plain requests share a flight of their own.
pub(super) async fn wait<B>(
    cache: &Cache,
    waiter: Waiter<FlightOutcome>,
    key: &FlightKey,
    context: &RequestContext,
) -> Waited<B> {
    let flights = &cache.shared.flights;
    let started = Instant::now();
    let deadline = context.deadline.instant();
    let mut patience = deadline.min(started + cache.config.wait_timeout);
    let mut soft = cache.config.soft_timeout.map(|after| started + after);
    let mut current = waiter;
    let mut earlier: Option<Waiter<FlightOutcome>> = None;
    loop {
        let end = tokio::select! {
            biased;
            end = current.end() => end,
            end = end_of(&mut earlier) => match (end, earlier.take()) {
                (FlightEnd::Completed(FlightOutcome::Failed(_)), _) | (_, None) => continue,
                (FlightEnd::Abandoned | FlightEnd::NotStarted, Some(_)) => continue,
                (FlightEnd::Completed(outcome), Some(waiter)) => {
                    return Waited::Ended(outcome, waiter);
                }
            },
            () = at(soft) => {
                soft = None;
                let stale = stale::best_available(cache, context, StaleReason::Slow);
                match stale.await {
                    Some(stale) => return Waited::Answer(stale),
                    None => continue,
                }
            }
            () = sleep_until(patience) => {
                if Instant::now() >= deadline {
                    return Waited::Answer(give_up(cache, context, Failure::Timeout).await);
                }
                patience = deadline;
                if is_anothers(&current, context) {
                    return Waited::PlainOnly;
                }
                match flights.retry(&current, key.clone()) {
                    Retry::Leader(leader) => return Waited::Lead(leader),
                    Retry::Waiter(next) => {
                        earlier = Some(std::mem::replace(&mut current, next));
                    }
                    Retry::Denied => {}
                }
                continue;
            }
        };
        let failure = match end {
            FlightEnd::Completed(FlightOutcome::Failed(failure)) => failure,
            FlightEnd::Completed(outcome) => return Waited::Ended(outcome, current),
            FlightEnd::Abandoned => Failure::Error,
            FlightEnd::NotStarted => return Waited::StartOver,
        };
        if is_anothers(&current, context) && !context.deadline.has_passed() {
            return Waited::PlainOnly;
        }
        if let Some(stale) = stale::best_available(cache, context, failure.into()).await {
            return Waited::Answer(stale);
        }
        if let Some(earlier) = earlier.take() {
            current = earlier;
            continue;
        }
        if failure == Failure::Repeated || context.deadline.has_passed() {
            return Waited::Answer(respond::generated(cache, failure.for_waiters()));
        }
        match flights.retry(&current, key.clone()) {
            Retry::Leader(leader) => return Waited::Lead(leader),
            Retry::Waiter(next) => current = next,
            Retry::Denied => return Waited::Answer(give_up(cache, context, failure).await),
        }
    }
}

/// Whether the attempt says nothing to this request.
fn is_anothers(waiter: &Waiter<FlightOutcome>, context: &RequestContext) -> bool {
    waiter.is_led_for_itself() && context.request.requester() == Requester::Plain
}

/// The answer when the group has used its attempts: stale if that is allowed.
async fn give_up<B>(
    cache: &Cache,
    context: &RequestContext,
    failure: Failure,
) -> Response<CacheBody<B>> {
    let stale = stale::best_available(cache, context, failure.into()).await;
    stale.unwrap_or_else(|| respond::generated(cache, failure.for_waiters()))
}

/// Waits for the end of a flight, or for ever if there is none.
async fn end_of(waiter: &mut Option<Waiter<FlightOutcome>>) -> FlightEnd<FlightOutcome> {
    match waiter {
        Some(waiter) => waiter.end().await,
        None => pending().await,
    }
}

/// Waits until `moment`, or for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
