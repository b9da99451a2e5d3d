//! Settings in, refusals out: the only place that refuses a setting.

use std::{fmt, ops::RangeBounds, sync::Arc, time::Duration};

use http::{HeaderName, uri::Authority};

use crate::{
    clock::{Clock, SystemClock},
    config::{Bounds, ConditionalMiss, Config, RangeMiss},
    error::ConfigError,
    fill::{Limits, OnAbandoned},
    key::KeyPolicy,
    layer::{CacheLayer, Shared},
    semantics::rules::{
        AgePolicy, DuplicatePolicy, ErrorStatusPolicy, ForwardedPolicy, HeadUpdates, Heuristics,
        IgnoredRequest, LanguageOrder, Rules, SMaxagePolicy, SetCookiePolicy, StrayContentRange,
        VaryCredentials,
    },
    status::{StatusFields, XCache},
    store::Memory,
    tasks::{Executor, TokioExecutor},
    ttl::{OriginTtl, TtlPolicy},
};

/// The memory of a layer that was given none.
const DEFAULT_CAPACITY: u64 = 64 << 20;

const DAY: Duration = Duration::from_secs(86_400);

/// The longest span a setting may have: the largest `delta-seconds` (RFC 9111 §1.2.2).
const MAX_SPAN: Duration = Duration::from_secs(1 << 31);

/// Collects the settings of a [`CacheLayer`].
///
/// Setters accept anything; [`build`](Self::build) is where a setting is refused.
#[must_use]
pub struct CacheBuilder {
    base: Base,
    config: Config,
    max_entry_bytes: Option<u64>,
    targets: Vec<String>,
    key_headers: Vec<String>,
    credential_headers: Vec<String>,
}

/// What the settings are for: a cache yet to be made, or one that exists.
enum Base {
    New {
        bounds: Bounds,
        clock: Arc<dyn Clock>,
        memory: Memory,
    },
    Existing {
        shared: Arc<Shared>,
        /// A setting given that only a new cache can take.
        misplaced: Option<&'static str>,
    },
}

impl CacheBuilder {
    pub(crate) fn new() -> Self {
        let status = StatusFields {
            cache_status: Some("cachewarp".into()),
            x_cache: XCache::On,
        };
        Self {
            base: Base::New {
                bounds: Bounds::default(),
                clock: Arc::new(SystemClock::new()),
                memory: Memory::with_capacity(DEFAULT_CAPACITY),
            },
            config: Config {
                conditional_miss: ConditionalMiss::Forward,
                default_authority: "localhost".into(),
                default_scheme: "http".into(),
                executor: Arc::new(TokioExecutor),
                id: 0,
                fill: Limits {
                    max_body: 0,
                    on_abandoned: OnAbandoned::Continue,
                    reader_stall: Duration::from_secs(10),
                    timeout: Duration::from_secs(60),
                    window: 1 << 20,
                },
                keep_stale: DAY,
                key: None,
                key_headers: Vec::new(),
                max_stale: Duration::from_secs(3600),
                max_variants: 64,
                namespace: "".into(),
                origin_timeout: Duration::from_secs(60),
                range_miss: RangeMiss::Forward,
                refresh_pause: Duration::from_secs(5),
                rules: Rules::default(),
                status,
                ttl: Arc::new(OriginTtl),
                uncacheable_for: Duration::from_secs(10),
                wait_timeout: Duration::from_secs(5),
            },
            max_entry_bytes: None,
            targets: Vec::new(),
            key_headers: Vec::new(),
            credential_headers: Vec::new(),
        }
    }

    /// Settings that start from those of an existing layer, for the same cache.
    pub(crate) fn from_layer(shared: Arc<Shared>, config: &Config) -> Self {
        let names = |names: &[HeaderName]| names.iter().map(ToString::to_string).collect();
        Self {
            max_entry_bytes: Some(config.rules.max_body),
            targets: names(&config.rules.targets),
            key_headers: names(&config.key_headers),
            credential_headers: names(&config.rules.credential_headers),
            config: config.clone(),
            base: Base::Existing {
                shared,
                misplaced: None,
            },
        }
    }

