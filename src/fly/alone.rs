//! Requests that ask the origin for themselves.

use std::{future::Future, sync::Arc};

use http::Response;
use http_body::Body;

use super::wait::InTime;
use crate::{
    body::CacheBody,
    error::BoxError,
    fetch::{Errand, Exchanged, Permit},
    layer::Cache,
    remote::Consulted,
    serve::Road,
    service::CacheableService,
};

impl<S> Road<S> {
    /// Asks the origin for this request only.
    pub(super) async fn alone<Q>(
        self,
        mut errand: Box<Errand>,
        body: Q,
    ) -> Result<Response<CacheBody<S::Body>>, S::Error>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        // What the other nodes have, if that was not asked for yet, and may be for all.
        if errand.seen.is_none()
            && !self.cache.is_uncacheable(&errand)
            && let Consulted::Serve(entry, now, served) = self.cache.consult(&mut errand).await
        {
            return Ok(self.found::<Q>(errand, None, &entry, now, served));
        }
        let instead = self.cache.is_impatient(&errand).then(|| errand.clone());
        let Self { cache, inner } = self;
        let asking = cache.clone();
        let mut fetching = Box::pin(async move {
            let fetched = asking.fetch(inner, &errand, body, Permit::Own).await;
            (errand, fetched)
        });
        let (errand, fetched) = match instead {
            None => fetching.await,
            Some(instead) => match cache.in_time(&instead, &mut fetching).await {
                InTime::Answered(done) => done,
                InTime::Stale(stale) => {
                    cache.go_on(fetching);
                    return Ok(stale);
                }
            },
        };
        if let Some(recording) = fetched.recording {
            let (shared, config) = (Arc::clone(&cache.shared), Arc::clone(&cache.config));
            shared.tasks.spawn(&*config.executor, async move {
                let limits = &cache.config.fill;
                cache.record(&errand, recording, limits).await;
            });
        }
        fetched.answer
    }
}

impl Cache {
    /// Has a fetch end that nobody waits for any more, for what of it can be stored, unless as much
    /// goes on in the background as may.
    fn go_on<B, E>(
        &self,
        fetching: impl Future<Output = (Box<Errand>, Exchanged<B, E>)> + Send + 'static,
    ) where
        B: Body<Error: Into<BoxError>> + Send + 'static,
        E: Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.shared.refreshes).try_acquire_owned() else {
            return;
        };
        let cache = self.clone();
        let executor = Arc::clone(&self.config.executor);
        self.shared.tasks.spawn(&*executor, async move {
            let (errand, fetched) = fetching.await;
            drop(fetched.answer);
            if let Some(recording) = fetched.recording {
                let limits = cache.config.fill.going_on();
                cache.record(&errand, recording, &limits).await;
            }
            drop(permit);
        });
    }
}
