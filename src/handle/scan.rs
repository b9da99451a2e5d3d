//! Looks at all that memory holds, without keeping other tasks waiting.

use std::sync::Arc;

use tokio::task::yield_now;

use crate::{key::Key, state::cache::Cache, store::Resource};

/// How many keys are looked at until other tasks may run: about a tenth of a millisecond, as each key
/// has to be fetched from memory.
const AT_ONCE: usize = 128;

/// Calls `visit` for all that is in memory, in no particular order.
pub(super) async fn each(cache: &Cache, mut visit: impl FnMut(&Arc<Key>, &Resource)) {
    for (index, (key, resource)) in cache.shared.memory.iter().enumerate() {
        if index % AT_ONCE == AT_ONCE - 1 {
            yield_now().await;
        }
        visit(&key, &resource);
    }
}
