//! Builds a layer from its settings. Only [`CacheBuilder::build`] refuses a setting.

mod collapsing;
mod freshness;
mod keys;
mod requests;
mod resilience;
mod rules;
mod settings;
mod validate;

use std::{sync::Arc, time::Duration};

pub use self::{requests::RequestDirective, settings::CacheBuilder};
use self::{
    settings::BuildTarget,
    validate::{
        check, cookie_rules, credential_fields, default_max_entry, header_names, languages,
        parameters, paths, post_read,
    },
};
use crate::{
    breaker::OriginBreaker,
    cache_status::XCache,
    clock::{Clock, ElapsedClock, SystemClock},
    config::{Caching, ConcurrencyLimits},
    error::{ConfigError, in_range},
    executor::Executor,
    layer::CacheLayer,
    purge::PurgeTable,
    remote::{LONGEST_KEEP, Remote},
    semantics::rules::CacheKind,
    state::cache::Shared,
    store::Memory,
};

/// How many bytes the table of purges has: 16,384 cache lines.
const PURGE_TABLE: usize = 1 << 20;

impl CacheLayer {
    /// A layer over `memory` with default settings: it stores what responses allow, for as long as
    /// they say.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        CacheBuilder::build_default(memory)
    }

    /// A layer that caches nothing: requests and responses pass untouched, without `Cache-Status` or
    /// any other field, and without [`CacheBuilder::breaker`]. It has the type of any other layer, so
    /// that a setting of a program can turn the cache off. Responses have
    /// [`CacheOutcome::Disabled`](crate::CacheOutcome::Disabled) as an extension.
    ///
    /// [`with`](Self::with) and [`scope`](Self::scope) make layers that are disabled too.
    ///
    /// ```
    /// use cachewarp::{CacheLayer, Memory};
    ///
    /// fn cache(on: bool) -> CacheLayer {
    ///     match on {
    ///         true => CacheLayer::new(Memory::with_capacity(64 << 20)),
    ///         false => CacheLayer::disabled(),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn disabled() -> Self {
        // Nothing is ever stored. The capacity only bounds what settings may say.
        let layer = Self::new(Memory::with_capacity(u64::from(u32::MAX)));
        let mut config = (*layer.cache.config).clone();
        config.caching = Caching::Off;
        Self::from_parts(layer.cache.shared, config)
    }

    /// A builder that starts from the default settings.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::new()
    }

    /// A layer over the same cache with other settings, for example for one route. `change` gets a
    /// builder with the settings of this layer.
    ///
    /// ```
    /// use cachewarp::{CacheLayer, FixedTtl, Memory};
    /// use std::time::Duration;
    ///
    /// let cache = CacheLayer::new(Memory::with_capacity(64 << 20));
    /// let slow = cache.with(|c| c.ttl(FixedTtl::new(Duration::from_secs(3600))))?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`CacheBuilder::build`], and [`ConfigError::Fixed`] if `change` changes what
    /// all layers of the cache share: its memory, its shared tier, its clock, or its limits on
    /// fills, refreshes and waiters.
    pub fn with(
        &self,
        change: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Result<Self, ConfigError> {
        change(CacheBuilder::from_layer(
            Arc::clone(&self.cache.shared),
            &self.cache.config,
        ))
        .build()
    }
}

/// # Tiers and sizes, status fields, clock, and `build`
impl CacheBuilder {
    // === Tiers and sizes ===

    /// The memory tier (L1), which holds the entries. Defaults to one of 64 MiB.
    pub fn memory(mut self, memory: Memory) -> Self {
        match &mut self.target {
            BuildTarget::New { memory: it, .. } => *it = memory,
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("memory"),
        }
        self
    }

    /// The shared tier (L2), which the cache asks when the memory tier has no usable response.
    /// Defaults to none.
    ///
    /// Nodes that use the same servers and the same namespace work like one cache. A node finds
    /// what another one stored. If none has a response, one node fetches it and the others wait for
    /// it. If a node replaces or invalidates a response, the others soon stop serving theirs.
    #[cfg(feature = "redis")]
    pub fn remote(self, redis: crate::remote::Redis) -> Self {
        self.remote_store(Arc::new(redis))
    }

    /// The same for any kind of server.
    #[cfg(any(test, feature = "redis"))]
    pub(crate) fn remote_store(
        mut self,
        store: Arc<dyn crate::remote::store::RemoteStore>,
    ) -> Self {
        match &mut self.target {
            BuildTarget::New { remote: it, .. } => {
                *it = Some(store);
            }
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("remote"),
        }
        self
    }

    /// The largest response body to store, in bytes. A larger body is delivered but not stored; the
    /// cache learns its size from `Content-Length`, or while the body streams. Defaults to a
    /// quarter of the memory tier, but less than 4 GiB. The limit is the capacity of the memory
    /// tier.
    pub fn max_entry_bytes(mut self, bytes: u64) -> Self {
        self.max_entry_bytes = Some(bytes);
        self
    }

    /// How many variants of one URI to store. When there are more, the oldest is removed. From 1 to
    /// 1024. Defaults to 64.
    pub fn max_variants(mut self, variants: usize) -> Self {
        self.config.max_variants = variants;
        self
    }

    /// How long to keep a stale response that has a validator, so that it can be revalidated.
    /// Defaults to 24 hours.
    pub fn keep_stale(mut self, keep: Duration) -> Self {
        self.config.keep_stale = keep;
        self
    }

