//! Forwards a GET or HEAD that bypasses the cache, within the origin timeout.

use http::{Request, Response};
use http_body::Body;

use super::forward::{Forwarding, TimeLimit, forward_guarded};
use crate::{
    body::CacheBody,
    breaker::OriginBreaker,
    engine::{
        deadline::{Deadline, DeadlinePassed},
        origin_call::OriginCall,
        respond,
    },
    inner::CacheableService,
    outcome::Generated,
    state::cache::Cache,
};

/// Forwards a request, and waits for the head of its response until the origin timeout.
pub(crate) async fn forward_in_time<S, Q>(
    cache: Cache,
    breaker: Option<OriginBreaker>,
    inner: S,
    request: Request<Q>,
    forwarding: Forwarding,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let deadline = Deadline::after(cache.config.origin_timeout);
    if let Some(breaker) = breaker {
        let limit = TimeLimit::Until(deadline);
        return forward_guarded(breaker, inner, request, forwarding, limit).await;
    }
    match deadline
        .limit(OriginCall::new(&cache, inner, request))
        .await
    {
        Ok(answer) => Ok(forwarding.arrive(answer?)),
        Err(DeadlinePassed) => Ok(respond::generated(&cache, Generated::OriginTimeout)),
    }
}