    // === Where entries are kept ===

    /// The memory tier. Defaults to one of 64 MiB.
    pub fn memory(mut self, memory: Memory) -> Self {
        match &mut self.base {
            Base::New { memory: it, .. } => *it = memory,
            Base::Existing { misplaced, .. } => *misplaced = Some("memory"),
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
    pub fn max_stale(mut self, keep: Duration) -> Self {
        self.config.max_stale = keep;
        self
    }

    // === Keys ===

    /// What else is part of the key. Defaults to nothing.
    pub fn key(mut self, policy: impl KeyPolicy) -> Self {
        self.config.key = Some(Arc::new(policy));
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

    // === Freshness ===

    /// The lifetime of responses that state none. Defaults to [`OriginTtl`]: none.
    pub fn ttl(mut self, policy: impl TtlPolicy) -> Self {
        self.config.ttl = Arc::new(policy);
        self
    }

    /// Guesses a lifetime from `Last-Modified` (RFC 9111 §4.2.2). Off by default.
    pub fn heuristics(mut self, heuristics: Heuristics) -> Self {
        self.config.rules.heuristics = Some(heuristics);
        self
    }

    /// The stale-while-revalidate window of responses with a lifetime but without a window of
    /// their own (RFC 5861 §3). Defaults to none.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.config.rules.stale_while_revalidate = Some(seconds(window));
        self
    }

    /// The stale-if-error window of responses with a lifetime but without a window of their own
    /// (RFC 5861 §4). Defaults to none.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.config.rules.stale_if_error = Some(seconds(window));
        self
    }

    /// Targeted Cache-Control fields to obey, most specific first, such as `CDN-Cache-Control`
    /// (RFC 9213). Defaults to none.
    pub fn targets<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.targets = names.into_iter().map(Into::into).collect();
        self
    }

    /// How the age of a response on arrival is found. Defaults to [`AgePolicy::Conservative`].
    pub fn age(mut self, policy: AgePolicy) -> Self {
        self.config.rules.age = policy;
        self
    }

    /// What a lifetime stated twice, differently, means. Defaults to [`DuplicatePolicy::Stale`].
    pub fn duplicates(mut self, policy: DuplicatePolicy) -> Self {
        self.config.rules.duplicates = policy;
        self
    }

    /// Whether `s-maxage` rules out stale answers. Defaults to
    /// [`SMaxagePolicy::AllowExplicitStale`].
    pub fn s_maxage(mut self, policy: SMaxagePolicy) -> Self {
        self.config.rules.s_maxage = policy;
        self
    }

    // === What is stored ===

    /// What becomes of responses with `Set-Cookie`. Defaults to [`SetCookiePolicy::Refuse`].
    pub fn set_cookie(mut self, policy: SetCookiePolicy) -> Self {
        self.config.rules.set_cookie = policy;
        self
    }

    /// Whether error responses that state a lifetime are stored.
    /// Defaults to [`ErrorStatusPolicy::Store`].
    pub fn error_statuses(mut self, policy: ErrorStatusPolicy) -> Self {
        self.config.rules.error_statuses = policy;
        self
    }

    /// Request fields that carry credentials, and make a response as private as `Authorization`
    /// does (RFC 9111 §3.5). Defaults to none beside `Authorization`.
    pub fn credential_headers<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.credential_headers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether responses that vary on `Cookie` or `Authorization` are stored.
    /// Defaults to [`VaryCredentials::Refuse`].
    pub fn vary_credentials(mut self, policy: VaryCredentials) -> Self {
        self.config.rules.vary_credentials = policy;
        self
    }

    /// The fields that `Vary` may list; a response that lists more is not stored. Defaults to 16.
    pub fn max_vary_names(mut self, names: usize) -> Self {
        self.config.rules.max_vary_names = names;
        self
    }

    /// Whether the order of languages tells variants apart. Defaults to [`LanguageOrder::Keep`].
    pub fn language_order(mut self, order: LanguageOrder) -> Self {
        self.config.rules.language_order = order;
        self
    }

