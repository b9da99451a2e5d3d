//! The settings that the rules consult: where the RFCs leave a choice, the choice made.

use std::time::Duration;

use http::HeaderName;

/// Every choice the rules leave open, with the defaults of a careful shared cache.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) age_policy: AgePolicy,
    pub(crate) credential_headers: Vec<HeaderName>,
    pub(crate) duplicate_directives: DuplicatePolicy,
    pub(crate) error_statuses: ErrorStatusPolicy,
    pub(crate) forwarded: ForwardedPolicy,
    pub(crate) head_updates: HeadUpdates,
    pub(crate) heuristics: Option<Heuristics>,
    pub(crate) ignored_request: IgnoredRequest,
    pub(crate) language_order: LanguageOrder,
    pub(crate) max_body: u64,
    pub(crate) max_vary_names: usize,
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

impl Default for Rules {
    fn default() -> Self {
        Self {
            age_policy: AgePolicy::Conservative,
            credential_headers: Vec::new(),
            duplicate_directives: DuplicatePolicy::Stale,
            error_statuses: ErrorStatusPolicy::Store,
            forwarded: ForwardedPolicy::Key,
            head_updates: HeadUpdates::Full,
            heuristics: None,
            ignored_request: IgnoredRequest::default(),
            language_order: LanguageOrder::Keep,
            max_body: 16 << 20,
            max_vary_names: 16,
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

/// How the age of a response on arrival is found (RFC 9111 §4.2.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AgePolicy {
    /// The larger of the `Age` field and the difference between `Date` and arrival. The default.
    #[default]
    Conservative,
    /// The `Age` field alone, for origins whose clocks run behind.
    AgeFieldOnly,
}

/// What a freshness directive repeated with different values means (RFC 9111 §4.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum DuplicatePolicy {
    /// The response is stale at once. The default.
    #[default]
    Stale,
    /// The first value counts.
    First,
}

/// Whether 400, 403, 409, 422 and 5xx responses may be stored when they carry an explicit
/// lifetime of their own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorStatusPolicy {
    /// Stored when the response itself says for how long. The default.
    #[default]
    Store,
    /// Stored like any other response: also when it is marked `public` and a lifetime can be
    /// guessed (RFC 9111 §4.2.2).
    Literal,
    /// Never stored, the guard of a public edge against poisoned error pages.
    Refuse,
}

/// What becomes of `Forwarded` and `X-Forwarded-*` fields, which many applications read without
/// saying so in `Vary`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ForwardedPolicy {
    /// Their values are part of the key. The default.
    #[default]
    Key,
    /// A trusted proxy in front sets or removes them: they do not touch the key.
    Trusted,
}

/// What a forwarded HEAD does to the stored GET response (RFC 9111 §4.3.5).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeadUpdates {
    /// Update it when the validators agree, invalidate it otherwise. The default.
    #[default]
    Full,
    /// Only ever invalidate it.
    InvalidateOnly,
    /// Leave it alone.
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

/// Whether the order of `Accept-Language` members tells variants apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LanguageOrder {
    /// Yes: some origins read the order as a priority (RFC 9110 §12.5.4). The default.
    #[default]
    Keep,
    /// No: members are sorted before they are compared.
    Sort,
}

/// Whether `s-maxage` rules out every stale answer (RFC 9111 §5.2.2.10).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SMaxagePolicy {
    /// It does, except for a `stale-while-revalidate` or `stale-if-error` beside it. The default.
    #[default]
    AllowExplicitStale,
    /// It does, without exception.
    Strict,
}

/// What becomes of a response with `Set-Cookie` (RFC 9111 §7.3).
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

/// What becomes of a response with a `Content-Range` that its status gives no meaning
/// (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum StrayContentRange {
    /// It is not stored: something on the way was confused.
    #[default]
    Refuse,
    /// It is stored, the field like any other.
    Store,
}

/// Whether a response that varies on `Cookie` or `Authorization` is stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum VaryCredentials {
    /// It is not. The default.
    #[default]
    Refuse,
    /// It is, matched exactly.
    Store,
}
