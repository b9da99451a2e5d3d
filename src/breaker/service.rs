//! The service: calls the inner service if the circuit of the request lets it.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::{
    classify::{BreakerOpen, Classify, Granularity, OnOpen, Policies},
    environment::BreakerEnvironment,
    future::{BreakerFuture, judge},
    gate::{InnerCode, Passage},
    keys::Keys,
    target::Target,
    terms::Part,
    waiters::Readiness,
};
use crate::extensions::Priority;

/// A service behind a breaker, made by [`BreakerLayer`](super::BreakerLayer).
///
/// It is ready when the inner service is ready, so backpressure reaches the caller. While any of
/// its circuits refuses calls it is always ready, because a call need not wait in order to be
/// refused. A call that passes nevertheless waits until a clone of the inner service is ready, and
/// calls this clone.
///
/// An error of the inner service's `poll_ready` is returned to the caller, who must not use this
/// service again, as `tower` requires. It belongs to no request, so it counts for the circuit with
/// the empty key. While any circuit refuses calls, the error is not returned by `poll_ready`: it
/// becomes the outcome of the next call.
pub struct BreakerService<S, C, O, T> {
    inner: S,
    readiness: InnerReadiness,
    waiter: WaiterHandle,
    policies: Arc<Policies<C, O>>,
    target: Arc<T>,
}

/// What is known of the inner service's readiness.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum InnerReadiness {
    /// It reported that it is ready and was not called since. It may hold a permit for the call.
    Ready,
    Unknown,
}

impl<S, C, O, T> BreakerService<S, C, O, T> {
    pub(super) fn new(
        inner: S,
        keys: Arc<Keys<BreakerEnvironment>>,
        policies: Arc<Policies<C, O>>,
        target: Arc<T>,
    ) -> Self {
        Self {
            inner,
            readiness: InnerReadiness::Unknown,
            waiter: WaiterHandle::new(keys),
            policies,
            target,
        }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives up the breaker for the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, C, O, T> Clone for BreakerService<S, C, O, T> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            Arc::clone(&self.waiter.keys),
            Arc::clone(&self.policies),
            Arc::clone(&self.target),
        )
    }
}

impl<S: fmt::Debug, C, O, T> fmt::Debug for BreakerService<S, C, O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, Req, C, O, T> Service<Req> for BreakerService<S, C, O, T>
where
    S: Service<Req> + Clone,
    C: Classify<S::Response, S::Error>,
    O: OnOpen<S::Response, S::Error>,
    T: Target<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BreakerFuture<S, Req, C, O>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.readiness = InnerReadiness::Unknown;
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.readiness = InnerReadiness::Ready,
            Poll::Ready(Err(error)) => return Poll::Ready(self.failed_to_be_ready(error)),
            Poll::Pending if self.waiter.wait(cx) == Readiness::Wait => return Poll::Pending,
            Poll::Pending => {}
        }
        self.waiter.leave();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let readiness = std::mem::replace(&mut self.readiness, InnerReadiness::Unknown);
        let gate = self.waiter.keys.gate(&self.target.key(&request));
        let part = match self.policies.classify.granularity() {
            Granularity::Service => None,
            Granularity::Part => self.target.part(&request).map(Part),
        };
        let mut permit = match gate.admit(self.target.priority(&request), part) {
            Passage::Granted(permit) => permit,
            Passage::Refused { gate, retry_after } => {
                if readiness == InnerReadiness::Ready {
                    // The instance may hold a permit for a call that does not come. Dropping it
                    // frees the permit.
                    self.inner = self.inner.clone();
                }
                let key = gate.key().into();
                let refused = BreakerOpen { key, retry_after };
                return BreakerFuture::refused(self.policies.on_open.on_open(refused));
            }
        };
        permit.mark_inner(InnerCode::Running);
        let policies = Arc::clone(&self.policies);
        match readiness {
            InnerReadiness::Ready => {
                let call = self.inner.call(request);
                BreakerFuture::called(call, permit, policies)
            }
            InnerReadiness::Unknown => {
                let inner = self.inner.clone();
                BreakerFuture::readying(inner, request, permit, policies)
            }
        }
    }
}

impl<S, C, O, T> BreakerService<S, C, O, T> {
    /// Handles an error of the inner service's `poll_ready`.
    #[cold]
    fn failed_to_be_ready<Res, E>(&mut self, error: E) -> Result<(), E>
    where
        C: Classify<Res, E>,
    {
        self.waiter.leave();
        let keys = &self.waiter.keys;
        if keys.environment.waiters.is_any_refusing() {
            // The next call may be refused. If it passes, it gets the error of a clone.
            return Ok(());
        }
        // The error belongs to no request, so it counts for the empty key.
        if let Passage::Granted(permit) = keys.gate("").admit(Priority::Background, None) {
            let outcome = Err(error);
            judge(permit, &self.policies.classify, &outcome);
            return outcome.map(|_| ());
        }
        Err(error)
    }
}

/// Registers one service among the [`Waiters`](super::waiters::Waiters), and removes it when it is
/// dropped.
struct WaiterHandle {
    keys: Arc<Keys<BreakerEnvironment>>,
    /// The id among the waiters, once the service had to wait.
    id: Option<u64>,
    /// [`Readiness::Wait`] while the waker may be registered.
    registered: Readiness,
}

impl WaiterHandle {
    fn new(keys: Arc<Keys<BreakerEnvironment>>) -> Self {
        Self {
            keys,
            id: None,
            registered: Readiness::TakeTheCall,
        }
    }

    fn wait(&mut self, cx: &Context<'_>) -> Readiness {
        let waiters = &self.keys.environment.waiters;
        let id = *self.id.get_or_insert_with(|| waiters.new_id());
        let readiness = waiters.wait(id, cx.waker());
        if readiness == Readiness::Wait {
            self.registered = Readiness::Wait;
        }
        readiness
    }

    fn leave(&mut self) {
        if let (Some(id), Readiness::Wait) = (self.id, self.registered) {
            self.keys.environment.waiters.leave(id);
            self.registered = Readiness::TakeTheCall;
        }
    }
}

impl Drop for WaiterHandle {
    fn drop(&mut self) {
        self.leave();
    }
}