    // === Requests ===

    /// Request directives not to honour (RFC 9111 §5.2.1), of `max-age`, `max-stale`,
    /// `min-fresh`, `no-cache`, `no-store` and `only-if-cached`: on a public edge they let any
    /// client make the origin work. Defaults to none.
    pub fn ignore_request_directives(
        mut self,
        directives: impl IntoIterator<Item = RequestDirective>,
    ) -> Self {
        let mut ignored = IgnoredRequest::default();
        for directive in directives {
            match directive {
                RequestDirective::MaxAge => ignored.max_age = true,
                RequestDirective::MaxStale => ignored.max_stale = true,
                RequestDirective::MinFresh => ignored.min_fresh = true,
                RequestDirective::NoCache => ignored.no_cache = true,
                RequestDirective::NoStore => ignored.no_store = true,
                RequestDirective::OnlyIfCached => ignored.only_if_cached = true,
            }
        }
        self.config.rules.ignored_request = ignored;
        self
    }

    /// What a conditional request asks of the origin when nothing is stored.
    /// Defaults to [`ConditionalMiss::Forward`].
    pub fn conditional_miss(mut self, policy: ConditionalMiss) -> Self {
        self.config.conditional_miss = policy;
        self
    }

    /// What a range request asks of the origin when nothing is stored.
    /// Defaults to [`RangeMiss::Forward`].
    pub fn range_miss(mut self, policy: RangeMiss) -> Self {
        self.config.range_miss = policy;
        self
    }

    /// What a forwarded HEAD does to the stored GET. Defaults to [`HeadUpdates::Full`].
    pub fn head_updates(mut self, policy: HeadUpdates) -> Self {
        self.config.rules.head_updates = policy;
        self
    }

    // === Flights ===

