//! `CacheHandle::explain`: what would become of a request, and why.

mod text;

use std::sync::Arc;

use http::{Method, Request, request::Parts};
use http_body::Body;

use super::{
    CacheHandle,
    info::{EntryInfo, Stored, printable},
};
use crate::{
    config::Caching,
    engine::{
        collapse::GoesAlone,
        context::RequestContext,
        deadline::Deadline,
        fetch::conditions,
        lookup::{self, Next, Served},
        posted,
        request::{CacheRequest, Destination},
    },
    entry::Entry,
    outcome::{ForwardReason, StaleReason},
    purge::Standing,
    semantics::{classify::Bypass, select, storable::Prospect},
    state::cache::Cache,
    store::{Resource, StoreFuture},
};

/// What would become of a request at this moment, and why. See [`CacheHandle::explain`].
///
/// As text it is a few lines of English:
///
/// ```text
/// GET http://shop.example/items/7
/// key: http://shop.example/items/7
/// stored: 200, fresh, age 12 s, lifetime 60 s (max-age), 48 s left
/// answer: a hit, from memory
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The method and the URL of the request.
    pub request: String,
    /// The key that it is looked up under, as text: the URL as keys have it, and the namespace and the
    /// digest of further parts if there are any. `None` if it is not looked up.
    pub key: Option<String>,
    /// How many responses are stored in memory under that key. Those that were purged do not count.
    pub variants: usize,
    /// The one of them that the request selects (RFC 9111 §4.1).
    pub selected: Option<EntryInfo>,
    /// How it would be answered.
    pub answer: ExpectedAnswer,
    /// Whether the shared tier would be asked before that: it may have a response, or a newer one.
    pub asks_shared_tier: bool,
    /// Whether the response of the origin would be stored. `None` if there would be none, or none that is
    /// stored in any case.
    pub storing: Option<Prospect>,
    /// Why the request would wait for no other request's response. `None` if it would, or if it needs
    /// none.
    pub alone: Option<GoesAlone>,
}

/// How a request would be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ExpectedAnswer {
    /// The layer is [`disabled`](crate::CacheLayer::disabled): the request would go to the origin.
    Disabled,
    /// It would bypass the cache and go to the origin.
    Bypassed(Bypass),
    /// It would go to the origin because caches do not answer its method.
    Forwarded,
    /// Its content is a part of the key ([`post_as_read`](crate::CacheBuilder::post_as_read)), and would be
    /// read. An explanation does not read it.
    KeyedByContent,
    /// It would go to the origin, as it may become a tunnel.
    Tunnelled,
    /// The stored response is fresh, and would be the answer.
    Hit,
    /// The stored response is stale, and would be the answer all the same.
    Stale(StaleReason),
    /// The origin would have to confirm or replace the stored response.
    Validated(ForwardReason),
    /// The origin would be asked: no stored response answers the request.
    Missed(ForwardReason),
    /// 504: the request says `only-if-cached`, and no stored response may be used.
    Refused,
}

impl CacheHandle {
    /// Explains what would become of a request at this moment, and why.
    ///
    /// It decides by the rules that requests go by, from memory alone: it calls neither the origin nor
    /// the shared tier, and changes nothing. The layer of this handle is taken for the outermost one
    /// of this cache. Whether the [circuit breaker](crate::CacheBuilder::breaker) would refuse a call
    /// of the origin is not asked.
    ///
    /// ```
    /// # async fn explain(handle: cachewarp::CacheHandle) {
    /// use cachewarp::ExpectedAnswer;
    ///
    /// let request = http::Request::get("https://shop.example/items/7")
    ///     .header("cookie", "session=1")
    ///     .body(String::new())
    ///     .unwrap();
    /// let explanation = handle.explain(&request);
    /// if explanation.answer != ExpectedAnswer::Hit {
    ///     println!("{explanation}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn explain<B: Body + 'static>(&self, request: &Request<B>) -> Explanation {
        let cache = &self.cache;
        let mut asked = CacheRequest::new(head(request));
        let text = format!("{} {}", request.method(), request.uri());
        if cache.config.caching == Caching::Off {
            return Explanation::without_lookup(text, ExpectedAnswer::Disabled);
        }
        let answer = match asked.destination(cache, request.body()) {
            Destination::Lookup => return look_up(cache, text, asked),
            Destination::Bypass(reason) => ExpectedAnswer::Bypassed(reason),
            Destination::Forward(_) if posted::is_read::<B>(cache, &asked) => {
                ExpectedAnswer::KeyedByContent
            }
            Destination::Forward(_) => ExpectedAnswer::Forwarded,
            Destination::Tunnel => ExpectedAnswer::Tunnelled,
        };
        Explanation::without_lookup(text, answer)
    }
}

