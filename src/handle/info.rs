//! What an operator is told of a stored response.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, Request, StatusCode};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::{
    engine::request::CacheRequest,
    entry::Entry,
    key::{Key, KeyParts, RequestKey},
    outcome::Tier,
    purge::Standing,
    semantics::{decide::Candidate, freshness::LifetimeSource, state::EntryState},
    state::cache::Cache,
    store::Resource,
};

/// One stored response, as it is at the moment of the call. See
/// [`CacheHandle::entry`](crate::CacheHandle::entry) and
/// [`CacheHandle::entries`](crate::CacheHandle::entries).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The URL, as keys have it: the host in lower case, without a default port, and without what of
    /// the query does not count.
    pub url: String,
    /// Tells apart what is stored for one URL under several keys: of tenants, of cookies, of contents of
    /// POST. `None` for what is stored under the URL alone. It is a digest, as the parts of the key
    /// may be secret, and another one in each process.
    pub partition: Option<String>,
    /// The request fields by which the response was selected (RFC 9111 §4.1). Empty if it has no `Vary`.
    pub selecting: Vec<SelectingField>,
    /// The status.
    pub status: StatusCode,
    /// The age (RFC 9111 §4.2.3), in whole seconds.
    pub age: Duration,
    /// The freshness lifetime (RFC 9111 §4.2.1), in whole seconds.
    pub lifetime: Duration,
    /// Who gave the lifetime.
    pub lifetime_source: LifetimeSource,
    /// The remaining freshness lifetime, in seconds. Negative if it is over, or if a soft purge ended it.
    pub ttl: i64,
    /// How long after its lifetime the response may be served while it is refreshed (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// How long after its lifetime the response may be served in place of an error (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
    /// Whether it answers requests.
    pub state: EntryState,
    /// The bytes that it holds in memory: its head, its body and its bookkeeping, without its key.
    pub size: u64,
    /// The length of its body, in bytes.
    pub body_len: u64,
    /// About how many requests were answered with what is stored under its key, all variants together,
    /// since the cache was built. Zero unless the key is one of those that are hit most often: see
    /// [`CacheHandle::top`](crate::CacheHandle::top).
    pub hits: u64,
    /// Where it is: in memory, as nothing else is looked at.
    pub tier: Tier,
    /// Whether the shared tier has it too, or will have it soon, as far as this node knows.
    pub in_shared_tier: bool,
    /// The tags by which it can be purged.
    pub tags: Vec<String>,
}

/// Without the URL, in one line: `200, fresh, age 12 s, lifetime 60 s (max-age), 48 s left`.
impl fmt::Display for EntryInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, age {} s, lifetime {} s ({}), ",
            self.status.as_u16(),
            self.state.as_str(),
            self.age.as_secs(),
            self.lifetime.as_secs(),
            self.lifetime_source.as_str(),
        )?;
        match self.ttl {
            left @ 1.. => write!(f, "{left} s left"),
            over => write!(f, "over for {} s", over.unsigned_abs()),
        }
    }
}

/// A request field by which a stored response was selected.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SelectingField {
    /// The name of the field, which `Vary` lists.
    pub name: HeaderName,
    /// Tells values apart. `None` if the request did not have the field. The cache keeps no values,
    /// only digests of them after normalisation, as some are cookies. They are others in each process.
    pub value: Option<String>,
}

/// Where a stored response is among all others of its namespace: an order that does not change while
/// others come and go.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Position<'a> {
    host: &'a [u8],
    path_and_query: &'a [u8],
    scheme: &'a [u8],
    pub(super) partition: u128,
    pub(super) variant: u128,
}

impl<'a> Position<'a> {
    /// `partition` and `variant` are digests, and zero for what is stored under the URL alone, and for
    /// what does not vary.
    pub(super) fn new(parts: &KeyParts<'a>, partition: u128, variant: u128) -> Self {
        Self {
            host: parts.host,
            path_and_query: parts.path_and_query,
            scheme: parts.scheme,
            partition,
            variant,
        }
    }
}

/// The digest of the further dimensions of a key.
pub(super) fn partition(cache: &Cache, parts: &KeyParts<'_>) -> u128 {
    match parts.dimensions {
        [] => 0,
        dimensions => xxh3_128_with_seed(dimensions, cache.shared.seed),
    }
}

