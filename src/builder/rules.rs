//! The settings that change what the RFCs' rules come to.

use std::{sync::Arc, time::Duration};

use super::{settings::CacheBuilder, validate::seconds};
use crate::{
    config::{ConditionalMiss, RangeMiss},
    semantics::rules::{
        AgePolicy, DuplicatePolicy, ErrorStatusPolicy, HeadUpdates, Heuristics, IgnoredRequest,
        LanguageOrder, SMaxagePolicy, SetCookiePolicy, StrayContentRange, VaryCredentials,
    },
    ttl::TtlPolicy,
};

impl CacheBuilder {
    // === Freshness ===

    /// The lifetime of responses that state none. Defaults to [`OriginTtl`](crate::OriginTtl): none.
    pub fn ttl(mut self, policy: impl TtlPolicy) -> Self {
        self.config.ttl = Arc::new(policy);
        self
    }

    /// Guesses a lifetime from `Last-Modified` (RFC 9111 §4.2.2). `None`, the default, turns it off.
    pub fn heuristics(mut self, heuristics: impl Into<Option<Heuristics>>) -> Self {
        self.config.rules.heuristics = heuristics.into();
        self
    }

    /// The stale-while-revalidate window of responses with a lifetime but without a window of
    /// their own (RFC 5861 §3), in whole seconds: what is less than one is none. Defaults to none.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.config.rules.stale_while_revalidate = Some(seconds(window));
        self
    }

    /// The stale-if-error window of responses with a lifetime but without a window of their own
    /// (RFC 5861 §4), in whole seconds: what is less than one is none. Defaults to none.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.config.rules.stale_if_error = Some(seconds(window));
        self
    }

    /// Targeted Cache-Control fields to obey, most specific first, such as `CDN-Cache-Control`
    /// (RFC 9213). Defaults to none.
    pub fn targeted_cache_control<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.targeted_cache_control = names.into_iter().map(Into::into).collect();
        self
    }

    /// How the age of a response on arrival is found. Defaults to [`AgePolicy::Conservative`].
    pub fn age_policy(mut self, policy: AgePolicy) -> Self {
        self.config.rules.age_policy = policy;
        self
    }

    /// What a lifetime stated twice, differently, means. Defaults to [`DuplicatePolicy::Stale`].
    pub fn duplicate_directives(mut self, policy: DuplicatePolicy) -> Self {
        self.config.rules.duplicate_directives = policy;
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

    /// Reads the RFCs as literally as they allow, for the most reuse: heuristic freshness, also of
    /// errors marked `public`; cookies stored; `s-maxage` without exceptions; the first of two
    /// lifetimes; languages in any order; responses that vary on credentials, and those with a
    /// `Content-Range` out of place. Know your origin before you choose this.
    pub fn rfc_literal(mut self) -> Self {
        let rules = &mut self.config.rules;
        rules.duplicate_directives = DuplicatePolicy::First;
        rules.error_statuses = ErrorStatusPolicy::Literal;
        rules.heuristics = Some(Heuristics::default());
        rules.language_order = LanguageOrder::Sort;
        rules.s_maxage = SMaxagePolicy::Strict;
        rules.set_cookie = SetCookiePolicy::Store;
        rules.stray_content_range = StrayContentRange::Store;
        rules.vary_credentials = VaryCredentials::Store;
        self
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