    /// How long a request waits for another's before one more asks the origin.
    /// Defaults to 5 seconds.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.config.wait_timeout = timeout;
        self
    }

    /// How long the origin may take to begin its answer to a request that the cache might store;
    /// past it the answer is stale, if that is allowed, or 504. Defaults to 60 seconds.
    pub fn origin_timeout(mut self, timeout: Duration) -> Self {
        self.config.origin_timeout = timeout;
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

    /// How long after a failed refresh in the background the next one is tried.
    /// Defaults to 5 seconds.
    pub fn refresh_pause(mut self, pause: Duration) -> Self {
        self.config.refresh_pause = pause;
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

    /// Reads the RFCs as literally as they allow, for the most reuse: heuristic freshness, also of
    /// errors marked `public`; cookies stored; `s-maxage` without exceptions; the first of two
    /// lifetimes; languages in any order; responses that vary on credentials, and those with a
    /// `Content-Range` out of place. Know your origin before you choose this.
    pub fn rfc_literal(mut self) -> Self {
        let rules = &mut self.config.rules;
        rules.duplicates = DuplicatePolicy::First;
        rules.error_statuses = ErrorStatusPolicy::Literal;
        rules.heuristics = Some(Heuristics::default());
        rules.language_order = LanguageOrder::Sort;
        rules.s_maxage = SMaxagePolicy::Strict;
        rules.set_cookie = SetCookiePolicy::Store;
        rules.stray_content_range = StrayContentRange::Store;
        rules.vary_credentials = VaryCredentials::Store;
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
        config.rules.targets = names("targets", self.targets)?;
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
            } => {
                in_range("memory", &capacity, 1.., "at least 1 byte")?;
                let Bounds { fills, waiters, .. } = bounds;
                in_range("max_fills", &fills, 1.., "at least 1")?;
                in_range("max_waiters", &waiters, 1.., "at least 1")?;
                Arc::new(Shared::new(memory, clock, bounds))
            }
            Base::Existing { shared, misplaced } => match misplaced {
                Some(setting) => return Err(ConfigError::Fixed { setting }),
                None => shared,
            },
        };
        Ok(CacheLayer::from_parts(shared, config))
    }

    /// The layer over `memory` with every other setting at its default, which needs no check.
    pub(crate) fn build_default(memory: Memory) -> CacheLayer {
        let mut config = Self::new().config;
        let max_body = default_max_entry(memory.capacity());
        config.rules.max_body = max_body;
        config.fill.max_body = max_body;
        let shared = Shared::new(memory, Arc::new(SystemClock::new()), Bounds::default());
        CacheLayer::from_parts(Arc::new(shared), config)
    }
}

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A request directive that a cache may choose not to honour (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RequestDirective {
    /// `max-age`.
    MaxAge,
    /// `max-stale`.
    MaxStale,
    /// `min-fresh`.
    MinFresh,
    /// `no-cache`, in `Cache-Control` or `Pragma`.
    NoCache,
    /// `no-store`.
    NoStore,
    /// `only-if-cached`.
    OnlyIfCached,
}

/// A quarter of the memory tier, below the 4 GiB that an entry can measure.
fn default_max_entry(capacity: u64) -> u64 {
    (capacity / 4).min(u64::from(u32::MAX))
}

fn check(config: &Config, capacity: u64) -> Result<(), ConfigError> {
    config
        .default_authority
        .parse::<Authority>()
        .map_err(|_| malformed("default_authority", &config.default_authority))?;
    config
        .default_scheme
        .parse::<http::uri::Scheme>()
        .ok()
        // `http` takes the empty text for a scheme.
        .filter(|scheme| !scheme.as_str().is_empty())
        .ok_or_else(|| malformed("default_scheme", &config.default_scheme))?;
    if let Some(name) = &config.status.cache_status
        && !is_sf_token(name)
    {
        return Err(malformed("cache_status", name));
    }
    in_range(
        "max_entry_bytes",
        &config.rules.max_body,
        ..=capacity.min(u32::MAX.into()),
        "at most the capacity of the memory tier and below 4 GiB",
    )?;
    in_range(
        "max_variants",
        &config.max_variants,
        1..=1024,
        "between 1 and 1024",
    )?;
    in_range(
        "max_vary_names",
        &config.rules.max_vary_names,
        ..=256,
        "at most 256",
    )?;
    in_range("fill_window", &config.fill.window, 1.., "at least 1 byte")?;
    if let Some(heuristics) = config.rules.heuristics {
        let percent = heuristics.percent;
        in_range("heuristics", &percent, ..=100, "at most 100 percent")?;
    }
    for (setting, span) in [
        ("fill_timeout", config.fill.timeout),
        ("origin_timeout", config.origin_timeout),
        ("reader_stall", config.fill.reader_stall),
        ("wait_timeout", config.wait_timeout),
    ] {
        in_range(
            setting,
            &Span(span),
            Span(Duration::from_nanos(1))..=Span(MAX_SPAN),
            "above zero and at most 2^31 seconds",
        )?;
    }
    for (setting, span) in [
        ("keep_stale", config.keep_stale),
        ("max_stale", config.max_stale),
        ("refresh_pause", config.refresh_pause),
        ("uncacheable_for", config.uncacheable_for),
    ] {
        in_range(
            setting,
            &Span(span),
            ..=Span(MAX_SPAN),
            "at most 2^31 seconds",
        )?;
    }
    Ok(())
}

fn names(setting: &'static str, names: Vec<String>) -> Result<Vec<HeaderName>, ConfigError> {
    names
        .into_iter()
        .map(|name| HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed(setting, &name)))
        .collect()
}

fn malformed(setting: &'static str, value: &str) -> ConfigError {
    ConfigError::Malformed {
        setting,
        value: value.to_owned(),
    }
}

fn in_range<T: fmt::Display + PartialOrd>(
    setting: &'static str,
    value: &T,
    range: impl RangeBounds<T>,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange {
        setting,
        value: value.to_string(),
        allowed,
    })
}

#[derive(PartialEq, PartialOrd)]
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.min(MAX_SPAN).as_secs()).unwrap_or(u32::MAX)
}

/// A token as structured fields write it (RFC 9651 §3.3.4).
fn is_sf_token(name: &str) -> bool {
    sfv::TokenRef::from_str(name).is_ok()
}
