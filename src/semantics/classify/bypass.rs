//! The reasons for which a request bypasses the cache.

/// Why a GET or HEAD request bypassed the cache: it was not answered from the store, and its
/// response was not stored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Bypass {
    /// `Host` disagrees with the authority of the request target (RFC 9112 §3.2.2,
    /// RFC 9113 §8.3.1).
    AuthorityConflict,
    /// A `Connection` option names a field that the response may depend on (RFC 9110 §7.6.1).
    ConnectionOptions,
    /// The request has content (RFC 9110 §9.3.1).
    Content,
    /// The request has a cookie that [counts](crate::Cookies), and only this cache's operator, not the origin, gave
    /// the stored response a lifetime.
    Cookie,
    /// The request has `Authorization` or another field with credentials
    /// ([`policy_credentials`](crate::CacheBuilder::policy_credentials)), and only this cache's
    /// operator, not the origin, gave the stored response a lifetime.
    Credentials,
    /// The authority is empty, has user information, or is not a host and a port (RFC 9110 §4.2).
    InvalidAuthority,
    /// The [`KeyPolicy`](crate::KeyPolicy) decided so.
    KeyPolicy,
    /// The key would be longer than 8 KiB.
    KeyTooLong,
    /// A field such as `X-HTTP-Method-Override` asks for another method.
    MethodOverride,
    /// `If-Match` or `If-Unmodified-Since`, which only the origin can evaluate
    /// (RFC 9111 §4.3.2).
    Preconditions,
    /// More than one `Host` field (RFC 9112 §3.2).
    RepeatedHost,
    /// The request target is `*` or an authority, and so names no resource (RFC 9112 §3.2).
    Target,
    /// A field such as `X-Original-URL` asks for another URL.
    UrlOverride,
}

impl Bypass {
    /// All of them, each at the place that is its number.
    pub(crate) const ALL: [Self; Self::UrlOverride as usize + 1] = [
        Self::AuthorityConflict,
        Self::ConnectionOptions,
        Self::Content,
        Self::Cookie,
        Self::Credentials,
        Self::InvalidAuthority,
        Self::KeyPolicy,
        Self::KeyTooLong,
        Self::MethodOverride,
        Self::Preconditions,
        Self::RepeatedHost,
        Self::Target,
        Self::UrlOverride,
    ];

    /// The reason as a token, such as `repeated-host`. `Cache-Status` shows it as `detail`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorityConflict => "host-conflict",
            Self::ConnectionOptions => "connection-header",
            Self::Content => "request-body",
            Self::Cookie => "cookie",
            Self::Credentials => "credentials",
            Self::InvalidAuthority => "invalid-host",
            Self::KeyPolicy => "key-policy",
            Self::KeyTooLong => "key-too-long",
            Self::MethodOverride => "method-override",
            Self::Preconditions => "preconditions",
            Self::RepeatedHost => "repeated-host",
            Self::Target => "target-without-path",
            Self::UrlOverride => "url-override",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_at_its_place() {
        for (place, reason) in Bypass::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
        }
    }
}
