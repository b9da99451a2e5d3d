//! The error types: of a configuration, of a store, and of a body.

use std::{error::Error, fmt, ops::RangeBounds, time::Duration};

/// A boxed error, as the bodies of this crate report it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why [`CacheBuilder::build`](crate::CacheBuilder::build), or the `connect` of a remote tier,
/// refuses a setting.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The setting belongs to the cache itself: a layer over an existing cache cannot change it.
    #[non_exhaustive]
    Fixed {
        /// The builder method that was called.
        setting: &'static str,
    },
    /// The text is not of the form that the setting takes.
    #[non_exhaustive]
    Malformed {
        /// The builder method that set it.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// The number or duration is outside the range that the setting allows.
    #[non_exhaustive]
    OutOfRange {
        /// The builder method that set it.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// The setting needs something that is missing, such as a server that can be reached.
    #[non_exhaustive]
    Unavailable {
        /// The builder method that set it.
        setting: &'static str,
        /// What is missing, and why.
        cause: String,
    },
}

impl ConfigError {
    /// The setting that was refused: the name of its builder method.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Fixed { setting }
            | Self::Malformed { setting, .. }
            | Self::OutOfRange { setting, .. }
            | Self::Unavailable { setting, .. } => setting,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { setting } => {
                write!(
                    f,
                    "`{setting}` cannot be changed by a layer over an existing cache: set it where \
                     the cache is built"
                )
            }
            Self::Malformed {
                setting,
                value,
                allowed,
            } => write!(f, "`{setting}` has {value:?}, but takes {allowed}"),
            Self::OutOfRange {
                setting,
                value,
                allowed,
            } => write!(f, "`{setting}` is {value}, but must be {allowed}"),
            Self::Unavailable { setting, cause } => {
                write!(f, "`{setting}` is not available: {cause}")
            }
        }
    }
}

impl Error for ConfigError {}

/// Refuses a value outside the range of its setting.
pub(crate) fn in_range<T: fmt::Display + PartialOrd>(
    setting: &'static str,
    value: &T,
    range: impl RangeBounds<T>,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange {
        setting,
        value: value.to_string(),
        allowed,
    })
}

/// The longest span that a setting may have: the largest `delta-seconds` (RFC 9111 §1.2.2).
pub(crate) const MAX_SPAN: Duration = Duration::from_secs(1 << 31);

/// Refuses a span that is zero or longer than [`MAX_SPAN`].
pub(crate) fn check_span(setting: &'static str, span: Duration) -> Result<(), ConfigError> {
    in_range(
        setting,
        &DisplayDuration(span),
        DisplayDuration(Duration::from_nanos(1))..=DisplayDuration(MAX_SPAN),
        "above zero and at most 2^31 seconds",
    )
}

/// A duration as the errors show it, such as `1.5s`.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct DisplayDuration(pub(crate) Duration);

impl fmt::Display for DisplayDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A URL that names nothing that a cache could store: it is neither absolute nor a path, or it is
/// malformed (RFC 9110 §4.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidUrl {
    url: String,
}

impl InvalidUrl {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.into() }
    }

    /// What was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither a URL such as `https://shop.example/items` nor a path such as `/items`",
            self.url
        )
    }
}

impl Error for InvalidUrl {}

/// A store failed to answer. The cache then treats the request as a miss.
#[derive(Debug)]
pub(crate) struct StoreError(BoxError);

impl StoreError {
    pub(crate) fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store did not answer: {}", self.0)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// Why a body that the cache records ended early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FillError {
    /// The origin's body stood still for longer than
    /// [`body_idle_timeout`](crate::CacheBuilder::body_idle_timeout).
    Idle,
    /// The origin's body failed, or the recording task ended before the body.
    Origin,
    /// The length of the body differs from its `Content-Length` (RFC 9112 §8).
    Length,
    /// The body took longer than [`fill_timeout`](crate::CacheBuilder::fill_timeout) without a
    /// reader.
    Timeout,
    /// This reader read nothing for [`reader_stall`](crate::CacheBuilder::reader_stall), and held back
    /// others or memory that was needed.
    TooSlow,
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "the origin's body stood still for too long",
            Self::Origin => "the origin's body ended with an error",
            Self::Length => "the origin's body differs in length from its Content-Length",
            Self::Timeout => "the origin's body took too long",
            Self::TooSlow => "this reader stood still for too long",
        })
    }
}

impl Error for FillError {}
