//! The reasons for which a response is not stored.

/// Why a response was not stored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum NotStored {
    /// The request had `Authorization` or another field with credentials, and the response has
    /// neither `public` nor `s-maxage` nor `must-revalidate` (RFC 9111 §3.5). Or it had one of the
    /// [`policy_credentials`](crate::CacheBuilder::policy_credentials), and the response states
    /// neither a lifetime nor `public`.
    Authorization,
    /// The body is longer than [`max_entry_bytes`](crate::CacheBuilder::max_entry_bytes).
    BodyTooLarge,
    /// `Connection` names a field on which the meaning of the response depends (RFC 9110 §7.6.1).
    ConnectionOptions,
    /// The response has `Content-Range`, to which its status gives no meaning (RFC 9110 §14.4).
    ContentRange,
    /// The request had a cookie that [counts](crate::Cookies), and the response states neither a
    /// lifetime nor `public`.
    Cookie,
    /// The status is an error, and the response states no lifetime or the settings ignore it.
    ErrorStatus,
    /// The response could never be reused: its lifetime is zero, as with `max-age=0`, or was over when
    /// it arrived, and it has neither a validator nor a stale window (RFC 9111 §3).
    Expired,
    /// The service added the extension [`NoStore`](crate::NoStore).
    Extension,
    /// `Content-Length` is invalid, or there is `Transfer-Encoding` too (RFC 9112 §6.3).
    Framing,
    /// The head is larger than 64 KiB, or has more than 1,024 lines.
    HeadTooLarge,
    /// The method is not GET (RFC 9110 §9.2.3).
    Method,
    /// The response could never be reused: it says `no-cache`, so it has to be validated before each
    /// use, and has no validator (RFC 9111 §5.2.2.4).
    NoCache,
    /// No directive, field or status makes the response cacheable (RFC 9111 §3).
    NoGround,
    /// The response could never be reused: nothing gives it a lifetime, and it has no validator
    /// (RFC 9111 §3).
    NoLifetime,
    /// The response says `no-store` (RFC 9111 §5.2.2.5).
    NoStore,
    /// The response says `must-understand`, and this cache does not understand its status (RFC 9111
    /// §5.2.2.3).
    NotUnderstood,
    /// The response says `private` (RFC 9111 §5.2.2.7).
    Private,
    /// The request says `no-store` (RFC 9111 §5.2.1.5).
    RequestNoStore,
    /// The response sets a cookie (RFC 9111 §7.3).
    SetCookie,
    /// The status is never stored: it is interim, partial, or concerns only this request. 400 and 414
    /// are stored under [`ErrorStatusPolicy::Literal`](crate::ErrorStatusPolicy::Literal).
    Status,
    /// The content type is that of an event stream, of gRPC, or of parts that are sent as events
    /// occur.
    Stream,
    /// The response has more tags, or longer ones, than [`tag_limits`](crate::CacheBuilder::tag_limits)
    /// allows: it could not be purged by all of them.
    TooManyTags,
    /// The response says `Vary: *`, so it matches no other request (RFC 9111 §4.1).
    VaryAny,
    /// `Vary` lists `Authorization` or `Cookie`, so hardly any other request matches.
    VaryCredentials,
    /// `Vary` lists more than [`max_vary_names`](crate::CacheBuilder::max_vary_names) fields.
    VaryTooLong,
}

/// Whether the reason lies in the request or in the response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// The response to another request for the same resource might be storable.
    Request,
    Response,
}

impl NotStored {
    /// All of them, each at the place that is its number.
    pub(crate) const ALL: [Self; Self::VaryTooLong as usize + 1] = [
        Self::Authorization,
        Self::BodyTooLarge,
        Self::ConnectionOptions,
        Self::ContentRange,
        Self::Cookie,
        Self::ErrorStatus,
        Self::Expired,
        Self::Extension,
        Self::Framing,
        Self::HeadTooLarge,
        Self::Method,
        Self::NoCache,
        Self::NoGround,
        Self::NoLifetime,
        Self::NoStore,
        Self::NotUnderstood,
        Self::Private,
        Self::RequestNoStore,
        Self::SetCookie,
        Self::Status,
        Self::Stream,
        Self::TooManyTags,
        Self::VaryAny,
        Self::VaryCredentials,
        Self::VaryTooLong,
    ];

    /// The reason as a token, such as `no-store`. `Cache-Status` shows it as `detail`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "credentials",
            Self::BodyTooLarge => "body-too-large",
            Self::ConnectionOptions => "connection-header",
            Self::ContentRange => "content-range",
            Self::Cookie => "cookie",
            Self::ErrorStatus => "error-status",
            Self::Expired => "expired-on-arrival",
            Self::Extension => "service-no-store",
            Self::Framing => "ambiguous-length",
            Self::HeadTooLarge => "head-too-large",
            Self::Method => "not-get",
            Self::NoCache => "no-cache-no-validator",
            Self::NoGround => "status-needs-lifetime",
            Self::NoLifetime => "no-lifetime",
            Self::NoStore => "no-store",
            Self::NotUnderstood => "must-understand",
            Self::Private => "private",
            Self::RequestNoStore => "request-no-store",
            Self::SetCookie => "set-cookie",
            Self::Status => "status-not-cacheable",
            Self::Stream => "streaming-content",
            Self::TooManyTags => "too-many-tags",
            Self::VaryAny => "vary-star",
            Self::VaryCredentials => "vary-credentials",
            Self::VaryTooLong => "vary-too-long",
        }
    }

    pub(crate) fn side(self) -> Side {
        match self {
            Self::Authorization | Self::Cookie | Self::Method | Self::RequestNoStore => {
                Side::Request
            }
            _ => Side::Response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_at_its_place() {
        for (place, reason) in NotStored::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
        }
    }
}
