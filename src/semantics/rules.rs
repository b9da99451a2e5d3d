//! The settings of the rules, for every point where the RFCs leave a choice.

use std::time::Duration;

use http::{HeaderName, header};

use crate::semantics::cookies::{CookieRules, Cookies};
use crate::semantics::credentials::CredentialFields;

/// The choices that the RFCs leave open. The defaults are those of a careful shared cache.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) age_policy: AgePolicy,
    pub(crate) cookies: CookieRules,
    pub(crate) kind: CacheKind,
    pub(crate) credential_headers: CredentialFields,
    pub(crate) duplicate_directives: DuplicatePolicy,
    pub(crate) error_statuses: ErrorStatusPolicy,
    pub(crate) forwarded: ForwardedPolicy,
    pub(crate) head_updates: HeadUpdates,
    pub(crate) heuristics: Option<Heuristics>,
    pub(crate) ignored_request: IgnoredRequest,
    pub(crate) language_order: LanguageOrder,
    pub(crate) max_body: u64,
    pub(crate) max_vary_names: usize,
    pub(crate) override_origin: OverrideOrigin,
    /// A request with one of these, or with one of `credential_headers`, has no part in what only a
    /// policy gave a lifetime.
    pub(crate) policy_credentials: CredentialFields,
    pub(crate) s_maxage: SMaxagePolicy,
    pub(crate) set_cookie: SetCookiePolicy,
    pub(crate) stray_content_range: StrayContentRange,
    /// Default `stale-if-error` window in seconds, for responses that do not state one.
    pub(crate) stale_if_error: Option<u32>,
    /// Default `stale-while-revalidate` window in seconds, for responses that do not state one.
    pub(crate) stale_while_revalidate: Option<u32>,
    /// Targeted Cache-Control fields (RFC 9213), most specific first.
    pub(crate) targeted_cache_control: Vec<HeaderName>,
    pub(crate) vary_credentials: VaryCredentials,
}

impl Rules {
    /// Whether a request field has credentials, cookies, or says by other means who asks.
    pub(crate) fn says_who_asks(&self, name: &HeaderName) -> bool {
        matches!(*name, header::AUTHORIZATION | header::COOKIE)
            || self.credential_headers.contains(name)
            || self.policy_credentials.contains(name)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            age_policy: AgePolicy::Conservative,
            // The default names are patterns. If one was not, all cookies would count.
            cookies: CookieRules::new(&Cookies::default()).unwrap_or_default(),
            kind: CacheKind::Shared,
            credential_headers: CredentialFields::new([]),
            duplicate_directives: DuplicatePolicy::Stale,
            error_statuses: ErrorStatusPolicy::Store,
            forwarded: ForwardedPolicy::Key,
            head_updates: HeadUpdates::Full,
            heuristics: None,
            ignored_request: IgnoredRequest::default(),
            language_order: LanguageOrder::Keep,
            max_body: 16 << 20,
            max_vary_names: 16,
            override_origin: OverrideOrigin::Off,
            policy_credentials: CredentialFields::default(),
            s_maxage: SMaxagePolicy::AllowExplicitStale,
            set_cookie: SetCookiePolicy::Refuse,
            stray_content_range: StrayContentRange::Refuse,
            stale_if_error: None,
            stale_while_revalidate: None,
            targeted_cache_control: Vec::new(),
            vary_credentials: VaryCredentials::Refuse,
        }
    }
}

/// How the age of a response on arrival is computed (RFC 9111 §4.2.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AgePolicy {
    /// The larger of the `Age` field and the difference between `Date` and arrival. The default.
    #[default]
    Conservative,
    /// The `Age` field only, for origins whose clocks are slow.
    AgeFieldOnly,
}

/// Whose requests a cache answers (RFC 9111 §1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CacheKind {
    /// Those of many users: it is a shared cache.
    Shared,
    /// Those that one client makes with its own credentials: it is a private cache.
    Private,
}

/// What a freshness directive means that occurs twice with different values (RFC 9111 §4.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum DuplicatePolicy {
    /// The lifetime is zero. The default.
    #[default]
    Stale,
    /// The first value counts.
    First,
}

/// Whether 403, 409, 422 and 5xx responses that state a lifetime may be stored.
///
/// 400 and 414 are stored under [`Literal`](Self::Literal) alone: the form of one request caused
/// them, so they say nothing about the next one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorStatusPolicy {
    /// They are stored if they state a lifetime. The default.
    #[default]
    Store,
    /// They are stored like any other response, also if they are marked `public` and get a
    /// heuristic lifetime (RFC 9111 §4.2.2).
    Literal,
    /// They are never stored. This protects a public edge against poisoned error pages.
    Refuse,
}

