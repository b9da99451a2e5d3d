//! The settings of a layer, frozen: what [`CacheBuilder`](crate::CacheBuilder) checked.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderName;

use crate::{
    breaker::OriginBreaker, cache_status::StatusFields, executor::Executor, fill, key::KeyPolicy,
    semantics::rules::Rules, ttl::TtlPolicy,
};

/// The settings that routes sharing one cache may have each for themselves.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) breaker: Option<OriginBreaker>,
    pub(crate) conditional_miss: ConditionalMiss,
    pub(crate) default_authority: Box<str>,
    pub(crate) default_scheme: Box<str>,
    /// How early a refresh may begin, as a multiple of what XFetch would choose.
    pub(crate) early_refresh: Option<f64>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) fill: fill::Limits,
    /// Tells these settings from all others of this process.
    pub(crate) id: u64,
    pub(crate) keep_stale: Duration,
    pub(crate) key: Option<Arc<dyn KeyPolicy>>,
    pub(crate) key_headers: Vec<HeaderName>,
    /// The most that chance takes off a lifetime, as a share of it.
    pub(crate) lifetime_jitter: f64,
    pub(crate) keep_stale_without_validator: Duration,
    pub(crate) max_variants: usize,
    pub(crate) namespace: Box<str>,
    pub(crate) origin_timeout: Duration,
    pub(crate) range_miss: RangeMiss,
    pub(crate) refresh_pause: Duration,
    pub(crate) rules: Rules,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) status: StatusFields,
    pub(crate) ttl: Arc<dyn TtlPolicy>,
    pub(crate) uncacheable_for: Duration,
    pub(crate) wait_timeout: Duration,
}

/// How much may be under way in one cache at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Fetches and fills that outlive the request that caused them.
    pub(crate) fills: usize,
    /// Of those, refreshes in the background.
    pub(crate) refreshes: usize,
    /// Requests that wait for one flight.
    pub(crate) waiters: usize,
}

impl Default for Bounds {
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
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What a conditional request asks of the origin when nothing is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConditionalMiss {
    /// What the client asked: a 304 goes through and is not stored. The default.
    #[default]
    Forward,
    /// A full response, which is stored and then compared with the client's conditions.
    Fill,
}

/// What a range request asks of the origin when nothing is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum RangeMiss {
    /// What the client asked: a 206 goes through and is not stored. The default.
    #[default]
    Forward,
    /// A full response, which is stored and then cut.
    ///
    /// What this costs is bounded by
    /// [`max_entry_bytes`](crate::CacheBuilder::max_entry_bytes) and by the client's patience:
    ///
    /// - A body that could be stored is fetched to its end, also after the client left (see
    ///   [`OnAbandoned`](crate::OnAbandoned)).
    /// - A longer one, or one that is not stored because of what its response says, is cut too if
    ///   its length is declared. The bytes before the range have to pass first; once the range has
    ///   been delivered, or its client has left, the body is dropped.
    /// - Of a body of unknown length the client gets all (RFC 9110 §14.2), for as long as it reads;
    ///   once it left, no more than `max_entry_bytes` are fetched.
    /// - Two kinds go to the client whole, and end with it: a response short enough that is not
    ///   stored only because of what its request carries (credentials, cookies, `no-store`), and
    ///   one that comes while [`max_fills`](crate::CacheBuilder::max_fills) are under way.
    Fill,
}