/// The head of a request that stays where it is.
fn head<B>(request: &Request<B>) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    parts.extensions = request.extensions().clone();
    parts
}

fn look_up(cache: &Cache, request: String, mut asked: CacheRequest) -> Explanation {
    let shared = &cache.shared;
    let now = shared.clock.monotonic();
    let stored = match shared.store.get(asked.key.as_ref()) {
        StoreFuture::Ready(Some(Ok(stored))) => stored,
        StoreFuture::Ready(_) | StoreFuture::Pending(_) => None,
    };
    let key = asked.key.to_key();
    let selected = select(cache, &asked, stored.as_ref());
    let resource = selected.clone().map(Resource::One);
    let selected = resource
        .as_ref()
        .zip(selected)
        .and_then(|(resource, entry)| {
            Some(Stored::new(cache, &key, resource, now)?.describe(&entry))
        });
    let found = stored.clone();
    let next = lookup::evaluate(cache, &asked, found.as_ref(), now);
    let asks_shared_tier = shared.remote.is_some()
        && match &next {
            Next::Serve(entry, _) => !shared.is_current(entry),
            Next::Fetch { .. } | Next::Refuse => true,
            Next::Bypass(_) => false,
        };
    asked.normalise(cache);
    let generation = asked.generation(cache);
    let deadline = Deadline::after(cache.config.origin_timeout);
    let mut context = RequestContext::new(asked, generation, shared.purges.now(), deadline);
    let next = context.adopt(next);
    context.stored = stored;
    let variants = context.stored.as_ref().map_or(&[][..], Resource::variants);
    let is_usable = |entry: &&Arc<Entry>| {
        shared.purged(context.request.key.as_bytes(), entry) == Standing::Usable
    };
    let variants = variants.iter().filter(is_usable).count();
    let answer = match next {
        Next::Serve(_, Served::Fresh) => ExpectedAnswer::Hit,
        Next::Serve(_, Served::Stale(reason)) => ExpectedAnswer::Stale(reason),
        Next::Fetch {
            selected: Some(_),
            forward,
        } => ExpectedAnswer::Validated(forward),
        Next::Fetch {
            selected: None,
            forward,
        } => ExpectedAnswer::Missed(forward),
        Next::Bypass(reason) => ExpectedAnswer::Bypassed(reason),
        Next::Refuse => ExpectedAnswer::Refused,
    };
    let fetches = matches!(
        answer,
        ExpectedAnswer::Validated(_) | ExpectedAnswer::Missed(_)
    );
    Explanation {
        request,
        key: printable(cache, &key),
        variants,
        selected,
        answer,
        asks_shared_tier,
        storing: fetches.then(|| prospect(cache, &context)),
        alone: GoesAlone::of(cache, &context).filter(|_| fetches),
    }
}

/// The stored response that a request selects, whether it may be used for it or not. `None` if it was
/// purged.
fn select(cache: &Cache, asked: &CacheRequest, stored: Option<&Resource>) -> Option<Arc<Entry>> {
    let order = cache.config.rules.language_order;
    let (headers, seed) = (&asked.parts.headers, cache.shared.seed());
    let selected = select::select(stored?.variants(), headers, seed, order)?;
    let standing = cache.shared.purged(asked.key.as_bytes(), selected);
    (standing == Standing::Usable).then(|| Arc::clone(selected))
}

fn prospect(cache: &Cache, context: &RequestContext) -> Prospect {
    let asked = &context.request;
    let method = if asked.is_head() && conditions::fills_for_head(cache, context) {
        &Method::GET
    } else {
        asked.stored_as()
    };
    Prospect::of(method, &asked.facts, &asked.directives, &cache.config.rules)
}

impl Explanation {
    fn without_lookup(request: String, answer: ExpectedAnswer) -> Self {
        Self {
            request,
            key: None,
            variants: 0,
            selected: None,
            answer,
            asks_shared_tier: false,
            storing: None,
            alone: None,
        }
    }
}
