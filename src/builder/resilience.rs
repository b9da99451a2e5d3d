//! The settings for an origin that is slow or fails, and against many requests at the same moment.

use std::time::Duration;

use super::settings::CacheBuilder;
use crate::breaker::BreakerConfig;

/// # Slow and failing origins
impl CacheBuilder {
    /// How long a GET or HEAD may wait for the origin to begin its response. After that the client
    /// gets a stale response if `stale-if-error` allows it, else 504
    /// ([`Generated::OriginTimeout`](crate::Generated::OriginTimeout)). Defaults to 60 seconds.
    ///
    /// The time counts from when the request comes. All that it waits for is a part of it: the
    /// readiness of the inner service, the call of a concurrent request or of another node, a second
    /// call after that failed, and the call that follows a 304 for another representation. A call
    /// that others wait for too goes on for them, for this long from its own beginning.
    ///
    /// Other methods, tunnels, and what a [`KeyPolicy`](crate::KeyPolicy) sends past the cache have
    /// no limit: put a timeout around the service for those.
    pub fn origin_timeout(mut self, timeout: Duration) -> Self {
        self.config.origin_timeout = timeout;
        self
    }

    /// How long a request waits for the origin if there is a stored response that may replace an
    /// error (`stale-if-error`, RFC 5861 §4). After that the client gets the stored response; the
    /// cache keeps waiting for the origin's response, to store it. Requests that demand validation
    /// are not affected.
    ///
    /// `None`, the default, turns it off: requests wait for the origin's response or for
    /// [`origin_timeout`](Self::origin_timeout).
    pub fn soft_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config.soft_timeout = timeout.into();
        self
    }

    /// A circuit breaker, which stops calling an origin that fails and probes it until it works
    /// again: see [`breaker`](mod@crate::breaker). While the circuit is open, clients get a stale
    /// response at once if `stale-if-error` allows it (RFC 5861 §4), else 503 with `Retry-After`.
    /// Background refreshes are preferred as probes. Errors count as failures, and so do timeouts,
    /// 502, 503 and 504, at most once in ten seconds for each path: one page that fails does not
    /// stop the others. [What counts](mod@crate::breaker#what-counts) has the details.
    ///
    /// All requests of the layer share one circuit, because they call one service. All their calls
    /// of the service count and may be refused: those of misses, refreshes and HEAD requests, and
    /// those of writes, of tunnels and of all other requests that go past the cache. A write that is
    /// refused invalidates nothing. An error of a call whose request goes past the cache with content
    /// does not count, because the client may have broken off, unless the service says by
    /// [`RequestProgress`](crate::RequestProgress) that all was sent, or nothing.
    /// [`CacheLayer::breaker_handle`](crate::CacheLayer::breaker_handle) returns the handle. If the
    /// service calls several origins, put a [`BreakerLayer`](crate::breaker::BreakerLayer) with
    /// keys between cache and service instead.
    ///
    /// `None`, the default, turns it off. In [`CacheLayer::with`](crate::CacheLayer::with), a call
    /// with settings makes a new circuit; without this call, both layers share the existing one.
    pub fn breaker(mut self, breaker: impl Into<Option<BreakerConfig>>) -> Self {
        self.breaker = breaker.into();
        self.config.breaker = None;
        self
    }

    /// After the origin failed for a key, how long it is not called again for this key, by requests
    /// that may get a stored response instead (`stale-if-error`). Zero calls it for each request.
    /// Defaults to 5 seconds.
    pub fn refresh_pause(mut self, pause: Duration) -> Self {
        self.config.refresh_pause = pause;
        self
    }

    /// The longest pause that an origin may ask for with `Retry-After` (RFC 9110 §10.2.3) in a response
    /// that fails. The pause is [`refresh_pause`](Self::refresh_pause) at least. Zero ignores the
    /// field. Defaults to 60 seconds.
    ///
    /// 500, 502, 503 and 504 count, and 429 to a refresh in the background. Requests that shared the
    /// failed fetch are answered with the same `Retry-After`, whatever this setting.
    pub fn retry_after_cap(mut self, longest: Duration) -> Self {
        self.config.retry_after_cap = longest;
        self
    }

    /// Refreshes responses that are requested often shortly before they expire, so that no client
    /// waits for the refresh. Each request decides at random; the chance rises as expiry comes
    /// near, measured in the time that the last fetch took (XFetch: Vattani, Chierichetti and
    /// Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", 2015). `beta` sets how early:
    /// 1 is the optimum of that paper, larger values refresh earlier. The request that starts a
    /// refresh gets the stored response.
    ///
    /// A response is not refreshed in the first half of the time for which it was fresh on arrival.
    /// The time that a fetch takes is measured by the node that fetched.
    ///
    /// Above 0, at most 100. `None`, the default, turns it off.
    pub fn early_refresh(mut self, beta: impl Into<Option<f64>>) -> Self {
        self.config.early_refresh = beta.into();
        self
    }

    /// Shortens each freshness lifetime by a random share of up to `share`, so that responses that
    /// were stored together do not expire together. From 0, the default, to 0.5.
    pub fn lifetime_jitter(mut self, share: f64) -> Self {
        self.config.lifetime_jitter = share;
        self
    }
}
