//! The settings of the HTTP caching rules: freshness, storing, and what clients may ask for.

use std::{sync::Arc, time::Duration};

use http_body::Body;

use super::{settings::CacheBuilder, validate::seconds};
use crate::{
    config::{ConditionalMiss, HeadMiss, RangeMiss},
    error::BoxError,
    posts::{ReadBody, RequestBodies},
    semantics::cookies::Cookies,
    semantics::rules::{
        AgePolicy, CacheKind, DuplicatePolicy, ErrorStatusPolicy, HeadUpdates, Heuristics,
        IgnoredRequest, LanguageOrder, OverrideOrigin, SMaxagePolicy, SetCookiePolicy,
        StrayContentRange, VaryCredentials,
    },
    ttl::TtlPolicy,
};

impl CacheBuilder {
    // === Freshness ===

    /// The policy that gives a freshness lifetime to responses that state none: a `Duration` for all,
    /// a [`FixedTtl`](crate::FixedTtl), an [`AdaptiveTtl`](crate::AdaptiveTtl), a closure. Defaults
    /// to [`OriginTtl`](crate::OriginTtl), which gives none. Which responses may have such a lifetime
    /// is described at [`TtlPolicy`].
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

    // === Storing ===

    /// Whether to store responses with `Set-Cookie`. Defaults to [`SetCookiePolicy::Refuse`].
    pub fn set_cookie(mut self, policy: SetCookiePolicy) -> Self {
        self.config.rules.set_cookie = policy;
        self
    }

    /// Whether to store error responses that state a lifetime. Defaults to
    /// [`ErrorStatusPolicy::Store`].
    pub fn error_statuses(mut self, policy: ErrorStatusPolicy) -> Self {
        self.config.rules.error_statuses = policy;
        self
    }

