//! `CacheHandle::top`: what is hit most often.

use super::{
    CacheHandle,
    info::{digest, partition, url},
};
use crate::key::KeyParts;

/// A key that is hit often. See [`CacheHandle::top`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HotKey {
    /// The URL, as keys have it.
    pub url: String,
    /// As in [`EntryInfo::partition`](crate::EntryInfo::partition).
    pub partition: Option<String>,
    /// About how many requests were answered with what is stored under the key, since the cache was
    /// built. All variants count together.
    pub hits: u64,
    /// How many of these may have been for other keys that were counted before this one.
    pub excess: u64,
}

impl CacheHandle {
    /// The keys that most requests were answered from the store for, since the cache was built, in the
    /// namespace of this handle's layer: at most `n`, the hottest first.
    ///
    /// The counts are estimates: one hit in 64 is drawn at random, and 1,024 keys of all namespaces are
    /// counted. What is hit less than one in 1,024 times may be missing. A key may be among them that is
    /// no longer stored. Keys of more than 1 KiB are not counted.
    ///
    /// ```
    /// # fn show(handle: cachewarp::CacheHandle) {
    /// for hot in handle.top(10) {
    ///     println!("about {} hits: {}", hot.hits, hot.url);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<HotKey> {
        let cache = &self.cache;
        let hottest = cache.shared.heat.hottest();
        let keys = hottest.iter().filter_map(|hot| {
            let parts = KeyParts::parse(&hot.key)?;
            let is_ours = parts.namespace == cache.config.namespace.as_bytes();
            is_ours.then(|| HotKey {
                url: url(&parts),
                partition: digest(partition(cache, &parts)),
                hits: hot.hits,
                excess: hot.excess,
            })
        });
        keys.take(n).collect()
    }
}
