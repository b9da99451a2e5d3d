//! [`CacheBuilder`]: the settings that it collects, and their defaults.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderName;

use crate::{
    breaker::BreakerConfig,
    cache_status::{OwnAnswers, StatusFields, XCache},
    clock::{ElapsedClock, SystemClock},
    config::{Caching, ConcurrencyLimits, ConditionalMiss, Config, HeadMiss, RangeMiss},
    executor::TokioExecutor,
    fill::{Limits, OnAbandoned},
    posts::PostReads,
    purge::TagLimits,
    remote::store::RemoteStore,
    semantics::{cookies::Cookies, credentials::CredentialFields, rules::Rules},
    state::cache::Shared,
    store::Memory,
    ttl::OriginTtl,
    util::pattern::Patterns,
};

/// The capacity of the default memory tier, in bytes.
const DEFAULT_CAPACITY: u64 = 64 << 20;

const DAY: Duration = Duration::from_secs(86_400);

/// Collects the settings of a [`CacheLayer`](crate::CacheLayer).
///
/// Setters accept every value; [`build`](Self::build) refuses those that are malformed or out of
/// range. Time limits are above zero, other spans may be zero; both are at most 2^31 seconds, and a
/// longer lifetime or stale window counts as that.
///
/// Most caches need a few of the settings only:
///
/// - [`memory`](Self::memory), and `remote` with the feature `redis`: where responses are stored.
/// - [`ttl`](Self::ttl): the lifetime of responses that state none.
/// - [`stale_while_revalidate`](Self::stale_while_revalidate),
///   [`stale_if_error`](Self::stale_if_error), [`soft_timeout`](Self::soft_timeout) and
///   [`breaker`](Self::breaker): what happens while the origin is slow or fails.
/// - [`cookies`](Self::cookies), [`key_headers`](Self::key_headers),
///   [`ignore_query`](Self::ignore_query) and [`languages`](Self::languages): what tells requests
///   apart.
#[must_use]
pub struct CacheBuilder {
    pub(super) target: BuildTarget,
    pub(super) config: Config,
    pub(super) breaker: Option<BreakerConfig>,
    pub(super) max_entry_bytes: Option<u64>,
    pub(super) targeted_cache_control: Vec<String>,
    pub(super) key_headers: Vec<String>,
    pub(super) post_fills: Vec<String>,
    pub(super) post_reads: Vec<(String, u64)>,
    pub(super) credential_headers: Vec<String>,
    pub(super) policy_credentials: Vec<String>,
    /// If it is changed.
    pub(super) ignore_query: Option<Vec<String>>,
    /// If they are changed.
    pub(super) languages: Option<Vec<String>>,
    /// `None` leaves them as they are.
    pub(super) cookies: Option<Cookies>,
}

/// The cache of the layer to build.
pub(super) enum BuildTarget {
    /// A new cache.
    New {
        limits: ConcurrencyLimits,
        clock: Arc<ElapsedClock>,
        memory: Memory,
        remote: Option<Arc<dyn RemoteStore>>,
    },
    /// The cache of another layer.
    Existing {
        shared: Arc<Shared>,
        /// A setting that was changed although it is fixed once the cache exists.
        fixed_setting: Option<&'static str>,
    },
}

impl CacheBuilder {
    pub(crate) fn new() -> Self {
        let status = StatusFields {
            cache_status: Some("cachewarp".into()),
            own_answers: OwnAnswers::Marked,
            x_cache: XCache::On,
        };
        Self {
            target: BuildTarget::New {
                limits: ConcurrencyLimits::default(),
                clock: Arc::new(ElapsedClock::new(SystemClock::new())),
                memory: Memory::with_capacity(DEFAULT_CAPACITY),
                remote: None,
            },
            breaker: None,
            config: Config {
                breaker: None,
                caching: Caching::On,
                conditional_miss: ConditionalMiss::Fill,
                default_authority: "localhost".into(),
                default_scheme: "http".into(),
                early_refresh: None,
                executor: Arc::new(TokioExecutor),
                id: 0,
                fill: Limits {
                    idle: Duration::from_secs(30),
                    max_body: 0,
                    on_abandoned: OnAbandoned::Continue,
                    reader_stall: Duration::from_secs(10),
                    timeout: Duration::from_secs(60),
                    window: 1 << 20,
                },
                forward_tags: false,
                head_miss: HeadMiss::Forward,
                keep_stale: DAY,
                key: None,
                key_headers: Vec::new(),
                languages: None,
                lifetime_jitter: 0.0,
                keep_stale_without_validator: Duration::from_secs(3600),
                max_abandoned: 64,
                max_variants: 64,
                namespace: "".into(),
                negative_ttl: Some(Duration::from_secs(10)),
                origin_timeout: Duration::from_secs(60),
                post_fills: Patterns::default(),
                post_reads: PostReads::new(),
                query: None,
                range_miss: RangeMiss::Forward,
                refresh_pause: Duration::from_secs(5),
                retry_after_cap: Duration::from_secs(60),
                rules: Rules::default(),
                soft_timeout: None,
                status,
                tag_limits: TagLimits::default(),
                ttl: Arc::new(OriginTtl),
                uncacheable_for: Duration::from_secs(10),
                wait_timeout: Duration::from_secs(5),
            },
            max_entry_bytes: None,
            targeted_cache_control: Vec::new(),
            key_headers: Vec::new(),
            post_fills: Vec::new(),
            post_reads: Vec::new(),
            credential_headers: Vec::new(),
            policy_credentials: CredentialFields::default().names().collect(),
            ignore_query: None,
            languages: None,
            cookies: None,
        }
    }

    /// A builder for another layer over the same cache. It starts from the settings of the existing
    /// layer.
    pub(crate) fn from_layer(shared: Arc<Shared>, config: &Config) -> Self {
        Self {
            breaker: None,
            max_entry_bytes: Some(config.rules.max_body),
            targeted_cache_control: names(&config.rules.targeted_cache_control),
            key_headers: names(&config.key_headers),
            post_fills: config.post_fills.names().collect(),
            // Those of the existing layer stay in its settings.
            post_reads: Vec::new(),
            credential_headers: config.rules.credential_headers.names().collect(),
            policy_credentials: config.rules.policy_credentials.names().collect(),
            ignore_query: None,
            languages: None,
            cookies: None,
            config: config.clone(),
            target: BuildTarget::Existing {
                shared,
                fixed_setting: None,
            },
        }
    }
}

fn names<'a>(names: impl IntoIterator<Item = &'a HeaderName>) -> Vec<String> {
    names.into_iter().map(ToString::to_string).collect()
}

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
