//! The tags of a response: those that its fields and its service name.

use http::{HeaderMap, response};

use crate::{
    config::Config,
    engine::request::CacheRequest,
    entry::Entry,
    extensions::CacheTags,
    key::KeyParts,
    purge::{TAG_FIELDS, Tags, TooManyTags},
    state::cache::Cache,
};

/// The tags and groups of a response to `request`.
pub(crate) fn of(
    cache: &Cache,
    request: &CacheRequest,
    response: &response::Parts,
) -> Result<Option<Tags>, TooManyTags> {
    let named = response.extensions.get::<CacheTags>();
    let named = named.into_iter().flat_map(CacheTags::iter);
    let key = KeyParts::parse(request.key.as_bytes()).unwrap_or_default();
    Tags::of(
        &response.headers,
        named.map(str::as_bytes),
        key,
        cache.config.tag_limits,
    )
}

/// Gives a stored response that `update` is merged into its tags again, and those that the service names
/// with the update. The fields of the update are merged by themselves.
///
/// The stored tags stay whatever the update names: where each came from is not known any more, and an
/// update that names some may say nothing of the others. A tag too much costs a fetch, one that is lost
/// brings back what was purged.
pub(crate) fn keep(entry: &Entry, update: &response::Parts, merged: &mut response::Parts) {
    let named = update.extensions.get::<CacheTags>();
    let stored = entry.tags().map(|tags| {
        let names = tags.names().map(String::from_utf8_lossy);
        CacheTags::new(names)
    });
    let tags = match (stored, named) {
        (Some(stored), Some(named)) => Some(named.iter().fold(stored, CacheTags::and)),
        (Some(tags), None) => Some(tags),
        (None, named) => named.cloned(),
    };
    if let Some(tags) = tags {
        merged.extensions.insert(tags);
    }
}

/// Removes the fields that name tags: they are for this cache, unless caches in front of it are to see
/// them.
pub(crate) fn remove_fields(config: &Config, headers: &mut HeaderMap) {
    if !config.forward_tags {
        for field in &TAG_FIELDS {
            headers.remove(field);
        }
    }
}
