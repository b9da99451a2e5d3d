//! Requests that are forwarded without a lookup. An unsafe one is a write, which invalidates.

use std::{iter, time::Duration};

use http::{Method, Request, Response, StatusCode, Uri, request::Parts, uri};
use http_body::Body;
use smallvec::SmallVec;

use super::{
    invalidate::{self},
    post_fill::PostFill,
};
use crate::{
    body::CacheBody,
    breaker::{HttpClassify, OriginBreaker, Verdict},
    engine::{
        deadline::{Deadline, DeadlinePassed},
        fetch::call::whole_seconds,
        key_parts,
        origin_call::OriginCall,
        respond,
    },
    error::BoxError,
    extensions::{Blame, RequestProgress},
    inner::CacheableService,
    key::{KeyTarget, RequestKey, target_of},
    outcome::{CacheOutcome, Generated},
    semantics::{
        classify::{Bypass, Safety},
        decide::Validity,
        groups,
        invalidation::{self, InvalidationScope},
    },
    state::cache::Cache,
};

/// A request that was forwarded without a lookup, and what to do with its response.
#[derive(Debug)]
pub(crate) struct Forwarding {
    cache: Cache,
    method: Method,
    outcome: CacheOutcome,
    /// In a box, so that the futures of other requests stay small.
    write: Option<Box<Write>>,
    /// What a response may fill, besides what it invalidates.
    fill: Option<Box<PostFill>>,
}

impl Forwarding {
    /// A request that may become a tunnel: nothing is stored. If the origin answers it as an
    /// ordinary request and its method is unsafe, it is a write.
    pub(crate) fn tunnel(cache: &Cache, parts: &mut Parts) -> Self {
        let safety = Safety::of(&parts.method);
        Self {
            outcome: CacheOutcome::Tunnelled,
            fill: None,
            ..Self::method(cache, parts, safety)
        }
    }

    pub(crate) fn bypass(cache: &Cache, parts: &Parts, reason: Bypass) -> Self {
        Self::new(cache, parts, CacheOutcome::Bypassed(reason))
    }

    /// A request of a layer that does not cache.
    pub(crate) fn disabled(cache: &Cache, method: &Method) -> Self {
        Self {
            cache: cache.clone(),
            method: method.clone(),
            outcome: CacheOutcome::Disabled,
            write: None,
            fill: None,
        }
    }

    pub(crate) fn method(cache: &Cache, parts: &mut Parts, safety: Safety) -> Self {
        Self {
            write: match safety {
                Safety::Safe => None,
                Safety::Unsafe => Write::new(cache, parts).map(Box::new),
            },
            fill: PostFill::begin(cache, parts).map(Box::new),
            ..Self::new(cache, parts, CacheOutcome::Forwarded)
        }
    }

    /// The cache that it passes.
    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    fn new(cache: &Cache, parts: &Parts, outcome: CacheOutcome) -> Self {
        Self {
            cache: cache.clone(),
            method: parts.method.clone(),
            outcome,
            write: None,
            fill: None,
        }
    }

    /// Invalidates what the response says was changed, then labels the response. What it is to fill
    /// is recorded from here on.
    pub(crate) fn arrive<B>(mut self, response: Response<B>) -> Response<CacheBody<B>>
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        if let Some(write) = self.write.take() {
            let status = response.status();
            write.invalidate_groups(&response);
            match invalidation::invalidates(&self.method, status) {
                InvalidationScope::Target => {
                    let invalidated = write.complete(&response);
                    if let Some(fill) = self.fill.take() {
                        let label = self.outcome.into();
                        return fill.answer(&self.cache, response, &invalidated, label);
                    }
                }
                InvalidationScope::Nothing => write.reject(),
            }
        }
        match self.outcome {
            CacheOutcome::Disabled => return respond::untouched(response),
            CacheOutcome::Tunnelled if opens_tunnel(&self.method, response.status()) => {
                return respond::tunnel(&self.cache, response);
            }
            _ => {}
        }
        respond::from_origin(&self.cache, &self.method, response, self.outcome.into())
    }
}

/// Whether the connection is a tunnel from here on (RFC 9110 §9.3.6, §15.2.2).
fn opens_tunnel(method: &Method, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || *method == Method::CONNECT && status.is_success()
}

/// Until when a forwarded request waits for the head of its response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeLimit {
    Off,
    Until(Deadline),
}

/// Forwards a request if the circuit breaker permits, and counts how it ends.
pub(crate) async fn forward_guarded<S, Q>(
    breaker: OriginBreaker,
    inner: S,
    request: Request<Q>,
    mut forwarding: Forwarding,
    limit: TimeLimit,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    match guarded_call(&forwarding.cache, &breaker, inner, request, limit).await {
        Ok(answer) => answer.map(|response| forwarding.arrive(response)),
        Err(none) => {
            if let (NoAnswer::Open(_), Some(write)) = (&none, forwarding.write.take()) {
                write.reject();
            }
            Ok(respond::generated(&forwarding.cache, none.into()))
        }
    }
}

/// Passes a request on for a layer of the same cache that is further out, if the circuit breaker of
/// this layer permits.
pub(crate) async fn pass_on<S, Q>(
    cache: Cache,
    breaker: OriginBreaker,
    inner: S,
    request: Request<Q>,
) -> Result<Response<CacheBody<S::Body>>, S::Error>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    match guarded_call(&cache, &breaker, inner, request, TimeLimit::Off).await {
        Ok(answer) => answer.map(|response| response.map(CacheBody::origin)),
        Err(none) => Ok(respond::unlabelled(&none.into())),
    }
}