/// A digest as text. Zero stands for nothing.
pub(super) fn digest(digest: u128) -> Option<String> {
    (digest != 0).then(|| format!("{digest:032x}"))
}

/// The digest of the selecting fields of an entry.
pub(super) fn variant(entry: &Entry) -> u128 {
    match entry.selecting() {
        none if none.is_empty() => 0,
        selecting => selecting.digest(),
    }
}

/// The URL that a key names.
pub(super) fn url(parts: &KeyParts<'_>) -> String {
    let text = |part| String::from_utf8_lossy(part);
    format!(
        "{}://{}{}",
        text(parts.scheme),
        text(parts.host),
        text(parts.path_and_query)
    )
}

/// A key as text.
pub(super) fn printable(cache: &Cache, key: &Key) -> Option<String> {
    let parts = key.parts()?;
    let mut text = url(&parts);
    if !parts.namespace.is_empty() {
        let namespace = String::from_utf8_lossy(parts.namespace);
        text += &format!(" in the namespace {namespace}");
    }
    if !parts.dimensions.is_empty() {
        text += &format!(" of the partition {:032x}", partition(cache, &parts));
    }
    Some(text)
}

/// What is stored under one key, at one moment.
pub(super) struct Stored<'a> {
    cache: &'a Cache,
    parts: KeyParts<'a>,
    partition: u128,
    hits: u64,
    /// A request for it, of which only the key counts.
    request: CacheRequest,
    resource: &'a Resource,
    now: Duration,
}

impl<'a> Stored<'a> {
    pub(super) fn new(
        cache: &'a Cache,
        key: &'a Key,
        resource: &'a Resource,
        now: Duration,
    ) -> Option<Self> {
        let parts = key.parts()?;
        let (head, ()) = Request::new(()).into_parts();
        let mut request = CacheRequest::new(head);
        request.key = RequestKey::of_stored(key, cache.shared.seed)?;
        Some(Self {
            cache,
            hits: cache.shared.heat.hits(key.hash()),
            partition: partition(cache, &parts),
            parts,
            request,
            resource,
            now,
        })
    }

    /// The variants that may still be used: what was purged is as good as gone.
    pub(super) fn variants(&self) -> impl Iterator<Item = &'a Arc<Entry>> {
        let variants = self.resource.variants().iter();
        variants.filter(|entry| {
            let standing = self.cache.shared.purged(self.request.key.as_bytes(), entry);
            standing == Standing::Usable
        })
    }

    pub(super) fn position(&self, entry: &Entry) -> Position<'a> {
        Position::new(&self.parts, self.partition, variant(entry))
    }

    pub(super) fn describe(&self, entry: &Entry) -> EntryInfo {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let freshness = entry.freshness();
        let age = entry.age_for_reuse(self.now);
        let candidate = Candidate {
            freshness,
            age,
            validity: self.request.validity(self.cache, entry),
        };
        let (names, values) = entry.selecting().fields();
        let selecting = names
            .iter()
            .zip(values)
            .map(|(name, value)| SelectingField {
                name: name.clone(),
                value: value.map(|digest| format!("{digest:032x}")),
            });
        let tags = entry.tags().map(|tags| {
            let names = tags.names();
            names.map(|name| String::from_utf8_lossy(name).into_owned())
        });
        EntryInfo {
            url: url(&self.parts),
            partition: digest(self.partition),
            selecting: selecting.collect(),
            status: entry.status(),
            age: seconds(entry.age(self.now)),
            lifetime: seconds(freshness.lifetime),
            lifetime_source: freshness.source,
            ttl: freshness.ttl(age),
            stale_while_revalidate: freshness.stale_while_revalidate.map(seconds),
            stale_if_error: freshness.stale_if_error.map(seconds),
            state: EntryState::of(candidate),
            size: entry.heap_bytes() as u64,
            body_len: entry.body_len(),
            hits: self.hits,
            tier: Tier::Memory,
            in_shared_tier: entry.remote_version().is_some(),
            tags: tags.into_iter().flatten().collect(),
        }
    }
}
