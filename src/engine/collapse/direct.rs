//! Requests that ask the origin for themselves.

use std::{future::Future, sync::Arc};

use http::Response;
use http_body::Body;

use super::refresh;
use crate::{
    body::CacheBody,
    engine::{
        context::{Errand, Road},
        fetch::{
            fetch,
            fetched::{Exchanged, Permit},
            storing,
        },
        hit_for_miss,
        stale::{self, InTime},
    },
    error::BoxError,
    inner::CacheableService,
    remote::Consulted,
    state::cache::Cache,
};

/// Asks the origin for this request only.
pub(super) async fn alone<S, Q>(
    handler: Road<S>,
    mut errand: Box<Errand>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    // What the other nodes have, if that was not asked for yet, and may be for all.
    if errand.seen.is_none()
        && !hit_for_miss::is_uncacheable(&handler.cache, &errand)
        && let Consulted::Serve(entry, now, served) = handler.cache.consult(&mut errand).await
    {
        return Ok(refresh::found::<S, Q>(
            handler, errand, None, &entry, now, served,
        ));
    }
    let instead = stale::is_impatient(&handler.cache, &errand).then(|| errand.clone());
    let Road { cache, inner } = handler;
    let asking = cache.clone();
    let mut fetching = Box::pin(async move {
        let fetched = fetch::fetch(&asking, inner, &errand, body, Permit::Own).await;
        (errand, fetched)
    });
    let (errand, fetched) = match instead {
        None => fetching.await,
        Some(instead) => match stale::in_time(&cache, &instead, &mut fetching).await {
            InTime::Answered(done) => done,
            InTime::Stale(stale) => {
                go_on(&cache, fetching);
                return Ok(stale);
            }
        },
    };
    if let Some(recording) = fetched.recording {
        let (shared, config) = (Arc::clone(&cache.shared), Arc::clone(&cache.config));
        shared.tasks.spawn(&*config.executor, async move {
            let limits = &cache.config.fill;
            storing::record(&cache, &errand, recording, limits).await;
        });
    }
    fetched.answer
}

/// Has a fetch end that nobody waits for any more, for what of it can be stored, unless as much
/// goes on in the background as may.
fn go_on<B, E>(
    cache: &Cache,
    fetching: impl Future<Output = (Box<Errand>, Exchanged<B, E>)> + Send + 'static,
) where
    B: Body<Error: Into<BoxError>> + Send + 'static,
    E: Send + 'static,
{
    let Ok(permit) = Arc::clone(&cache.shared.refreshes).try_acquire_owned() else {
        return;
    };
    let executor = Arc::clone(&cache.config.executor);
    let shared = Arc::clone(&cache.shared);
    let cache = cache.clone();
    shared.tasks.spawn(&*executor, async move {
        let (errand, fetched) = fetching.await;
        drop(fetched.answer);
        if let Some(recording) = fetched.recording {
            let limits = cache.config.fill.going_on();
            storing::record(&cache, &errand, recording, &limits).await;
        }
        drop(permit);
    });
}
