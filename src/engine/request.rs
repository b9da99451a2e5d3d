//! A request as the cache sees it: its head, what the head says, and its key.

use std::{sync::Arc, time::Duration};

use http::{
    Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body;

use super::{
    key_parts::{extend_key, key_target, push_field},
    normalise::{self, HeadAsReceived},
};
use crate::{
    entry::{Entry, RemoteVersion},
    generation::Generation,
    key::{Dimensions, RequestKey, target_uri},
    posts::Posted,
    purge::Standing,
    semantics::{
        cache_control::RequestDirectives,
        classify::{self, Bypass, Content, Facts, Requester, Route, Safety},
        decide::{Candidate, OnError, Validity, on_error, withheld},
        rules::Rules,
    },
    state::cache::Cache,
};

/// What the marks of requests that are forwarded as HEAD differ in, in their upper halves.
const OF_HEAD: u64 = 0x3333_3333 << 32;

/// A GET or HEAD that may be answered from the store.
#[derive(Clone, Debug)]
pub(crate) struct CacheRequest {
    pub(crate) parts: Parts,
    pub(crate) facts: Facts,
    pub(crate) directives: RequestDirectives,
    pub(crate) key: RequestKey,
    /// The key as this layer's settings alone make it, if the layers further out added to it.
    pub(crate) own_key: Option<Box<RequestKey>>,
    /// What has been changed in the head for the lookup.
    received: Option<Box<HeadAsReceived>>,
    pub(crate) wants: Wants,
    /// The content, if it is a part of the key.
    pub(crate) posted: Option<Arc<Posted>>,
}

/// What a client wants of a response.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Wants {
    #[default]
    Whole,
    /// The head, although the request to the origin is a GET.
    Head,
}

/// What to do with a request first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Destination {
    /// Forward it: the cache must not answer it, for this reason.
    Bypass(Bypass),
    /// Forward it: a cache does not answer its method.
    Forward(Safety),
    /// Look up its key.
    Lookup,
    /// Forward it untouched: it may become a tunnel.
    Tunnel,
}

