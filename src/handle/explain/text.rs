//! An explanation as text: a few lines of plain English.

use std::fmt;

use super::{ExpectedAnswer, Explanation};
use crate::outcome::{ForwardReason, StaleReason};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request)?;
        if let Some(key) = &self.key {
            write!(f, "\nkey: {key}\nstored: ")?;
            match &self.selected {
                Some(entry) => write!(f, "{entry}")?,
                None if self.variants == 0 => f.write_str("nothing under this key")?,
                None => write!(
                    f,
                    "{} for other values of the request fields that `Vary` names",
                    self.variants
                )?,
            }
        }
        write!(f, "\nanswer: {}", self.answer)?;
        if self.asks_shared_tier {
            f.write_str("; the shared tier is asked first")?;
        }
        if let Some(prospect) = self.storing {
            write!(f, "\nstoring: {prospect}")?;
        }
        if let Some(alone) = self.alone {
            write!(f, "\nwaiting: for no other request, as {alone}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ExpectedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = |forward: &ForwardReason| match forward {
            ForwardReason::Request => "the request does not accept it as it is",
            ForwardReason::Stale => "it is stale, invalidated, or to be confirmed before each use",
            ForwardReason::UriMiss => "nothing is stored for the URL",
            ForwardReason::VaryMiss => "what is stored is for other request fields",
        };
        match self {
            Self::Disabled => f.write_str("from the origin, as the layer is disabled"),
            Self::Bypassed(reason) => write!(
                f,
                "from the origin, past the cache, for the reason `{}`",
                reason.as_str()
            ),
            Self::Forwarded => f.write_str("from the origin, as caches do not answer this method"),
            Self::KeyedByContent => {
                f.write_str("not known, as the content of the request is a part of its key")
            }
            Self::Tunnelled => f.write_str("from the origin, as the request may become a tunnel"),
            Self::Hit => f.write_str("a hit, from memory"),
            Self::Stale(reason) => write!(f, "the stale response, because {}", allowing(*reason)),
            Self::Validated(forward) => write!(
                f,
                "the origin has to confirm the stored response or replace it: {}",
                why(forward)
            ),
            Self::Missed(forward) => write!(f, "a miss, from the origin: {}", why(forward)),
            Self::Refused => f.write_str(
                "504, as the request says `only-if-cached` and nothing stored may be used",
            ),
        }
    }
}

/// What allows a stale answer.
fn allowing(reason: StaleReason) -> &'static str {
    match reason {
        StaleReason::BreakerOpen => "the circuit breaker is open",
        StaleReason::Client => "the request accepts it (`max-stale`)",
        StaleReason::IfError(_) => "the origin fails (`stale-if-error`)",
        StaleReason::Paused => "the origin failed a moment ago (`stale-if-error`)",
        StaleReason::Slow => "the origin is slow (`stale-if-error`)",
        StaleReason::WhileRevalidate => {
            "it is refreshed in the background (`stale-while-revalidate`)"
        }
    }
}
