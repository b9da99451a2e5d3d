//! Why the origin gave no usable response, and which status says so.

use std::{borrow::Cow, error::Error, fmt, io};

use http::StatusCode;
use rustls::{Error as TlsError, InvalidMessage};

/// How hyper-util says that the look-up of a name failed: its error is of no public type.
const LOOK_UP: &str = "dns error";

type BoxError = Box<dyn Error + Send + Sync>;

/// A forwarded request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    connection: Connection,
    source: Option<BoxError>,
}

/// What is known of the connection on which a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// It has brought a response before, so the origin may have closed it for being idle.
    Used,
    /// It ended before the request began.
    Unsent,
    /// The origin has done nothing about this request, and says so.
    Refused,
    Unknown,
}

/// Which requests may be sent again after a failure (RFC 9110 section 9.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Never,
    /// The origin may have acted on it.
    IfIdempotent,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No connection: no route to the origin, or the like.
    Unreachable,
    /// No connection: nothing listens there.
    ConnectRefused,
    /// No connection: its name leads to no address.
    NoAddress,
    /// No connection: this program, or its system, may open no more files.
    NoDescriptor,
    /// No connection: the origin's certificate is not one to trust.
    Untrusted,
    /// No connection: TLS failed in another way.
    NoTls,
    /// No connection in time.
    ConnectTimeout,
    /// All connections there may be are in use.
    NoPlace,
    /// No response headers in time.
    ResponseTimeout,
    /// No more of the content from the client in time: the origin still waits for it.
    ContentTimeout,
    /// Content from the client that is malformed, or that the client broke off.
    ContentBroken,
    /// The connection ended before a response did.
    Broken,
    /// A response with more header fields, or longer ones, than the flags allow.
    HeadTooLarge,
    /// A response whose end is not certain, or that violates HTTP in another way.
    Malformed,
}

impl Kind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Unreachable
            | Self::ConnectRefused
            | Self::NoAddress
            | Self::Untrusted
            | Self::NoTls
            | Self::Broken
            | Self::HeadTooLarge
            | Self::Malformed => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::NoPlace | Self::NoDescriptor => StatusCode::SERVICE_UNAVAILABLE,
            Self::ContentTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ContentBroken => StatusCode::BAD_REQUEST,
        }
    }

    /// The type (RFC 9209 section 2.3) that tells an operator what went wrong.
    pub(crate) fn error(self) -> &'static str {
        match self {
            Self::Unreachable => "destination_unavailable",
            Self::ConnectRefused => "connection_refused",
            Self::NoAddress => "dns_error",
            Self::NoDescriptor => "proxy_internal_error",
            Self::Untrusted => "tls_certificate_error",
            Self::NoTls => "tls_protocol_error",
            Self::ConnectTimeout => "connection_timeout",
            Self::NoPlace => "connection_limit_reached",
            Self::ResponseTimeout => "http_response_timeout",
            Self::ContentTimeout | Self::ContentBroken => "http_request_error",
            Self::Broken => "connection_terminated",
            Self::HeadTooLarge => "http_response_header_section_size",
            Self::Malformed => "http_protocol_error",
        }
    }

    /// The word for it in `Cache-Status`.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Unreachable => "origin-unreachable",
            Self::ConnectRefused => "origin-refused-connection",
            Self::NoAddress => "origin-without-address",
            Self::NoDescriptor => "too-many-open-files",
            Self::Untrusted => "origin-certificate-untrusted",
            Self::NoTls => "origin-tls-failed",
            Self::ConnectTimeout => "origin-connect-timeout",
            Self::NoPlace => "origin-connections-in-use",
            Self::ResponseTimeout => "origin-timeout",
            Self::ContentTimeout => "request-body-timeout",
            Self::ContentBroken => "request-body-broken",
            Self::Broken => "origin-broke-off",
            Self::HeadTooLarge => "origin-header-too-large",
            Self::Malformed => "origin-response-invalid",
        }
    }

    /// What the client is told: what happened, and what to do.
    fn text(self) -> &'static str {
        match self {
            Self::Unreachable | Self::ConnectRefused => {
                "The origin server cannot be reached. Try again later."
            }
            Self::NoAddress => "The address of the origin server cannot be found. Try again later.",
            Self::NoDescriptor => {
                "This server can open no more connections to the origin server. Try again later."
            }
            Self::Untrusted => {
                "The origin server's certificate is not trusted. The operator of this site finds \
                 the reason in the log."
            }
            Self::NoTls => {
                "There is no TLS with the origin server. The operator of this site finds the \
                 reason in the log."
            }
            Self::ConnectTimeout => {
                "The origin server took too long to accept a connection. Try again later."
            }
            Self::NoPlace => "All connections to the origin server are in use. Try again later.",
            Self::ResponseTimeout => {
                "The origin server took too long to answer. Try again later; a request that was to \
                 change something may have done so."
            }
            Self::ContentTimeout => {
                "The content of this request did not arrive in time. Send the request again."
            }
            Self::ContentBroken => {
                "The content of this request is not valid or did not arrive whole. Correct it, or \
                 send it again."
            }
            Self::Broken => {
                "The connection to the origin server broke before its response came. Try again \
                 later; a request that was to change something may have done so."
            }
            Self::HeadTooLarge => {
                "The header of the origin server's response is too large. The operator of this \
                 site finds the limit in the log."
            }
            Self::Malformed => {
                "The origin server's response is not valid HTTP. The operator of this site finds \
                 the reason in the log."
            }
        }
    }
}

