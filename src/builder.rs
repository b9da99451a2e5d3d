//! Settings in, refusals out: the only place that refuses a setting.

mod resilience;
mod rules;
mod settings;
mod validate;

use std::{sync::Arc, time::Duration};

pub use self::{rules::RequestDirective, settings::CacheBuilder};
use self::{
    settings::Base,
    validate::{check, default_max_entry, names},
};
use crate::{
    breaker::OriginBreaker,
    cache_status::XCache,
    clock::{Clock, SystemClock},
    config::Bounds,
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
    /// A cache in `memory` that obeys what responses say of themselves.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        CacheBuilder::build_default(memory)
    }

    /// Starts from the defaults.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::new()
    }

    /// A layer with other settings over the same cache, as for one route among many.
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
    /// As [`CacheBuilder::build`], and if a setting of the cache itself is changed: its memory,
    /// clock, or bounds on fills, refreshes and waiters.
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
    // === Where entries are kept ===

    /// The memory tier. Defaults to one of 64 MiB.
    pub fn memory(mut self, memory: Memory) -> Self {
        match &mut self.base {
            Base::New { memory: it, .. } => *it = memory,
            Base::Existing { misplaced, .. } => *misplaced = Some("memory"),
        }
        self
    }

    /// The tier that nodes share, asked for what memory does not have. Defaults to none.
    ///
    /// Nodes whose tiers have the same servers and the same namespace behave like one cache: each
    /// finds what another stored, one at a time fetches what none has, and none serves for long
    /// what another replaced or invalidated.
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
        match &mut self.base {
            Base::New { remote: it, .. } => {
                *it = Some(Arc::new(crate::remote::Remote::new(store)));
            }
            Base::Existing { misplaced, .. } => *misplaced = Some("remote"),
        }
        self
    }

    /// The largest response body that is stored, in bytes. Longer ones are delivered and not
    /// stored, which is decided by their `Content-Length` or while they stream.
    /// Defaults to a quarter of the memory tier.
    pub fn max_entry_bytes(mut self, bytes: u64) -> Self {
        self.max_entry_bytes = Some(bytes);
        self
    }

    /// The variants of one URI that are stored at once; past it, the oldest goes.
    /// Defaults to 64.
    pub fn max_variants(mut self, variants: usize) -> Self {
        self.config.max_variants = variants;
        self
    }

    /// How long a stale response with a validator is kept, for revalidation. Defaults to 24 hours.
    pub fn keep_stale(mut self, keep: Duration) -> Self {
        self.config.keep_stale = keep;
        self
    }

    /// How long a stale response without a validator is kept, for clients that send `max-stale`.
    /// Defaults to one hour.
    pub fn keep_stale_without_validator(mut self, keep: Duration) -> Self {
        self.config.keep_stale_without_validator = keep;
        self
    }

    // === Keys ===

    /// What else is part of the key. Defaults to nothing, which
    /// [`without_key_policy`](Self::without_key_policy) restores.
    pub fn key(mut self, policy: impl KeyPolicy) -> Self {
        self.config.key = Some(Arc::new(policy));
        self
    }

    /// Takes the [`key`](Self::key) policy off, of a layer over a cache whose other layers have one.
    pub fn without_key_policy(mut self) -> Self {
        self.config.key = None;
        self
    }

    /// Request fields whose values are part of the key, for applications that read them and do
    /// not say so in `Vary`. Defaults to none.
    pub fn key_headers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.key_headers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps this layer's entries apart from those of other namespaces in the same cache.
    /// Defaults to the empty namespace.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.config.namespace = namespace.into();
        self
    }

    /// The host, with a port if needed, of requests that name none. Defaults to `localhost`.
    pub fn default_authority(mut self, authority: &str) -> Self {
        self.config.default_authority = authority.into();
        self
    }

    /// The scheme of requests whose target has none, as over HTTP/1.1. Set `https` behind TLS, so
    /// that HTTP/1.1 and HTTP/2 share their entries. Defaults to `http`.
    pub fn default_scheme(mut self, scheme: &str) -> Self {
        self.config.default_scheme = scheme.into();
        self
    }

    /// What becomes of `Forwarded` and `X-Forwarded-*` fields.
    /// Defaults to [`ForwardedPolicy::Key`].
    pub fn forwarded(mut self, policy: ForwardedPolicy) -> Self {
        self.config.rules.forwarded = policy;
        self
    }

    // === Flights ===

    /// How long a request waits for another's before one more asks the origin.
    /// Defaults to 5 seconds.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.config.wait_timeout = timeout;
        self
    }

    /// How long a body may take to arrive once nobody is reading it. Defaults to 60 seconds.
    pub fn fill_timeout(mut self, timeout: Duration) -> Self {
        self.config.fill.timeout = timeout;
        self
    }

    /// The bytes held of a shared body that is too large to store, past which its slowest reader
    /// sets the pace. Defaults to 1 MiB.
    pub fn fill_window(mut self, bytes: u64) -> Self {
        self.config.fill.window = bytes;
        self
    }

    /// How long a reader of such a body may stand still before it is cut off.
    /// Defaults to 10 seconds.
    pub fn reader_stall(mut self, stall: Duration) -> Self {
        self.config.fill.reader_stall = stall;
        self
    }

    /// What becomes of a response when the last client that read it goes away.
    /// Defaults to [`OnAbandoned::Continue`].
    pub fn on_abandoned(mut self, policy: OnAbandoned) -> Self {
        self.config.fill.on_abandoned = policy;
        self
    }

    /// How long requests for a key whose response could not be shared go to the origin without
    /// waiting for each other. Defaults to 10 seconds.
    pub fn uncacheable_for(mut self, span: Duration) -> Self {
        self.config.uncacheable_for = span;
        self
    }

    /// The requests that may wait for one flight; one more is answered 503. Defaults to 16,384.
    pub fn max_waiters(mut self, waiters: usize) -> Self {
        match &mut self.base {
            Base::New { bounds, .. } => bounds.waiters = waiters,
            Base::Existing { misplaced, .. } => *misplaced = Some("max_waiters"),
        }
        self
    }

    /// The fetches and fills that may be under way at once although their clients may have left,
    /// refreshes included. Past it a request that would be fetched for all who want the same is
    /// fetched for its client alone: its going away ends it, and its answer is not stored.
    /// Defaults to 4096.
    ///
    /// All fills together hold as many bytes as the memory tier may, and beyond that each up to
    /// [`fill_window`](Self::fill_window).
    pub fn max_fills(mut self, fills: usize) -> Self {
        match &mut self.base {
            Base::New { bounds, .. } => bounds.fills = fills,
            Base::Existing { misplaced, .. } => *misplaced = Some("max_fills"),
        }
        self
    }

    /// The refreshes that may run in the background at once; past it stale responses are
    /// refreshed by later requests. Defaults to 256.
    pub fn max_refreshes(mut self, refreshes: usize) -> Self {
        match &mut self.base {
            Base::New { bounds, .. } => bounds.refreshes = refreshes,
            Base::Existing { misplaced, .. } => *misplaced = Some("max_refreshes"),
        }
        self
    }

    // === Surroundings ===

    /// The name of this cache in `Cache-Status` (RFC 9211): a token. Defaults to `cachewarp`.
    pub fn cache_status(mut self, name: &str) -> Self {
        self.config.status.cache_status = Some(name.into());
        self
    }

    /// Leaves `Cache-Status` out.
    pub fn without_cache_status(mut self) -> Self {
        self.config.status.cache_status = None;
        self
    }

    /// Leaves `X-Cache` out.
    pub fn without_x_cache(mut self) -> Self {
        self.config.status.x_cache = XCache::Off;
        self
    }

    /// The source of time. Defaults to [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        match &mut self.base {
            Base::New { clock: it, .. } => *it = Arc::new(clock),
            Base::Existing { misplaced, .. } => *misplaced = Some("clock"),
        }
        self
    }

    /// What runs fills and background refreshes. Defaults to `tokio::spawn`.
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.config.executor = Arc::new(executor);
        self
    }

    /// The layer with these settings.
    ///
    /// # Errors
    ///
    /// The first setting that is malformed or out of range, with its value.
    pub fn build(self) -> Result<CacheLayer, ConfigError> {
        let capacity = match &self.base {
            Base::New { memory, .. } => memory.capacity(),
            Base::Existing { shared, .. } => shared.memory.capacity(),
        };
        let mut config = self.config;
        config.rules.targeted_cache_control =
            names("targeted_cache_control", self.targeted_cache_control)?;
        config.rules.credential_headers = names("credential_headers", self.credential_headers)?;
        config.key_headers = names("key_headers", self.key_headers)?;
        let max_body = self
            .max_entry_bytes
            .unwrap_or_else(|| default_max_entry(capacity));
        config.rules.max_body = max_body;
        config.fill.max_body = max_body;
        check(&config, capacity)?;
        let shared = match self.base {
            Base::New {
                bounds,
                clock,
                memory,
                remote,
            } => {
                in_range("memory", &capacity, 1.., "at least 1 byte")?;
                let Bounds { fills, waiters, .. } = bounds;
                in_range("max_fills", &fills, 1.., "at least 1")?;
                in_range("max_waiters", &waiters, 1.., "at least 1")?;
                Arc::new(Shared::new(memory, remote, clock, bounds))
            }
            Base::Existing { shared, misplaced } => match misplaced {
                Some(setting) => return Err(ConfigError::Fixed { setting }),
                None => shared,
            },
        };
        if let Some(breaker) = self.breaker {
            config.breaker = Some(OriginBreaker::new(breaker, Arc::clone(&shared.clock)));
        }
        Ok(CacheLayer::from_parts(shared, config))
    }

    /// The layer over `memory` with every other setting at its default, which needs no check.
    pub(crate) fn build_default(memory: Memory) -> CacheLayer {
        let mut config = Self::new().config;
        let max_body = default_max_entry(memory.capacity());
        config.rules.max_body = max_body;
        config.fill.max_body = max_body;
        let clock = Arc::new(SystemClock::new());
        let shared = Shared::new(memory, None, clock, Bounds::default());
        CacheLayer::from_parts(Arc::new(shared), config)
    }
}
