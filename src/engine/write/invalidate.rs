//! Invalidation: what a write does to the stored responses (RFC 9111 §4.4).

use std::{fmt::Write as _, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Uri,
    header::{CONTENT_LOCATION, LOCATION},
    request::Parts,
    uri::{self, PathAndQuery},
};

use crate::{
    engine::peers,
    entry::Entry,
    key::{RequestKey, target_uri},
    semantics::{
        classify::{self},
        decide::Standing,
        invalidation::{self},
        validate,
    },
    state::cache::{Cache, Shared},
    store::{Resource, StoreFuture, Update},
};

/// What `Location` and `Content-Location` refer to, under every name it may be request for: clients
/// send what RFC 3986 forbids in a URI and [`Uri`] takes, such as `/a|b`, or percent-encode it.
pub(super) fn related(target: &Uri, response: &HeaderMap) -> Vec<Uri> {
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

/// Invalidates a resource: its stored responses are validated before they are used again, and nothing
/// that was fetched before this moment is stored after it.
pub(super) fn invalidate(cache: &Cache, key: &RequestKey) {
    // The order matters. First the tombstone for the shared tier: a request that sees the new
    // generation must not find an older response there. Then the generation: a fill that stores before
    // the update below is flagged by it, a later one sees the new generation and does not store.
    let shared = &cache.shared;
    peers::publish::invalidate(cache, key);
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
                .filter_map(|entry| mark_invalid(&flagging, entry, now))
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

/// The entry, to be validated before its next use. `None` if it has no validator.
fn mark_invalid(shared: &Shared, entry: &Entry, now: i64) -> Option<Arc<Entry>> {
    let mut head = entry.unpack();
    validate::has_validator(&head.headers, now).then(|| {
        head.standing = Standing::Invalidated;
        Arc::new(entry.with_head(&head, &shared.names))
    })
}

pub(super) fn absolute(cache: &Cache, parts: &Parts) -> Option<Uri> {
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
