//! Why a command is refused without being sent.

use std::{error::Error, fmt};

/// The server did not answer in time a moment ago.
#[derive(Debug)]
pub(super) struct Paused;

/// As many bytes are being written as may be.
#[derive(Debug)]
pub(super) struct Congested;

/// The value is larger than the settings allow.
#[derive(Debug)]
pub(super) struct TooLarge {
    pub(super) bytes: usize,
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server did not answer in time a moment ago")
    }
}

impl fmt::Display for Congested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much is being written already")
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are more than `max_value_bytes`", self.bytes)
    }
}

impl Error for Paused {}
impl Error for Congested {}
impl Error for TooLarge {}
