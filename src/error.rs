//! Errors: of configuration, of a store, and of a body.

use std::{error::Error, fmt, ops::RangeBounds, time::Duration};

/// A boxed error, as the bodies of this crate report it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A setting that [`CacheBuilder::build`](crate::CacheBuilder::build), or the `connect` of a remote
/// tier, refuses.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The setting belongs to the cache itself: layers that share one cannot change it.
    #[non_exhaustive]
    Fixed {
        /// The builder method that was called.
        setting: &'static str,
    },
    /// The text is not a valid authority, token or field name.
    #[non_exhaustive]
    Malformed {
        /// The builder method that set it.
        setting: &'static str,
        /// What was given.
        value: String,
    },
    /// The number or duration lies outside what the setting allows.
    #[non_exhaustive]
    OutOfRange {
        /// The builder method that set it.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// The setting needs something that is not there, such as a server that can be reached.
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
                    "`{setting}` cannot change for a layer that shares its cache"
                )
            }
            Self::Malformed { setting, value } => {
                write!(f, "`{setting}` does not take the value {value:?}")
            }
            Self::OutOfRange {
                setting,
                value,
                allowed,
            } => write!(f, "`{setting}` is {value}, but must be {allowed}"),
            Self::Unavailable { setting, cause } => {
                write!(f, "`{setting}` cannot be had: {cause}")
            }
        }
    }
}

impl Error for ConfigError {}

/// Refuses a setting that lies outside what it allows.
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

/// A duration as refusals show it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A store that could not answer. To the road it means that nothing is stored.
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

/// Why a body that was being shared with its cache ended early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FillError {
    /// The origin's body failed, or its call ended before the body did.
    Origin,
    /// The body's length was not its Content-Length (RFC 9112 §8).
    Length,
    /// The fill took longer than its timeout.
    Timeout,
    /// This reader held the others back for longer than `reader_stall`.
    TooSlow,
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin => "the origin's body ended with an error",
            Self::Length => "the origin's body does not match its Content-Length",
            Self::Timeout => "the origin's body took too long",
            Self::TooSlow => "this reader held back the readers beside it for too long",
        })
    }
}

impl Error for FillError {}
