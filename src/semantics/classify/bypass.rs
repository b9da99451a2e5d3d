//! The reasons for going around the cache.

/// Why a GET or HEAD request was neither looked up nor stored.
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
    /// The authority is empty, has user information, or is not a host and a port
    /// (RFC 9110 §4.2).
    InvalidAuthority,
    /// The key policy keeps this request from the cache.
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
    /// The request target is `*` or an authority, which names no resource to key on
    /// (RFC 9112 §3.2).
    Target,
    /// A field such as `X-Original-URL` asks for another resource.
    UrlOverride,
}

impl Bypass {
    /// The reason in a few words, such as `repeated-host`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorityConflict => "authority-conflict",
            Self::ConnectionOptions => "connection-options",
            Self::Content => "content",
            Self::InvalidAuthority => "invalid-authority",
            Self::KeyPolicy => "key-policy",
            Self::KeyTooLong => "key-too-long",
            Self::MethodOverride => "method-override",
            Self::Preconditions => "preconditions",
            Self::RepeatedHost => "repeated-host",
            Self::Target => "target",
            Self::UrlOverride => "url-override",
        }
    }
}