/// Why a guarded call brought no answer.
#[derive(Clone, Copy, Debug)]
enum NoAnswer {
    /// It was not made: the circuit is open for so long.
    Open(Duration),
    TooLate,
}

impl From<NoAnswer> for Generated {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Open(wait) => {
                let retry_after = whole_seconds(wait);
                Self::BreakerOpen { retry_after }
            }
            NoAnswer::TooLate => Self::OriginTimeout,
        }
    }
}

/// One call through the circuit breaker.
async fn guarded_call<S, Q>(
    cache: &Cache,
    breaker: &OriginBreaker,
    inner: S,
    mut request: Request<Q>,
    limit: TimeLimit,
) -> Result<Result<Response<S::Body>, S::Error>, NoAnswer>
where
    S: CacheableService<Q>,
    Q: Body + Default + Send + 'static,
{
    let priority = request.extensions().get().copied().unwrap_or_default();
    let path = OriginBreaker::path(target_of(request.uri(), request.extensions()));
    let progress = RequestProgress::of(request.extensions_mut());
    let has_content = !request.body().is_end_stream();
    let judge = |answer: &Result<Result<Response<S::Body>, S::Error>, DeadlinePassed>| match answer
    {
        Ok(Ok(response)) => HttpClassify::status(response.status()),
        Err(DeadlinePassed) => Verdict::PartFailure,
        Ok(Err(_)) => match progress.blame() {
            Some(Blame::Path) => Verdict::PartFailure,
            Some(Blame::Origin) => Verdict::Failure,
            // Unless the service says otherwise, the client may have broken off what it sent.
            None if !has_content => Verdict::Failure,
            Some(Blame::Client | Blame::Service) | None => Verdict::Ignored,
        },
    };
    let call = async {
        let answer = OriginCall::new(cache, inner, request);
        match limit {
            TimeLimit::Off => Ok(answer.await),
            TimeLimit::Until(deadline) => deadline.limit(answer).await,
        }
    };
    match breaker.call(priority, path, call, judge).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(DeadlinePassed)) => Err(NoAnswer::TooLate),
        Err(wait) => Err(NoAnswer::Open(wait)),
    }
}

/// An unsafe request in progress. If it is dropped without a response, because its client
/// disconnected or the service failed, it may still have changed the resource, unless the service
/// says that the origin did not get it.
#[derive(Debug)]
struct Write {
    cache: Cache,
    key: RequestKey,
    /// The key of the URI that the service gets, if that is another one.
    rewritten: Option<RequestKey>,
    /// The target as an absolute URI, if it has that form.
    target: Option<Uri>,
    state: WriteState,
    progress: RequestProgress,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WriteState {
    Pending,
    Answered,
}

impl Write {
    /// `None` if the request changes no resource: CONNECT names a tunnel.
    fn new(cache: &Cache, parts: &mut Parts) -> Option<Self> {
        if parts.method == Method::CONNECT {
            return None;
        }
        let key = key_parts::resource_key(cache, parts).ok()?;
        // Another cache around this one may have put it there.
        let progress = RequestProgress::of(&mut parts.extensions);
        Some(Self {
            cache: cache.clone(),
            key,
            rewritten: key_parts::rewritten_key(cache, parts),
            target: invalidate::absolute(cache, parts),
            state: WriteState::Pending,
            progress,
        })
    }

    /// Invalidates the target, and the resources that the response says were created or changed.
    /// Returns the hashes of all of them.
    fn complete<B>(mut self, response: &Response<B>) -> SmallVec<[u64; 4]> {
        self.state = WriteState::Answered;
        let mut invalidated = SmallVec::new();
        let mut invalidate = |key: &RequestKey| {
            // The groups of what is stored go with it. Groups of what goes with them do not (RFC 9875 §2).
            let groups = invalidate::groups_of(&self.cache, key);
            self.cache.invalidate_groups(key, &groups);
            invalidate::invalidate(&self.cache, key, Validity::Invalidated);
            invalidated.push(key.resource_hash());
        };
        self.keys().for_each(&mut invalidate);
        let Some(target) = &self.target else {
            return invalidated;
        };
        for related in invalidation::related(target, response.headers()) {
            let authority = related.authority().map_or("", uri::Authority::as_str);
            let target = KeyTarget::new(
                &self.cache.config.namespace,
                &related,
                &self.cache.config.default_scheme,
                authority.as_bytes(),
            )
            .normalised_by(self.cache.config.query.as_ref());
            invalidate(&RequestKey::of(target, self.cache.shared.seed));
        }
        invalidated
    }

    /// Invalidates the groups that the response names, whatever its status (RFC 9875 §3).
    fn invalidate_groups<B>(&self, response: &Response<B>) {
        let groups = groups::invalidated_groups(response.headers());
        self.cache.invalidate_groups(&self.key, &groups);
    }

    /// The keys of the target.
    fn keys(&self) -> impl Iterator<Item = &RequestKey> {
        iter::once(&self.key).chain(&self.rewritten)
    }

    /// The write was refused, by the origin or before it was sent: nothing is invalidated.
    fn reject(mut self) {
        self.state = WriteState::Answered;
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if self.state == WriteState::Pending && self.progress.may_be_done() {
            for key in self.keys() {
                invalidate::invalidate(&self.cache, key, Validity::Unanswered);
            }
        }
    }
}
