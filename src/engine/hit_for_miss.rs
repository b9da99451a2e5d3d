//! Hit-for-miss: requests for a key whose response could not be shared a moment ago do not wait for
//! each other.

use super::context::RequestContext;
use crate::state::cache::Cache;

/// From now on, and for a while, requests for this key do not wait for each other.
pub(crate) fn remember_uncacheable(cache: &Cache, context: &RequestContext) {
    let Cache { shared, config } = cache;
    shared.hit_for_miss.insert(
        context.request.key.hash(),
        shared.clock.monotonic(),
        config.uncacheable_for,
    );
}

/// Whether requests for this key go to the origin without waiting for each other.
pub(crate) fn is_uncacheable(cache: &Cache, context: &RequestContext) -> bool {
    let shared = &cache.shared;
    let now = shared.clock.monotonic();
    shared
        .hit_for_miss
        .contains(context.request.key.hash(), now)
}
