//! Invalidation: what a write does to what is stored (RFC 9111 §4.4).

use std::{fmt::Write as _, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Response, Uri,
    header::{CONTENT_LOCATION, LOCATION},
    request::Parts,
    uri::{self, PathAndQuery},
};
use http_body::Body;

use crate::{
    asked::{resource_key, target_uri},
    body::CacheBody,
    entry::Entry,
    key::{RequestKey, Target},
    layer::{Cache, Shared},
    respond,
    semantics::{
        classify::{self, Bypass, Safety},
        decide::Standing,
        invalidation::{self, Invalidation},
        validate,
    },
    status::CacheOutcome,
    store::{Resource, StoreFuture, Update},
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

/// What `Location` and `Content-Location` refer to, under every name it may be asked for: clients
/// send what RFC 3986 forbids in a URI and [`Uri`] takes, such as `/a|b`, or percent-encode it.
fn related(target: &Uri, response: &HeaderMap) -> Vec<Uri> {
    // A reference is resolved in a spelling that RFC 3986 allows and that can be undone.
    let mut references = HeaderMap::new();
    for name in [LOCATION, CONTENT_LOCATION] {
        for value in response.get_all(&name) {
            if let Ok(value) = HeaderValue::from_bytes(&spelt_out(value.as_bytes())) {
                references.append(&name, value);
            }
        }
    }
    let base = encode(target.path().as_bytes(), Percent::Encode);
    let Some(base) = with_path(target, base.as_bytes()) else {
        return Vec::new();
    };
    let mut related = Vec::new();
    for resolved in invalidation::related(&base, &references) {
        let path = resolved.path_and_query().map_or("/", PathAndQuery::as_str);
        let written = decode(path.as_bytes());
        let encoded = encode(&written, Percent::KeepTriplets);
        related.extend(with_path(target, &written));
        if encoded.as_bytes() != written {
            related.extend(with_path(target, encoded.as_bytes()));
        }
    }
    related
}

fn with_path(target: &Uri, path_and_query: &[u8]) -> Option<Uri> {
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// A reference with its path and query encoded, percent signs and all. A fragment is no part of
/// what is stored.
fn spelt_out(reference: &[u8]) -> Vec<u8> {
    let end = reference.iter().position(|byte| *byte == b'#');
    let reference = &reference[..end.unwrap_or(reference.len())];
    let (place, path) = reference.split_at(path_start(reference));
    [place, encode(path, Percent::Encode).as_bytes()].concat()
}

/// Where the path of a reference begins: after its scheme and authority, if it has them.
fn path_start(reference: &[u8]) -> usize {
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?');
    let scheme = match reference
        .iter()
        .position(|byte| is_end(byte) || *byte == b':')
    {
        Some(colon) if reference[colon] == b':' => colon + 1,
        _ => 0,
    };
    let Some(authority) = reference[scheme..].strip_prefix(b"//") else {
        return scheme;
    };
    let len = authority.iter().position(is_end);
    scheme + 2 + len.unwrap_or(authority.len())
}

/// What becomes of percent signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Percent {
    /// They are encoded, so that decoding gives back the very same bytes.
    Encode,
    /// Those that encode something stay.
    KeepTriplets,
}

/// Percent-encodes what may not stand in a path or query (RFC 3986 §3.3, §3.4).
fn encode(bytes: &[u8], percent: Percent) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        let stays = match byte {
            b'%' => percent == Percent::KeepTriplets && triplet(&bytes[index..]).is_some(),
            b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'/' | b'?' => true,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if stays {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn decode(encoded: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        let (byte, after) = match triplet(rest) {
            Some(byte) => (byte, &rest[3..]),
            None => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

/// The byte that the first three encode, if they do.
fn triplet(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Makes sure that nothing stored for the resource is used again without validation, and that
/// nothing fetched before this moment is stored after it.
fn invalidate(cache: &Cache, key: &RequestKey) {
    // The fences first: a fill that stores before the update below is flagged by it, and one that
    // comes after it sees the new generation. Nobody who sees that may find in the tier that nodes
    // share what was there before.
    let shared = &cache.shared;
    cache.invalidate_remote(key);
    shared.generations.advance(key.resource_hash());
    shared.metrics().invalidations.increment(1);
    let flagging = Arc::clone(shared);
    let now = shared.clock.wall();
    let max_variants = cache.config.max_variants;
    let max_bytes = shared.memory.max_resource();
    let update = shared.store.update(
        key.to_key(),
        Box::new(move |stored| {
            let Some(stored) = stored else {
                return Update::Keep;
            };
            let flagged = stored
                .variants()
                .iter()
                .filter_map(|entry| flag(&flagging, entry, now))
                .collect();
            Resource::new(flagged, max_variants, max_bytes).map_or(Update::Remove, Update::Replace)
        }),
    );
    if let StoreFuture::Pending(update) = update {
        let metrics = Arc::clone(shared);
        shared.tasks.spawn(&*cache.config.executor, async move {
            if update.await.is_err() {
                metrics.metrics().store_errors.increment(1);
            }
        });
    }
}

/// The entry, to be validated before its next use; nothing if it cannot be.
fn flag(shared: &Shared, entry: &Entry, now: i64) -> Option<Arc<Entry>> {
    let mut head = entry.unpack();
    validate::has_validator(&head.headers, now).then(|| {
        head.standing = Standing::Invalidated;
        Arc::new(entry.with_head(&head, &shared.shapes))
    })
}

fn absolute(cache: &Cache, parts: &Parts) -> Option<Uri> {
    let target = target_uri(parts);
    let authority = classify::authority(target, &parts.headers)
        .ok()?
        .unwrap_or(cache.config.default_authority.as_bytes());
    let mut absolute = target.clone().into_parts();
    absolute.authority = Some(uri::Authority::try_from(authority).ok()?);
    if absolute.scheme.is_none() {
        absolute.scheme = Some(cache.config.default_scheme.parse().ok()?);
    }
    Uri::from_parts(absolute).ok()
}
