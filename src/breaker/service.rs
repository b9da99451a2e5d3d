//! The service: asks the circuit of a request, and calls the inner service if that lets it.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::{
    classify::{BreakerOpen, Classify, OnOpen},
    future::{BreakerFuture, judge},
    gate::{AtWork, Passage},
    keys::Keys,
    layer::Policies,
    target::Target,
    waiting::Readiness,
    world::Surroundings,
};
use crate::extensions::Priority;

/// A service behind a breaker, made by [`BreakerLayer`](super::BreakerLayer).
///
/// It is ready when the inner service is, so that what is outside of it still feels when that one
/// is busy. While any of its circuits refuses calls it is ready at once, because a call need not
/// wait to be refused; a call that passes all the same waits then for the readiness of a clone of
/// the inner service, and calls that very clone.
///
/// An error of the inner service's readiness goes to the caller and ends this service, as `tower`
/// has it. No request says whose it is, so it counts for the circuit with the empty key. While any
/// circuit refuses calls it is left to the call, where it is an outcome as any other.
pub struct BreakerService<S, C, O, T> {
    inner: S,
    inner_is: Inner,
    place: Place,
    policies: Arc<Policies<C, O>>,
    target: Arc<T>,
}

/// What is known of the inner service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Inner {
    /// It said it was ready, and was not called since. It may hold a place for this call.
    Ready,
    Unknown,
}

impl<S, C, O, T> BreakerService<S, C, O, T> {
    pub(super) fn new(
        inner: S,
        keys: Arc<Keys<Surroundings>>,
        policies: Arc<Policies<C, O>>,
        target: Arc<T>,
    ) -> Self {
        Self {
            inner,
            inner_is: Inner::Unknown,
            place: Place::new(keys),
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
            Arc::clone(&self.place.keys),
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
        self.inner_is = Inner::Unknown;
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.inner_is = Inner::Ready,
            Poll::Ready(Err(error)) => return Poll::Ready(self.failed_to_be_ready(error)),
            Poll::Pending if self.place.pending(cx) == Readiness::Wait => return Poll::Pending,
            Poll::Pending => {}
        }
        self.place.leave();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let inner_was = std::mem::replace(&mut self.inner_is, Inner::Unknown);
        let gate = self.place.keys.gate(&self.target.key(&request));
        let mut permit = match gate.admit(self.target.priority(&request)) {
            Passage::Granted(permit) => permit,
            Passage::Refused { gate, retry_after } => {
                if inner_was == Inner::Ready {
                    // Nobody will use the place it may hold: it goes with the old instance.
                    self.inner = self.inner.clone();
                }
                let key = gate.key().into();
                let refused = BreakerOpen { key, retry_after };
                return BreakerFuture::refused(self.policies.on_open.on_open(refused));
            }
        };
        permit.at_work(AtWork::Yes);
        let policies = Arc::clone(&self.policies);
        match inner_was {
            Inner::Ready => {
                let call = self.inner.call(request);
                BreakerFuture::called(call, permit, policies)
            }
            Inner::Unknown => {
                let inner = self.inner.clone();
                BreakerFuture::readying(inner, request, permit, policies)
            }
        }
    }
}

impl<S, C, O, T> BreakerService<S, C, O, T> {
    /// What comes of an error instead of readiness.
    #[cold]
    fn failed_to_be_ready<Res, E>(&mut self, error: E) -> Result<(), E>
    where
        C: Classify<Res, E>,
    {
        self.place.leave();
        let keys = &self.place.keys;
        if keys.world.waiting.is_any_refusing() {
            // The call may be refused; one that passes meets the error again, on a clone.
            return Ok(());
        }
        // No request says yet whose circuit it is.
        if let Passage::Granted(permit) = keys.gate("").admit(Priority::Background) {
            let outcome = Err(error);
            judge(permit, &self.policies.classify, &outcome);
            return outcome.map(|_| ());
        }
        Err(error)
    }
}

/// A service's place among those that wait for their inner one.
struct Place {
    keys: Arc<Keys<Surroundings>>,
    /// Its name there, once it had to wait.
    name: Option<u64>,
    /// Whether its waker may still be there.
    waits: Readiness,
}

impl Place {
    fn new(keys: Arc<Keys<Surroundings>>) -> Self {
        Self {
            keys,
            name: None,
            waits: Readiness::TakeTheCall,
        }
    }

    fn pending(&mut self, cx: &Context<'_>) -> Readiness {
        let waiting = &self.keys.world.waiting;
        let name = *self.name.get_or_insert_with(|| waiting.name());
        let readiness = waiting.pending(name, cx.waker());
        if readiness == Readiness::Wait {
            self.waits = Readiness::Wait;
        }
        readiness
    }

    fn leave(&mut self) {
        if let (Some(name), Readiness::Wait) = (self.name, self.waits) {
            self.keys.world.waiting.leave(name);
            self.waits = Readiness::TakeTheCall;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}
