//! An origin that is slow or fails: how long it is waited for, and when it is left alone.

use std::time::Duration;

use cachewarp::{BreakerConfig, CacheBuilder};
use clap::Args;

use crate::config::values::{parse_rate, parse_timeout};

/// The upstream service keeps to its own limit; the cache's is for a service that does not.
const SLACK: Duration = Duration::from_secs(5);

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "A slow or failing origin")]
pub(crate) struct Trouble {
    /// How long the origin may take to answer with response headers before the client gets a 504;
    /// the time it waits for the client to send content does not count
    #[arg(
        long,
        visible_alias = "origin-timeout",
        value_name = "TIME",
        default_value = "30"
    )]
    #[arg(value_parser = parse_timeout)]
    pub(crate) timeout: Duration,

    /// How long a client waits for the origin while there is a stale response that may stand in for
    /// an error: 2, 0.1, 100ms [default: until --timeout]
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    soft_timeout: Option<Duration>,

    /// Leave the origin alone for a while once this share of its answers are errors: meanwhile
    /// clients get what is stale, or a 503 with Retry-After [default RATE: 0.5]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    breaker: Option<Option<f64>>,
}

impl Trouble {
    pub(crate) fn add_to(&self, mut cache: CacheBuilder) -> Result<CacheBuilder, String> {
        cache = cache.origin_timeout(self.timeout.saturating_add(SLACK));
        if let Some(soft) = self.soft_timeout {
            cache = cache.soft_timeout(soft);
        }
        if let Some(rate) = self.breaker {
            let mut breaker = BreakerConfig::builder();
            if let Some(rate) = rate {
                breaker = breaker.failure_rate(rate);
            }
            cache = cache.breaker(breaker.build().map_err(|error| error.to_string())?);
        }
        Ok(cache)
    }
}
