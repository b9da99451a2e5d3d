//! Where responses are kept: in memory alone, or in a Redis that nodes share as well.

#[cfg(feature = "redis")]
mod redis;

use std::{ffi::OsString, fmt};

use cachewarp::CacheBuilder;
use clap::{ArgMatches, Args, ValueEnum, parser::ValueSource};

pub(crate) const HEADING: &str = "Storage";

#[cfg(not(feature = "redis"))]
const NOT_BUILT_IN: &str = "this program was built without '--backend redis' (or CACHE_BACKEND); \
     with it: cargo build --release -p cachewarp-proxy --features redis";

#[derive(Args, Clone)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Backend {
    /// Where responses are kept: in this process, or in Redis as well, where other nodes find them
    #[arg(long, value_enum, default_value_t = Kind::Memory)]
    backend: Kind,

    /// The Redis or Valkey of --backend redis; a password is safer in the environment
    /// [default: redis://127.0.0.1:6379]
    // Not checked here, since a value that clap refuses is repeated in its error.
    #[arg(long, value_name = "URL")]
    redis_url: Option<OsString>,

    /// Nodes with the same namespace share responses [default: cachewarp]
    #[arg(long, value_name = "NAME")]
    redis_namespace: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Memory,
    Redis,
}

impl Backend {
    /// Flags for Redis without Redis are a mistake. A `REDIS_URL` is not: in many environments it
    /// is set for other programs.
    pub(crate) fn check(&self, matches: &ArgMatches) -> Result<(), String> {
        if self.is_shared() {
            return Ok(());
        }
        for (id, flag) in [
            ("redis_url", "--redis-url"),
            ("redis_namespace", "--redis-namespace"),
        ] {
            if matches.value_source(id) == Some(ValueSource::CommandLine) {
                return Err(format!(
                    "error: '{flag}' is of no use without '--backend redis'"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.backend == Kind::Redis
    }

    /// Adds the Redis to a cache, if there is to be one. One that cannot be reached is no error.
    /// The runtime must go on for as long as the cache does: it runs the connections.
    pub(crate) async fn add_to(&self, cache: CacheBuilder) -> Result<CacheBuilder, String> {
        match self.backend {
            Kind::Memory => Ok(cache),
            #[cfg(feature = "redis")]
            Kind::Redis => {
                let (url, namespace) = (self.redis_url.as_deref(), self.redis_namespace.as_deref());
                redis::add_to(cache, url, namespace).await
            }
            #[cfg(not(feature = "redis"))]
            Kind::Redis => Err(NOT_BUILT_IN.to_owned()),
        }
    }
}

// The URL may hold a password.
impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("backend", &self.backend)
            .field("redis_namespace", &self.redis_namespace)
            .finish_non_exhaustive()
    }
}
