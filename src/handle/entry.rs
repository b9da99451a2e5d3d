//! `CacheHandle::entry`: what is stored for one URL.

use http::Uri;

use super::{
    CacheHandle,
    info::{EntryInfo, Stored},
    scan,
};
use crate::{
    error::InvalidUrl,
    key::{Key, KeyTarget, RequestKey},
    semantics::classify::Authority,
    state::cache::Cache,
};

/// How many stored responses are described at most.
const MOST_DESCRIBED: usize = 1000;

/// What is stored for one URL. See [`CacheHandle::entry`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ResourceInfo {
    /// The stored responses, by URL: all variants, of all partitions, and of all hosts if the URL was a
    /// path. At least one, and at most 1,000.
    pub entries: Vec<EntryInfo>,
    /// How many more there are.
    pub more: u64,
}

impl CacheHandle {
    /// What is stored in memory for a URL, in the namespace of this handle's layer. `None` if there is
    /// nothing.
    ///
    /// `url` is absolute, or a path with its query if it has one. A path is looked for under every host
    /// and scheme. Both are normalised as the URLs of requests are: letter case and port of the host,
    /// and [`ignore_query`](crate::CacheBuilder::ignore_query) and
    /// [`sort_query`](crate::CacheBuilder::sort_query).
    ///
    /// It does not ask the shared tier, is no use of what it finds, and counts as no request. A URL may be
    /// stored under many keys, which cannot be enumerated otherwise, so this looks at every key in
    /// memory, one or two seconds for a million, and lets other tasks run meanwhile: for an operator, not
    /// for every request.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] if `url` is neither an absolute URL nor a path.
    ///
    /// ```
    /// # use cachewarp::{CacheHandle, InvalidUrl};
    /// # async fn show(handle: CacheHandle) -> Result<(), InvalidUrl> {
    /// match handle.entry("https://shop.example/items/7").await? {
    ///     None => println!("not in memory"),
    ///     Some(resource) => {
    ///         for entry in resource.entries {
    ///             let (state, source) = (entry.state.as_str(), entry.lifetime_source.as_str());
    ///             println!("{} {state}, {} s left by {source}", entry.status, entry.ttl);
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn entry(&self, url: &str) -> Result<Option<ResourceInfo>, InvalidUrl> {
        let cache = &self.cache;
        let sought = Sought::parse(cache, url).ok_or_else(|| InvalidUrl::new(url))?;
        let now = cache.shared.clock.monotonic();
        let (mut found, mut more) = (Vec::new(), 0);
        scan::each(cache, |key, resource| {
            if !sought.is(key) {
                return;
            }
            let Some(stored) = Stored::new(cache, key, resource, now) else {
                return;
            };
            for entry in stored.variants() {
                if found.len() < MOST_DESCRIBED {
                    found.push(stored.describe(entry));
                } else {
                    more += 1;
                }
            }
        })
        .await;
        found.sort_by(|one, other| (&one.url, &one.partition).cmp(&(&other.url, &other.partition)));
        Ok((!found.is_empty()).then_some(ResourceInfo {
            entries: found,
            more,
        }))
    }
}

/// The keys of a URL.
enum Sought {
    /// All that begin like the key of this resource.
    Resource(RequestKey),
    /// All of the namespace that have the path and query of this one.
    Path(Key),
}

impl Sought {
    fn parse(cache: &Cache, url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let key = |authority| {
            let namespace = &cache.config.namespace;
            let target = KeyTarget::new(namespace, &uri, "http", authority);
            RequestKey::of(
                target.normalised_by(cache.config.query.as_ref()),
                cache.shared.seed,
            )
        };
        match (uri.scheme(), uri.authority()) {
            (Some(_), Some(authority)) => {
                let authority = authority.as_str().as_bytes();
                Authority::parse(authority)?;
                Some(Self::Resource(key(authority)))
            }
            _ if url.starts_with('/') => Some(Self::Path(key(b"").to_key())),
            _ => None,
        }
    }

    fn is(&self, key: &Key) -> bool {
        match self {
            Self::Resource(resource) => key.is_of(resource.as_bytes()),
            Self::Path(path) => match (path.parts(), key.parts()) {
                (Some(path), Some(parts)) => {
                    path.namespace == parts.namespace && path.path_and_query == parts.path_and_query
                }
                _ => false,
            },
        }
    }
}
