//! A circuit around the calls of one origin, for a cache that makes them itself.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    classify::Verdict,
    future::ending,
    gate::{AtWork, Passage},
    handle::BreakerHandle,
    keys::Keys,
    settings::BreakerConfig,
    waiting::Waiting,
    world::Surroundings,
};
use crate::{clock::Clock, extensions::Priority};

/// One circuit, for all calls that a cache makes with the same settings.
#[derive(Clone, Debug)]
pub(crate) struct OriginBreaker {
    keys: Arc<Keys<Surroundings>>,
}

impl OriginBreaker {
    pub(crate) fn new(breaker: BreakerConfig, clock: Arc<dyn Clock>) -> Self {
        let world = Surroundings {
            rules: breaker.rules,
            clock,
            listener: None,
            metrics: OnceLock::new(),
            waiting: Waiting::default(),
        };
        let keys = Arc::new(Keys::new(Arc::new(world)));
        Self { keys }
    }

    pub(crate) fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(Arc::clone(&self.keys))
    }

    /// Makes a call, or says after which time it is worth another try.
    pub(crate) async fn call<F: Future>(
        &self,
        priority: Priority,
        call: F,
        judge: impl FnOnce(&F::Output) -> Verdict,
    ) -> Result<F::Output, Duration> {
        let mut permit = match self.keys.gate("").admit(priority) {
            Passage::Granted(permit) => permit,
            Passage::Refused { retry_after, .. } => return Err(retry_after),
        };
        // Dropped before the permit, which is free only once the call is.
        let mut call = pin!(call);
        let outcome = poll_fn(|cx| {
            permit.at_work(AtWork::Yes);
            let polled = call.as_mut().poll(cx);
            permit.at_work(AtWork::No);
            polled
        })
        .await;
        permit.end(|took, rules| ending(judge(&outcome), rules.pace(took)));
        Ok(outcome)
    }
}
