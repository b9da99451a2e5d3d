//! `CacheHandle::entries`: what is stored, page by page.

use std::{cmp::Ordering, collections::BinaryHeap, error::Error, fmt, str::FromStr, sync::Arc};

use super::{
    CacheHandle,
    info::{EntryInfo, Position, Stored},
    scan,
};
use crate::{
    key::{Key, KeyParts},
    state::cache::Cache,
};

/// How many stored responses a page has at most.
const MOST_LISTED: usize = 1000;

/// How many a page has unless it is said otherwise.
const LISTED: usize = 100;

/// A list of what is stored in memory, to be read page by page. See [`CacheHandle::entries`].
#[derive(Clone, Debug)]
#[must_use = "nothing is read before `page` is called"]
pub struct Entries {
    cache: Cache,
    host: Option<Vec<u8>>,
    prefix: Option<Vec<u8>>,
    limit: usize,
    after: Option<EntriesCursor>,
}

/// A page of what is stored. See [`Entries::page`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EntriesPage {
    /// The stored responses, in the order of host, path with query, scheme, partition and variant.
    pub entries: Vec<EntryInfo>,
    /// Where the next page begins: to be given to [`Entries::after`]. `None` after the last page.
    pub next: Option<EntriesCursor>,
}

/// A place in the list of what is stored. As text it is of letters and digits, so that it can be a part
/// of a URL. It is of use for the process that made it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntriesCursor {
    /// The part of a key that names the resource.
    resource: Vec<u8>,
    partition: u128,
    variant: u128,
}

/// The text is no [`EntriesCursor`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct InvalidCursor;

impl CacheHandle {
    /// Lists what is stored in memory, in the namespace of this handle's layer, in pages.
    ///
    /// ```
    /// # async fn list(handle: cachewarp::CacheHandle) {
    /// let mut entries = handle.entries().host("shop.example").prefix("/items").limit(500);
    /// loop {
    ///     let page = entries.clone().page().await;
    ///     for entry in page.entries {
    ///         println!("{} {} bytes, {}", entry.url, entry.size, entry.state.as_str());
    ///     }
    ///     let Some(next) = page.next else { break };
    ///     entries = entries.after(next);
    /// }
    /// # }
    /// ```
    pub fn entries(&self) -> Entries {
        Entries {
            cache: self.cache.clone(),
            host: None,
            prefix: None,
            limit: LISTED,
            after: None,
        }
    }
}

impl Entries {
    /// Only those of this path, and of all paths below it: `/items` is `/items`, `/items?page=2` and
    /// `/items/7`, but not `/itemsets`.
    pub fn prefix(self, path: &str) -> Self {
        Self {
            prefix: Some(path.as_bytes().to_vec()),
            ..self
        }
    }

    /// Only those of this host, in any letter case. With a port, such as `shop.example:8080`, only
    /// those of this port; without, those of all ports.
    pub fn host(self, host: &str) -> Self {
        Self {
            host: Some(host.to_ascii_lowercase().into_bytes()),
            ..self
        }
    }

    /// How many stored responses the page has at most: between 1 and 1,000. Defaults to 100.
    pub fn limit(self, most: usize) -> Self {
        Self {
            limit: most.clamp(1, MOST_LISTED),
            ..self
        }
    }

    /// Begins after this place, which the page before it [ended](EntriesPage::next) at.
    pub fn after(self, cursor: EntriesCursor) -> Self {
        Self {
            after: Some(cursor),
            ..self
        }
    }

    /// Reads a page.
    ///
    /// The order does not change, so what is stored all the time is on exactly one page. What is
    /// stored or removed meanwhile may be missing.
    ///
    /// Memory has no order, so each page looks at every key in memory once, one or two seconds for a
    /// million, lets other tasks run meanwhile, and describes only what it may return. It is no use of what it finds, and does not
    /// ask the shared tier.
    pub async fn page(self) -> EntriesPage {
        let cache = &self.cache;
        let now = cache.shared.clock.monotonic();
        let after = self.after.as_ref().and_then(EntriesCursor::position);
        let mut listed: BinaryHeap<Listed> = BinaryHeap::new();
        let mut has_more = false;
        scan::each(cache, |key, resource| {
            if !key.parts().is_some_and(|parts| self.selects(&parts)) {
                return;
            }
            let Some(stored) = Stored::new(cache, key, resource, now) else {
                return;
            };
            for entry in stored.variants() {
                let position = stored.position(entry);
                if after.is_some_and(|after| position <= after) {
                    continue;
                }
                let is_full = listed.len() == self.limit;
                if is_full {
                    has_more = true;
                    let last = listed.peek().and_then(Listed::position);
                    if last.is_none_or(|last| last < position) {
                        continue;
                    }
                    listed.pop();
                }
                listed.push(Listed::new(key, position, stored.describe(entry)));
            }
        })
        .await;
        let listed = listed.into_sorted_vec();
        let last = listed.last().filter(|_| has_more);
        EntriesPage {
            next: last.and_then(Listed::cursor),
            entries: listed.into_iter().map(|listed| listed.info).collect(),
        }
    }

    fn selects(&self, parts: &KeyParts<'_>) -> bool {
        let is_below = |prefix: &[u8]| {
            let below = parts.path().strip_prefix(prefix);
            below.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(b"/") || prefix.ends_with(b"/")
            })
        };
        let is_host = |host: &[u8]| host == parts.host || host == parts.host_name();
        parts.namespace == self.cache.config.namespace.as_bytes()
            && self.host.as_deref().is_none_or(is_host)
            && self.prefix.as_deref().is_none_or(is_below)
    }
}

/// A stored response that is on the page unless enough are found that come before it.
struct Listed {
    key: Arc<Key>,
    partition: u128,
    variant: u128,
    info: EntryInfo,
}

impl Listed {
    fn new(key: &Arc<Key>, position: Position<'_>, info: EntryInfo) -> Self {
        Self {
            key: Arc::clone(key),
            partition: position.partition,
            variant: position.variant,
            info,
        }
    }

    fn position(&self) -> Option<Position<'_>> {
        let parts = self.key.parts()?;
        Some(Position::new(&parts, self.partition, self.variant))
    }

    fn cursor(&self) -> Option<EntriesCursor> {
        Some(EntriesCursor {
            resource: self.key.resource()?.to_vec(),
            partition: self.partition,
            variant: self.variant,
        })
    }
}

impl Ord for Listed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.position().cmp(&other.position())
    }
}

impl PartialOrd for Listed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Listed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Listed {}

// === impl EntriesCursor ===

/// How many bytes a digest has.
const DIGEST: usize = size_of::<u128>();

impl EntriesCursor {
    fn position(&self) -> Option<Position<'_>> {
        let parts = KeyParts::parse(&self.resource)?;
        Some(Position::new(&parts, self.partition, self.variant))
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let bytes: Option<Vec<u8>> = digits
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
                _ => None,
            })
            .collect();
        let bytes = bytes?;
        let (rest, variant) = bytes.split_last_chunk::<DIGEST>()?;
        let (resource, partition) = rest.split_last_chunk::<DIGEST>()?;
        let cursor = Self {
            resource: resource.to_vec(),
            partition: u128::from_be_bytes(*partition),
            variant: u128::from_be_bytes(*variant),
        };
        cursor.position()?;
        Some(cursor)
    }
}

impl fmt::Display for EntriesCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.resource {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "{:032x}{:032x}", self.partition, self.variant)
    }
}

impl FromStr for EntriesCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        Self::parse(text).ok_or(InvalidCursor)
    }
}

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no cursor of a list of entries")
    }
}

impl Error for InvalidCursor {}
