//! What the key of a request is made of: the resource that it is for, and the dimensions that the
//! settings add.

use http::{
    HeaderMap, HeaderName,
    request::Parts,
    uri::{Authority, PathAndQuery},
};
use smallvec::SmallVec;

use crate::{
    key::{KeyExtension, KeyTarget, Keying, RequestKey, rewritten_uri, target_uri},
    semantics::{
        classify::{self, Bypass, FORWARDED_FIELDS, Facts},
        forwarded,
        rules::{CacheKind, ForwardedPolicy, Rules},
    },
    state::cache::Cache,
};

/// The plain key of the resource that a request is for: without the dimensions that settings add.
pub(crate) fn resource_key(cache: &Cache, parts: &Parts) -> Result<RequestKey, Bypass> {
    let authority = classify::authority(target_uri(parts), &parts.headers)?;
    let target = key_target(cache, parts, authority);
    Ok(RequestKey::of(target, cache.shared.seed))
}

/// The plain key of the URI that the service gets, if middleware made something else of the target
/// ([`rewritten_uri`]).
pub(crate) fn rewritten_key(cache: &Cache, parts: &Parts) -> Option<RequestKey> {
    let config = &cache.config;
    let uri = rewritten_uri(parts, config.query.as_ref())?;
    let authority = match uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => {
            let asked = classify::authority(target_uri(parts), &parts.headers).ok()?;
            asked.unwrap_or(config.default_authority.as_bytes())
        }
    };
    let target = KeyTarget::new(&config.namespace, &uri, &config.default_scheme, authority);
    Some(RequestKey::of(target, cache.shared.seed))
}

pub(super) fn key_target<'a>(
    cache: &'a Cache,
    parts: &'a Parts,
    authority: Option<&'a [u8]>,
) -> KeyTarget<'a> {
    let config = &cache.config;
    KeyTarget::new(
        &config.namespace,
        target_uri(parts),
        &config.default_scheme,
        authority.unwrap_or(config.default_authority.as_bytes()),
    )
    .normalised_by(config.query.as_ref())
}

/// Adds the further dimensions. Each kind of them has a section, which begins with a name and with
/// the number of its parts, so that no section can be taken for another.
#[inline]
pub(super) fn extend_key(
    cache: &Cache,
    parts: &Parts,
    facts: &Facts,
    key: &mut RequestKey,
) -> Result<(), Bypass> {
    let config = &cache.config;
    if let Some(uri) = rewritten_uri(parts, config.query.as_ref()) {
        key.push(b"rewritten");
        key.push(uri.scheme_str().unwrap_or_default().as_bytes());
        key.push(uri.authority().map_or("", Authority::as_str).as_bytes());
        key.push(
            uri.path_and_query()
                .map_or("", PathAndQuery::as_str)
                .as_bytes(),
        );
    }
    if facts.forwarded() && config.rules.forwarded == ForwardedPolicy::Key {
        for name in &FORWARDED_FIELDS {
            push_forwarded(key, &parts.headers, name);
        }
    }
    if config.rules.kind == CacheKind::Private {
        push_identity(key, &parts.headers, facts, &config.rules);
    }
    for name in &config.key_headers {
        push_field(key, &parts.headers, name);
    }
    if facts.keyed_cookie() {
        let cookies = config.rules.cookies.keyed(&parts.headers);
        // No field has this name.
        key.push(b"cookies:");
        key.push(&(cookies.len() as u64).to_le_bytes());
        for (name, value) in cookies {
            key.push(name);
            key.push(value);
        }
    }
    if let Some(policy) = &config.key {
        key.push(b"policy");
        match policy.extend_key(parts, &mut KeyExtension(key)) {
            Keying::Use => {}
            Keying::Bypass => return Err(Bypass::KeyPolicy),
        }
    }
    if key.is_too_long() {
        return Err(Bypass::KeyTooLong);
    }
    Ok(())
}

/// Adds the name of a field, the number of its lines, and the lines.
pub(super) fn push_field(key: &mut RequestKey, headers: &HeaderMap, name: &HeaderName) {
    let lines = headers.get_all(name);
    key.push(name.as_str().as_bytes());
    key.push(&(lines.iter().count() as u64).to_le_bytes());
    for line in lines {
        key.push(line.as_bytes());
    }
}

/// Adds what makes a key one of a private cache, which no shared one over the same store may have,
/// and all fields that say who asks: what one identity got, no other one gets.
fn push_identity(key: &mut RequestKey, headers: &HeaderMap, facts: &Facts, rules: &Rules) {
    let mut names: SmallVec<[&HeaderName; 4]> = SmallVec::new();
    if facts.identity() {
        names.extend(headers.keys().filter(|name| rules.says_who_asks(name)));
        names.sort_unstable_by_key(|name| name.as_str());
    }
    key.push(b"one client");
    key.push(&(names.len() as u64).to_le_bytes());
    for name in names {
        push_field(key, headers, name);
    }
}

/// Adds one of the fields that tell applications the host and scheme of the original request.
fn push_forwarded(key: &mut RequestKey, headers: &HeaderMap, name: &HeaderName) {
    if !headers.contains_key(name) {
        return;
    }
    if *name != http::header::FORWARDED {
        return push_field(key, headers, name);
    }
    for pair in forwarded::shaping(headers) {
        key.push(b"forwarded");
        key.push(pair);
    }
}
