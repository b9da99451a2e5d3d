//! A POST that the operator declares to be a read: its content is read, and becomes a part of the
//! key. From there on it is handled like a GET.
//!
//! What cannot be a part of a key is forwarded whole, and stores and invalidates nothing.

use std::sync::Arc;

use http::{Method, Request, Response};
use http_body::Body;

use super::{
    context::Handler,
    handle,
    lookup::{self, FromMemory},
    origin_call::OriginCall,
    request::CacheRequest,
    write::forward::{Forwarding, TimeLimit, forward_guarded},
};
use crate::{
    body::CacheBody, inner::CacheableService, key::target_uri, posts::Reading,
    semantics::classify::Bypass, state::cache::Cache,
};

/// Whether the settings declare this request to be a read, and its body can be read.
pub(crate) fn is_read<Q: 'static>(cache: &Cache, request: &CacheRequest) -> bool {
    let CacheRequest { parts, facts, .. } = request;
    parts.method == Method::POST
        && !cache.config.post_reads.is_empty()
        // With these it asks for something else, which may be a write.
        && !facts.method_override()
        && !facts.url_override()
        && limit(cache, request).is_some()
        && cache.config.post_reads.bodies::<Q>().is_some()
}

fn limit(cache: &Cache, request: &CacheRequest) -> Option<u64> {
    let path = target_uri(&request.parts).path();
    cache.config.post_reads.limit(path)
}

/// Answers a request that [`is_read`].
pub(crate) async fn handle<S, Q>(
    handler: Handler<S>,
    mut request: CacheRequest,
    body: Q,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let cache = handler.cache.clone();
    let bodies = cache.config.post_reads.bodies::<Q>();
    let (Some(bodies), Some(limit)) = (bodies, limit(&cache, &request)) else {
        return forward(handler, request, body, Bypass::Content).await;
    };
    let account = Arc::clone(&cache.shared.posted);
    let posted = match bodies.read(body, limit, account).await {
        Reading::Whole(posted) => posted,
        Reading::Unread(body) => return forward(handler, request, body, Bypass::Content).await,
    };
    let body = bodies.whole(posted.bytes());
    if let Err(reason) = request.key_by_content(&cache, posted) {
        return forward(handler, request, body, reason).await;
    }
    let trigger = match lookup::from_memory(&cache, &request) {
        FromMemory::Answer(response) => return Ok(response),
        FromMemory::Continue(trigger) => trigger,
    };
    handle::handle(handler, request, body, trigger).await
}

/// Forwards a request that is declared to be a read, and so invalidates nothing.
async fn forward<S, Q>(
    handler: Handler<S>,
    request: CacheRequest,
    body: Q,
    reason: Bypass,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let Handler { cache, inner } = handler;
    let forwarding = Forwarding::bypass(&cache, &request.parts, reason);
    let request = Request::from_parts(request.parts, body);
    match cache.config.breaker.clone() {
        None => {
            let answer = OriginCall::new(&cache, inner, request).await?;
            Ok(forwarding.arrive(answer))
        }
        Some(breaker) => forward_guarded(breaker, inner, request, forwarding, TimeLimit::Off).await,
    }
}
