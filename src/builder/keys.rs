//! Setters for the cache key.

use std::sync::Arc;

use super::settings::CacheBuilder;
use crate::{key::KeyPolicy, semantics::rules::ForwardedPolicy};

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
}
