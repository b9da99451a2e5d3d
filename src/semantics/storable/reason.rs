//! The reasons for not storing a response.

/// Why a response was not stored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum NotStored {
    /// The request had `Authorization`, or a field configured to be treated like it, and the
    /// response does not say `public`, `s-maxage` or `must-revalidate` (RFC 9111 §3.5).
    Authorization,
    /// The body is longer than this cache stores.
    BodyTooLarge,
    /// `Connection` names a field that the response's meaning depends on (RFC 9110 §7.6.1).
    ConnectionOptions,
    /// `Content-Range` on a status that gives it no meaning (RFC 9110 §14.4).
    ContentRange,
    /// The request had `Cookie` and the response says neither how long it lasts nor `public`.
    Cookie,
    /// An error status without a lifetime of its own, or with one that is not to be honoured.
    ErrorStatus,
    /// The service attached [`NoStore`](crate::NoStore).
    Extension,
    /// `Content-Length` is invalid, or came with `Transfer-Encoding` (RFC 9112 §6.3).
    Framing,
    /// The head is larger than 64 KiB, or has more than 1,024 lines.
    HeadTooLarge,
    /// The method is not GET (RFC 9110 §9.2.3).
    Method,
    /// No directive, field or status that makes the response cacheable (RFC 9111 §3).
    NoGround,
    /// The response says `no-store` (RFC 9111 §5.2.2.5).
    NoStore,
    /// The response says `must-understand` and its status is not understood (RFC 9111 §5.2.2.3).
    NotUnderstood,
    /// The response says `private` (RFC 9111 §5.2.2.7).
    Private,
    /// The request says `no-store` (RFC 9111 §5.2.1.5).
    RequestNoStore,
    /// The response sets a cookie (RFC 9111 §7.3).
    SetCookie,
    /// A status that is never stored: interim, partial, or about this one request.
    Status,
    /// The content type is that of an event stream, of gRPC or of parts sent as they happen.
    Stream,
    /// It could never be reused: not fresh and without a validator (RFC 9111 §3).
    Useless,
    /// `Vary: *`, which no other request matches (RFC 9111 §4.1).
    VaryAny,
    /// `Vary` lists `Authorization` or `Cookie`, which next to no other request matches.
    VaryCredentials,
    /// `Vary` lists more fields than this cache compares.
    VaryTooLong,
}

/// On which side of an exchange the obstacle to storing is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// Another request for the same could have been answered with a storable response.
    Request,
    Response,
}

impl NotStored {
    /// The reason in a few words, such as `no-store`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::BodyTooLarge => "body-too-large",
            Self::ConnectionOptions => "connection-options",
            Self::ContentRange => "content-range",
            Self::Cookie => "cookie",
            Self::ErrorStatus => "error-status",
            Self::Extension => "extension",
            Self::Framing => "framing",
            Self::HeadTooLarge => "head-too-large",
            Self::Method => "method",
            Self::NoGround => "no-ground",
            Self::NoStore => "no-store",
            Self::NotUnderstood => "not-understood",
            Self::Private => "private",
            Self::RequestNoStore => "request-no-store",
            Self::SetCookie => "set-cookie",
            Self::Status => "status",
            Self::Stream => "stream",
            Self::Useless => "useless",
            Self::VaryAny => "vary-any",
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
