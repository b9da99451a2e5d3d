//! The cache's own limits and pauses, for those whose load needs others.

use std::time::Duration;

use cachewarp::{CacheBuilder, ConfigError, OnAbandoned, RangeMiss, RequestDirective};
use clap::{ArgMatches, Args, ValueEnum};

use crate::config::values::{parse_share, parse_size, parse_time, parse_timeout, parse_window};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fine tuning")]
pub(crate) struct Tuning {
    /// The largest response to keep, in bytes, at most --max-memory and below 4GiB: 512KiB, 8MiB
    /// [default: a quarter of --max-memory]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_entry_bytes: Option<u64>,

    /// For how long a response that has a validator is kept past its lifetime and its stale windows,
    /// to be validated
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_window)]
    keep_stale: Duration,

    /// The same for one that has no validator, for clients that send max-stale
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_window)]
    keep_stale_without_validator: Duration,

    /// Shorten each lifetime by a random share up to this one, so that what was stored together
    /// does not expire together: 0 to 0.5
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = parse_share)]
    lifetime_jitter: f64,

    /// How long requests wait for another one that fetches the same response, before one of them
    /// asks the origin too
    #[arg(long, value_name = "TIME", default_value = "5", value_parser = parse_timeout)]
    wait_timeout: Duration,

    /// For how long no request waits for another one after a response that could not be shared
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = parse_time)]
    uncacheable_for: Duration,

    /// How long the origin's content may stand still while it is to be stored
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = parse_timeout)]
    body_idle_timeout: Duration,

    /// How long a response is still received after its last client left
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = parse_timeout)]
    fill_timeout: Duration,

    /// What becomes of a response whose last client left
    #[arg(long, value_enum, default_value_t = Abandoned::Continue)]
    on_abandoned: Abandoned,

    /// Bytes of a response too large to keep that are held for clients that share it
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = parse_size)]
    fill_window: u64,

    /// How long a client may read nothing, before it is cut off because others wait for it or its
    /// memory is needed
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = parse_timeout)]
    reader_stall: Duration,

    /// After an error, for how long the origin is not asked again for the same URL while there is
    /// something stale to answer; 0 asks each time
    #[arg(long, value_name = "TIME", default_value = "5", value_parser = parse_time)]
    refresh_pause: Duration,

    /// The longest pause that the origin may ask for by Retry-After; 0 ignores the field
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = parse_time)]
    retry_after_cap: Duration,

    /// Fetches that may go on at once without their client, 1 or more; further ones are neither
    /// shared nor stored
    #[arg(long, value_name = "N", default_value = "4096")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max_fills: u32,

    /// Those among them that one connection of a client may have left behind before the origin
    /// answered; further ones are cancelled
    #[arg(long, value_name = "N", default_value = "64")]
    max_abandoned: u32,

    /// Refreshes in the background at once, 0 or more
    #[arg(long, value_name = "N", default_value = "256")]
    max_refreshes: u32,

    /// Requests that may wait for the same response, 1 or more; further ones are answered 503
    #[arg(long, value_name = "N", default_value = "16384")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max_waiters: u32,

    /// Representations of one URL to keep, 1 to 1024
    #[arg(long, value_name = "N", default_value = "64")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    max_variants: u16,

    /// What to ask the origin for when a client asks for a range of what is not stored
    #[arg(long, value_enum, default_value_t = Miss::Forward)]
    range_miss: Miss,

    /// Directives of clients to ignore, by which they cause requests to the origin [default: none]
    #[arg(long, value_enum, value_name = "NAMES", value_delimiter = ',')]
    ignore_request_directives: Vec<Directive>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Abandoned {
    /// It is received and stored
    Continue,
    /// It is dropped
    Discard,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Miss {
    /// What the client asked for, which is not stored
    Forward,
    /// All of it, to store it
    Fill,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Directive {
    MaxAge,
    MaxStale,
    MinFresh,
    NoCache,
    NoStore,
    OnlyIfCached,
}

impl Tuning {
    /// What does not go together, in the words of the command line.
    ///
    /// # Errors
    ///
    /// A line that names the flag.
    pub(crate) fn check(&self, all: &ArgMatches, max_memory: u64) -> Result<(), String> {
        let Some(size) = self.max_entry_bytes else {
            return Ok(());
        };
        let why = if size > max_memory {
            "it is more than --max-memory"
        } else if size > u32::MAX.into() {
            "it has to be below 4GiB"
        } else {
            return Ok(());
        };
        let typed = all.get_raw("max_entry_bytes").and_then(Iterator::last);
        let typed = typed.unwrap_or_default().display();
        Err(format!(
            "error: invalid value '{typed}' for '--max-entry-bytes': {why}"
        ))
    }

    pub(crate) fn add_to(&self, mut cache: CacheBuilder) -> CacheBuilder {
        if let Some(size) = self.max_entry_bytes {
            cache = cache.max_entry_bytes(size);
        }
        cache
            .keep_stale(self.keep_stale)
            .keep_stale_without_validator(self.keep_stale_without_validator)
            .lifetime_jitter(self.lifetime_jitter)
            .wait_timeout(self.wait_timeout)
            .uncacheable_for(self.uncacheable_for)
            .body_idle_timeout(self.body_idle_timeout)
            .fill_timeout(self.fill_timeout)
            .on_abandoned(match self.on_abandoned {
                Abandoned::Continue => OnAbandoned::Continue,
                Abandoned::Discard => OnAbandoned::Discard,
            })
            .fill_window(self.fill_window)
            .reader_stall(self.reader_stall)
            .refresh_pause(self.refresh_pause)
            .retry_after_cap(self.retry_after_cap)
            .max_fills(count(self.max_fills))
            .max_abandoned(count(self.max_abandoned))
            .max_refreshes(count(self.max_refreshes))
            .max_waiters(count(self.max_waiters))
            .max_variants(self.max_variants.into())
            .range_miss(match self.range_miss {
                Miss::Forward => RangeMiss::Forward,
                Miss::Fill => RangeMiss::Fill,
            })
            .ignore_request_directives(self.ignore_request_directives.iter().map(directive))
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn directive(directive: &Directive) -> RequestDirective {
    match directive {
        Directive::MaxAge => RequestDirective::MaxAge,
        Directive::MaxStale => RequestDirective::MaxStale,
        Directive::MinFresh => RequestDirective::MinFresh,
        Directive::NoCache => RequestDirective::NoCache,
        Directive::NoStore => RequestDirective::NoStore,
        Directive::OnlyIfCached => RequestDirective::OnlyIfCached,
    }
}

/// An error of the cache, by the flag of the setting that it names.
pub(crate) fn refused(error: &ConfigError) -> String {
    let flag = error.setting().replace('_', "-");
    match error {
        ConfigError::OutOfRange { value, allowed, .. }
        | ConfigError::Malformed { value, allowed, .. } => {
            format!("invalid value '{value}' for '--{flag}': {allowed}")
        }
        error => error.to_string(),
    }
}
