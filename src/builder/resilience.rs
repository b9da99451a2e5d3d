//! The settings for an origin that is slow, failing, or about to be asked by everyone.

use std::time::Duration;

use super::settings::CacheBuilder;
use crate::breaker::BreakerConfig;

impl CacheBuilder {
    /// How long the origin may take to begin its answer to a request that the cache might store;
    /// past it the answer is stale, if that is allowed, or 504. Defaults to 60 seconds.
    pub fn origin_timeout(mut self, timeout: Duration) -> Self {
        self.config.origin_timeout = timeout;
        self
    }

    /// How long a request waits for the origin while there is a stored response that may stand in
    /// for an error (`stale-if-error`, RFC 5861 §4): past it the answer is that one, and what the
    /// origin answers in the end is stored. Requests that insist on validation wait on.
    /// `None`, the default, turns it off: they wait for the origin's answer, or for
    /// [`origin_timeout`](Self::origin_timeout).
    pub fn soft_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config.soft_timeout = timeout.into();
        self
    }

    /// Stops asking an origin that fails, and tries it again with care: see
    /// [`breaker`](mod@crate::breaker). While it is open the answer is stale at once, if that is
    /// allowed (`stale-if-error`, RFC 5861 §4), else 503 with `Retry-After`. Probes go to refreshes
    /// in the background first. Errors, timeouts, 500, 502, 503 and 504 count as failures.
    ///
    /// There is one circuit for all requests of the layer: it stands for the one service that is
    /// called. [`CacheLayer::breaker_handle`](crate::CacheLayer::breaker_handle) gives the handle on
    /// it. Where requests go to several origins, put a
    /// [`BreakerLayer`](crate::breaker::BreakerLayer) with keys between the cache and the
    /// service instead. What bypasses the cache is not counted.
    ///
    /// `None`, the default, turns it off. In [`CacheLayer::with`](crate::CacheLayer::with), settings
    /// make a new circuit; without this call, both layers share the one there is.
    pub fn breaker(mut self, breaker: impl Into<Option<BreakerConfig>>) -> Self {
        self.breaker = breaker.into();
        self.config.breaker = None;
        self
    }

    /// How long the origin is not asked for a key after it failed, by those for whom there is
    /// something stored that may stand in. Defaults to 5 seconds; zero asks each time.
    pub fn refresh_pause(mut self, pause: Duration) -> Self {
        self.config.refresh_pause = pause;
        self
    }

    /// Refreshes what is asked for a lot shortly before its freshness ends, so that nobody has to
    /// wait then: by chance, and the likelier the less time is left, measured in the time that the
    /// origin took last (XFetch: Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache
    /// Stampede Prevention", 2015). `beta` is how early: 1 is the optimum of that paper, more is
    /// earlier. The request that has it refreshed gets the stored response like any other.
    ///
    /// None is refreshed while more than half is left of the freshness that it came with. How long
    /// a fetch took is what the node that made it measured.
    ///
    /// From above 0 to 100. `None`, the default, turns it off.
    pub fn early_refresh(mut self, beta: impl Into<Option<f64>>) -> Self {
        self.config.early_refresh = beta.into();
        self
    }

    /// Takes up to this share off each lifetime, by chance, so that what was stored at once does
    /// not expire at once. From 0, the default, to 0.5.
    pub fn lifetime_jitter(mut self, share: f64) -> Self {
        self.config.lifetime_jitter = share;
        self
    }
}
