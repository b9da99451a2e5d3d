//! A request that goes to the origin directly, without a flight: its response may be its own.

use std::{future::Future, sync::Arc};

use http::Response;
use http_body::Body;
use tracing::{Instrument, Span};

use super::{
    first_byte::{self, FirstByte},
    refresh,
};
use crate::{
    body::CacheBody,
    engine::{
        context::{Handler, RequestContext},
        fetch::{
            conditions, fetch,
            fetched::{FetchResult, Permit},
            head_request, storing,
        },
        hit_for_miss,
        peers::{self, lookup::RemoteLookup},
        request::Wants,
        stale::{self, WithinSoftTimeout},
    },
    error::BoxError,
    inner::CacheableService,
    state::cache::Cache,
};

/// Asks the origin for this request alone.
pub(super) async fn fetch_direct<S, Q>(
    handler: Handler<S>,
    mut context: Box<RequestContext>,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    if context.request.wants == Wants::Head && !conditions::fills_for_head(&handler.cache, &context)
    {
        // By now the response is known not to be stored.
        context.request.fetch_head();
        let Handler { cache, inner } = handler;
        return head_request::forward_head(&cache, inner, &context, body).await;
    }
    // The shared tier first, if it has not been asked and may hold a response for all.
    if context.bypass.is_none()
        && context.observed.is_none()
        && !hit_for_miss::is_uncacheable(&handler.cache, &context)
        && let RemoteLookup::Hit(found) = peers::lookup::find(&handler.cache, &mut context).await
    {
        return Ok(refresh::answer_and_follow_up::<S, Q>(
            handler, context, None, &found,
        ));
    }
    context.fetch_begins(&handler.cache);
    let fallback = stale::has_soft_fallback(&handler.cache, &context).then(|| context.clone());
    let Handler { cache, inner } = handler;
    let asking = cache.clone();
    let inside = context.spans.inside();
    let fetching = async move {
        let fetched = fetch::fetch(&asking, inner, &context, body, Permit::Own).await;
        (context, fetched)
    };
    // It may go on in a task.
    let mut fetching = Box::pin(fetching.instrument(inside));
    let (context, mut fetched) = match fallback {
        None => fetching.await,
        Some(fallback) => {
            match stale::within_soft_timeout(&cache, &fallback, &mut fetching).await {
                WithinSoftTimeout::Answered(done) => done,
                WithinSoftTimeout::Stale(stale) => {
                    finish_in_background(&cache, fallback.spans.outside(), fetching);
                    return Ok(stale);
                }
            }
        }
    };
    let Some(recording) = fetched.recording.take() else {
        return fetched.answer;
    };
    let first_byte = FirstByte::of(&cache, &context, &recording.streaming.fill);
    let awaiting = first_byte.map(|first_byte| (first_byte, context.clone()));
    let recording_cache = cache.clone();
    let outside = context.spans.outside();
    let recording = async move {
        let limits = &recording_cache.config.fill;
        storing::record(&recording_cache, &context, recording, limits).await;
    };
    let executor = &*cache.config.executor;
    cache.shared.tasks.spawn_in(outside, executor, recording);
    if let Some((first_byte, context)) = awaiting {
        let begun = first_byte.wait(&context).await;
        fetched = first_byte::judged(&cache, &context, fetched, begun);
    }
    fetched.answer
}

/// Lets a fetch that no client waits for any more run to its end, so that its response is stored.
/// Drops it if the bound on background work is reached.
fn finish_in_background<B, E>(
    cache: &Cache,
    outside: Span,
    fetching: impl Future<Output = (Box<RequestContext>, FetchResult<B, E>)> + Send + 'static,
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
    shared.tasks.spawn_in(outside, &*executor, async move {
        let (context, fetched) = fetching.await;
        drop(fetched.answer);
        if let Some(recording) = fetched.recording {
            let limits = cache.config.fill.without_discarding();
            storing::record(&cache, &context, recording, &limits).await;
        }
        drop(permit);
    });
}
