//! The settings of what is stored, and the two profiles that change many rules at once.

use super::settings::CacheBuilder;
use crate::{
    cache_status::OwnAnswers,
    config::ConditionalMiss,
    purge::TagLimits,
    semantics::cookies::Cookies,
    semantics::rules::{
        CacheKind, DuplicatePolicy, ErrorStatusPolicy, HeadUpdates, Heuristics, LanguageOrder,
        SMaxagePolicy, SetCookiePolicy, StrayContentRange, VaryCredentials,
    },
};

/// # What is stored, and for whom
impl CacheBuilder {
    /// Whether to store responses with `Set-Cookie`. Defaults to [`SetCookiePolicy::Refuse`].
    pub fn set_cookie(mut self, policy: SetCookiePolicy) -> Self {
        self.config.rules.set_cookie = policy;
        self
    }

    /// How many tags a response may have, the bytes of one, and the bytes of all. Groups (RFC 9875) count
    /// too. A response that has more is not stored ([`NotStored::TooManyTags`](crate::NotStored)), because
    /// part of its tags would not purge it. Defaults to 128 tags of at most 1,024 bytes, 16 KiB in all. At
    /// most 128, 1,024, and 64 KiB.
    pub fn tag_limits(mut self, count: usize, length: usize, total: usize) -> Self {
        self.config.tag_limits = TagLimits {
            count,
            length,
            total,
        };
        self
    }

    /// Whether clients get the fields that name tags: `Cache-Tag`, `Surrogate-Key` and `xkey`. Defaults to
    /// `false`: they are for this cache. Turn it on if another cache in front of this one is to be purged
    /// by the same tags.
    pub fn forward_tags(mut self, forward: bool) -> Self {
        self.config.forward_tags = forward;
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
    /// `s-maxage` or `must-revalidate`. A `*` at the beginning or the end of a name stands for any
    /// characters: `x-auth-*`. Defaults to none besides `Authorization`. See also
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
    /// them, and [`without_policy_credentials`](Self::without_policy_credentials) removes from them.
    /// A `*` stands for the same as in [`credential_headers`](Self::credential_headers). Defaults to:
    ///
    /// - keys and tokens: `access-token`, `api-key`, `api-token`, `apikey`, `auth-token`,
    ///   `circle-token`, `dd-api-key`, `dpop`, `ocp-apim-subscription-key`, `private-token`,
    ///   `proxy-authorization`, `token`, `x-access-key`, `x-access-token`, `x-algolia-api-key`,
    ///   `x-amz-security-token`, `x-api-key`, `x-api-secret`, `x-api-token`, `x-apikey`, `x-auth`,
    ///   `x-auth-email`, `x-auth-key`, `x-auth-token`, `x-authorization`, `x-client-secret`,
    ///   `x-consul-token`, `x-emby-token`, `x-figma-token`, `x-forwarded-authorization`,
    ///   `x-functions-key`, `x-gitlab-token`, `x-goog-api-key`, `x-id-token`, `x-jwt`,
    ///   `x-jwt-assertion`, `x-jwt-token`, `x-nomad-token`, `x-plex-token`, `x-rapidapi-key`,
    ///   `x-redmine-api-key`, `x-secret`, `x-serverless-authorization`, `x-shopify-access-token`,
    ///   `x-tableau-auth`, `x-token`, `x-user-token`, `x-vault-token`, `xi-api-key`;
    /// - what belongs to a session: `csrf-token`, `session-id`, `session-token`, `x-csrf`,
    ///   `x-csrf-token`, `x-csrftoken`, `x-parse-session-token`, `x-session`, `x-session-id`,
    ///   `x-session-key`, `x-session-token`, `x-xsrf-token`;
    /// - what authenticating proxies add: `cf-access-authenticated-user-email`,
    ///   `cf-access-client-id`, `cf-access-client-secret`, `cf-access-jwt-assertion`,
    ///   `cf-access-token`, `client-cert`, `remote-email`, `remote-groups`, `remote-name`,
    ///   `remote-user`, `ssl-client-cert`, `ssl-client-subject-dn`, `tailscale-user-login`,
    ///   `x-amzn-mtls-clientcert`, `x-amzn-mtls-clientcert-leaf`, `x-amzn-oidc-accesstoken`,
    ///   `x-amzn-oidc-data`, `x-amzn-oidc-identity`, `x-apigateway-api-userinfo`,
    ///   `x-arr-clientcert`, `x-auth-request-access-token`, `x-auth-request-email`,
    ///   `x-auth-request-groups`, `x-auth-request-preferred-username`, `x-auth-request-user`,
    ///   `x-auth-user`, `x-authenticated-user`, `x-authenticated-userid`, `x-authentik-email`,
    ///   `x-authentik-jwt`, `x-authentik-uid`, `x-authentik-username`, `x-client-cert`,
    ///   `x-consumer-custom-id`, `x-consumer-id`, `x-consumer-username`, `x-credential-identifier`,
    ///   `x-endpoint-api-userinfo`, `x-forwarded-access-token`, `x-forwarded-client-cert`,
    ///   `x-forwarded-email`, `x-forwarded-groups`, `x-forwarded-preferred-username`,
    ///   `x-forwarded-user`, `x-goog-authenticated-user-email`, `x-goog-authenticated-user-id`,
    ///   `x-goog-iap-jwt-assertion`, `x-ms-client-principal`, `x-ms-client-principal-id`,
    ///   `x-ms-client-principal-name`, `x-ms-token-aad-access-token`, `x-ms-token-aad-id-token`,
    ///   `x-pomerium-jwt-assertion`, `x-remote-user`, `x-ssl-client-cert`, `x-user`,
    ///   `x-user-email`, `x-user-id`, `x-user-name`, `x-username`, `x-webauth-user`.
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

    /// Removes request headers from [`policy_credentials`](Self::policy_credentials). It is for a field
    /// that is [keyed](Self::key_headers): each value of it then has responses of its own, also those
    /// that have their lifetime from a policy. Do not remove a field that is not.
    ///
    /// ```
    /// use cachewarp::CacheLayer;
    /// use std::time::Duration;
    ///
    /// let layer = CacheLayer::builder()
    ///     .ttl(Duration::from_secs(60))
    ///     .key_headers(["x-api-key"])
    ///     .without_policy_credentials(["x-api-key"])
    ///     .build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn without_policy_credentials<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        for name in names {
            let name = name.into();
            self.policy_credentials
                .retain(|it| !it.eq_ignore_ascii_case(&name));
        }
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
    /// What is private must not be in a tier that nodes share: [`build`](Self::build) refuses
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
    /// Answers that the cache makes itself have no `Cache-Status` (RFC 9211 §2), only `X-Cache`.
    /// Use it only with an origin whose responses you know well.
    pub fn rfc_literal(mut self) -> Self {
        self.config.conditional_miss = ConditionalMiss::Forward;
        self.config.status.own_answers = OwnAnswers::Unmarked;
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
