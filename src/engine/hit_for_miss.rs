//! Hit-for-miss: keys whose response could not be shared a moment ago, for which requests do not wait
//! for each other.

use super::context::Errand;
use crate::state::cache::Cache;

/// For a while, requests for this key do not wait for each other.
pub(crate) fn remember_uncacheable(cache: &Cache, errand: &Errand) {
    let Cache { shared, config } = cache;
    shared.uncacheable.set(
        errand.asked.key.hash(),
        shared.clock.monotonic(),
        config.uncacheable_for,
    );
}

pub(crate) fn is_uncacheable(cache: &Cache, errand: &Errand) -> bool {
    let shared = &cache.shared;
    let now = shared.clock.monotonic();
    shared.uncacheable.contains(errand.asked.key.hash(), now)
}
