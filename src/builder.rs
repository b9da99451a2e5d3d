//! Builds a layer from its settings. Only [`CacheBuilder::build`] refuses a setting.

mod resilience;
mod rules;
mod settings;
mod validate;

use std::{sync::Arc, time::Duration};

pub use self::{rules::RequestDirective, settings::CacheBuilder};
use self::{
    settings::BuildTarget,
    validate::{check, default_max_entry, header_names},
};
use crate::{
    breaker::OriginBreaker,
    cache_status::XCache,
    clock::{Clock, SystemClock},
    config::ConcurrencyLimits,
    error::{ConfigError, in_range},
    executor::Executor,
    fill::OnAbandoned,
    key::KeyPolicy,
    layer::CacheLayer,
    semantics::rules::ForwardedPolicy,
    state::cache::Shared,
    store::Memory,
};

impl CacheLayer {
    /// A layer over `memory` with default settings: it stores what responses allow, for as long as
    /// they say.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        CacheBuilder::build_default(memory)
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
                *it = Some(Arc::new(crate::remote::Remote::new(store)));
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

    // === Keys ===

    /// A policy that adds dimensions to the cache key. Defaults to none, which
    /// [`without_key_policy`](Self::without_key_policy) restores.
    pub fn key(mut self, policy: impl KeyPolicy) -> Self {
        self.config.key = Some(Arc::new(policy));
        self
    }

    /// Removes the [`key`](Self::key) policy, for a layer [over the cache](CacheLayer::with) of
    /// another layer that has one.
    pub fn without_key_policy(mut self) -> Self {
        self.config.key = None;
        self
    }

    /// Request headers whose values are part of the cache key, for applications that read them
    /// without naming them in `Vary`. Defaults to none.
    pub fn key_headers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.key_headers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Separates the entries of this layer from those of other namespaces in the same cache.
    /// Defaults to the empty namespace.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.config.namespace = namespace.into();
        self
    }

    /// The host, with a port if needed, for requests that name none. Defaults to `localhost`.
    pub fn default_authority(mut self, authority: &str) -> Self {
        self.config.default_authority = authority.into();
        self
    }

    /// The scheme of requests whose target names none, as is usual over HTTP/1.1. Set it to `https`
    /// if the server uses TLS, so that requests over HTTP/1.1 and HTTP/2 share entries. Defaults to
    /// `http`.
    pub fn default_scheme(mut self, scheme: &str) -> Self {
        self.config.default_scheme = scheme.into();
        self
    }

    /// How `Forwarded` and `X-Forwarded-*` affect the cache key. Defaults to
    /// [`ForwardedPolicy::Key`].
    pub fn forwarded(mut self, policy: ForwardedPolicy) -> Self {
        self.config.rules.forwarded = policy;
        self
    }

    // === Fetches, fills and waiters ===

    /// How long requests wait for a concurrent request to fetch the same response. After that one
    /// of them calls the origin too, and the others wait for whichever response comes first.
    /// Defaults to 5 seconds.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.config.wait_timeout = timeout;
        self
    }

    /// How long the cache receives a body after its last client disconnected. Defaults to 60
    /// seconds.
    pub fn fill_timeout(mut self, timeout: Duration) -> Self {
        self.config.fill.timeout = timeout;
        self
    }

    /// How many bytes of a body that is too large to store are held for its readers, if concurrent
    /// requests share it. When the window is full, the slowest reader sets the pace. Defaults to 1
    /// MiB.
    pub fn fill_window(mut self, bytes: u64) -> Self {
        self.config.fill.window = bytes;
        self
    }

    /// How long a reader of such a body may read nothing while it holds up the others, before the
    /// cache cuts it off. Defaults to 10 seconds.
    pub fn reader_stall(mut self, stall: Duration) -> Self {
        self.config.fill.reader_stall = stall;
        self
    }

    /// What to do with a response whose last client disconnects before its body is complete.
    /// Defaults to [`OnAbandoned::Continue`].
    pub fn on_abandoned(mut self, policy: OnAbandoned) -> Self {
        self.config.fill.on_abandoned = policy;
        self
    }

    /// For how long requests for a key are not collapsed after its response could not be shared
    /// (hit-for-miss): each goes to the origin at once. Defaults to 10 seconds.
    pub fn uncacheable_for(mut self, span: Duration) -> Self {
        self.config.uncacheable_for = span;
        self
    }

    /// How many requests may wait for the same response. Further ones are answered 503
    /// ([`Generated::Crowded`](crate::Generated::Crowded)). At least 1. Defaults to 16,384.
    pub fn max_waiters(mut self, waiters: usize) -> Self {
        match &mut self.target {
            BuildTarget::New { limits, .. } => limits.waiters = waiters,
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("max_waiters"),
        }
        self
    }

    /// How many fetches and fills may run at once that go on if their client disconnects,
    /// background refreshes included. At least 1. Defaults to 4096.
    ///
    /// Above the limit, a request is fetched for its own client only: the response is neither
    /// shared nor stored, and the fetch ends if the client disconnects.
    ///
    /// All fills together hold at most as many bytes as the memory tier, and above that up to
    /// [`fill_window`](Self::fill_window) each.
    pub fn max_fills(mut self, fills: usize) -> Self {
        match &mut self.target {
            BuildTarget::New { limits, .. } => limits.fills = fills,
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("max_fills"),
        }
        self
    }

    /// How many background refreshes may run at once. Above the limit, a later request refreshes
    /// the stale response. Defaults to 256.
    pub fn max_refreshes(mut self, refreshes: usize) -> Self {
        match &mut self.target {
            BuildTarget::New { limits, .. } => limits.refreshes = refreshes,
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("max_refreshes"),
        }
        self
    }

    // === Status fields, clock and executor ===

    /// The name of this cache in `Cache-Status` (RFC 9211), a token. Defaults to `cachewarp`.
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
            BuildTarget::New { clock: it, .. } => *it = Arc::new(clock),
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
            header_names("credential_headers", self.credential_headers)?;
        config.key_headers = header_names("key_headers", self.key_headers)?;
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
                Arc::new(Shared::new(memory, remote, clock, limits))
            }
            BuildTarget::Existing {
                shared,
                fixed_setting,
            } => match fixed_setting {
                Some(setting) => return Err(ConfigError::Fixed { setting }),
                None => shared,
            },
        };
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
        let clock = Arc::new(SystemClock::new());
        let shared = Shared::new(memory, None, clock, ConcurrencyLimits::default());
        CacheLayer::from_parts(Arc::new(shared), config)
    }
}