    /// Which cookies of a request are part of the cache key, which count, and which are ignored and
    /// removed. Defaults to [`Cookies::default`]: all count, except those of analytics and consent.
    ///
    /// A warning (`tracing`) names each cookie once that costs hits, up to 64 names.
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// Request headers that carry credentials. The cache treats them like `Authorization`
    /// (RFC 9111 §3.5): the response to such a request is stored only if it says `public`,
    /// `s-maxage` or `must-revalidate`. Defaults to none besides `Authorization`. See also
    /// [`policy_credentials`](Self::policy_credentials).
    pub fn credential_headers<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.credential_headers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Request headers that carry credentials, or say who asks. A request with one of them has no
    /// part in what only this cache's operator gave a lifetime, by a [`ttl`](Self::ttl) policy or by
    /// [`heuristics`](Self::heuristics): its response gets no such lifetime, it is not answered from
    /// a response that has one, and it does not refresh it. What the origin itself marks by
    /// `max-age`, `s-maxage`, `Expires` or `public` is stored and shared as for other requests.
    ///
    /// `Authorization` and [`credential_headers`](Self::credential_headers) always count. This
    /// replaces the other ones; [`also_policy_credentials`](Self::also_policy_credentials) adds to
    /// them. Defaults to:
    ///
    /// - keys and tokens: `access-token`, `api-key`, `api-token`, `apikey`, `auth-token`, `dpop`,
    ///   `ocp-apim-subscription-key`, `private-token`, `proxy-authorization`, `x-access-token`,
    ///   `x-amz-security-token`, `x-api-key`, `x-api-token`, `x-apikey`, `x-auth`, `x-auth-key`,
    ///   `x-auth-token`, `x-authorization`, `x-functions-key`, `x-gitlab-token`, `x-goog-api-key`,
    ///   `x-id-token`, `x-jwt-assertion`, `x-rapidapi-key`, `x-shopify-access-token`, `x-token`,
    ///   `x-user-token`, `x-vault-token`;
    /// - what belongs to a session: `x-csrf-token`, `x-csrftoken`, `x-session-id`,
    ///   `x-session-token`, `x-xsrf-token`;
    /// - what authenticating proxies add: `cf-access-jwt-assertion`, `cf-access-token`,
    ///   `client-cert`, `remote-user`, `ssl-client-cert`, `x-amzn-oidc-accesstoken`,
    ///   `x-amzn-oidc-data`, `x-amzn-oidc-identity`, `x-auth-request-access-token`,
    ///   `x-auth-request-email`, `x-auth-request-user`, `x-auth-user`, `x-client-cert`,
    ///   `x-forwarded-access-token`, `x-forwarded-client-cert`, `x-forwarded-email`,
    ///   `x-forwarded-user`, `x-goog-authenticated-user-email`, `x-goog-iap-jwt-assertion`,
    ///   `x-ms-client-principal`, `x-ms-token-aad-access-token`, `x-remote-user`,
    ///   `x-ssl-client-cert`, `x-user-id`, `x-webauth-user`.
    pub fn policy_credentials<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.policy_credentials = names.into_iter().map(Into::into).collect();
        self
    }

    /// Adds request headers to [`policy_credentials`](Self::policy_credentials).
    pub fn also_policy_credentials<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        let names = names.into_iter().map(Into::into);
        self.policy_credentials.extend(names);
        self
    }

    /// Whether to store responses that vary on `Cookie` or `Authorization`. Defaults to
    /// [`VaryCredentials::Refuse`].
    pub fn vary_credentials(mut self, policy: VaryCredentials) -> Self {
        self.config.rules.vary_credentials = policy;
        self
    }

    /// How many fields `Vary` may list. A response that lists more is not stored. At most 256.
    /// Defaults to 16.
    pub fn max_vary_names(mut self, names: usize) -> Self {
        self.config.rules.max_vary_names = names;
        self
    }

    /// Whether the order of languages in `Accept-Language` distinguishes variants. Defaults to
    /// [`LanguageOrder::Keep`].
    pub fn language_order(mut self, order: LanguageOrder) -> Self {
        self.config.rules.language_order = order;
        self
    }

    // === Requests ===

    /// Request directives to ignore (RFC 9111 §5.2.1): `max-age`, `max-stale`, `min-fresh`,
    /// `no-cache`, `no-store` and `only-if-cached`. With them, any client of a public cache can
    /// cause origin calls. Defaults to none.
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

    /// What to request from the origin for a conditional request if no response is stored. Defaults
    /// to [`ConditionalMiss::Fill`].
    pub fn conditional_miss(mut self, policy: ConditionalMiss) -> Self {
        self.config.conditional_miss = policy;
        self
    }

    /// What to request from the origin for a HEAD if no response is stored. Defaults to
    /// [`HeadMiss::Forward`].
    pub fn head_miss(mut self, policy: HeadMiss) -> Self {
        self.config.head_miss = policy;
        self
    }

    /// What to request from the origin for a range request if no response is stored. Defaults to
    /// [`RangeMiss::Forward`].
    pub fn range_miss(mut self, policy: RangeMiss) -> Self {
        self.config.range_miss = policy;
        self
    }

    /// A path where the response to a POST may be stored, and answer GET and HEAD of the same URI
    /// (RFC 9110 §9.3.3). Each call adds one. Defaults to none.
    ///
    /// A `*` at the end of the path stands for any more characters, one at the beginning for any
    /// that precede it. The query does not count.
    ///
    /// The response has to say that it is what a GET would get: it is a 200 with a lifetime of its
    /// own (`max-age`, `s-maxage` or `Expires`), and its `Content-Location` is the URI of the
    /// request. Everything else that keeps a response to GET from being stored keeps this one too.
    /// It is stored after the invalidation that the POST causes, and not at all if another
    /// invalidation of the URI ends while the POST is at the origin. It never answers a POST.
    ///
    /// The answer to the POST itself stays [`Forwarded`](crate::CacheOutcome::Forwarded).
    ///
    /// ```
    /// use cachewarp::CacheLayer;
    ///
    /// let layer = CacheLayer::builder().post_fills_get("/orders/*").build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn post_fills_get(mut self, path: impl Into<String>) -> Self {
        self.post_fills.push(path.into());
        self
    }

    /// A path where POST is a read: a query that is too long for a URL, and changes nothing. Each
    /// call adds one. Defaults to none.
    ///
    /// **This is outside of RFC 9111**, for which a POST is a write. Declare it only if the origin
    /// answers equal requests equally, whoever sends them, and changes nothing by them.
    ///
    /// The key has the URI, `Content-Type`, `Content-Encoding`, and 128 bits of the SHA-256 of the
    /// body, of which up to `max_body` bytes are read: between 1 byte and 16 MiB. The response is
    /// stored, reused and collapsed by the rules for GET, but it is never validated by its entity
    /// tag, and it answers POST only. Such a request invalidates nothing. Other writes to the URI
    /// invalidate its responses.
    ///
    /// A request goes to the origin as it is, and its response is not stored, if the body is longer
    /// or fails, has trailers, or takes longer than 30 seconds; if there are conditions, or a range;
    /// and if the bodies of all such requests under way hold a quarter of the bytes of the memory
    /// tier. A field such as `X-HTTP-Method-Override` makes it a write again.
    ///
    /// For `path`, `*` stands for the same as in [`post_fills_get`](Self::post_fills_get).
    ///
    /// The cache has to know how to make a body of the requests' type from the bytes that it has
    /// read. With the feature `axum` it makes bodies of axum, so that this is enough for a
    /// `Router`:
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use cachewarp::{CacheLayer, FixedTtl};
    /// use std::time::Duration;
    ///
    /// let cache = CacheLayer::builder()
    ///     .ttl(FixedTtl::new(Duration::from_secs(60)))
    ///     .post_as_read("/search", 64 << 10)
    ///     .build()?;
    /// let app: Router = Router::new()
    ///     .route("/search", post(|query: String| async move { format!("found {query}") }))
    ///     .layer(cache);
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    ///
    /// For requests with bodies of another type, set [`request_bodies`](Self::request_bodies).
    pub fn post_as_read(mut self, path: impl Into<String>, max_body: u64) -> Self {
        self.post_reads.push((path.into(), max_body));
        self
    }

    /// How a body of the requests' type `Q` is made of a [`ReadBody`], for
    /// [`post_as_read`](Self::post_as_read), which needs it. With the feature `axum` it defaults to
    /// `axum::body::Body::new`, and without to none. If the requests have bodies of another type, a
    /// warning is logged once, and no POST is a read.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use cachewarp::{BoxError, CacheLayer, ReadBody};
    /// use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
    ///
    /// type Boxed = UnsyncBoxBody<Bytes, BoxError>;
    ///
    /// let layer = CacheLayer::builder()
    ///     .request_bodies(|read: ReadBody<Boxed>| read.boxed_unsync())
    ///     .post_as_read("/search", 64 << 10)
    ///     .build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn request_bodies<Q, F>(mut self, make: F) -> Self
    where
        Q: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
        F: Fn(ReadBody<Q>) -> Q + Send + Sync + 'static,
    {
        self.config.post_reads.set_bodies(RequestBodies::new(make));
        self
    }

    /// How the response to a forwarded HEAD affects the stored GET response. Defaults to
    /// [`HeadUpdates::Full`].
    pub fn head_updates(mut self, policy: HeadUpdates) -> Self {
        self.config.rules.head_updates = policy;
        self
    }

    /// Makes this a private cache (RFC 9111 §1.1), for the calls that a program makes with its own
    /// credentials: the cache around an HTTP client. It is not for a server, and not for calls on
    /// behalf of users.
    ///
    /// | | a shared cache, the default | a private one |
    /// |-|-|-|
    /// | `private` (§5.2.2.7) | not stored | stored |
    /// | `private="a-field"` | stored without the field | stored as it is |
    /// | `s-maxage` (§5.2.2.10) | is the lifetime, and forbids stale answers | ignored: `max-age`, then `Expires`, then your policy |
    /// | `proxy-revalidate` (§5.2.2.8) | forbids stale answers | ignored |
    /// | a request with credentials (§3.5) | stored only if marked `public`, `s-maxage` or `must-revalidate` | stored like others |
    /// | a request with credentials or cookies, and a lifetime by policy | none | as for others |
    /// | `Vary: Authorization`, `Vary: Cookie` | not stored | stored |
    /// | requests with credentials at the same time | one origin call each | one for those with the same |
    /// | `no-store`, `no-cache`, `must-revalidate`, `Set-Cookie`, statuses, writes | | the same as in a shared one |
    ///
    /// `Authorization`, `Cookie`, [`credential_headers`](Self::credential_headers) and
    /// [`policy_credentials`](Self::policy_credentials) are a part of the key. So nobody gets what was
    /// fetched with other credentials, should there be more than one identity after all, and what is
    /// stored is fetched anew after the credentials were renewed. A layer over the same cache without
    /// this setting shares nothing with it.
    ///
    /// What is private does not belong into a tier that nodes share: [`build`](Self::build) refuses
    /// this setting together with a remote tier.
    pub fn private_client(mut self) -> Self {
        self.config.rules.kind = CacheKind::Private;
        self.config.rules.vary_credentials = VaryCredentials::Store;
        self
    }

    /// Sets the rules to the most literal reading of the RFCs, which allows the most reuse. It
    /// turns on heuristic freshness, also for errors marked `public`, and stores 400 and 414 with a
    /// lifetime, responses with cookies, those that vary on credentials, and those whose
    /// `Content-Range` has no meaning for their status. A HEAD whose answer contradicts nothing
    /// refreshes the stored response, even if it has no validator. `s-maxage` forbids stale responses
    /// without exception, the first of two freshness directives counts, and the order of languages
    /// does not matter. Conditional requests go to the origin as they are if no response is stored.
    /// Use it only with an origin whose responses you know well.
    pub fn rfc_literal(mut self) -> Self {
        self.config.conditional_miss = ConditionalMiss::Forward;
        let rules = &mut self.config.rules;
        rules.duplicate_directives = DuplicatePolicy::First;
        rules.error_statuses = ErrorStatusPolicy::Literal;
        rules.head_updates = HeadUpdates::Literal;
        rules.heuristics = Some(Heuristics::default());
        rules.language_order = LanguageOrder::Sort;
        rules.s_maxage = SMaxagePolicy::Strict;
        rules.set_cookie = SetCookiePolicy::Store;
        rules.stray_content_range = StrayContentRange::Store;
        rules.vary_credentials = VaryCredentials::Store;
        self
    }
}

/// A request directive (RFC 9111 §5.2.1) that
/// [`ignore_request_directives`](CacheBuilder::ignore_request_directives) can ignore.
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
