//! Where responses are kept: in memory alone, or in a Redis that nodes share as well.

use std::{
    ffi::{OsStr, OsString},
    fmt,
};

use cachewarp::{CacheBuilder, ConfigError, Redis};
use clap::{ArgMatches, Args, ValueEnum, parser::ValueSource};

pub(crate) const HEADING: &str = "Storage";
const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

#[derive(Args, Clone)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Backend {
    /// Where responses are kept: in this process, or in Redis as well, where other nodes find them
    #[arg(long, value_enum, env = "CACHE_BACKEND", default_value_t = Kind::Memory)]
    backend: Kind,

    /// The Redis or Valkey of --backend redis; a password is safer in the environment
    /// [default: redis://127.0.0.1:6379]
    // Not checked here, since a value that clap refuses is repeated in its error.
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true)]
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
        if !self.is_shared() {
            return Ok(cache);
        }
        let given = self.redis_url.as_deref();
        let url = given.unwrap_or(OsStr::new(DEFAULT_URL)).to_str();
        let url = url.ok_or("invalid value for '--redis-url' (or REDIS_URL): not UTF-8")?;
        let mut redis = Redis::builder(url);
        if let Some(namespace) = &self.redis_namespace {
            redis = redis.namespace(namespace);
        }
        let redis = redis.connect().await.map_err(|error| refused(&error))?;
        Ok(cache.remote(redis))
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

/// The flag and what is wrong with it. The cache's errors show no passwords.
fn refused(error: &ConfigError) -> String {
    match error {
        ConfigError::Malformed {
            setting: "namespace",
            value,
        } => format!(
            "invalid value {value:?} for '--redis-namespace': \
             1 to 64 visible ASCII characters, none of them any of {{}}*?[]\\"
        ),
        error => format!("invalid value for '--redis-url' (or REDIS_URL): {error}"),
    }
}
