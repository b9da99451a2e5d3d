//! A response to POST that is stored for GET and HEAD of the same URI (RFC 9110 §9.3.3, RFC 9111 §4).
//!
//! Only where the operator says so, and only if the response says that it is what a GET would get:
//! a 200 with a lifetime of its own, and with the target URI as its `Content-Location`. It is stored
//! after the invalidation that the POST causes, and never answers a POST.
//!
//! What the operator says to have no meaning is removed from such a POST as it is from a GET, because it
//! is not in the key under which the response is stored.
//!
//! A write that ends while this one is at the origin may have changed the resource after it. So the
//! response is stored only if no invalidation but that of the POST itself has come since the POST
//! was sent. In the shared tier that is the one whose epoch is there when it is asked.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, Method, Response, StatusCode,
    header::{
        CONTENT_LENGTH, EXPECT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
    },
    request::Parts,
};
use http_body::Body;
use http_body_util::Empty;

use super::invalidate;
use crate::{
    body::CacheBody,
    engine::{
        context::RequestContext,
        deadline::Deadline,
        fetch::{
            fetched::{Demand, Recording},
            storability::{self, ExchangeTimes},
            storing,
        },
        nesting::{self, reports},
        peers::{self, lookup::RemoteLookup},
        request::{CacheRequest, Destination},
        respond::{self, Label, Shaping, StreamingHead},
    },
    error::BoxError,
    fill::Fill,
    generation::{Generation, Generations},
    key::target_uri,
    outcome::Generated,
    purge::PurgeTime,
    remote::{Pending, RemoteKey},
    semantics::{fields, invalidation},
    state::{cache::Cache, flights::StreamingResponse},
    store::StoreFuture,
};

/// What a request says about its own content, and what it demands of the present response. A GET
/// for what the response is stored as has none of these.
const OF_THE_POST: [HeaderName; 9] = [
    CONTENT_LENGTH,
    EXPECT,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    TRANSFER_ENCODING,
];

/// A POST whose response may be stored.
#[derive(Debug)]
pub(super) struct PostFill {
    /// The GET that the response would answer.
    request: CacheRequest,
    /// The generation of the resource before the POST was sent.
    generation: Generation,
    /// The purge clock then.
    born: PurgeTime,
    /// How many changes by other nodes were known then.
    changes: u32,
    /// When it was sent, by the wall clock and by the monotonic one.
    forwarded: i64,
    began: Duration,
}

impl PostFill {
    /// Normalises the request. `None` if the settings do not allow it, if a GET of that URI would bypass
    /// the cache, or if a layer further out may store the response, with its own key.
    pub(super) fn begin(cache: &Cache, parts: &mut Parts) -> Option<Self> {
        let Cache { shared, config } = cache;
        if parts.method != Method::POST
            || !config
                .post_fills
                .matches(target_uri(parts).path().as_bytes())
        {
            return None;
        }
        if nesting::has_outer(cache, &parts.extensions) {
            return None;
        }
        let mut get = parts.clone();
        get.method = Method::GET;
        for name in OF_THE_POST {
            get.headers.remove(name);
        }
        let mut request = CacheRequest::new(get);
        if request.destination(cache, &Empty::<Bytes>::new()) != Destination::Lookup {
            return None;
        }
        request.normalise(cache);
        request.normalise_like_this(parts);
        Some(Self {
            generation: request.generation(cache),
            born: shared.purges.now(),
            changes: shared.remote_changes(&request.key),
            forwarded: shared.clock.wall(),
            began: shared.clock.monotonic(),
            request,
        })
    }

