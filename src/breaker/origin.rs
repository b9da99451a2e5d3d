//! One circuit around all calls to the origin of a cache.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::Uri;

use super::{
    classify::Verdict,
    environment::BreakerEnvironment,
    future::call_outcome,
    gate::{InnerCode, Passage},
    handle::BreakerHandle,
    http::path_hash,
    keys::Keys,
    settings::BreakerConfig,
    terms::Part,
    waiters::Waiters,
};
use crate::{clock::Clock, extensions::Priority};

/// One circuit, for all calls to the origin that a cache makes with the same settings. It tells the
/// paths of the origin apart.
#[derive(Clone, Debug)]
pub(crate) struct OriginBreaker {
    keys: Arc<Keys<BreakerEnvironment>>,
}

impl OriginBreaker {
    pub(crate) fn new(breaker: BreakerConfig, clock: Arc<dyn Clock>) -> Self {
        let environment = BreakerEnvironment {
            rules: breaker.rules,
            clock,
            listener: None,
            metrics: OnceLock::new(),
            waiters: Waiters::default(),
        };
        let keys = Arc::new(Keys::new(Arc::new(environment)));
        Self { keys }
    }

    /// The part of the origin that a call of `uri` asks for.
    pub(crate) fn path(uri: &Uri) -> Part {
        Part(path_hash(uri))
    }

    /// Whether both are one circuit: layers over the same cache share theirs.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys)
    }

    pub(crate) fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(Arc::clone(&self.keys))
    }

    /// Makes the call, or returns how long to wait before the next try.
    pub(crate) async fn call<F: Future>(
        &self,
        priority: Priority,
        path: Part,
        call: F,
        judge: impl FnOnce(&F::Output) -> Verdict,
    ) -> Result<F::Output, Duration> {
        let mut permit = match self.keys.gate("").admit(priority, Some(path)) {
            Passage::Granted(permit) => permit,
            Passage::Refused { retry_after, .. } => return Err(retry_after),
        };
        // Declared after the permit and so dropped first: the permit is free only once the call is
        // gone.
        let mut call = pin!(call);
        let outcome = poll_fn(|cx| {
            permit.mark_inner(InnerCode::Running);
            let polled = call.as_mut().poll(cx);
            permit.mark_inner(InnerCode::NotRunning);
            polled
        })
        .await;
        permit.end(|took, rules| call_outcome(judge(&outcome), took, rules));
        Ok(outcome)
    }
}
