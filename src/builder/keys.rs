//! Setters for the cache key.

use std::sync::Arc;

use super::settings::CacheBuilder;
use crate::{
    key::KeyPolicy,
    semantics::{query::QueryOrder, rules::ForwardedPolicy},
};

/// # The cache key
impl CacheBuilder {
    /// A policy that adds dimensions to the cache key. Defaults to none, which
    /// [`without_key_policy`](Self::without_key_policy) restores.
    pub fn key(mut self, policy: impl KeyPolicy) -> Self {
        self.config.key = Some(Arc::new(policy));
        self
    }

    /// Removes the [`key`](Self::key) policy, for a layer [over the cache](crate::CacheLayer::with)
    /// of another layer that has one.
    pub fn without_key_policy(mut self) -> Self {
        self.config.key = None;
        self
    }

    /// Request headers whose values are part of the cache key, for applications that read them
    /// without naming them in `Vary`. `cookie` stands for the [cookies](crate::Cookies) that are not
    /// ignored; to key some of them, use [`Cookies::key`](crate::Cookies::key). Defaults to none.
    ///
    /// A field of [`policy_credentials`](Self::policy_credentials), such as `X-Api-Key`, keeps lifetimes
    /// by policy away although it is keyed, unless
    /// [`without_policy_credentials`](Self::without_policy_credentials) removes it.
    pub fn key_headers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.key_headers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Query parameters that do not change a response, such as those that count clicks: `utm_source`,
    /// or `utm_*`. A `*` at the beginning or the end of a name stands for any characters. A name is
    /// compared without its percent-encoding; upper and lower case differ. Replaces the names of an
    /// earlier call. Defaults to none.
    ///
    /// The parameters are removed from the key and from the request to the service, so that what
    /// shapes a stored response is always a part of its key. A service that has to see them cannot be
    /// behind this setting. Requests that go past the cache ([`Bypass`](crate::Bypass)), and those that
    /// are not looked up, writes among them, are forwarded as they came, except to paths of
    /// [`post_fills_get`](Self::post_fills_get); a write invalidates its URI without the parameters too.
    /// The same applies to [`sort_query`](Self::sort_query). A [`KeyPolicy`] sees the query as it came.
    /// A query longer than 8 KiB stays as it is.
    ///
    /// ```
    /// let layer = cachewarp::CacheLayer::builder().ignore_query(["utm_*", "fbclid"]).build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn ignore_query<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.ignore_query = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sorts query parameters by their names, for services to which their order means nothing. Defaults
    /// to off: `?a&b` and `?b&a` are two resources (RFC 9110 §4.2.3).
    ///
    /// Parameters are separated by `&`. Those with the same name keep their order. Names are compared
    /// without their percent-encoding, and a plus sign in one is a space. The service gets the sorted
    /// query.
    pub fn sort_query(mut self) -> Self {
        self.config.query.get_or_insert_default().order = QueryOrder::Sort;
        self
    }

    /// The languages that the service has responses in, as language tags (RFC 5646). The first one is
    /// the default. Defaults to no tags: `Accept-Language` stays as it came.
    ///
    /// Clients send hundreds of different `Accept-Language` values. With this setting, each request
    /// that is looked up has one of these tags instead, so a response with `Vary: Accept-Language` has
    /// as many variants as there are tags. It is the tag that the lookup of RFC 4647 §3.4 finds:
    /// `de-AT` finds `de`, but `de` does not find `de-AT`. Of several it is the one with the largest
    /// weight, then the first one. If it finds none, if the client excludes all (`q=0`), or if there is
    /// no `Accept-Language`, it is the default. The service gets the same value. Requests that go past
    /// the cache ([`Bypass`](crate::Bypass)), and those that are not looked up, writes among them, are
    /// forwarded as they came, except to paths of [`post_fills_get`](Self::post_fills_get).
    ///
    /// ```
    /// let layer = cachewarp::CacheLayer::builder().languages(["en", "de", "pt-BR"]).build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn languages<N: Into<String>>(mut self, tags: impl IntoIterator<Item = N>) -> Self {
        self.languages = Some(tags.into_iter().map(Into::into).collect());
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
}
