//! The tags of a response: those that its fields and its service name.

use http::{HeaderMap, response};

use crate::{
    config::Config,
    engine::request::CacheRequest,
    entry::Entry,
    extensions::CacheTags,
    key::KeyParts,
    purge::{TAG_FIELDS, Tags, TooManyTags, has_tag_fields},
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

/// Gives a stored response that `update` is merged into its tags again, unless the update names others.
pub(crate) fn keep_unless_renamed(
    entry: &Entry,
    update: &response::Parts,
    merged: &mut response::Parts,
) {
    let renamed = update.extensions.get::<CacheTags>();
    match (renamed, entry.tags()) {
        (Some(tags), _) => {
            merged.extensions.insert(tags.clone());
        }
        (None, Some(tags)) if !has_tag_fields(&update.headers) => {
            let names = tags.names().map(String::from_utf8_lossy);
            merged.extensions.insert(CacheTags::new(names));
        }
        (None, _) => {}
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
