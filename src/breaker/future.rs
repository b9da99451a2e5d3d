//! The future of a call: already refused, or in progress with a permit.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tower::{Service, util::Oneshot};

use super::{
    classify::{Classify, Policies, Verdict},
    environment::BreakerEnvironment,
    gate::{CallPermit, InnerCode},
    rules::{CircuitRules, InternalErrors},
    terms::CallOutcome,
};

pin_project! {
    /// Response future of [`BreakerService`](super::BreakerService).
    ///
    /// If it is dropped before the call ended, it gives the permit back at once.
    pub struct BreakerFuture<S, Req, C, O>
    where
        S: Service<Req>,
    {
        // Declared before the guard and so dropped first: the permit is free only once the call is
        // gone.
        #[pin]
        state: CallState<S, Req>,
        guard: Option<Guard<C, O>>,
    }
}

pin_project! {
    #[project = CallStateProj]
    enum CallState<S, Req>
    where
        S: Service<Req>,
    {
        Refused { outcome: Option<Result<S::Response, S::Error>> },
        Called { #[pin] call: S::Future },
        Readying { #[pin] call: Oneshot<S, Req> },
    }
}

/// What a call in progress holds: its permit, and the policies that judge its outcome.
struct Guard<C, O> {
    permit: CallPermit<BreakerEnvironment>,
    policies: Arc<Policies<C, O>>,
}

impl<S, Req, C, O> BreakerFuture<S, Req, C, O>
where
    S: Service<Req>,
{
    pub(super) fn refused(outcome: Result<S::Response, S::Error>) -> Self {
        let outcome = Some(outcome);
        Self {
            state: CallState::Refused { outcome },
            guard: None,
        }
    }

    pub(super) fn called(
        call: S::Future,
        permit: CallPermit<BreakerEnvironment>,
        policies: Arc<Policies<C, O>>,
    ) -> Self {
        Self::in_progress(CallState::Called { call }, permit, policies)
    }

    pub(super) fn readying(
        inner: S,
        request: Req,
        permit: CallPermit<BreakerEnvironment>,
        policies: Arc<Policies<C, O>>,
    ) -> Self {
        let call = Oneshot::new(inner, request);
        Self::in_progress(CallState::Readying { call }, permit, policies)
    }

    fn in_progress(
        state: CallState<S, Req>,
        mut permit: CallPermit<BreakerEnvironment>,
        policies: Arc<Policies<C, O>>,
    ) -> Self {
        permit.mark_inner(InnerCode::NotRunning);
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
            guard.permit.mark_inner(InnerCode::Running);
        }
        let polled = match this.state.project() {
            CallStateProj::Refused { outcome } => match outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                // Polled after completion: a future may do anything then.
                None => Poll::Pending,
            },
            CallStateProj::Called { call } => call.poll(cx),
            CallStateProj::Readying { call } => call.poll(cx),
        };
        if let Some(guard) = this.guard.as_mut() {
            guard.permit.mark_inner(InnerCode::NotRunning);
        }
        let outcome = ready!(polled);
        if let Some(Guard { permit, policies }) = this.guard.take() {
            judge(permit, &policies.classify, &outcome);
        }
        Poll::Ready(outcome)
    }
}

/// Hands a permit back with the verdict of the classifier.
pub(super) fn judge<Res, E, C>(
    permit: CallPermit<BreakerEnvironment>,
    classify: &C,
    outcome: &Result<Res, E>,
) where
    C: Classify<Res, E>,
{
    permit.end(|took, rules| call_outcome(classify.classify(outcome, took), took, rules));
}

/// The outcome of a call, from its verdict and the time it took.
pub(super) fn call_outcome(verdict: Verdict, took: Duration, rules: &CircuitRules) -> CallOutcome {
    let pace = rules.pace(took);
    match verdict {
        Verdict::Success => CallOutcome::Succeeded(pace),
        Verdict::Failure => CallOutcome::Failed(pace),
        Verdict::PartFailure => CallOutcome::PartFailed(pace),
        Verdict::InternalError => match rules.internal_errors {
            InternalErrors::Succeed => CallOutcome::Succeeded(pace),
            InternalErrors::Fail => CallOutcome::PartFailed(pace),
        },
        Verdict::Ignored => CallOutcome::Ignored,
    }
}

impl<S, Req, C, O> fmt::Debug for BreakerFuture<S, Req, C, O>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            CallState::Refused { .. } => "BreakerFuture::Refused",
            CallState::Called { .. } => "BreakerFuture::Called",
            CallState::Readying { .. } => "BreakerFuture::Readying",
        })
    }
}