/// What happens to `Forwarded` and `X-Forwarded-*` fields. Many applications read them without
/// naming them in `Vary`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ForwardedPolicy {
    /// Their values are part of the key. The default.
    #[default]
    Key,
    /// A trusted proxy in front of the cache sets or removes them: they are not part of the key.
    Trusted,
}

/// What a forwarded HEAD does to the stored GET response (RFC 9111 §4.3.5).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeadUpdates {
    /// It is updated if the answer repeats a validator of it, its `ETag` if it has one, and
    /// contradicts nothing; invalidated if the answer contradicts a validator or the length;
    /// otherwise left as it is. The default.
    #[default]
    Full,
    /// It is updated unless the answer contradicts it, so also by one without a validator or a
    /// length, as the RFC says; and invalidated otherwise. A HEAD handler that sends no validators
    /// keeps a response fresh that GET would long have replaced.
    Literal,
    /// It is only invalidated, never updated.
    InvalidateOnly,
    /// Nothing.
    Off,
}

/// Heuristic freshness (RFC 9111 §4.2.2), off by default.
///
/// ```
/// use cachewarp::{CacheLayer, Heuristics};
/// use std::time::Duration;
///
/// let guess = Heuristics::default().with_cap(Duration::from_secs(3600));
/// let layer = CacheLayer::builder().heuristics(guess).build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Heuristics {
    /// The share of the time since `Last-Modified` that counts as the lifetime, in percent.
    /// Defaults to 10.
    pub percent: u8,
    /// The longest heuristic lifetime, in whole seconds. Defaults to one day.
    pub cap: Duration,
    /// The lifetime, in whole seconds, of a `public` response without `Last-Modified`.
    /// Defaults to zero.
    pub public: Duration,
}

impl Heuristics {
    /// The same with another [`percent`](Self::percent).
    #[must_use]
    pub const fn with_percent(self, percent: u8) -> Self {
        Self { percent, ..self }
    }

    /// The same with another [`cap`](Self::cap).
    #[must_use]
    pub const fn with_cap(self, cap: Duration) -> Self {
        Self { cap, ..self }
    }

    /// The same with another lifetime of [`public`](Self::public) responses.
    #[must_use]
    pub const fn with_public(self, public: Duration) -> Self {
        Self { public, ..self }
    }
}

impl Default for Heuristics {
    fn default() -> Self {
        Self {
            percent: 10,
            cap: Duration::from_secs(86_400),
            public: Duration::ZERO,
        }
    }
}

/// Request directives (RFC 9111 §5.2.1) that this cache does not honour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct IgnoredRequest {
    pub(crate) max_age: bool,
    pub(crate) max_stale: bool,
    pub(crate) min_fresh: bool,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
}

/// Whether the order of the members of `Accept-Language` distinguishes variants.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LanguageOrder {
    /// It does: some origins read the order as a priority (RFC 9110 §12.5.4). The default.
    #[default]
    Keep,
    /// It does not: members are sorted before they are compared.
    Sort,
}

/// Whether a lifetime policy overrides the lifetime that a response states.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OverrideOrigin {
    /// It does not, but may [shorten](crate::TtlPolicy::shorten) it. The default.
    #[default]
    Off,
    /// The policy's lifetime takes the place of `max-age`, `s-maxage` and `Expires`.
    Lifetimes,
}

/// Whether `s-maxage` forbids all stale answers (RFC 9111 §5.2.2.10).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SMaxagePolicy {
    /// It does, except within a `stale-while-revalidate` or `stale-if-error` window that the
    /// response states beside it. The default.
    #[default]
    AllowExplicitStale,
    /// It does, without exception.
    Strict,
}

/// What happens to a response with `Set-Cookie` (RFC 9111 §7.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SetCookiePolicy {
    /// It is not stored. The default.
    #[default]
    Refuse,
    /// It is stored without its cookies.
    Strip,
    /// It is stored with its cookies, as the RFC allows.
    Store,
}

/// What happens to a response with a `Content-Range` whose status gives the field no meaning
/// (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum StrayContentRange {
    /// It is not stored: some intermediary probably made a mistake.
    #[default]
    Refuse,
    /// It is stored, with the field.
    Store,
}

/// Whether a response that varies on `Cookie` or `Authorization` is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum VaryCredentials {
    /// It is not. The default.
    #[default]
    Refuse,
    /// It is. The fields are compared byte for byte.
    Store,
}
