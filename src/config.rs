//! The settings of a layer, after [`CacheBuilder`](crate::CacheBuilder) validated them.

mod nested;

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, header::COOKIE};

use crate::{
    breaker::OriginBreaker,
    cache_status::StatusFields,
    executor::Executor,
    fill,
    key::KeyPolicy,
    posts::PostReads,
    purge::TagLimits,
    semantics::{language::Languages, query::QueryRules, rules::Rules},
    ttl::TtlPolicy,
    util::pattern::Patterns,
};

/// The settings of one layer. Layers over one cache may have different ones.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) breaker: Option<OriginBreaker>,
    pub(crate) caching: Caching,
    pub(crate) conditional_miss: ConditionalMiss,
    pub(crate) default_authority: Box<str>,
    pub(crate) default_scheme: Box<str>,
    /// The factor `beta` of XFetch: the larger, the earlier before expiry a refresh begins.
    pub(crate) early_refresh: Option<f64>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) fill: fill::Limits,
    /// Whether clients get the fields that name tags.
    pub(crate) forward_tags: bool,
    pub(crate) head_miss: HeadMiss,
    /// Identifies this layer within the process.
    pub(crate) id: u64,
    pub(crate) keep_stale: Duration,
    pub(crate) key: Option<Arc<dyn KeyPolicy>>,
    pub(crate) key_headers: Vec<HeaderName>,
    /// The languages that the origin has, if the operator lists them.
    pub(crate) languages: Option<Languages>,
    /// Up to which share of a lifetime is randomly taken off, so that responses that were stored
    /// together do not expire together.
    pub(crate) lifetime_jitter: f64,
    pub(crate) keep_stale_without_validator: Duration,
    /// How many fetches that nobody waits for each caller may have.
    pub(crate) max_abandoned: usize,
    pub(crate) max_variants: usize,
    pub(crate) namespace: Box<str>,
    /// The longest lifetime that a policy gives to a 404 or 410.
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) origin_timeout: Duration,
    /// The paths where a response to POST may be stored for GET and HEAD.
    pub(crate) post_fills: Patterns,
    /// Where a POST is a read.
    pub(crate) post_reads: PostReads,
    /// What of a query has no meaning, if the operator says so.
    pub(crate) query: Option<QueryRules>,
    pub(crate) range_miss: RangeMiss,
    pub(crate) refresh_pause: Duration,
    pub(crate) retry_after_cap: Duration,
    pub(crate) rules: Rules,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) status: StatusFields,
    pub(crate) tag_limits: TagLimits,
    pub(crate) ttl: Arc<dyn TtlPolicy>,
    pub(crate) uncacheable_for: Duration,
    pub(crate) wait_timeout: Duration,
}

impl Config {
    /// Whether the key is made of `Cookie`, or may be.
    pub(crate) fn keys_cookie_field(&self) -> bool {
        self.key.is_some() || self.key_headers.contains(&COOKIE)
    }
}

/// Whether a layer caches at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Caching {
    On,
    /// Requests and responses pass untouched.
    Off,
}

/// How many fetches and waiters one cache may have at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConcurrencyLimits {
    /// Fetches and fills that go on if their client disconnects.
    pub(crate) fills: usize,
    /// Background refreshes, which count as fills too.
    pub(crate) refreshes: usize,
    /// Requests that wait for one flight.
    pub(crate) waiters: usize,
}

impl Default for ConcurrencyLimits {
    fn default() -> Self {
        Self {
            fills: 4096,
            refreshes: 256,
            waiters: 16_384,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("namespace", &self.namespace)
            .field("negative_ttl", &self.negative_ttl)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What the cache requests from the origin for a conditional request (RFC 9110 §13) when no
/// response is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConditionalMiss {
    /// A full response. The cache stores it, and evaluates the client's conditions itself. The
    /// default.
    ///
    /// A client whose conditions the response's own validators meet gets 304, whether or not the
    /// response can be stored. If it cannot, its body is dropped unread, and for ten minutes
    /// conditional requests for this key go to the origin as they are.
    ///
    /// Requests with credentials, with a cookie that counts or with `no-store` go to the origin as they are, as
    /// do those with a `Range` (see [`RangeMiss`]) and those for a key whose response could not be
    /// shared a moment ago (see [`uncacheable_for`](crate::CacheBuilder::uncacheable_for)).
    #[default]
    Fill,
    /// What the client requested. A 304 goes to the client and is not stored.
    Forward,
}

/// What the cache requests from the origin for a HEAD (RFC 9110 §9.3.2) when no response is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeadMiss {
    /// A HEAD. Its response is not stored. The default.
    #[default]
    Forward,
    /// A GET. The cache stores the response, and sends the client its head.
    ///
    /// If the response cannot be stored, its body is dropped unread, and for ten minutes the HEAD
    /// requests for this key go to the origin as they are. So do those that
    /// [`ConditionalMiss::Fill`] leaves as they are.
    Fill,
}

/// What the cache requests from the origin for a range request (RFC 9110 §14) when no response is
/// stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum RangeMiss {
    /// What the client requested. A 206 goes to the client and is not stored. The default.
    #[default]
    Forward,
    /// A full response. The cache stores it, and sends the client the range that it requested.
    ///
    /// How much the cache fetches for a range that it cannot store is limited by
    /// [`max_entry_bytes`](crate::CacheBuilder::max_entry_bytes), and by how long the client reads:
    ///
    /// - A body that may be stored is fetched completely, even if the client disconnects (see
    ///   [`OnAbandoned`](crate::OnAbandoned)).
    /// - A body that is too large, or that its response forbids to store, is cut to the range too
    ///   if its length is declared. The cache has to receive the bytes before the range; it drops
    ///   the body once the range has been delivered or the client disconnects.
    /// - If the length of the body is unknown, the client gets the full body (RFC 9110 §14.2) for
    ///   as long as it reads. After it disconnects, at most `max_entry_bytes` are fetched.
    /// - In two cases the client gets the full response, and the fetch ends when it disconnects: if
    ///   the body is small enough, but the request alone forbids to store it (credentials, cookies,
    ///   `no-store`), and if [`max_fills`](crate::CacheBuilder::max_fills) fills are running.
    Fill,
}
