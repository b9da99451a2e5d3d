//! Waiting for a flight that another request leads: how long, and what comes after a failure.

use std::future::pending;

use http::Response;
use tokio::time::{Instant, sleep_until};

use crate::{
    body::CacheBody,
    engine::{context::Errand, respond, stale},
    flight::{Landing, Leader, Succession, Waiter},
    outcome::StaleReason,
    state::{
        cache::Cache,
        flights::{Failure, FlightKey, Flown},
    },
};

/// What became of a wait.
pub(super) enum Waited<B> {
    /// Stale, 502, 503 or 504: the group used its attempts, or its time.
    Answer(Response<CacheBody<B>>),
    /// Nobody asked: what was waited for may be in memory by now.
    Again,
    /// The waiter stays on board until it has its share.
    Landed(Flown, Waiter<Flown>),
    /// This request is the one to try next.
    Lead(Leader<FlightKey, Flown>),
}

/// Waits for a flight. After one that fails, stale answers whom it may; for the rest of the
/// group it is tried once more. One that takes too long gets one more leader, while the rest
/// wait for either.
pub(super) async fn wait<B>(
    cache: &Cache,
    waiter: Waiter<Flown>,
    key: &FlightKey,
    errand: &Errand,
) -> Waited<B> {
    let flights = &cache.shared.flights;
    let started = Instant::now();
    let deadline = started + cache.config.origin_timeout.max(cache.config.wait_timeout);
    let mut patience = started + cache.config.wait_timeout;
    let mut soft = cache.config.soft_timeout.map(|after| started + after);
    let mut current = waiter;
    let mut earlier: Option<Waiter<Flown>> = None;
    loop {
        let landing = tokio::select! {
            biased;
            landing = current.landed() => landing,
            landing = landed(&mut earlier) => match (landing, earlier.take()) {
                (
                    Landing::Landed(Flown::Failed(_)) | Landing::Abandoned | Landing::Vacated,
                    _,
                )
                | (_, None) => continue,
                (Landing::Landed(flown), Some(waiter)) => {
                    return Waited::Landed(flown, waiter);
                }
            },
            () = at(soft) => {
                soft = None;
                if let Some(stale) = stale::stand_in(cache, errand, StaleReason::Slow).await {
                    return Waited::Answer(stale);
                }
                continue;
            }
            () = sleep_until(patience) => {
                if Instant::now() >= deadline {
                    return Waited::Answer(give_up(cache, errand, Failure::Timeout).await);
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
            Landing::Vacated => return Waited::Again,
        };
        if let Some(stale) = stale::stand_in(cache, errand, failure.into()).await {
            return Waited::Answer(stale);
        }
        if let Some(earlier) = earlier.take() {
            current = earlier;
            continue;
        }
        match flights.succeed(&current, key.clone()) {
            Succession::Leader(leader) => return Waited::Lead(leader),
            Succession::Waiter(next) => current = next,
            Succession::Over => return Waited::Answer(give_up(cache, errand, failure).await),
        }
    }
}

/// The answer to one whose group used its attempts: stale if that is allowed.
async fn give_up<B>(cache: &Cache, errand: &Errand, failure: Failure) -> Response<CacheBody<B>> {
    let stale = stale::stand_in(cache, errand, failure.into()).await;
    stale.unwrap_or_else(|| respond::generated(cache, failure.for_waiters()))
}

/// The landing of a flight, if there is one to wait for.
async fn landed(waiter: &mut Option<Waiter<Flown>>) -> Landing<Flown> {
    match waiter {
        Some(waiter) => waiter.landed().await,
        None => pending().await,
    }
}

/// That moment, if there is one to wait for.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
