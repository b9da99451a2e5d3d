//! Requests that ask the origin for themselves.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use http::Response;
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::reply::Led;
use crate::{
    body::CacheBody,
    fetch::{Errand, Exchanged, Permit},
    remote::Consulted,
    serve::Road,
    service::Inner,
};

impl<S> Road<S> {
    /// Asks the origin for this request only.
    pub(super) async fn alone<Q>(
        self,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        // What the other nodes have, if that was not asked for yet, and may be for all.
        if errand.seen.is_none()
            && !self.cache.is_uncacheable(&errand)
            && let Consulted::Serve(entry, now, served) = self.cache.consult(&mut errand).await
        {
            return Ok(self.found::<Q>(errand, None, &entry, now, served));
        }
        if self.cache.is_impatient(&errand)
            && let Ok(permit) = Arc::clone(&self.cache.shared.fills).try_acquire_owned()
        {
            return self.alone_in_time(errand, body, permit).await;
        }
        let fetching = self.cache.fetch(self.inner, &errand, body, Permit::Own);
        let Exchanged {
            answer, recording, ..
        } = Box::pin(fetching).await;
        if let Some(recording) = recording {
            let shared = Arc::clone(&self.cache.shared);
            let executor = Arc::clone(&self.cache.config.executor);
            shared.tasks.spawn(&*executor, async move {
                let limits = &self.cache.config.fill;
                self.cache.record(&errand, recording, limits).await;
            });
        }
        answer
    }

    /// Asks the origin for this request only, and goes on when the client no longer waits for it.
    async fn alone_in_time<Q>(
        self,
        errand: Box<Errand>,
        body: Q,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: Inner<Q>,
        Q: Body + Default + Send + 'static,
    {
        let cache = self.cache.clone();
        let instead = errand.clone();
        let (reply, answer) = oneshot::channel();
        cache
            .shared
            .tasks
            .spawn(&*cache.config.executor, async move {
                let _permit = permit;
                let Self { cache, inner } = self;
                let fetching = cache.fetch(inner, &errand, body, Permit::OfFlight);
                match AssertUnwindSafe(Box::pin(fetching)).catch_unwind().await {
                    Ok(fetched) => {
                        let _ = reply.send(Led::Answer(fetched.answer));
                        if let Some(recording) = fetched.recording {
                            let limits = cache.config.fill.going_on();
                            cache.record(&errand, recording, &limits).await;
                        }
                    }
                    Err(panic) => drop(reply.send(Led::Panicked(panic))),
                }
            });
        cache.reply(Some(&instead), answer).await
    }
}
