//! A request as the cache sees it: its head, what the head says, and its key.

use http::{HeaderMap, HeaderName, Method, Uri, request::Parts};
use http_body::Body;

use crate::{
    entry::Entry,
    generation::Generation,
    key::{Dimensions, KeyBuf, KeyExtension, Keying, RequestKey, Target},
    layer::Cache,
    semantics::{
        cache_control::RequestDirectives,
        classify::{self, Bypass, Content, FORWARDED_FIELDS, Facts, Road, Safety},
        decide::Standing,
        list,
        rules::ForwardedPolicy,
    },
};

/// A GET or HEAD that may be answered from the store.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) parts: Parts,
    pub(crate) facts: Facts,
    pub(crate) directives: RequestDirectives,
    pub(crate) key: RequestKey,
    /// The generation of the resource when the request came in.
    pub(crate) generation: Generation,
}

/// Where a request goes first.
#[derive(Debug)]
pub(crate) enum Destination {
    /// To the origin, untouched.
    Tunnel(Parts),
    /// To the origin, for its method.
    Forward(Parts, Safety),
    /// To the origin, and nothing of it is stored.
    Bypass(Parts, Bypass),
    /// To the store.
    Lookup(Asked),
}

impl Destination {
    pub(crate) fn of(cache: &Cache, parts: Parts, body: &impl Body) -> Self {
        let rules = &cache.config.rules;
        let facts = Facts::scan(&parts.headers, rules);
        let content = if body.is_end_stream() || body.size_hint().exact() == Some(0) {
            Content::Absent
        } else {
            Content::Present
        };
        let uri = target_uri(&parts);
        match classify::classify(&parts.method, uri, &parts.headers, &facts, content) {
            Road::Tunnel => Self::Tunnel(parts),
            Road::Forward(safety) => Self::Forward(parts, safety),
            Road::Bypass(reason) => Self::Bypass(parts, reason),
            Road::Lookup => match request_key(cache, &parts, &facts) {
                Err(reason) => Self::Bypass(parts, reason),
                Ok(key) => Self::Lookup(Asked {
                    directives: if facts.directives() {
                        RequestDirectives::parse(&parts.headers, &rules.ignored_request)
                    } else {
                        RequestDirectives::default()
                    },
                    generation: cache.shared.generations.current(key.resource_hash()),
                    facts,
                    key,
                    parts,
                }),
            },
        }
    }
}

impl Asked {
    /// Whether `entry` still stands. Entries of plain keys are flagged in the store; those of
    /// extended ones, which an invalidation cannot enumerate, by their generation.
    pub(crate) fn standing(&self, entry: &Entry) -> Standing {
        if self.key.dimensions() == Dimensions::Extended && entry.generation() != self.generation {
            return Standing::Invalidated;
        }
        entry.standing()
    }

    pub(crate) fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }
}

/// The URI that was asked for, before any router took a prefix off.
pub(crate) fn target_uri(parts: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = crate::axum::original_uri(&parts.extensions) {
        return original;
    }
    &parts.uri
}

/// The key of a resource, without the dimensions that settings add.
pub(crate) fn resource_key(cache: &Cache, parts: &Parts) -> Result<KeyBuf, Bypass> {
    let uri = target_uri(parts);
    let authority = classify::authority(uri, &parts.headers)?
        .unwrap_or(cache.config.default_authority.as_bytes());
    Ok(KeyBuf::new(Target::new(
        &cache.config.namespace,
        uri,
        &cache.config.default_scheme,
        authority,
    )))
}

/// The key of a request, with a section for each kind of further dimension. A section announces
/// itself and how many parts it has, so that none can pose as another.
fn request_key(cache: &Cache, parts: &Parts, facts: &Facts) -> Result<RequestKey, Bypass> {
    let config = &cache.config;
    let mut key = resource_key(cache, parts)?;
    if facts.forwarded() && config.rules.forwarded == ForwardedPolicy::Key {
        for name in &FORWARDED_FIELDS {
            push_forwarded(&mut key, &parts.headers, name);
        }
    }
    for name in &config.key_headers {
        push_field(&mut key, &parts.headers, name);
    }
    if let Some(policy) = &config.key {
        key.push(b"policy");
        match policy.extend_key(parts, &mut KeyExtension(&mut key)) {
            Keying::Use => {}
            Keying::Bypass => return Err(Bypass::KeyPolicy),
        }
    }
    if key.is_too_long() {
        return Err(Bypass::KeyTooLong);
    }
    Ok(key.finish(cache.shared.seed))
}

/// The name of a field, then the number of its lines, then the lines.
fn push_field(key: &mut KeyBuf, headers: &HeaderMap, name: &HeaderName) {
    let lines = headers.get_all(name);
    key.push(name.as_str().as_bytes());
    key.push(&(lines.iter().count() as u64).to_le_bytes());
    for line in lines {
        key.push(line.as_bytes());
    }
}

/// One of the fields by which applications learn the host and scheme they are reached under.
fn push_forwarded(key: &mut KeyBuf, headers: &HeaderMap, name: &HeaderName) {
    if !headers.contains_key(name) {
        return;
    }
    if *name != http::header::FORWARDED {
        return push_field(key, headers, name);
    }
    // Of `Forwarded` only the host and the scheme shape responses; the rest differs with every
    // client (RFC 7239 §4).
    let pairs = list::members(headers.get_all(name))
        .flat_map(|element| element.split(|byte| *byte == b';'))
        .map(list::trim_ows)
        .filter(|pair| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or(pair);
            name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"proto")
        });
    for pair in pairs {
        key.push(b"forwarded");
        key.push(pair);
    }
}
