//! Invalidation: what a write does to the stored responses (RFC 9111 §4.4).

use std::sync::Arc;

use http::{Uri, request::Parts};

use crate::{
    engine::peers,
    entry::{Entry, RemoteVersion},
    key::{RequestKey, target_uri},
    semantics::{classify, decide::Validity, groups, uri, validate},
    state::cache::{Cache, Shared},
    store::{Resource, StoreFuture, Update},
};

/// Makes the stored responses of a resource invalidated or unanswered: they are validated before they
/// are used again, and nothing that was fetched before this moment is stored after it.
pub(super) fn invalidate(cache: &Cache, key: &RequestKey, validity: Validity) {
    // The order matters. First the tombstone for the shared tier: a request that sees the new
    // generation must not find an older response there. Then the generation: a fill that stores
    // before the update below is flagged by it, a later one sees the new generation and does not
    // store.
    let shared = &cache.shared;
    peers::publish::invalidate(cache, key, validity);
    match validity {
        Validity::Invalidated => shared.generations.invalidate(key.resource_hash()),
        Validity::Unanswered => shared.generations.doubt(key.resource_hash()),
        Validity::Valid => {}
    }
    shared.metrics().invalidations.increment(1);
    let flagging = Arc::clone(shared);
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
                .filter_map(|entry| flag(&flagging, entry, validity))
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

/// The cache groups of what memory has for a resource.
pub(super) fn groups_of(cache: &Cache, key: &RequestKey) -> Vec<String> {
    let mut groups = Vec::new();
    if let StoreFuture::Ready(Some(Ok(Some(stored)))) = cache.shared.store.get(key.as_ref()) {
        // Few responses have tags or groups, so few heads are unpacked.
        for entry in stored.variants().iter().filter(|it| it.tags().is_some()) {
            groups.extend(groups::cache_groups(&entry.headers()));
        }
    }
    groups
}

/// The entry, to be validated before its next use. `None` if it is of no use any more: it is
/// invalidated and has no validator.
fn flag(shared: &Shared, entry: &Entry, validity: Validity) -> Option<Arc<Entry>> {
    let mut head = entry.unpack();
    head.meta.validity = head.meta.validity.max(validity);
    let is_of_use =
        head.meta.validity != Validity::Invalidated || validate::has_validator(&head.headers);
    // What other nodes do to the resource concerns it as before.
    let version = entry.remote_version().map(RemoteVersion::copied);
    let flagged = |head| entry.with_head(head, &shared.names);
    is_of_use.then(|| Arc::new(flagged(&head).with_remote_version(version)))
}

/// The URI of the target resource in absolute form, if it has one.
pub(super) fn absolute(cache: &Cache, parts: &Parts) -> Option<Uri> {
    let target = target_uri(parts);
    let authority = classify::authority(target, &parts.headers)
        .ok()?
        .unwrap_or(cache.config.default_authority.as_bytes());
    uri::absolute(target, authority, &cache.config.default_scheme)
}
