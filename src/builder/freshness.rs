//! The settings of freshness: which lifetime a response has, and how long it may be served stale.

use std::{sync::Arc, time::Duration};

use super::{settings::CacheBuilder, validate::seconds};
use crate::{
    semantics::rules::{AgePolicy, DuplicatePolicy, Heuristics, OverrideOrigin, SMaxagePolicy},
    ttl::TtlPolicy,
};

/// # Freshness: lifetimes and stale windows
impl CacheBuilder {
    /// The policy that gives a freshness lifetime to responses that state none: a `Duration` for all,
    /// a [`FixedTtl`](crate::FixedTtl), an [`AdaptiveTtl`](crate::AdaptiveTtl), a closure. Defaults
    /// to [`OriginTtl`](crate::OriginTtl), which gives none. Lifetimes count in whole seconds: less
    /// than one is none. Which responses may have such a lifetime is described at [`TtlPolicy`].
    ///
    /// ```
    /// use cachewarp::CacheLayer;
    /// use std::time::Duration;
    ///
    /// let layer = CacheLayer::builder().ttl(Duration::from_secs(60)).build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn ttl(mut self, policy: impl TtlPolicy) -> Self {
        self.config.ttl = Arc::new(policy);
        self
    }

    /// Whether the [policy](Self::ttl)'s lifetime takes the place of the one that a response states: a
    /// forced lifetime, shorter or longer. Defaults to [`OverrideOrigin::Off`].
    ///
    /// With [`OverrideOrigin::Lifetimes`], the policy is asked about every response, and
    /// [`Fetched::explicit`](crate::Fetched::explicit) is the lifetime that it states. Where the
    /// policy answers `None`, that one stays. Only lifetimes are overridden (`max-age`, `s-maxage`,
    /// `Expires`). All of this still holds:
    ///
    /// - `no-store`, `private`, `Vary: *`, and every other reason not to store a response
    ///   ([`NotStored`](crate::NotStored)).
    /// - The policy can only shorten the stated lifetime if the response says `no-cache`, or
    ///   `private` of some fields; has a malformed directive, or a field for other caches that
    ///   forbids to store it (`Surrogate-Control: no-store`); has `Set-Cookie`; has an error status
    ///   (403, 409, 422, 5xx other than 501); or answers a request with credentials or a cookie
    ///   without saying `public`.
    /// - `must-revalidate`, `proxy-revalidate` and `s-maxage` forbid stale answers, and the windows
    ///   that the response states stay, unless the policy gives others.
    /// - The age on arrival counts: what is 50 s old in an upstream cache is fresh for 10 s more if
    ///   the policy says 60 s.
    /// - What `Cache-Control` says to the client: it is passed on as it is.
    ///
    /// ```
    /// use cachewarp::{CacheLayer, OverrideOrigin};
    /// use std::time::Duration;
    ///
    /// let layer = CacheLayer::builder()
    ///     .ttl(Duration::from_secs(60))
    ///     .override_origin(OverrideOrigin::Lifetimes)
    ///     .build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn override_origin(mut self, policy: OverrideOrigin) -> Self {
        self.config.rules.override_origin = policy;
        self
    }

    /// The longest lifetime, in whole seconds, that a [policy](Self::ttl) gives to a 404 or 410: what
    /// is not there now may be there soon. At most 2^31 s; `None` removes the limit; with less than
    /// one second such a response gets no lifetime. Defaults to 10 s.
    ///
    /// It also limits the time after that in which the response is served while it is refreshed in
    /// the background. It does not limit a lifetime that the response states, nor one that the policy
    /// gives expressly for the status: [`FixedTtl::status`](crate::FixedTtl::status),
    /// [`FixedTtl::negative`](crate::FixedTtl::negative), and of other policies each one with the
    /// reason [`Status`](crate::LifetimeReason::Status) or
    /// [`Negative`](crate::LifetimeReason::Negative).
    pub fn negative_ttl(mut self, longest: impl Into<Option<Duration>>) -> Self {
        self.config.negative_ttl = longest.into();
        self
    }

    /// Estimates a freshness lifetime from `Last-Modified` (RFC 9111 §4.2.2). `None`, the default,
    /// turns it off.
    pub fn heuristics(mut self, heuristics: impl Into<Option<Heuristics>>) -> Self {
        self.config.rules.heuristics = heuristics.into();
        self
    }

    /// The `stale-while-revalidate` window (RFC 5861 §3) of responses that state a lifetime but no
    /// window, in whole seconds. Less than one second means none, as does `None`, the default.
    ///
    /// It does not apply beside `s-maxage`, unless the response says `stale-while-revalidate` without
    /// a value.
    pub fn stale_while_revalidate(mut self, window: impl Into<Option<Duration>>) -> Self {
        self.config.rules.stale_while_revalidate = window.into().map(seconds);
        self
    }

    /// The `stale-if-error` window (RFC 5861 §4) of responses that state a lifetime but no window,
    /// in whole seconds. Less than one second means none, as does `None`, the default.
    ///
    /// It does not apply beside `s-maxage`, unless the response says `stale-if-error` without a value.
    pub fn stale_if_error(mut self, window: impl Into<Option<Duration>>) -> Self {
        self.config.rules.stale_if_error = window.into().map(seconds);
        self
    }

    /// The names of targeted Cache-Control fields to obey, such as `CDN-Cache-Control` (RFC 9213),
    /// most specific first. Defaults to none.
    ///
    /// What an invalid one of them forbids (`no-store`, `private`, ..) applies nevertheless. A field
    /// that is not listed can only keep the lifetime of a policy away, if it forbids to store the
    /// response: any `*-Cache-Control`, `Surrogate-Control`, `Edge-Control`, and `X-Accel-Expires: 0`.
    pub fn targeted_cache_control<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.targeted_cache_control = names.into_iter().map(Into::into).collect();
        self
    }

    /// How to determine the age of a response on arrival. Defaults to [`AgePolicy::Conservative`].
    pub fn age_policy(mut self, policy: AgePolicy) -> Self {
        self.config.rules.age_policy = policy;
        self
    }

    /// How to treat a freshness directive that is repeated with different values. Defaults to
    /// [`DuplicatePolicy::Stale`].
    pub fn duplicate_directives(mut self, policy: DuplicatePolicy) -> Self {
        self.config.rules.duplicate_directives = policy;
        self
    }

    /// Whether `s-maxage` forbids stale responses. Defaults to
    /// [`SMaxagePolicy::AllowExplicitStale`].
    pub fn s_maxage(mut self, policy: SMaxagePolicy) -> Self {
        self.config.rules.s_maxage = policy;
        self
    }
}