impl Failure {
    /// What the client is told. What the origin sent is never part of it.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        match (self.kind, self.reason()) {
            (Kind::Malformed, Some(reason)) => format!(
                "The origin server's response is not valid HTTP: {reason}. The operator of this \
                 site has to correct that."
            )
            .into(),
            (kind, _) => kind.text().into(),
        }
    }

    /// hyper's words for what it refused, or ours.
    fn reason(&self) -> Option<String> {
        let source: &(dyn Error + 'static) = &**self.source.as_ref()?;
        let mut causes = causes(source).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
        Some(match causes.find(|error| error.is_parse()) {
            Some(error) => error.to_string(),
            None => source.to_string(),
        })
    }

    pub(crate) fn because(kind: Kind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            connection: Connection::Unknown,
            source: Some(source.into()),
        }
    }

    pub(crate) fn on_used_connection(self) -> Self {
        Self {
            connection: Connection::Used,
            ..self
        }
    }

    /// Nothing of the request went out.
    pub(crate) fn unsent(self) -> Self {
        Self {
            connection: Connection::Unsent,
            ..self
        }
    }

    /// Whether and how the same request may do better on another connection.
    pub(crate) fn repeat(&self) -> Repeat {
        match (self.kind, self.connection) {
            (Kind::Broken, Connection::Used) => Repeat::IfIdempotent,
            (Kind::Broken, Connection::Refused) => Repeat::Any,
            _ => Repeat::Never,
        }
    }

    /// Whether the origin got nothing of the request, as there was no connection, or did nothing
    /// about it.
    pub(crate) fn is_not_sent(&self) -> bool {
        matches!(
            self.kind,
            Kind::Unreachable
                | Kind::ConnectRefused
                | Kind::NoAddress
                | Kind::NoDescriptor
                | Kind::Untrusted
                | Kind::NoTls
                | Kind::ConnectTimeout
                | Kind::NoPlace
        ) || matches!(self.connection, Connection::Unsent | Connection::Refused)
    }

    /// Whether the proxy itself had no connection to spare, so that it says nothing about the origin.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.kind, Kind::NoPlace | Kind::NoDescriptor)
    }

    /// The client's content was what broke the exchange.
    pub(crate) fn of_content(self) -> Self {
        Self {
            kind: Kind::ContentBroken,
            ..self
        }
    }

    /// Whether it is the client's, and says nothing about the origin.
    pub(crate) fn is_of_client(&self) -> bool {
        matches!(self.kind, Kind::ContentTimeout | Kind::ContentBroken)
    }

    /// Whether it says nothing about other paths: the origin was there, and this is what it made of
    /// one request.
    pub(crate) fn is_of_path(&self) -> bool {
        matches!(
            self.kind,
            Kind::ResponseTimeout | Kind::HeadTooLarge | Kind::Malformed
        )
    }

    /// A connection that could not be made.
    pub(crate) fn connect(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let kind = match tls(&*error) {
            Some(TlsError::InvalidCertificate(_)) => Kind::Untrusted,
            Some(_) => Kind::NoTls,
            None => unconnected(&*error),
        };
        Self::because(kind, error)
    }

    /// An exchange that broke down on a connection.
    pub(crate) fn exchange(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let is = |what: fn(&hyper::Error) -> bool| {
            let mut causes = causes(&*error).filter_map(|cause| cause.downcast_ref());
            causes.any(what)
        };
        let kind = if is(hyper::Error::is_parse_too_large) {
            Kind::HeadTooLarge
        } else if is(hyper::Error::is_parse) {
            Kind::Malformed
        } else {
            Kind::Broken
        };
        let refused = http2(&*error).is_some_and(refuses);
        let failure = Self::because(kind, error);
        Self {
            connection: if refused {
                Connection::Refused
            } else {
                Connection::Unknown
            },
            ..failure
        }
    }

    /// Whether the origin has done nothing about the request, and said so.
    pub(crate) fn is_refused(&self) -> bool {
        self.connection == Connection::Refused
    }

    /// Whether the origin ended the one stream of HTTP/2 alone.
    pub(crate) fn is_reset(&self) -> bool {
        let source = self.source.as_deref();
        source
            .and_then(|source| http2(source))
            .is_some_and(h2::Error::is_reset)
    }
}

