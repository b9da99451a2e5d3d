//! Waiting for a flight that another request leads: how long, and what comes after a failure.

use std::future::pending;

use http::Response;
use tokio::time::{Instant, sleep_until};

use crate::{
    body::CacheBody,
    fetch::Errand,
    flight::{Landing, Leader, Succession, Waiter},
    flown::{Failure, FlightKey, Flown},
    layer::Cache,
    respond,
    status::Generated,
};

/// What became of a wait.
pub(super) enum Waited<B> {
    /// Stale, 502, 503 or 504: the group used its attempts, or its time.
    Answer(Response<CacheBody<B>>),
    /// The waiter stays on board until it has its share.
    Landed(Flown, Waiter<Flown>),
    /// This request is the one to try next.
    Lead(Leader<FlightKey, Flown>),
}

impl Cache {
    /// Waits for a flight. After one that fails, stale answers whom it may; for the rest of the
    /// group it is tried once more. One that takes too long gets one more leader, while the rest
    /// wait for either.
    pub(super) async fn wait<B>(
        &self,
        waiter: Waiter<Flown>,
        key: &FlightKey,
        errand: &Errand,
    ) -> Waited<B> {
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
                    (
                        Landing::Landed(Flown::Failed(_)) | Landing::Abandoned | Landing::Vacated,
                        _,
                    )
                    | (_, None) => continue,
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
                Landing::Landed(Flown::Failed(failure)) => Some(failure),
                Landing::Landed(flown) => return Waited::Landed(flown, current),
                Landing::Abandoned => Some(Failure::Error),
                Landing::Vacated => None,
            };
            if let Some(stale) = failure.and_then(|failure| self.stale(errand, failure)) {
                return Waited::Answer(stale);
            }
            let failure = failure.unwrap_or(Failure::Error);
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

    /// The answer to one whose group used its attempts: stale if that is allowed.
    fn give_up<B>(&self, errand: &Errand, failure: Failure) -> Response<CacheBody<B>> {
        self.stale(errand, failure).unwrap_or_else(|| {
            let reason = Generated::FlightFailed(failure.for_waiters());
            respond::generated(self, reason)
        })
    }
}

/// The landing of a flight, if there is one to wait for.
async fn landed(waiter: &mut Option<Waiter<Flown>>) -> Landing<Flown> {
    match waiter {
        Some(waiter) => waiter.landed().await,
        None => pending().await,
    }
}