impl CacheRequest {
    /// A request before its [`destination`](Self::destination) is known.
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            facts: Facts::default(),
            directives: RequestDirectives::default(),
            key: RequestKey::default(),
            own_key: None,
            received: None,
            wants: Wants::default(),
            posted: None,
        }
    }

    /// Decides what to do with the request, and builds its key if it is to be looked up.
    pub(crate) fn destination(&mut self, cache: &Cache, body: &impl Body) -> Destination {
        let Self {
            parts, facts, key, ..
        } = self;
        *facts = Facts::scan(&parts.headers, &cache.config.rules);
        let content = if body.is_end_stream() || body.size_hint().exact() == Some(0) {
            Content::Absent
        } else {
            Content::Present
        };
        let uri = target_uri(parts);
        match classify::classify(&parts.method, uri, &parts.headers, facts, content) {
            Route::Tunnel => return Destination::Tunnel,
            Route::Forward(safety) => return Destination::Forward(safety),
            Route::Bypass(reason) => return Destination::Bypass(reason),
            Route::Lookup(authority) => key.name(key_target(cache, parts, authority)),
        }
        match self.complete_key(cache) {
            Ok(()) => Destination::Lookup,
            Err(reason) => Destination::Bypass(reason),
        }
    }

    /// Adds the further dimensions to a key that has all others, and reads the directives.
    #[inline]
    fn complete_key(&mut self, cache: &Cache) -> Result<(), Bypass> {
        let config = &cache.config;
        // What is keyed is what is forwarded.
        if let Some(languages) = &config.languages {
            let received = self.received.get_or_insert_default();
            received.set_language(languages, &mut self.parts);
        }
        if config.keys_cookie_field() {
            self.remove_ignored_cookies(&config.rules);
        }
        if let Err(reason) = extend_key(cache, &self.parts, &self.facts, &mut self.key) {
            self.restore();
            return Err(reason);
        }
        self.key.seal(cache.shared.seed);
        if self.facts.directives() {
            let ignored = &config.rules.ignored_request;
            self.directives = RequestDirectives::parse(&self.parts.headers, ignored);
        }
        Ok(())
    }

    /// Builds the key of a POST that is declared to be a read, after its
    /// [`destination`](Self::destination) was found to be the origin.
    pub(crate) fn key_by_content(&mut self, cache: &Cache, posted: Posted) -> Result<(), Bypass> {
        let Self {
            parts, facts, key, ..
        } = self;
        let uri = target_uri(parts);
        let authority = classify::declared_read(uri, &parts.headers, facts)?;
        key.name(key_target(cache, parts, authority));
        // No field has a name with a space, so no other section begins like this one.
        key.push(b"content of POST");
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            push_field(key, &parts.headers, &name);
        }
        key.push(&posted.digest());
        self.complete_key(cache)?;
        self.posted = Some(Arc::new(posted));
        self.normalise(cache);
        Ok(())
    }

    /// A body for one more request to the origin: the content that is a part of the key, or none.
    pub(crate) fn new_body<Q: Default + Send + 'static>(&self, cache: &Cache) -> Q {
        let content = self.posted.as_ref().and_then(|posted| {
            let bodies = cache.config.post_reads.bodies()?;
            Some(bodies.whole(posted.bytes()))
        });
        content.unwrap_or_default()
    }

    /// The method whose rules of storing apply to the response.
    pub(crate) fn stored_as(&self) -> &Method {
        match self.posted {
            Some(_) => &Method::GET,
            None => &self.parts.method,
        }
    }

    /// Removes what no key has and what nothing stored is selected by: the origin must not see it if
    /// the response may be shared.
    ///
    /// An answer from memory alone does without this.
    pub(crate) fn normalise(&mut self, cache: &Cache) {
        if let Some(query) = &cache.config.query {
            let received = self.received.get_or_insert_default();
            received.set_query(query, &mut self.parts);
        }
        self.remove_ignored_cookies(&cache.config.rules);
    }

    fn remove_ignored_cookies(&mut self, rules: &Rules) {
        if self.facts.ignored_cookie() {
            let received = self.received.get_or_insert_default();
            received.remove_ignored_cookies(&rules.cookies, &mut self.parts);
        }
    }

    /// Normalises a head of this very request too.
    pub(crate) fn normalise_like_this(&self, other: &mut Parts) {
        normalise::copy(&self.parts, other);
    }

    /// Makes the head what the client sent: the request goes past the cache after all.
    pub(crate) fn restore(&mut self) {
        if let Some(received) = self.received.take() {
            received.restore(&mut self.parts);
        }
    }

    /// The head as the client sent it.
    pub(crate) fn as_received(&self) -> Parts {
        let mut parts = self.parts.clone();
        if let Some(received) = &self.received {
            received.restore(&mut parts);
        }
        parts
    }

    /// The generation of the resource at this moment.
    pub(crate) fn generation(&self, cache: &Cache) -> Generation {
        cache.shared.generations.current(self.key.resource_hash())
    }

    /// Whether `entry` has been invalidated.
    ///
    /// An invalidation flags the entries of the resource's plain key in the store. It cannot
    /// enumerate the extended keys, whose entries are older than the resource's generation instead.
    /// An invalidation by another node marks the entry's remote version. The same is true of writes
    /// that got no answer.
    pub(crate) fn validity(&self, cache: &Cache, entry: &Entry) -> Validity {
        let elsewhere = entry
            .remote_version()
            .map_or(Validity::Valid, RemoteVersion::validity);
        let here = match self.key.dimensions() {
            Dimensions::Extended => {
                let (stored, now) = (entry.generation(), self.generation(cache));
                if stored == now {
                    entry.validity()
                } else if stored.is_invalidated_in(now) {
                    Validity::Invalidated
                } else {
                    entry.validity().max(Validity::Unanswered)
                }
            }
            Dimensions::Plain => entry.validity(),
        };
        here.max(elsewhere)
    }

    /// Whether `entry` may be served if the origin fails (`stale-if-error`, RFC 5861 §4).
    pub(crate) fn allows_stale_if_error(
        &self,
        cache: &Cache,
        entry: &Entry,
        now: Duration,
    ) -> bool {
        let standing = cache.shared.purged(self.key.as_bytes(), entry);
        let candidate = Candidate {
            freshness: entry.freshness(),
            age: entry.age_for_reuse(now),
            validity: self.validity(cache, entry),
        };
        standing == Standing::Usable
            && withheld(candidate.freshness, self.facts).is_none()
            && on_error(&candidate, &self.directives) == OnError::ServeStale
    }

    /// The mark that pauses the refreshes of `entry`, after what became of this request. Each variant
    /// has its own, and each class of requests: what the origin failed at may be the cookie. So has
    /// HEAD, which the origin may fail at although it answers GET.
    pub(crate) fn pause_mark(&self, entry: &Entry) -> u64 {
        let mark = self.requester().mark(self.pause_hash(entry));
        match self.parts.method {
            Method::HEAD => mark ^ OF_HEAD,
            _ => mark,
        }
    }

    /// Whether the refreshes of `entry` are paused for this request.
    pub(crate) fn is_paused(&self, cache: &Cache, entry: &Entry, now: Duration) -> bool {
        let hash = self.pause_hash(entry);
        let mut marks = self.requester().heeds().iter().map(|it| it.mark(hash));
        let paused = &cache.shared.paused;
        let is_head = self.parts.method == Method::HEAD;
        marks.any(|mark| {
            paused.contains(mark, now) || is_head && paused.contains(mark ^ OF_HEAD, now)
        })
    }

    fn pause_hash(&self, entry: &Entry) -> u64 {
        let digest = entry.selecting().digest();
        // Both halves of the digest, folded into one.
        self.key.hash() ^ digest as u64 ^ (digest >> 64) as u64
    }

    /// Whether the response to this request may be everybody's.
    pub(crate) fn requester(&self) -> Requester {
        Requester::of(&self.facts, &self.directives)
    }

    /// Whether the client gets the head of the response only.
    pub(crate) fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD || self.wants == Wants::Head
    }

    /// The method of the client, whatever that of the request to the origin is.
    pub(crate) fn client_method(&self) -> &Method {
        match self.wants {
            Wants::Head => &Method::HEAD,
            Wants::Whole => &self.parts.method,
        }
    }

    /// Makes a HEAD a GET for the origin. Its client still gets the head only.
    pub(crate) fn fetch_whole(&mut self) {
        self.wants = Wants::Head;
        self.parts.method = Method::GET;
    }

    /// Undoes [`fetch_whole`](Self::fetch_whole).
    pub(crate) fn fetch_head(&mut self) {
        self.wants = Wants::Whole;
        self.parts.method = Method::HEAD;
    }
}
