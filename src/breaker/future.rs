//! The future of a call: refused already, or under way with its permit.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::{Service, util::Oneshot};

use super::{
    classify::{Classify, Verdict},
    gate::{AtWork, Permit},
    layer::Policies,
    rules::Pace,
    terms::Ending,
    world::Surroundings,
};

pin_project! {
    /// Response future of [`BreakerService`](super::BreakerService).
    ///
    /// Dropped before its end, it gives back what its call held at once.
    pub struct BreakerFuture<S, Req, C, O>
    where
        S: Service<Req>,
    {
        // Before the permit: it is dropped first, so that the permit is free only once the call is.
        #[pin]
        state: State<S, Req>,
        guard: Option<Guard<C, O>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req>
    where
        S: Service<Req>,
    {
        Refused { outcome: Option<Result<S::Response, S::Error>> },
        Called { #[pin] call: S::Future },
        Readying { #[pin] call: Oneshot<S, Req> },
    }
}

/// What a call under way holds, and by what it will be judged.
struct Guard<C, O> {
    permit: Permit<Surroundings>,
    policies: Arc<Policies<C, O>>,
}

impl<S, Req, C, O> BreakerFuture<S, Req, C, O>
where
    S: Service<Req>,
{
    pub(super) fn refused(outcome: Result<S::Response, S::Error>) -> Self {
        let outcome = Some(outcome);
        Self {
            state: State::Refused { outcome },
            guard: None,
        }
    }

    pub(super) fn called(
        call: S::Future,
        permit: Permit<Surroundings>,
        policies: Arc<Policies<C, O>>,
    ) -> Self {
        Self::under_way(State::Called { call }, permit, policies)
    }

    pub(super) fn readying(
        inner: S,
        request: Req,
        permit: Permit<Surroundings>,
        policies: Arc<Policies<C, O>>,
    ) -> Self {
        let call = Oneshot::new(inner, request);
        Self::under_way(State::Readying { call }, permit, policies)
    }

    fn under_way(
        state: State<S, Req>,
        mut permit: Permit<Surroundings>,
        policies: Arc<Policies<C, O>>,
    ) -> Self {
        permit.at_work(AtWork::No);
        let guard = Some(Guard { permit, policies });
        Self { state, guard }
    }
}

impl<S, Req, C, O> Future for BreakerFuture<S, Req, C, O>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(guard) = this.guard.as_mut() {
            guard.permit.at_work(AtWork::Yes);
        }
        let polled = match this.state.project() {
            StateProj::Refused { outcome } => match outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                // Polled after it was done, which a future may answer as it likes.
                None => Poll::Pending,
            },
            StateProj::Called { call } => call.poll(cx),
            StateProj::Readying { call } => call.poll(cx),
        };
        if let Some(guard) = this.guard.as_mut() {
            guard.permit.at_work(AtWork::No);
        }
        let outcome = ready!(polled);
        if let Some(Guard { permit, policies }) = this.guard.take() {
            judge(permit, &policies.classify, &outcome);
        }
        Poll::Ready(outcome)
    }
}

/// Hands a permit back with what the classifier says of the outcome.
pub(super) fn judge<Res, E, C>(permit: Permit<Surroundings>, classify: &C, outcome: &Result<Res, E>)
where
    C: Classify<Res, E>,
{
    permit.end(|took, rules| ending(classify.classify(outcome, took), rules.pace(took)));
}

pub(super) fn ending(verdict: Verdict, pace: Pace) -> Ending {
    match verdict {
        Verdict::Success => Ending::Succeeded(pace),
        Verdict::Failure => Ending::Failed(pace),
        Verdict::Ignored => Ending::Ignored,
    }
}

impl<S, Req, C, O> fmt::Debug for BreakerFuture<S, Req, C, O>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Refused { .. } => "BreakerFuture::Refused",
            State::Called { .. } => "BreakerFuture::Called",
            State::Readying { .. } => "BreakerFuture::Readying",
        })
    }
}