    /// How long to keep a stale response that has no validator, for clients that send `max-stale`.
    /// Defaults to one hour.
    pub fn keep_stale_without_validator(mut self, keep: Duration) -> Self {
        self.config.keep_stale_without_validator = keep;
        self
    }

    // === Status fields, clock and executor ===

    /// The name of this cache in `Cache-Status` (RFC 9211), a token. Defaults to `cachewarp`.
    ///
    /// Answers that the cache makes itself, such as a 504 for `only-if-cached`, have the field too,
    /// with the reason as `detail`, although RFC 9211 §2 advises against it;
    /// [`rfc_literal`](Self::rfc_literal) keeps to that. Only a response that opens a tunnel, and all
    /// of a [disabled](crate::CacheLayer::disabled) layer, have neither this field nor `X-Cache`.
    pub fn cache_status(mut self, name: &str) -> Self {
        self.config.status.cache_status = Some(name.into());
        self
    }

    /// Omits `Cache-Status` from responses.
    pub fn without_cache_status(mut self) -> Self {
        self.config.status.cache_status = None;
        self
    }

    /// Omits `X-Cache` from responses.
    pub fn without_x_cache(mut self) -> Self {
        self.config.status.x_cache = XCache::Off;
        self
    }

    /// The source of time. Defaults to [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        match &mut self.target {
            BuildTarget::New { clock: it, .. } => *it = Arc::new(ElapsedClock::new(clock)),
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("clock"),
        }
        self
    }

    /// What runs fills and background refreshes. Defaults to `tokio::spawn`.
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.config.executor = Arc::new(executor);
        self
    }

    /// Validates the settings and builds the layer.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for the first setting that is malformed or out of range. It names the
    /// setting and its value.
    pub fn build(self) -> Result<CacheLayer, ConfigError> {
        let capacity = match &self.target {
            BuildTarget::New { memory, .. } => memory.capacity(),
            BuildTarget::Existing { shared, .. } => shared.memory.capacity(),
        };
        let mut config = self.config;
        config.rules.targeted_cache_control =
            header_names("targeted_cache_control", self.targeted_cache_control)?;
        config.rules.credential_headers =
            credential_fields("credential_headers", self.credential_headers)?;
        config.rules.policy_credentials =
            credential_fields("policy_credentials", self.policy_credentials)?;
        if let Some(cookies) = self.cookies {
            config.rules.cookies = cookie_rules(&cookies)?;
        }
        config.key_headers = header_names("key_headers", self.key_headers)?;
        if let Some(names) = self.ignore_query {
            config.query.get_or_insert_default().ignored = parameters("ignore_query", &names)?;
        }
        if let Some(tags) = self.languages {
            config.languages = languages("languages", tags)?;
        }
        config.post_fills = paths("post_fills_get", self.post_fills)?;
        for (path, max_body) in self.post_reads {
            post_read(&mut config.post_reads, path, max_body)?;
        }
        let max_body = self
            .max_entry_bytes
            .unwrap_or_else(|| default_max_entry(capacity));
        config.rules.max_body = max_body;
        config.fill.max_body = max_body;
        check(&config, capacity)?;
        let shared = match self.target {
            BuildTarget::New {
                limits,
                clock,
                memory,
                remote,
            } => {
                in_range("memory", &capacity, 1.., "at least 1 byte")?;
                let ConcurrencyLimits { fills, waiters, .. } = limits;
                in_range("max_fills", &fills, 1.., "at least 1")?;
                in_range("max_waiters", &waiters, 1.., "at least 1")?;
                let purges = Arc::new(PurgeTable::new(PURGE_TABLE));
                let remote = remote.map(|store| {
                    // What other nodes store is kept for as long.
                    purges.keeps_for(LONGEST_KEEP);
                    let clock = Arc::<ElapsedClock>::clone(&clock);
                    Arc::new(Remote::new(store, clock, Arc::clone(&purges)))
                });
                let shared = Arc::new(Shared::new(memory, remote, clock, limits, purges));
                shared.follow_purges();
                shared
            }
            BuildTarget::Existing {
                shared,
                fixed_setting,
            } => match fixed_setting {
                Some(setting) => return Err(ConfigError::Fixed { setting }),
                None => shared,
            },
        };
        if config.rules.kind == CacheKind::Private && shared.remote.is_some() {
            return Err(ConfigError::Unavailable {
                setting: "private_client",
                cause: "nodes share what is in the remote tier".to_owned(),
            });
        }
        if let Some(breaker) = self.breaker {
            config.breaker = Some(OriginBreaker::new(breaker, Arc::clone(&shared.clock)));
        }
        Ok(CacheLayer::from_parts(shared, config))
    }

    /// A layer over `memory` with default settings. These are valid, so building cannot fail.
    pub(crate) fn build_default(memory: Memory) -> CacheLayer {
        let mut config = Self::new().config;
        let max_body = default_max_entry(memory.capacity());
        config.rules.max_body = max_body;
        config.fill.max_body = max_body;
        let clock = Arc::new(ElapsedClock::new(SystemClock::new()));
        let purges = Arc::new(PurgeTable::new(PURGE_TABLE));
        let shared = Shared::new(memory, None, clock, ConcurrencyLimits::default(), purges);
        CacheLayer::from_parts(Arc::new(shared), config)
    }
}
