//! How large the header of a message may be, and with it how much of a message a connection holds.
//!
//! hyper reads a head into one buffer, and the same bound is that of what waits to be written. So a
//! client that leaves its head unfinished, or reads nothing, costs no more than these bytes.

use clap::Args;
use http::HeaderMap;

use crate::{
    config::values::parse_size,
    failure::{Failure, Kind},
    origin::ORIGIN,
};

/// The head of a request over HTTP/1: more than `admit` lets pass, which says so in its answer.
pub(crate) const MAX_REQUEST_HEAD: usize = 32 * 1024;

/// The room for a status line. hyper refuses a head that has filled its buffer and is not complete.
const STATUS_LINE: usize = 1024;

/// Bytes of a field line beside its name and its value.
const LINE: usize = 4;

/// What RFC 9113 section 6.5.2 counts for each field.
const HTTP2_LINE: usize = 32;

/// The limits on what the origin sends.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ResponseHeads {
    /// Bytes of header fields that a response of the origin may have, 8KiB to 1MiB; a larger one
    /// is answered with 502
    #[arg(long, help_heading = ORIGIN, value_name = "SIZE", default_value = "64KiB")]
    #[arg(value_parser = parse_head)]
    max_response_head: usize,

    /// Header fields that a response of the origin may have
    #[arg(long, help_heading = ORIGIN, value_name = "N", default_value = "256")]
    #[arg(value_parser = clap::value_parser!(u16).range(16..=4096))]
    max_response_fields: u16,
}

fn parse_head(text: &str) -> Result<usize, String> {
    match usize::try_from(parse_size(text)?) {
        Ok(size @ 8_192..=1_048_576) => Ok(size),
        _ => Err("a header has 8KiB to 1MiB".to_owned()),
    }
}

impl ResponseHeads {
    /// The bytes of a connection's buffer.
    pub(crate) fn buffer(self) -> usize {
        self.max_response_head + STATUS_LINE
    }

    pub(crate) fn fields(self) -> usize {
        self.max_response_fields.into()
    }

    /// The bound on a field section as HTTP/2 counts it. What it lets pass, `check` still judges.
    pub(crate) fn http2_size(self) -> u32 {
        let size = self.max_response_head + self.fields() * HTTP2_LINE;
        u32::try_from(size).unwrap_or(u32::MAX)
    }

    /// Refuses a head that is too large but came in one piece, so that the buffer did not fill.
    pub(crate) fn check(self, headers: &HeaderMap) -> Result<(), Failure> {
        let lines = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + LINE);
        if headers.len() > self.fields() || lines.sum::<usize>() > self.max_response_head {
            return Err(Kind::HeadTooLarge.into());
        }
        Ok(())
    }
}
