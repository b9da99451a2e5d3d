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
        self.default_authority == other.default_authority
            && self.default_scheme == other.default_scheme
            && is_same_policy(self.key.as_ref(), other.key.as_ref())
            && self.key_headers == other.key_headers
            && self.languages == other.languages
            && self.query == other.query
            && self.namespace == other.namespace
            && answer_alike(&self.rules, &other.rules)
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
            ttl: Arc::clone(&inner.ttl),
            uncacheable_for: inner.uncacheable_for,
            ..self.clone()
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
    one.kind == other.kind
        && one.credential_headers == other.credential_headers
        && one.forwarded == other.forwarded
        && one.ignored_request == other.ignored_request
        && one.language_order == other.language_order
        && one.policy_credentials == other.policy_credentials
}

/// As [`Config::judging_like`], for the rules. Most of them are about responses, so those about
/// requests are named.
fn judging_like(outer: &Rules, inner: &Rules) -> Rules {
    Rules {
        kind: outer.kind,
        credential_headers: outer.credential_headers.clone(),
        forwarded: outer.forwarded,
        ignored_request: outer.ignored_request,
        language_order: outer.language_order,
        policy_credentials: outer.policy_credentials.clone(),
        ..inner.clone()
    }
}
