//! Requests that go to the origin without a lookup, and the write that an unsafe one is.

use http::{Method, Response, Uri, request::Parts, uri};
use http_body::Body;

use super::invalidate::{absolute, invalidate, related};
use crate::{
    body::CacheBody,
    engine::{request::resource_key, respond},
    key::{RequestKey, Target},
    outcome::CacheOutcome,
    semantics::{
        classify::{Bypass, Safety},
        invalidation::{self, Invalidation},
    },
    state::cache::Cache,
};

/// A request that went to the origin without a lookup, and what its response will do.
#[derive(Debug)]
pub(crate) struct Forwarding {
    cache: Cache,
    method: Method,
    outcome: CacheOutcome,
    /// Boxed, so that what other requests carry stays small.
    write: Option<Box<Write>>,
}

impl Forwarding {
    /// Becomes a tunnel, or is refused: nothing is stored. A write that is answered as if it had
    /// not asked for a tunnel is one all the same.
    pub(crate) fn tunnel(cache: &Cache, parts: &Parts) -> Self {
        Self {
            outcome: CacheOutcome::Tunnelled,
            ..Self::method(cache, parts, Safety::of(&parts.method))
        }
    }

    pub(crate) fn bypass(cache: &Cache, parts: &Parts, reason: Bypass) -> Self {
        Self::new(cache, parts, CacheOutcome::Bypassed(reason))
    }

    pub(crate) fn method(cache: &Cache, parts: &Parts, safety: Safety) -> Self {
        Self {
            write: match safety {
                Safety::Safe => None,
                Safety::Unsafe => Write::new(cache, parts).map(Box::new),
            },
            ..Self::new(cache, parts, CacheOutcome::Forwarded)
        }
    }

    fn new(cache: &Cache, parts: &Parts, outcome: CacheOutcome) -> Self {
        Self {
            cache: cache.clone(),
            method: parts.method.clone(),
            outcome,
            write: None,
        }
    }

    /// Labels the response, after it did what it does to the store.
    pub(crate) fn arrive<B: Body>(mut self, response: Response<B>) -> Response<CacheBody<B>> {
        if let Some(write) = self.write.take() {
            let status = response.status();
            match invalidation::invalidates(&self.method, status) {
                Invalidation::Target => write.succeed(&response),
                Invalidation::Nothing => write.fail(),
            }
        }
        respond::from_origin(&self.cache, &self.method, response, self.outcome.into())
    }
}

/// An unsafe request under way. Dropped without a response, because its client went away or the
/// service failed, it may have changed the resource all the same: then the resource is invalidated
/// too.
#[derive(Debug)]
struct Write {
    cache: Cache,
    key: RequestKey,
    /// The target in absolute form, if it can be put so.
    target: Option<Uri>,
    under_way: UnderWay,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum UnderWay {
    Yes,
    Over,
}

impl Write {
    /// `None` if the request can change no resource: that of CONNECT is a tunnel.
    fn new(cache: &Cache, parts: &Parts) -> Option<Self> {
        if parts.method == Method::CONNECT {
            return None;
        }
        let key = resource_key(cache, parts).ok()?;
        Some(Self {
            cache: cache.clone(),
            key,
            target: absolute(cache, parts),
            under_way: UnderWay::Yes,
        })
    }

    /// The target, and what the response says it created or changed beside it.
    fn succeed<B>(mut self, response: &Response<B>) {
        self.under_way = UnderWay::Over;
        invalidate(&self.cache, &self.key);
        let Some(target) = &self.target else {
            return;
        };
        for related in related(target, response.headers()) {
            let authority = related.authority().map_or("", uri::Authority::as_str);
            let target = Target::new(
                &self.cache.config.namespace,
                &related,
                &self.cache.config.default_scheme,
                authority.as_bytes(),
            );
            invalidate(&self.cache, &RequestKey::of(target, self.cache.shared.seed));
        }
    }

    fn fail(mut self) {
        self.under_way = UnderWay::Over;
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if self.under_way == UnderWay::Yes {
            invalidate(&self.cache, &self.key);
        }
    }
}