    /// The answer to the client of the POST, whose response is recorded if it may be stored.
    /// `invalidated` are the hashes of what the POST has invalidated.
    pub(super) fn answer<B>(
        self,
        cache: &Cache,
        response: Response<B>,
        invalidated: &[u64],
        label: Label,
    ) -> Response<CacheBody<B>>
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let cache = &reports::judge(cache, response.extensions());
        let as_it_came =
            |response, label| respond::from_origin(cache, &Method::POST, response, label);
        if !describes_target(cache, &self.request.parts, &response) {
            return as_it_came(response, label);
        }
        let shared = &cache.shared;
        let hash = self.request.key.resource_hash();
        let generation = Generations::after(self.generation, hash, invalidated);
        if shared.generations.current(hash) != generation
            || shared.remote_changes(&self.request.key) != self.changes
        {
            return as_it_came(response, label);
        }
        let own = own_epoch(cache, &self.request);
        let Ok(permit) = Arc::clone(&shared.fills).try_acquire_owned() else {
            return as_it_came(response, label);
        };
        let times = ExchangeTimes::until_now(&*shared.clock, self.forwarded, self.began);
        let mut context = Box::new(RequestContext::new(
            self.request,
            generation,
            self.born,
            Deadline::after(cache.config.origin_timeout),
        ));
        if let StoreFuture::Ready(Some(Ok(stored))) = shared.store.get(context.request.key.as_ref())
        {
            context.stored = stored;
        }
        let (mut parts, body) = response.into_parts();
        fields::ensure_date(&mut parts.headers, times.times.response);
        let evaluation = storability::evaluate(cache, &context, &parts, times);
        // A lifetime by policy or by guess does not make a response to POST one to GET.
        if evaluation.storable.is_err() || !evaluation.head.meta.freshness.is_explicit() {
            return as_it_came(Response::from_parts(parts, body), label);
        }
        let declared = storability::declared_length(&parts, &body);
        let end = parts.extensions.get().cloned();
        let fill = Fill::new(declared, &shared.account, &cache.config.fill);
        let live = StreamingHead {
            parts,
            arrived: None,
            shaping: Shaping::Leave,
        };
        let recording = Recording {
            streaming: Arc::new(StreamingResponse {
                head: evaluation.head,
                fill: Arc::clone(&fill),
                end,
            }),
            body,
            completion: evaluation.completion,
            demand: Demand::Reader,
            permit: Some(permit),
            span: context.spans.store(),
        };
        let answer = respond::from_live(cache, &context.request, live, &fill, label);
        record(cache.clone(), context, recording, own);
        // A fill that has not begun can be read from its beginning, so there is an answer.
        answer.unwrap_or_else(|| respond::generated(cache, Generated::no_result()))
    }
}

/// Records and stores the response, in a task of its own.
fn record<B>(
    cache: Cache,
    mut context: Box<RequestContext>,
    recording: Recording<B>,
    own: Option<u64>,
) where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    let (shared, config) = (Arc::clone(&cache.shared), Arc::clone(&cache.config));
    let outside = context.spans.outside();
    shared
        .tasks
        .spawn_in(outside, &*config.executor, async move {
            // What the shared tier has after the invalidation, so that the response can be stored there
            // if nothing changes meanwhile.
            let found = peers::lookup::find(&cache, &mut context).await;
            let is_own = context.observed.is_some_and(|it| Some(it.epoch) == own);
            if matches!(found, RemoteLookup::Hit(..)) || !is_own {
                // Another node has fetched a newer one, or has written meanwhile.
                context.observed = None;
                context.promotable = None;
            }
            storing::record(&cache, &context, recording, &cache.config.fill).await;
        });
}

/// The epoch that the invalidation of the POST begins in the shared tier. `None` if that was sent at
/// once, or if there is no tier.
fn own_epoch(cache: &Cache, request: &CacheRequest) -> Option<u64> {
    let remote = cache.shared.remote.as_ref()?;
    match remote.pending(&RemoteKey::of(&request.key)) {
        Pending::Epoch(epoch, _) => Some(epoch),
        Pending::Nothing | Pending::Everything => None,
    }
}

/// Whether a response to POST says that it is what a GET of the target would get.
fn describes_target<B>(cache: &Cache, request: &Parts, response: &Response<B>) -> bool {
    response.status() == StatusCode::OK
        && invalidate::absolute(cache, request)
            .is_some_and(|target| invalidation::is_content_location(&target, response.headers()))
}