fn http2<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e h2::Error> {
    causes(error).find_map(<dyn Error>::downcast_ref)
}

/// What TLS says, which I/O errors wrap.
fn tls<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e TlsError> {
    causes(error).find_map(|cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => tls(error.get_ref()?),
        None => cause.downcast_ref(),
    })
}

/// Why there is no TCP connection.
fn unconnected(error: &(dyn Error + 'static)) -> Kind {
    let is = |what: fn(&io::Error) -> bool| {
        let mut causes = causes(error).filter_map(|cause| cause.downcast_ref());
        causes.any(what)
    };
    if is(lacks_descriptor) {
        Kind::NoDescriptor
    } else if causes(error).any(|cause| cause.to_string() == LOOK_UP) {
        Kind::NoAddress
    } else if is(|error| error.kind() == io::ErrorKind::TimedOut) {
        Kind::ConnectTimeout
    } else if is(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        Kind::ConnectRefused
    } else {
        Kind::Unreachable
    }
}

/// ENFILE and EMFILE have no kind of their own. Their numbers are the same on all of Unix.
fn lacks_descriptor(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// What may help where TLS did not begin.
fn advice(error: &TlsError) -> Option<&'static str> {
    use rustls::CertificateError as Bad;
    Some(match error {
        TlsError::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "--origin-ca takes the certificate of the authority that signed it"
        }
        // The verifier's own error is of no public type.
        TlsError::InvalidCertificate(Bad::Other(why))
            if format!("{why:?}").contains("CaUsedAsEndEntity") =>
        {
            "a server's certificate is not that of an authority: make it with CA:FALSE"
        }
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "this port may be one without TLS, for --origin http://"
        }
        _ => return None,
    })
}

/// A refused stream, or one that is later than the last that the origin has processed, which is the
/// only one that h2 ends for a GOAWAY of the origin (RFC 9113 sections 6.8 and 8.7).
fn refuses(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            connection: Connection::Unknown,
            source: None,
        }
    }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Unreachable | Kind::ConnectRefused => "the origin cannot be reached",
            Kind::NoAddress => "the origin's address cannot be found",
            Kind::NoDescriptor => "there is no descriptor for a connection to the origin",
            Kind::Untrusted => "the origin's certificate is not trusted",
            Kind::NoTls => "there is no TLS with the origin",
            Kind::ConnectTimeout => "the origin took too long to connect",
            Kind::NoPlace => "all connections that --max-origin-connections allows are in use",
            Kind::ResponseTimeout => "the origin took too long to answer",
            Kind::ContentTimeout => "the client took too long to send content",
            Kind::ContentBroken => "the client's content broke off or is malformed",
            Kind::Broken => "the origin's connection broke",
            Kind::HeadTooLarge => {
                "the header of the origin's response is larger than --max-response-head or \
                 --max-response-fields allow"
            }
            Kind::Malformed => "the origin's response is not sound HTTP",
        })?;
        // The whole chain in one line: the outer errors say little.
        let source = self.source.as_deref();
        for cause in source.into_iter().flat_map(|source| causes(source)) {
            write!(f, ": {cause}")?;
        }
        match source.and_then(|source| tls(source)).and_then(advice) {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}
