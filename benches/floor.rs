//! The floor under every hit measured here: the least code by hand over moka that serves one.
//!
//! It keys a response on method, host, path and query, keeps it as one `Arc<Entry>`, and answers
//! with a clone of the stored `HeaderMap` and a reference to the stored body. It keeps the habits
//! of code written in an afternoon: moka's default hasher, no expiry, no weights.
//!
//! What it leaves out is what a cache is for: freshness, `Vary` (but see [`VariedKey`]), `Age`,
//! validators, `Authorization`, coalescing, statistics. Nobody should ship it; it is the bar that
//! says what all of those cost together.

#![allow(
    dead_code,
    reason = "each program that includes this file uses a part of it"
)]

use std::{hash::Hash, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, HOST},
};
use http_body_util::Full;
use moka::sync::Cache;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

/// A cache of `handler`'s responses under keys of type `K`.
pub(crate) struct Floor<K, H> {
    entries: Cache<K, Arc<Entry>>,
    handler: H,
}

impl<K: FloorKey, H> Floor<K, H> {
    /// Room for 10,000 responses, more than any bench asks for: nothing is ever evicted.
    pub(crate) fn new(handler: H) -> Self {
        Self {
            entries: Cache::new(10_000),
            handler,
        }
    }

    /// Answers from the cache, else calls the handler and stores what it said.
    ///
    /// The request is consumed, as by a service: dropping it is part of the work.
    #[allow(clippy::needless_pass_by_value, reason = "what a service does")]
    pub(crate) fn call<Q>(&self, request: Request<Q>) -> Response<Full<Bytes>>
    where
        H: Fn(&Request<Q>) -> Response<Bytes>,
    {
        let key = K::of(&request);
        if let Some(entry) = self.entries.get(&key) {
            return entry.response();
        }
        let (head, body) = (self.handler)(&request).into_parts();
        let entry = Arc::new(Entry {
            body,
            headers: head.headers,
            status: head.status,
        });
        self.entries.insert(key, Arc::clone(&entry));
        entry.response()
    }
}

struct Entry {
    body: Bytes,
    headers: HeaderMap,
    status: StatusCode,
}

impl Entry {
    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// What identifies a request.
pub(crate) trait FloorKey: Eq + Hash + Send + Sync + 'static {
    fn of<Q>(request: &Request<Q>) -> Self;
}

/// `GET host/path?query` as one `String`: what most people write first.
#[derive(Eq, Hash, PartialEq)]
pub(crate) struct StringKey(String);

impl FloorKey for StringKey {
    fn of<Q>(request: &Request<Q>) -> Self {
        let (method, host, target) = (request.method(), host(request), target(request));
        Self(format!("{method} {host}{target}"))
    }
}

/// The same text, hashed on the stack to 16 bytes: a collision would serve another's response.
#[derive(Eq, Hash, PartialEq)]
pub(crate) struct HashedKey(u128);

impl FloorKey for HashedKey {
    fn of<Q>(request: &Request<Q>) -> Self {
        let mut text = SmallVec::<[u8; 256]>::new();
        text.extend_from_slice(request.method().as_str().as_bytes());
        text.push(b' ');
        text.extend_from_slice(host(request).as_bytes());
        text.extend_from_slice(target(request).as_bytes());
        Self(xxh3_128(&text))
    }
}

/// [`StringKey`] and the value of `Accept-Encoding`, for an author who knows that every response
/// varies on it and on nothing else.
#[derive(Eq, Hash, PartialEq)]
pub(crate) struct VariedKey(String);

impl FloorKey for VariedKey {
    fn of<Q>(request: &Request<Q>) -> Self {
        let (method, host, target) = (request.method(), host(request), target(request));
        let encoding = text(request, &ACCEPT_ENCODING);
        Self(format!("{method} {host}{target} {encoding}"))
    }
}

fn host<Q>(request: &Request<Q>) -> &str {
    match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => text(request, &HOST),
    }
}

fn target<Q>(request: &Request<Q>) -> &str {
    request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
}

fn text<'a, Q>(request: &'a Request<Q>, name: &HeaderName) -> &'a str {
    request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
