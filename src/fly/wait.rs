//! Waiting for a flight that another request leads: how long, and what comes after a failure.

use std::future::{Future, pending};

use http::Response;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    body::CacheBody,
    fetch::Errand,
    flight::{Landing, Leader, Succession, Waiter},
    flown::{Failure, FlightKey, Flown},
    layer::Cache,
    respond,
    status::StaleReason,
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

/// How the leader of a flight is answered, or the waiting for it ended.
pub(crate) enum InTime<B, T> {
    Answered(T),
    /// By what is stored: the origin takes too long.
    Stale(Response<CacheBody<B>>),
}

impl Cache {
    /// Whether there is something stored for a request to get if the origin is slow.
    pub(crate) fn is_impatient(&self, errand: &Errand) -> bool {
        let now = self.shared.clock.monotonic();
        let selected = errand.selected.as_ref();
        self.config.soft_timeout.is_some()
            && selected.is_some_and(|entry| errand.asked.takes_instead(self, entry, now))
    }

    /// Waits for an answer until the soft timeout; beyond that only if there is nothing else.
    pub(crate) async fn in_time<B, F>(
        &self,
        errand: &Errand,
        answer: &mut F,
    ) -> InTime<B, F::Output>
    where
        F: Future + Unpin,
    {
        if let Some(after) = self.config.soft_timeout {
            if let Ok(answered) = timeout(after, &mut *answer).await {
                return InTime::Answered(answered);
            }
            if let Some(stale) = self.stand_in(errand, StaleReason::Slow).await {
                return InTime::Stale(stale);
            }
        }
        InTime::Answered(answer.await)
    }

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
        let mut soft = self.config.soft_timeout.map(|after| started + after);
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
                    if let Some(stale) = self.stand_in(errand, StaleReason::Slow).await {
                        return Waited::Answer(stale);
                    }
                    continue;
                }
                () = sleep_until(patience) => {
                    if Instant::now() >= deadline {
                        return Waited::Answer(self.give_up(errand, Failure::Timeout).await);
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
            if let Some(stale) = self.stand_in(errand, failure.into()).await {
                return Waited::Answer(stale);
            }
            if let Some(earlier) = earlier.take() {
                current = earlier;
                continue;
            }
            match flights.succeed(&current, key.clone()) {
                Succession::Leader(leader) => return Waited::Lead(leader),
                Succession::Waiter(next) => current = next,
                Succession::Over => return Waited::Answer(self.give_up(errand, failure).await),
            }
        }
    }

    /// The answer to one whose group used its attempts: stale if that is allowed.
    async fn give_up<B>(&self, errand: &Errand, failure: Failure) -> Response<CacheBody<B>> {
        let stale = self.stand_in(errand, failure.into()).await;
        stale.unwrap_or_else(|| respond::generated(self, failure.for_waiters()))
    }
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
