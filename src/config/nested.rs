//! Layers of one cache inside one another: which settings must be the same for them to work as one,
//! and which of the inner layer's then apply.
//!
//! Each setting is on one of two sides. Those about requests decide which stored response may answer
//! whom: two layers that differ in them may not answer for each other. Those about responses decide
//! what is stored, and for how long: the innermost layer knows best.

use std::sync::Arc;

use super::Config;
use crate::{fill, key::KeyPolicy, semantics::rules::Rules};

impl Config {
    /// Whether both layers answer the same requests with the same stored responses.
    pub(crate) fn answers_like(&self, other: &Self) -> bool {
        // All by name, so that a new setting cannot be forgotten.
        let Self {
            default_authority,
            default_scheme,
            key,
            key_headers,
            languages,
            namespace,
            query,
            rules,
            // Those about responses, of which the innermost layer's apply.
            fill: _,
            keep_stale: _,
            keep_stale_without_validator: _,
            lifetime_jitter: _,
            max_variants: _,
            negative_ttl: _,
            tag_limits: _,
            ttl: _,
            uncacheable_for: _,
            // Those of the layer that answers.
            breaker: _,
            caching: _,
            conditional_miss: _,
            early_refresh: _,
            executor: _,
            forward_tags: _,
            head_miss: _,
            id: _,
            max_abandoned: _,
            origin_timeout: _,
            post_fills: _,
            post_reads: _,
            range_miss: _,
            refresh_pause: _,
            retry_after_cap: _,
            soft_timeout: _,
            status: _,
            wait_timeout: _,
        } = self;
        *default_authority == other.default_authority
            && *default_scheme == other.default_scheme
            && is_same_policy(key.as_ref(), other.key.as_ref())
            && *key_headers == other.key_headers
            && *languages == other.languages
            && *namespace == other.namespace
            && *query == other.query
            && answer_alike(rules, &other.rules)
    }

    /// The settings of this layer, with those of `inner` about responses.
    pub(crate) fn judging_like(&self, inner: &Self) -> Self {
        Self {
            fill: fill::Limits {
                max_body: inner.fill.max_body,
                ..self.fill.clone()
            },
            keep_stale: inner.keep_stale,
            keep_stale_without_validator: inner.keep_stale_without_validator,
            lifetime_jitter: inner.lifetime_jitter,
            max_variants: inner.max_variants,
            negative_ttl: inner.negative_ttl,
            rules: judging_like(&self.rules, &inner.rules),
            tag_limits: inner.tag_limits,
            ttl: Arc::clone(&inner.ttl),
            uncacheable_for: inner.uncacheable_for,
            // All by name, as above.
            breaker: self.breaker.clone(),
            caching: self.caching,
            conditional_miss: self.conditional_miss,
            default_authority: self.default_authority.clone(),
            default_scheme: self.default_scheme.clone(),
            early_refresh: self.early_refresh,
            executor: Arc::clone(&self.executor),
            forward_tags: self.forward_tags,
            head_miss: self.head_miss,
            id: self.id,
            key: self.key.clone(),
            key_headers: self.key_headers.clone(),
            languages: self.languages.clone(),
            max_abandoned: self.max_abandoned,
            namespace: self.namespace.clone(),
            origin_timeout: self.origin_timeout,
            post_fills: self.post_fills.clone(),
            post_reads: self.post_reads.clone(),
            query: self.query.clone(),
            range_miss: self.range_miss,
            refresh_pause: self.refresh_pause,
            retry_after_cap: self.retry_after_cap,
            soft_timeout: self.soft_timeout,
            status: self.status.clone(),
            wait_timeout: self.wait_timeout,
        }
    }
}

/// A policy is a function: only a layer that was made from the other has the same one.
fn is_same_policy(one: Option<&Arc<dyn KeyPolicy>>, other: Option<&Arc<dyn KeyPolicy>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn answer_alike(one: &Rules, other: &Rules) -> bool {
    let Rules {
        cookies,
        credential_headers,
        forwarded,
        ignored_request,
        kind,
        language_order,
        policy_credentials,
        // Those about responses.
        age_policy: _,
        duplicate_directives: _,
        error_statuses: _,
        head_updates: _,
        heuristics: _,
        max_body: _,
        max_vary_names: _,
        override_origin: _,
        s_maxage: _,
        set_cookie: _,
        stale_if_error: _,
        stale_while_revalidate: _,
        stray_content_range: _,
        targeted_cache_control: _,
        vary_credentials: _,
    } = one;
    *cookies == other.cookies
        && *credential_headers == other.credential_headers
        && *forwarded == other.forwarded
        && *ignored_request == other.ignored_request
        && *kind == other.kind
        && *language_order == other.language_order
        && *policy_credentials == other.policy_credentials
}

/// As [`Config::judging_like`], for the rules.
fn judging_like(outer: &Rules, inner: &Rules) -> Rules {
    Rules {
        cookies: outer.cookies.clone(),
        credential_headers: outer.credential_headers.clone(),
        forwarded: outer.forwarded,
        ignored_request: outer.ignored_request,
        kind: outer.kind,
        language_order: outer.language_order,
        policy_credentials: outer.policy_credentials.clone(),
        age_policy: inner.age_policy,
        duplicate_directives: inner.duplicate_directives,
        error_statuses: inner.error_statuses,
        head_updates: inner.head_updates,
        heuristics: inner.heuristics,
        max_body: inner.max_body,
        max_vary_names: inner.max_vary_names,
        override_origin: inner.override_origin,
        s_maxage: inner.s_maxage,
        set_cookie: inner.set_cookie,
        stale_if_error: inner.stale_if_error,
        stale_while_revalidate: inner.stale_while_revalidate,
        stray_content_range: inner.stray_content_range,
        targeted_cache_control: inner.targeted_cache_control.clone(),
        vary_credentials: inner.vary_credentials,
    }
}
